"""The log of a run: where events go first.

An append is acknowledged (returns) when its frames are written whole and handed to the operating system: from then on
a killed process loses nothing of it. Against loss of power, everything is synced to the disk at a stated interval.
"""

from __future__ import annotations

import json
import os
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import pyarrow as pa

from asic_reservoir.errors import DataError, UsageError
from asic_reservoir.nonces import NonceBatch
from asic_reservoir.store.errors import StoreWriteError
from asic_reservoir.store.events.catalogue import Catalogue
from asic_reservoir.store.events.damage import Damage
from asic_reservoir.store.events.files import sync_folder, write_all
from asic_reservoir.store.events.folder import RunFolder
from asic_reservoir.store.events.frame import OPENING, Buffer, pack, pack_nonces, pack_table
from asic_reservoir.store.events.kinds import Kind
from asic_reservoir.store.events.recover import Recovery, recover
from asic_reservoir.store.events.seal import seal_log

Events = tuple[Kind, NonceBatch | pa.RecordBatch]


@dataclass(frozen=True, slots=True)
class LogOptions:
    """When things happen.

    Raises:
        UsageError: a value is not positive.
    """

    sync_interval_s: float = 0.1
    """What a loss of power can cost, at most."""
    sync_every_batch: bool = False
    """Sync before every acknowledgement instead."""
    segment_rows: int = 2_097_152
    """A log with so many rows is sealed."""
    segment_bytes: int = 1 << 26
    """A log with so many bytes is sealed."""
    segment_age_s: float = 300.0
    """A log that is so old is sealed."""

    def __post_init__(self) -> None:
        for name in ("sync_interval_s", "segment_rows", "segment_bytes", "segment_age_s"):
            if not getattr(self, name) > 0:
                raise UsageError(f"log option {name}: {getattr(self, name)}, must be positive")


@dataclass(frozen=True, slots=True)
class _Mark:
    """How far the open log is acknowledged. Replaced whole, so that an interrupt finds the old one or the new one."""

    size: int
    rows: int
    following: dict[Kind, int]
    """Number of the next row of each kind."""


class EventLog:
    """Takes the events of one run. One writer a run: whoever comes second gets BusyError.

    Opening recovers what a crash left; ``recovery`` says what that was. May be used from several threads; rows are
    numbered in the order of the appends.

    Args:
        folder: an existing run folder.
        options: when to sync and to seal.
        monotonic: seconds; decides the age of a log only, so that a step of the time of day changes nothing.
    """

    def __init__(
        self,
        folder: RunFolder,
        options: LogOptions | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder = folder
        self.options = options or LogOptions()
        self._monotonic = monotonic
        self._lock = folder.lock()
        try:
            self.run_id = folder.record().run_id
            self.recovery: Recovery = recover(folder)
            self._catalogue = Catalogue(folder.catalogue_path, self.run_id)
            following = dict.fromkeys(Kind, 0)
            for segment in self._catalogue.segments():
                following[segment.kind] = max(following[segment.kind], segment.end_row)
            for damage in self.recovery.damages:
                if damage.kind is not None and damage.end_row is not None:
                    following[damage.kind] = max(following[damage.kind], damage.end_row)
            self._mark = _Mark(0, 0, following)
        except BaseException:
            self._lock.release()
            raise
        self._append_lock = threading.Lock()
        self._descriptor = -1
        self.written_bytes = 0
        """Acknowledged since the log was opened, in all its files."""
        self._number = folder.last_log()
        self._opened_s = 0.0
        self._sync_lock = threading.Lock()
        self._unsynced, self._names_unsynced = False, False
        self._retired: list[int] = []
        self._failed: str | None = None
        self._closed = False
        self.damages: list[Damage] = []
        """What sealing found wrong in logs of this process."""
        self._seal_error: DataError | None = None
        self._to_seal: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="store-sync", daemon=True)
        self._sealer = threading.Thread(target=self._seal_all, name="store-seal", daemon=True)
        self._keeper.start()
        self._sealer.start()

    def append(self, kind: Kind, events: NonceBatch | pa.RecordBatch) -> int:
        """Take the rows of one kind; gives the number of the first. Acknowledged when it returns.

        Raises:
            StoreWriteError: disk full or failed; nothing of it is kept.
            UsageError: the log is closed.
        """
        return self.append_all([(kind, events)])[0]

    def append_all(self, events: Sequence[Events]) -> list[int]:
        """Take rows of several kinds with one write; gives the number of the first row of each.

        A crash in the middle keeps all of them or none.

        Raises:
            StoreWriteError, UsageError: as :meth:`append`.
        """
        with self._append_lock:
            if self._closed:
                raise UsageError(f"{self.folder.path}: the log is closed, must be open to append")
            if self._failed is not None:
                raise StoreWriteError(f"{self.folder.path}: {self._failed}; open the run again")
            mark = self._mark
            following = dict(mark.following)
            firsts, buffers, rows = [], list[Buffer](), 0
            left = sum(_rows(batch) > 0 for _, batch in events)
            for kind, batch in events:
                first, n = following[kind], _rows(batch)
                firsts.append(first)
                if n:
                    left -= 1
                    buffers += _packed(kind, first, batch, left > 0)
                    following[kind] += n
                    rows += n
            if buffers:
                self._write(buffers, rows, following)
                if self._mark.rows >= self.options.segment_rows or self._mark.size >= self.options.segment_bytes:
                    self._rotate()
            return firsts

    def next_row(self, kind: Kind) -> int:
        """The number that the next row of a kind will get."""
        return self._mark.following[kind]

    def flush(self) -> None:
        """Sync to the disk, now. Raises StoreWriteError where that fails."""
        self._sync()
        if self._failed is not None:
            raise StoreWriteError(f"{self.folder.path}: {self._failed}")

    def close(self) -> None:
        """Seal everything and give the run back. May be called twice.

        Raises:
            StoreWriteError: sealing failed. The events are safe in the log; opening the run again seals them.
        """
        with self._append_lock:
            if self._closed:
                return
            self._closed = True
            self._rotate()
        self._stop.set()
        self._keeper.join()
        self._to_seal.put(None)
        self._sealer.join()
        self._sync()
        self._seal_closed()
        self._catalogue.close()
        self._lock.release()
        if self._failed is not None:
            raise StoreWriteError(f"{self.folder.path}: {self._failed}")
        if self._seal_error is not None:
            raise StoreWriteError(f"{self._seal_error}; the events are safe in the log")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _write(self, buffers: list[Buffer], rows: int, following: dict[Kind, int]) -> None:
        """Append buffers to the open log, whole or not at all."""
        try:
            if self._descriptor < 0:
                self._open()
            written = write_all(self._descriptor, buffers)
            if self.options.sync_every_batch:
                self._sync_now(self._descriptor)
            self._mark = _Mark(self._mark.size + written, self._mark.rows + rows, following)
            self.written_bytes += written
            self._unsynced = True
        except BaseException as error:
            self._undo()
            if isinstance(error, OSError):
                reason = error.strerror or error
                raise StoreWriteError(f"{self.folder.path}: {reason}, the batch was not taken") from error
            raise

    def _open(self) -> None:
        self._number = number = self._number + 1  # first: an interrupted attempt does not stand in the way of the next
        path = self.folder.log_path(number)
        opening = json.dumps({"run": self.run_id, "log": number}).encode()
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            size = write_all(descriptor, pack(OPENING, 0, 0, 0, 0, [opening]))
            if self.options.sync_every_batch:
                sync_folder(self.folder.path)
        except BaseException:
            os.close(descriptor)
            path.unlink()
            raise
        self._opened_s = self._monotonic()
        self._mark = _Mark(size, 0, self._mark.following)
        self._descriptor, self._names_unsynced = descriptor, True

    def _undo(self) -> None:
        """Cut off what was written of a frame that did not come to its end."""
        if self._descriptor < 0:
            return
        try:
            os.ftruncate(self._descriptor, self._mark.size)
        except OSError as error:
            self._failed = f"log {self._number}: {error.strerror}"

    def _rotate(self) -> None:
        """Close the log, and hand it to the sealer. The lock is held."""
        if self._descriptor < 0:
            return
        try:
            self.folder.log_path(self._number).rename(self.folder.log_path(self._number, closed=True))
        except OSError as error:
            # what is in it was acknowledged, and is safe; but nothing more is taken
            self._failed = f"log {self._number}: {error.strerror}"
            return
        self._retired.append(self._descriptor)  # the next sync takes it along: an append does not wait for the disk
        self._descriptor, self._names_unsynced = -1, True
        self._to_seal.put(self._number)

    def _keep(self) -> None:
        """Sync at the interval, and close a log that is old."""
        while not self._stop.wait(self.options.sync_interval_s):
            if self._descriptor >= 0 and self._monotonic() - self._opened_s >= self.options.segment_age_s:
                with self._append_lock:
                    self._rotate()
            self._sync()

    def _sync(self) -> None:
        """Sync what was written since the last time. Descriptors are closed here only, under this lock."""
        with self._sync_lock:
            retired, self._retired = self._retired, []
            current, names = self._descriptor, self._names_unsynced
            unsynced, self._unsynced, self._names_unsynced = self._unsynced, False, False
            try:
                for descriptor in retired:
                    self._sync_now(descriptor)
                if unsynced and current >= 0 and current not in retired:
                    self._sync_now(current)
                if names:
                    sync_folder(self.folder.path)
            except OSError as error:
                self._failed = f"sync to the disk failed ({error.strerror})"
            finally:
                for descriptor in retired:
                    os.close(descriptor)

    def _sync_now(self, descriptor: int) -> None:
        try:
            os.fdatasync(descriptor)
        except OSError as error:
            # the kernel may have dropped what it could not write: syncing again would report success
            self._failed = f"sync to the disk failed ({error.strerror})"
            raise

    def _seal_all(self) -> None:
        """Seal closed logs as they come."""
        while self._to_seal.get() is not None:
            self._seal_closed()

    def _seal_closed(self) -> None:
        """Seal closed logs in their order. One that fails is tried again with the next; none overtakes another."""
        try:
            for path in self.folder.logs():
                if path.suffix == ".wal":
                    self.damages += seal_log(self.folder, self._catalogue, path)
            self._seal_error = None
        except DataError as error:
            self._seal_error = error
        except OSError as error:
            self._seal_error = StoreWriteError(f"{self.folder.path}: {error.strerror or error}")


def _rows(batch: NonceBatch | pa.RecordBatch) -> int:
    return len(batch) if isinstance(batch, NonceBatch) else int(batch.num_rows)


def _packed(kind: Kind, first: int, batch: NonceBatch | pa.RecordBatch, more: bool) -> list[Buffer]:
    return pack_nonces(first, batch, more) if isinstance(batch, NonceBatch) else pack_table(kind, first, batch, more)
