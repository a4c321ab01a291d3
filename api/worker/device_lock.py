"""The second barrier: a file lock, so that two processes of one machine never drive one board.

The kernel drops the lock when the processes that hold it have died, however they died: the worker, and the runner that
drives the board for it. Who gets it knows that the holder before is gone.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import uuid
from pathlib import Path

from asic_reservoir.errors import DataError


class DeviceLock:
    """``flock`` on a file named after the board, in a folder of this machine.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     first, second = DeviceLock(Path(folder), "board"), DeviceLock(Path(folder), "board")
    ...     print(first.acquire(), second.acquire())
    ...     first.release()
    ...     print(second.acquire()); second.release()
    True False
    True
    """

    def __init__(self, folder: Path, board: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / f"{hashlib.sha256(board.encode()).hexdigest()[:32]}.lock"
        self._handle: int | None = None

    def acquire(self) -> bool:
        """Take the lock without waiting; whether it is ours."""
        if self._handle is not None:
            return True
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return False
        self._handle = handle
        return True

    @property
    def files(self) -> list[int]:
        """The open file of the lock, to be handed to who drives the board: the lock is free when both are gone."""
        return [] if self._handle is None else [self._handle]

    def release(self) -> None:
        """Give it back. May be called twice."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


def lock_domain(folder: Path) -> str:
    """Name of the place where locks of this folder can be seen: the folder, in this boot of this machine.

    A folder that was copied to another machine, or a machine that was started anew, is another domain.

    Raises:
        DataError: the folder's name of its own is damaged.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "domain"
    if not path.exists():
        # whole or not at all: two folders with half a name would take each other's workers for dead
        made = folder / f"domain-{os.getpid()}-{uuid.uuid4().hex}"
        try:
            with made.open("x") as file:
                file.write(uuid.uuid4().hex)
                file.flush()
                os.fsync(file.fileno())
            with contextlib.suppress(FileExistsError):  # another worker was faster: its name holds
                os.link(made, path)
        finally:
            made.unlink(missing_ok=True)
    name = path.read_text().strip()
    if not re.fullmatch("[0-9a-f]{32}", name):
        raise DataError(f"lock domain {str(path)!r}: damaged, must be deleted while no worker of this folder runs")
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{name}:{boot}"
