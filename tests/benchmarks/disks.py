"""How long this machine's disk takes to synchronise, and servers that meet a disk that takes longer.

A durable commit waits for the disk. Where that takes 0.1 ms, as with a write-back cache, a commit a row costs little;
where it takes 2 ms, as on an ordinary SSD, it costs everything. Both are measured, and the rows say which is which.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

LATE_US = 2000
"""Of an ordinary SSD without a battery behind its cache; an assumption, which the row names."""


def sync_ms(rounds: int = 200) -> float:
    """Median time to append 4 kB to a file and have it on the disk, in ms."""
    taken = []
    with tempfile.TemporaryFile() as file:
        for _ in range(rounds):
            file.write(bytes(4096))
            began = time.perf_counter()
            file.flush()
            os.fdatasync(file.fileno())
            taken.append((time.perf_counter() - began) * 1e3)
    return statistics.median(taken)


def late_disk(folder: Path, late_us: int = LATE_US) -> dict[str, str] | None:
    """Environment of a process to which each synchronisation takes so much longer; None without a C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return None
    library = folder / "late_sync.so"
    source = Path(__file__).with_name("late_sync.c")
    subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return {"LD_PRELOAD": str(library), "LATE_SYNC_US": str(late_us)}
