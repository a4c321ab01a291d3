"""Writing files so that a crash leaves the old one or the new one, and a full disk leaves the old one."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from asic_reservoir.store.errors import StoreWriteError

TEMPORARY = ".tmp"
"""Ending of a file that is being written; what is left of it after a crash is deleted by recovery."""
_IOV_MAX = 512
_CHUNK = 1 << 20


def write_all(descriptor: int, buffers: list[bytes | memoryview]) -> int:
    """Write every byte of ``buffers``; gives their number.

    A write may come back short without an error (a full disk does that first), so it is repeated until all is
    written or the system says why not: OSError.
    """
    views = [memoryview(buffer).cast("B") for buffer in buffers if len(buffer)]
    total, first = 0, 0
    while first < len(views):
        written = os.writev(descriptor, views[first : first + _IOV_MAX])
        total += written
        while first < len(views) and written >= len(views[first]):
            written -= len(views[first])
            first += 1
        if written:
            views[first] = views[first][written:]
    return total


def sync_folder(folder: Path) -> None:
    """Make the names in ``folder`` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file to write; it takes the place of ``path``, durably, when the block ends without an error.

    Raises:
        StoreWriteError: the disk is full or failed; ``path`` is what it was.
    """
    temporary = path.with_name(path.name + TEMPORARY)
    try:
        yield temporary
        descriptor = os.open(temporary, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StoreWriteError(f"{path}: {error.strerror or error}, nothing was changed") from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def sha256(path: Path) -> str:
    """SHA-256 of a file in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_CHUNK):
            digest.update(block)
    return digest.hexdigest()
