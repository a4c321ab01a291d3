"""Compressions of SHA-256, opened: what a job fixes, what two compressions went through, and single compressions.

Formulas: FIPS 180-4.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from asic_reservoir.errors import DataError, UsageError
from asic_reservoir.tpf import _portable
from asic_reservoir.tpf._constants import IV, PAIRS, ROUNDS

Words = NDArray[np.uint32]


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """All of a header but the nonce.

    >>> Job.of(bytes(80)).midstate.dtype.name
    'uint32'
    """

    prefix: bytes
    """The first 76 bytes of the header."""
    midstate: Words
    """State after the first 64 bytes, shape (8,)."""
    tail: Words
    """Message words 0..2 of the second block (end of the Merkle root, time, bits), shape (3,)."""

    @classmethod
    def of(cls, header: bytes) -> Job:
        """From a header of 80 bytes (its nonce is ignored) or its first 76.

        Raises:
            DataError: another length.
        """
        if len(header) not in (76, 80):
            raise DataError(f"header: {len(header)} bytes, must be 80, or 76 without the nonce")
        prefix = bytes(header[:76])
        return cls(prefix, midstate(prefix[:64]), _big_endian(prefix[64:]))

    @classmethod
    def random(cls, rng: np.random.Generator) -> Job:
        """A header of version 0x20000000 and difficulty 1 with random previous hash, Merkle root and time."""
        fields = struct.pack("<I", 0x20000000) + rng.bytes(64)
        return cls.of(fields + struct.pack("<II", int(rng.integers(1_600_000_000, 1_800_000_000)), 0x1D00FFFF))


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """Everything that two compressions went through, for n headers.

    >>> from asic_reservoir.tpf.sha256 import trace_of
    >>> trace = trace_of(Job.of(bytes(80)), [0, 1])
    >>> trace.state(1, 64).shape, bool((trace.state(1, 61)[:, 4] + IV[7] == trace.digest()[:, 7]).all())
    ((2, 8), True)
    """

    rows: Words
    """The two new working variables of every round, shape (n, 2, 34, 4); see ``_constants.PAIRS``."""

    def __len__(self) -> int:
        return int(self.rows.shape[0])

    def state(self, compression: int, r: int) -> Words:
        """(a, b, c, d, e, f, g, h) after round ``r`` of ``compression``, shape (n, 8); round 0 is the start.

        Raises:
            UsageError: compression not 0 or 1, round not 0 to 64.
        """
        check_round(compression, r)
        return _state(self.rows[:, compression], r)

    def digest(self) -> Words:
        """The eight digest words of the double hash, shape (n, 8)."""
        return self.state(1, ROUNDS) + IV

    def reduced_word7(self, last: int) -> Words:
        """Digest word 7 if the second hash had only ``last`` rounds, shape (n,). With 64: that of the hash.

        Raises:
            UsageError: ``last`` not 1 to 64.
        """
        if not 1 <= last <= ROUNDS:
            raise UsageError(f"last: {last}, must be from 1 to {ROUNDS} rounds")
        return np.asarray(self.state(1, last)[:, 7] + IV[7])


def check_round(compression: int, r: int) -> None:
    """Raises UsageError for a compression or round that does not exist."""
    if compression not in (0, 1):
        raise UsageError(f"compression: {compression}, must be 0 (first hash, second block) or 1 (second hash)")
    if isinstance(r, bool) or not isinstance(r, int | np.integer) or not 0 <= r <= ROUNDS:
        raise UsageError(f"round: {r}, must be an integer from 0 to {ROUNDS}")


def _state(rows: Words, r: int) -> Words:
    states = np.empty((rows.shape[0], 8), np.uint32)
    for back in range(4):
        t = r + 3 - back
        states[:, back] = rows[:, t >> 1, 2 + (t & 1)]
        states[:, 4 + back] = rows[:, t >> 1, t & 1]
    return states


def _big_endian(data: bytes) -> Words:
    return np.frombuffer(data, dtype=">u4").astype(np.uint32)


def check_nonces(nonces: ArrayLike) -> Words:
    """A contiguous uint32 array of shape (n,); raises DataError for another shape or a value that is no nonce."""
    raw = np.asarray(nonces)
    if raw.ndim != 1:
        raise DataError(f"nonces: shape {raw.shape}, must be 1-D")
    if raw.dtype == np.uint32:
        return np.ascontiguousarray(raw)
    if raw.size and raw.dtype.kind not in "iu":
        raise DataError(f"nonces: {raw.dtype} values, must be integers from 0 to 2^32 - 1")
    if raw.size and (raw.min() < 0 or raw.max() > 0xFFFFFFFF):
        raise DataError(f"nonces: values {raw.min()} to {raw.max()}, must be integers from 0 to 2^32 - 1")
    return raw.astype(np.uint32)


def midstate(block: bytes) -> Words:
    """State after the first 64 bytes of a header, shape (8,).

    Raises:
        DataError: not 64 bytes.
    """
    if len(block) != 64:
        raise DataError(f"block: {len(block)} bytes, must be 64")
    return _advance(IV, block)


def _advance(state: Words, block: bytes) -> Words:
    rows = compression_trace(state[None], _big_endian(block)[None])
    return np.asarray(_state(rows, ROUNDS)[0] + state)


def compression_trace(states: Words, blocks: Words) -> Words:
    """Trace of compressing blocks (n, 16) from states (n, 8), message words as big-endian integers; (n, 34, 4).

    Raises:
        DataError: shapes that do not fit.
    """
    if states.ndim != 2 or states.shape[1] != 8 or blocks.shape != (states.shape[0], 16):
        raise DataError(f"states {states.shape}, blocks {blocks.shape}: must be (n, 8) and (n, 16)")
    out = np.empty((states.shape[0], PAIRS, 4), np.uint32)
    _portable.compress(np.ascontiguousarray(states, np.uint32), np.ascontiguousarray(blocks, np.uint32), out)
    return out


def compression_state(states: Words, blocks: Words, r: int) -> Words:
    """(a..h) after round ``r`` of compressing blocks (n, 16) from states (n, 8), without the final addition; (n, 8)."""
    check_round(0, r)
    return _state(compression_trace(states, blocks), r)


def sha256(message: bytes) -> bytes:
    """SHA-256 of any message on these kernels; for checks, ``hashlib`` is there for work.

    >>> sha256(b"abc").hex()[:16]
    'ba7816bf8f01cfea'
    """
    padded = message + b"\x80" + bytes(-(len(message) + 9) % 64) + struct.pack(">Q", 8 * len(message))
    state = IV
    for begin in range(0, len(padded), 64):
        state = _advance(state, padded[begin : begin + 64])
    return state.astype(">u4").tobytes()
