"""A folder that one run works in: its settings, its arrays, one writer at a time, every file whole or absent."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from asic_reservoir.errors import BusyError, DataError, UsageError

SETTINGS = "settings.json"
_LOCK = ".lock"


class RunFolder:
    """Opened by the one process that writes to it.

    Raises:
        UsageError: the folder belongs to another run, or cannot be written.
        BusyError: another process has it open.
    """

    def __init__(self, path: Path, kind: str, settings: str) -> None:
        self.path, self._kind, self._settings = path, kind, settings
        self._lock: int | None = None

    def __enter__(self) -> Self:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise UsageError(f"folder {str(self.path)!r}: {error.strerror}, must be a folder to write to") from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            self._lock = None
            raise BusyError(f"folder {str(self.path)!r}: another process works in it, must be free") from None
        try:
            self._check_settings()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _check_settings(self) -> None:
        kept = self.path / SETTINGS
        if not kept.exists():
            strangers = [entry.name for entry in self.path.iterdir() if entry.name != _LOCK]
            if strangers:
                raise UsageError(
                    f"folder {str(self.path)!r}: holds {strangers[0]!r} and no {self._kind} run, must be empty or new"
                )
            self.write(SETTINGS, self._settings.encode())
        elif kept.read_text(errors="replace") != self._settings:
            raise UsageError(
                f"folder {str(self.path)!r}: holds a run with other settings (see {SETTINGS}), "
                "must be resumed with the same or be another folder"
            )

    def write(self, name: str, data: bytes) -> None:
        """Write a file whole: under another name, synced, then renamed."""
        temporary = self.path / f".{name}.tmp"
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self.path / name)

    def keep(self, name: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Write arrays whole."""
        temporary = self.path / f".{name}.tmp"
        with temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self.path / name)

    def arrays(self, name: str) -> dict[str, NDArray[Any]] | None:
        """Arrays that were kept, or ``None``.

        Raises:
            DataError: the file is damaged.
        """
        path = self.path / name
        if not path.exists():
            return None
        try:
            with np.load(path, allow_pickle=False) as file:
                return dict(file)
        except Exception as error:  # NumPy, zipfile and zlib have a dozen kinds between them for a damaged file
            text = " ".join(str(error).split())
            raise DataError(f"{path}: {text}, must be as this program wrote it; delete it to count again") from None
