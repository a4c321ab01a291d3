"""``python -m tests.benchmarks [subject …]``: run what is measured side by side, and print one table.

Every ``bench_<subject>.py`` has ``run()`` that gives rows ``{name, value, unit, reference, ratio, note}``. Ratios are
taken side by side in one run and are what to compare; absolute figures belong to the machine of the day. Nothing
here fails on time.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
from pathlib import Path

FOLDER = Path(__file__).parent


def main() -> int:
    subjects = sorted(path.stem.removeprefix("bench_") for path in FOLDER.glob("bench_*.py"))
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("subject", nargs="*", help=f"of {', '.join(subjects)}; all where left out")
    parser.add_argument("--json", type=Path, help="also write the rows here")
    chosen = parser.parse_args()
    unknown = [name for name in chosen.subject if name not in subjects]
    if unknown:
        print(f"subject {unknown[0]!r}: unknown, must be one of {', '.join(subjects)}", file=sys.stderr)
        return 2
    rows = []
    for subject in chosen.subject or subjects:
        started = time.perf_counter()
        print(f"-- {subject}", flush=True)
        for row in importlib.import_module(f"tests.benchmarks.bench_{subject}").run():
            rows.append({"subject": subject, **row})
            ratio = f"{row['ratio']:10.3g} x {row['reference']}" if row.get("ratio") is not None else ""
            note = f"  ({row['note']})" if row.get("note") else ""
            print(f"   {row['name']:<58} {row['value']:12.5g} {row['unit']:<14}{ratio}{note}", flush=True)
        print(f"   [{time.perf_counter() - started:.0f} s]", flush=True)
    if chosen.json:
        chosen.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
