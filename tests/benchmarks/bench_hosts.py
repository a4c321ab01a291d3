"""Eight paced boards on four hosts (network namespaces) against one of them: tasks a second, in real time.

``ASIC_RESERVOIR_BENCH_HOSTS_STEPS`` (25) steps of 0.2 s a task, two tasks a board.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # what tests share lies beside them

import netlab

STEPS = int(os.environ.get("ASIC_RESERVOIR_BENCH_HOSTS_STEPS", "25"))
TASKS = 2


def run() -> list[dict[str, Any]]:
    """Rows; one that says why where there can be no such hosts."""
    base = {"reference": "", "ratio": None, "note": ""}
    if (reason := netlab.missing()) is not None:
        return [base | {"name": "hosts", "value": 0.0, "unit": "", "note": reason}]
    with tempfile.TemporaryDirectory() as folder, netlab.Lab(Path(folder)) as lab:
        shelf = netlab.Shelf(lab)
        shelf.throughput(shelf.names, 1, 1)  # every runner is there
        one = shelf.throughput(shelf.names[:1], TASKS, STEPS)
        all_ = shelf.throughput(shelf.names, TASKS, STEPS)
    ideal = 1.0 / (STEPS * 0.2)
    return [
        base
        | {"name": "tasks, one board", "value": one, "unit": "1/s", "reference": "no overhead", "ratio": one / ideal},
        base
        | {
            "name": f"tasks, {shelf.BOARDS} boards on {shelf.HOSTS} hosts",
            "value": all_,
            "unit": "1/s",
            "reference": "one board",
            "ratio": all_ / one,
            "note": "wanted 7",
        },
    ]
