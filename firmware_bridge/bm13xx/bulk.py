"""Nonce replies of BM1366 chips decoded by the million: the same frames as :class:`.stream.Bm1366Replies`, as columns.

A rack of boards arrives in large reads; frames are found and checked in compiled code, and nothing is done a frame in
Python.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from asic_reservoir.errors import UsageError
from firmware_bridge.bm13xx.bm1366 import LONG_REPLY, NONCE_KIND, REGISTER_KIND, REPLY_PREAMBLE, SHORT_REPLY
from firmware_bridge.bm13xx.crc import CRC5_TABLE

_TABLE = np.frombuffer(CRC5_TABLE, np.uint8)
_START = 0x1F << 3
_FIRST, _SECOND = REPLY_PREAMBLE


@dataclass(frozen=True, slots=True, eq=False)
class NonceColumns:
    """Nonce replies found in a buffer, n of them, in order. Every array has shape (n,)."""

    end: NDArray[np.int64]
    """Position behind the last byte of the reply: from it follows when it ended on the wire."""
    nonce: NDArray[np.uint32]
    """Header nonce (little-endian)."""
    core: NDArray[np.int16]
    """Core, 0..127."""
    job_id: NDArray[np.uint8]
    """Job id of a BM1366 (upper five bits of the ID byte)."""
    small_core: NDArray[np.uint8]
    excess: NDArray[np.uint8]
    """Difficulty above the mask in half-bit steps, a hint."""
    version: NDArray[np.uint32]
    """Rolled version bits in their place; 0 in 9-byte replies."""
    register_ends: NDArray[np.int64]
    """Positions behind the register replies among the frames, shape (m,)."""
    consumed: int
    """Bytes that need not be presented again; the rest may be the beginning of a frame."""
    skipped: int
    """Bytes among the consumed that belong to no frame."""

    def __len__(self) -> int:
        return int(self.nonce.shape[0])


def decode_nonces(data: bytes | bytearray | memoryview, reply_size: int = LONG_REPLY) -> NonceColumns:
    """Find and decode every nonce reply in ``data``.

    Args:
        data: raw bytes of the line, any beginning and end.
        reply_size: 9 or 11.

    Raises:
        UsageError: another reply size.

    >>> columns = decode_nonces(bytes.fromhex("00" "aa552fd596ce029394fb86"))
    >>> hex(columns.nonce[0]), hex(columns.job_id[0]), int(columns.core[0]), columns.skipped
    ('0xce96d52f', '0x90', 23, 1)
    """
    if reply_size not in (SHORT_REPLY, LONG_REPLY):
        raise UsageError(f"reply_size: {reply_size}, must be {SHORT_REPLY} or {LONG_REPLY}")
    raw = np.frombuffer(data, np.uint8)
    starts, consumed = _frames(raw, reply_size)
    frames = np.lib.stride_tricks.sliding_window_view(raw, reply_size)[starts] if len(starts) else _none(reply_size)
    is_nonce = frames[:, -1] >> 5 == NONCE_KIND
    ends = starts + reply_size
    rows = frames[is_nonce]
    nonce = np.ascontiguousarray(rows[:, 2:6]).view("<u4").reshape(-1).astype(np.uint32)
    if reply_size == LONG_REPLY:
        version = np.ascontiguousarray(rows[:, 8:10]).view(">u2").reshape(-1).astype(np.uint32) << np.uint32(13)
    else:
        version = np.zeros(len(rows), np.uint32)
    return NonceColumns(
        end=ends[is_nonce],
        nonce=nonce,
        core=(rows[:, 2] >> 1).astype(np.int16),
        job_id=rows[:, 7] & np.uint8(0xF8),
        small_core=rows[:, 7] & np.uint8(7),
        excess=np.ascontiguousarray(rows[:, 6]),
        version=version,
        register_ends=ends[~is_nonce],
        consumed=consumed,
        skipped=consumed - reply_size * len(starts),
    )


def _none(reply_size: int) -> NDArray[np.uint8]:
    return np.empty((0, reply_size), np.uint8)


@njit(cache=True)
def _find(raw, size, table, starts):  # type: ignore[no-untyped-def]
    """Beginnings of the frames into ``starts``; their number, and the number of bytes done with.

    First come, first served, as the stream parser does: where a frame ends the search goes on behind it, and where
    none is, one byte on.
    """
    length = len(raw)
    found, at = 0, 0
    while at < length:
        if raw[at] != _FIRST or (at + 1 < length and raw[at + 1] != _SECOND):
            at += 1
            continue
        if at + size > length:
            break
        kind = raw[at + size - 1] >> 5
        state = _START
        for position in range(at + 2, at + size):
            state = table[state ^ raw[position]]
        if state == 0 and kind in (NONCE_KIND, REGISTER_KIND):
            starts[found] = at
            found += 1
            at += size
        else:
            at += 1
    return found, at


def _frames(raw: NDArray[np.uint8], size: int) -> tuple[NDArray[np.int64], int]:
    """Beginnings of the frames, and the number of bytes done with: what follows may still become a frame."""
    starts = np.empty(len(raw) // size, np.int64)
    found, done = _find(raw, size, _TABLE, starts)
    return starts[:found], int(done)
