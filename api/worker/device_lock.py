"""The second barrier: a file lock, so that two processes of one machine never drive one board.

The kernel drops the lock when its process dies, however it dies. Who gets it knows that the holder before is gone.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import uuid
from pathlib import Path


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

    def release(self) -> None:
        """Give it back. May be called twice."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


def lock_domain(folder: Path) -> str:
    """Name of the place where locks of this folder can be seen: the folder, in this boot of this machine.

    A folder that was copied to another machine, or a machine that was started anew, is another domain.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "domain"
    try:
        with path.open("x") as file:
            file.write(uuid.uuid4().hex)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        pass
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{path.read_text().strip()}:{boot}"
