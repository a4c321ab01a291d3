"""Processes to be killed. One server imports what they need, and forks a child for every request.

A request is a line of JSON on stdin: ``{"play": name, "folder": path, "seed": n}``. The server answers with the
numbers of the children. An empty line asks for their exit statuses, which come when they are gone: until then a child
that has ended keeps its number, so that a signal for it reaches nobody else. A child reports what was acknowledged to
it by appending an int64 to the file ``acks``: a single write, that survives the child.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from pathlib import Path

import numpy as np

from asic_reservoir.nonces import NonceBatch

MAX_BATCH = 400


def batch(first: int, rows: int) -> NonceBatch:
    """Nonces whose every column follows from their number in the run."""
    number = np.arange(first, first + rows)
    return NonceBatch(
        time_ns=number * 1000,
        chip=(number % 189).astype(np.int16),
        core=(number % 114).astype(np.int16),
        job=(number // 1000).astype(np.int32),
        nonce=(number * 2_654_435_761 & 0xFFFFFFFF).astype(np.uint32),
        version=np.zeros(rows, np.uint32),
        flags=np.ones(rows, np.uint8),
    )


def _append(folder: Path, seed: int, segment_rows: int) -> None:
    from asic_reservoir.store.events.folder import RunFolder
    from asic_reservoir.store.events.kinds import Kind
    from asic_reservoir.store.events.log import EventLog, LogOptions

    chance = random.Random(seed)
    log = EventLog(RunFolder.at(folder), LogOptions(segment_rows=segment_rows, sync_interval_s=0.01))
    acks = os.open(folder.parent / "acks", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    while True:
        rows = chance.randint(1, MAX_BATCH)
        first = log.append(Kind.NONCES, batch(log.next_row(Kind.NONCES), rows))
        os.write(acks, (first + rows).to_bytes(8, "little"))


def append(folder: Path, seed: int) -> None:
    """Append to one log for ever."""
    _append(folder, seed, 1 << 30)


def seal(folder: Path, seed: int) -> None:
    """Append, and seal all the time."""
    _append(folder, seed, 2000)


def compact(folder: Path, seed: int) -> None:
    """Recover, and merge segments."""
    from asic_reservoir.store.events.compact import compact
    from asic_reservoir.store.events.folder import RunFolder
    from asic_reservoir.store.events.recover import recover

    run = RunFolder.at(folder)
    lock = run.lock()
    recover(run)
    os.write(os.open(folder.parent / "acks", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644), bytes(8))
    compact(run)
    lock.release()


def migrate(folder: Path, seed: int) -> None:
    """Take a database down and up again for ever."""
    from asic_reservoir.store.facts import downgrade, open_engine, upgrade

    engine = open_engine((folder / "url").read_text())
    os.write(os.open(folder.parent / "acks", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644), bytes(8))
    while True:
        upgrade(engine)
        downgrade(engine, "0001")


def hold(folder: Path, seed: int) -> None:
    """Become the writer and stay it until somebody else is refused, or be the one who is."""
    from asic_reservoir.errors import BusyError
    from asic_reservoir.store.events.folder import RunFolder
    from asic_reservoir.store.events.log import EventLog

    refused = folder / "refused"
    try:
        with EventLog(RunFolder.at(folder)):
            deadline = time.monotonic() + 120
            while not refused.exists() and time.monotonic() < deadline:
                time.sleep(0.0005)
    except BusyError:
        refused.touch()
        os._exit(4)


PLAYS = {play.__name__: play for play in (append, seal, compact, migrate, hold)}


def serve() -> None:
    """Answer requests until stdin ends. Imports come first and threads never, so that forking is safe."""
    import pyarrow as pa

    import asic_reservoir.store.events.compact
    import asic_reservoir.store.events.log
    import asic_reservoir.store.facts  # noqa: F401

    pa.array(np.zeros(1))  # makes Arrow import pandas where that is installed: half a second
    for line in sys.stdin:
        request = json.loads(line)
        children = []
        for _ in range(request.get("children", 1)):
            child = os.fork()
            if child == 0:
                try:
                    PLAYS[request["play"]](Path(request["folder"]), request["seed"])
                    os._exit(0)
                except BaseException as error:
                    print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
                    os._exit(1)
            children.append(child)
        print(json.dumps(children), flush=True)
        sys.stdin.readline()
        print(json.dumps([os.waitpid(child, 0)[1] for child in children]), flush=True)


if __name__ == "__main__":
    serve()
