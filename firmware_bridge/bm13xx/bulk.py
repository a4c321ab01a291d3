"""Nonce replies of BM1366 chips decoded by the million: the same frames as :class:`.stream.Bm1366Replies`, as columns.

A rack of boards arrives in large reads; frames are found and checked in NumPy, and nothing is done a frame in Python
unless false preambles overlap.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asic_reservoir.errors import UsageError
from firmware_bridge.bm13xx.bm1366 import LONG_REPLY, NONCE_KIND, REGISTER_KIND, REPLY_PREAMBLE, SHORT_REPLY
from firmware_bridge.bm13xx.crc import CRC5_TABLE

_TABLE = np.frombuffer(CRC5_TABLE, np.uint8)
_START = np.uint8(0x1F << 3)
_FIRST, _SECOND = REPLY_PREAMBLE
_KINDS = np.array([kind in (REGISTER_KIND, NONCE_KIND) for kind in range(8)])


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


def _valid(frames: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Rows whose checksum leaves no residue and whose kind is known; their preamble is not looked at."""
    state = np.full(len(frames), _START)
    for column in range(2, frames.shape[1]):
        state = _TABLE[state ^ frames[:, column]]
    return np.asarray((state == 0) & _KINDS[frames[:, -1] >> 5])


def _frames(raw: NDArray[np.uint8], size: int) -> tuple[NDArray[np.int64], int]:
    """Beginnings of the frames, and the number of bytes done with."""
    whole = len(raw) // size
    aligned = raw[: whole * size].reshape(whole, size)
    rest = raw[whole * size :]
    if whole and REPLY_PREAMBLE.startswith(rest[:2].tobytes()):  # the usual case: frames, and the beginning of one
        good = (aligned[:, 0] == _FIRST) & (aligned[:, 1] == _SECOND)
        if good.all() and _valid(aligned).all():
            return np.arange(0, whole * size, size, dtype=np.int64), whole * size
    places = np.flatnonzero((raw[:-1] == _FIRST) & (raw[1:] == _SECOND)).astype(np.int64)
    complete = places[places + size <= len(raw)]
    if len(complete):
        windows = np.lib.stride_tricks.sliding_window_view(raw, size)[complete]
        complete = complete[_valid(windows)]
    starts = _without_overlap(complete, size)
    done = int(starts[-1]) + size if len(starts) else 0
    # What may still become a frame: the first preamble behind the last frame that lacks bytes, or half a preamble.
    open_places = places[(places >= done) & (places + size > len(raw))]
    if len(open_places):
        return starts, int(open_places[0])
    return starts, max(done, len(raw) - 1) if len(raw) and raw[-1] == _FIRST else len(raw)


def _without_overlap(starts: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """First come, first served: a start inside the frame before it is dropped, as the stream parser does."""
    if len(starts) < 2 or int(np.diff(starts).min()) >= size:
        return starts
    kept, free = [], 0
    for start in starts.tolist():
        if start >= free:
            kept.append(start)
            free = start + size
    return np.array(kept, np.int64)
