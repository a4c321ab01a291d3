"""The process that puts a run in order after its recorder died: ``python -m api.sealing_process FOLDER``.

Logs are read whole and written as Parquet: what that takes, and what a damaged file does to it, is not the worker's.
The last line on stdout is a JSON object: ``found`` (what recovery says, a line each), or ``error``.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path
from typing import Any

MEMORY, SECONDS = 4 << 30, 600
"""Bytes of address space, seconds of computing."""


def seal(path: Path) -> dict[str, Any]:
    """Recover the run in ``path``.

    Raises:
        NotFoundError: it is gone.
        BusyError: somebody writes to it.
        DataError: it cannot be read, or the disk is full.
    """
    from asic_reservoir.store.events.folder import RunFolder
    from asic_reservoir.store.events.recover import recover

    folder = RunFolder.at(path)
    lock = folder.lock()
    try:
        return {"found": recover(folder).lines()}
    finally:
        lock.release()


def main(arguments: list[str]) -> int:
    """Do one folder."""
    from asic_reservoir.errors import AsicReservoirError

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    try:
        said = seal(Path(arguments[0]))
    except (AsicReservoirError, OSError, MemoryError) as error:
        said = {"error": {"kind": type(error).__name__, "words": " ".join(str(error).split())}}
    print(json.dumps(said))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
