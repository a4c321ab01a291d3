"""Recordings that tasks make: one end in the runner, which writes them, one in the worker, which knows of them.

A run is in the database before its first step, ``recording``, and ``finished`` in the transaction of the result that
names it. What an attempt that died or was stopped had recorded is sealed by the worker, and no result names it.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import structlog

from api.queue.leases import Lease, hold
from api.worker.fence import Fence
from api.worker.process import ONE_THREAD
from api.worker.wire import Message
from asic_reservoir.board import Board
from asic_reservoir.errors import BusyError, DataError
from asic_reservoir.store.events.files import TEMPORARY
from asic_reservoir.store.events.folder import RunFolder
from asic_reservoir.store.facts import Writer, runs, tasks
from asic_reservoir.store.recorder import Recorder, new_run, record
from asic_reservoir.store.registration import Registration, describe, register

FIRST_AGAIN_S, LAST_AGAIN_S = 30.0, 3600.0
"""Between two looks for what was left; and between two tries to seal what could not be sealed, longer each time."""

log = structlog.get_logger("worker")


class RunnerRecordings:
    """In the runner: the :class:`asic_reservoir.kinds.Recordings` of one task."""

    def __init__(self, root: Path, about: Mapping[str, Any], send: Callable[[Message], None], fence: Fence) -> None:
        self.root = root
        self._about, self._send, self._fence = about, send, fence
        self._news = threading.Condition()
        self._known: set[str] = set()

    def hear(self, run_id: str) -> None:
        """From the thread that listens to the worker: the database has this run."""
        with self._news:
            self._known.add(run_id)
            self._news.notify()

    def record(self, board: Board, provenance: dict[str, Any] | None = None) -> Recorder:
        """A recorder of ``board`` into a new run; returns when the database knows of it.

        Raises:
            StoreWriteError: disk full.
            Cancelled, StaleTokenError: the task was cancelled, or the lease ended, meanwhile.
        """
        folder = new_run(self.root / "runs", board, (provenance or {}) | dict(self._about))
        run_id = folder.record().run_id
        self._send({"recording": run_id})
        with self._news:
            while run_id not in self._known:
                self._fence.check()
                self._news.wait(0.1)
        return record(board, folder.path)


class BoardRecordings:
    """In the worker: recordings of one board.

    Args:
        engine: of the database.
        writer: to it.
        root: of the store on this machine.
        domain: name of the folder that the store is part of; no other machine has the same.
        board_id: of the board.
        name: of the board, for people.
    """

    def __init__(self, engine: sa.Engine, writer: Writer, root: Path, domain: str, board_id: str, name: str) -> None:
        self.root = root
        self._engine, self._writer, self._domain, self._board_id = engine, writer, domain, board_id
        self._log = log.bind(board=name)
        self._begun: list[str] = []
        self._look_at = 0.0
        self._again: dict[str, tuple[float, float]] = {}

    def job(self, task_id: str, attempt: int, token: int) -> dict[str, Any]:
        """What the runner is told; from here on :meth:`begin` is about this attempt."""
        self._begun = []
        self.root.mkdir(parents=True, exist_ok=True)
        about = {"task_id": task_id, "attempt": attempt, "lease_token": token, "store": self._domain}
        return {"root": str(self.root), "about": about}

    def begin(self, connection: sa.Connection, lease: Lease, task_id: str, run_id: str) -> None:
        """Enter a run that is about to begin.

        Raises:
            StaleTokenError: the lease is another's.
            DataError: there is no such run, or it is another task's.
        """
        hold(connection, lease)
        run = describe(self._folder(run_id))
        if run.record.provenance.get("task_id") != task_id:
            raise DataError(f"recording {run_id}: of task {run.record.provenance.get('task_id')}, must be of {task_id}")
        register(connection, run, "recording", task_id)
        self._begun.append(run_id)

    def described(self) -> dict[str, Registration]:
        """Runs of this attempt as they are on the disk. Raises DataError."""
        return {run_id: describe(self._folder(run_id)) for run_id in self._begun}

    def settle(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Seal what attempts that are over left as ``recording`` in the store of this machine.

        Looks at once after an attempt that recorded, else every half minute. What cannot be sealed now (the disk is
        full) is left for later, and logged.

        Args:
            meanwhile: called ten times a second while a run is being sealed; may raise.

        Raises:
            SQLAlchemyError, BusyError: the database is away.
        """
        now = time.monotonic()
        if not self._begun and now < self._look_at:
            return
        for run_id, folder in self._left():
            due, wait_s = self._again.get(run_id, (0.0, FIRST_AGAIN_S))
            if now < due:
                continue
            said = {"found": []} if _in_order(RunFolder(folder)) else _seal(folder, meanwhile)
            if "found" in said:
                self._finish(run_id, folder, said["found"])
                self._again.pop(run_id, None)
            elif said["error"]["kind"] == "NotFoundError":
                gone = runs.update().where(runs.c.id == run_id).values(state="deleted")
                self._writer.run(lambda connection, gone=gone: connection.execute(gone))  # type: ignore[misc]
                self._log.error("recording_lost", recording=run_id, folder=str(folder))
            else:
                self._again[run_id] = (now + wait_s, min(LAST_AGAIN_S, 2 * wait_s))
                self._log.error("recording_not_sealed", recording=run_id, error=said["error"]["words"])
        self._begun, self._look_at = [], now + FIRST_AGAIN_S

    def _finish(self, run_id: str, folder: Path, found: Sequence[str]) -> None:
        run = describe(RunFolder(folder))
        self._writer.run(lambda connection: register(connection, run, "finished"))
        self._log.warning("recording_cut_short", recording=run_id, nonces=run.nonces, found=found)

    def _left(self) -> list[tuple[str, Path]]:
        """Runs of tasks of this board that are not sealed, and lie here."""
        query = (
            sa.select(runs.c.id, runs.c.folder, runs.c.provenance)
            .join(tasks, tasks.c.id == runs.c.task_id)
            .where(tasks.c.board_id == self._board_id, runs.c.state == "recording", runs.c.host == socket.gethostname())
            .order_by(runs.c.id)
        )
        with self._engine.connect() as connection:
            rows = connection.execute(query).all()
        return [(row.id, Path(row.folder)) for row in rows if row.provenance.get("store") == self._domain]

    def _folder(self, run_id: str) -> RunFolder:
        return RunFolder.at(self.root / "runs" / run_id)


def _in_order(folder: RunFolder) -> bool:
    """Whether its recorder closed it: nobody writes to it, and nothing waits to be sealed."""
    try:
        lock = folder.lock()
    except (BusyError, FileNotFoundError):
        return False
    try:
        return folder.catalogue_path.exists() and not folder.logs() and not list(folder.path.glob(f"*{TEMPORARY}"))
    finally:
        lock.release()


def _seal(folder: Path, meanwhile: Callable[[], None]) -> dict[str, Any]:
    """Recover a run in a process of its own; what that said."""
    process = subprocess.Popen(
        [sys.executable, "-m", "api.sealing_process", str(folder)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | ONE_THREAD,
        start_new_session=True,
    )
    try:
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                output, _ = process.communicate(timeout=0.1)
                break
            meanwhile()
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    try:
        said: dict[str, Any] = json.loads(output.splitlines()[-1])
    except (IndexError, ValueError):
        said = {"error": {"kind": "DataError", "words": f"its sealing ended with {process.returncode}"}}
    return said
