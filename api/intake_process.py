"""The process that reads what a user uploaded: ``python -m api.intake_process WORD FILE TARGET``.

A file of a stranger is parsed here, within bounds of memory and time that the kernel holds, and nowhere else: what
makes a parser crash or swell takes nothing with it. The last line on stdout is a JSON object: ``ok``, or ``error``.

``series``     a series with its target; TARGET becomes an NPY of two float64 columns
``recording``  an exported run or a CSV of shares; TARGET is the folder of the store, the database is in the environment
"""

from __future__ import annotations

import json
import os
import re
import resource
import sys
from pathlib import Path
from typing import Any

MEMORY, SECONDS = 4 << 30, {"series": 60, "recording": 600}
"""Bytes of address space, seconds of computing."""
DATABASE = "ASIC_RESERVOIR_INTAKE_DB"
_RUN_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def series(source: Path, target: Path) -> dict[str, Any]:
    """Raises DataError; names column and row."""
    import numpy as np

    from asic_reservoir.errors import DataError
    from asic_reservoir.experiment_kinds import FEWEST, MOST
    from asic_reservoir.tasks import load_series

    found = load_series(source)
    if not FEWEST <= len(found.input) <= MOST:
        raise DataError(f"{source}: {len(found.input)} rows, must be {FEWEST} to {MOST:,}")
    with target.open("wb") as file:
        np.save(file, np.stack([found.input, found.target], axis=1), allow_pickle=False)
    return {"rows": len(found.input)}


def recording(source: Path, target: Path) -> dict[str, Any]:
    """Raises DataError, BusyError."""
    from asic_reservoir.errors import DataError
    from asic_reservoir.store.library import Library
    from asic_reservoir.store.transfer import read_record

    if source.suffix == ".zip":
        run_id = read_record(source).run_id
        # it becomes the name of a folder
        if not isinstance(run_id, str) or not _RUN_ID.fullmatch(run_id):
            raise DataError(f"{source}: run_id {str(run_id)[:60]!r}, must be a UUID in lower case")
    with Library(target, os.environ[DATABASE]) as library:
        folder = library.take_in(source)
        return {"run_id": folder.record().run_id, "folder": str(folder.path.resolve())}


def main(arguments: list[str]) -> int:
    """Do one file."""
    from asic_reservoir.errors import AsicReservoirError

    word, source, target = arguments[0], Path(arguments[1]), Path(arguments[2])
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS[word], SECONDS[word]))
    try:
        said = {"ok": {"series": series, "recording": recording}[word](source, target)}
    except AsicReservoirError as error:
        said = {"error": {"kind": type(error).__name__, "words": str(error)}}
    except MemoryError:
        said = {"error": {"kind": "DataError", "words": "needs more memory than a reader has, must be smaller"}}
    print(json.dumps(said))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
