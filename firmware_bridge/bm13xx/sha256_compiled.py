"""SHA-256 compiled: for works and nonces by the thousand a second. The plain form is :mod:`.sha256`."""

from __future__ import annotations

import numpy as np
from numba import njit

from asic_reservoir.errors import DataError
from firmware_bridge.bm13xx.sha256 import INITIAL_STATE, ROUND_CONSTANTS

K = np.array(ROUND_CONSTANTS, np.uint32)
START = np.array(INITIAL_STATE, np.uint32)


@njit(cache=True)
def rotate(word, by):  # type: ignore[no-untyped-def]
    return np.uint32((word >> np.uint32(by)) | (word << np.uint32(32 - by)))  # sums and shifts widen: cut back


@njit(cache=True)
def compress(state, words, constants):  # type: ignore[no-untyped-def]
    """One block; ``words`` has room for 64 and its first 16 are set. FIPS 180-4, 6.2.2."""
    for t in range(16, 64):
        w15, w2 = words[t - 15], words[t - 2]
        s0 = rotate(w15, 7) ^ rotate(w15, 18) ^ (w15 >> np.uint32(3))
        s1 = rotate(w2, 17) ^ rotate(w2, 19) ^ (w2 >> np.uint32(10))
        words[t] = words[t - 16] + s0 + words[t - 7] + s1
    a, b, c, d = state[0], state[1], state[2], state[3]
    e, f, g, h = state[4], state[5], state[6], state[7]
    for t in range(64):
        s1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)
        t1 = np.uint32(h + s1 + ((e & f) ^ (~e & g)) + constants[t] + words[t])
        s0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)
        t2 = np.uint32(s0 + ((a & b) ^ (a & c) ^ (b & c)))
        h, g, f, e, d, c, b, a = g, f, e, np.uint32(d + t1), c, b, a, np.uint32(t1 + t2)
    state[0] += a
    state[1] += b
    state[2] += c
    state[3] += d
    state[4] += e
    state[5] += f
    state[6] += g
    state[7] += h


@njit(cache=True)
def swapped(word):  # type: ignore[no-untyped-def]
    return np.uint32(rotate(word, 8) & np.uint32(0xFF00FF00) | rotate(word, 24) & np.uint32(0x00FF00FF))


def midstate(block: bytes) -> tuple[int, ...]:
    """State words H0..H7 after the first 64 bytes of a header, as :func:`.sha256.midstate`, a hundred times faster.

    Raises:
        DataError: not 64 bytes.
    """
    if len(block) != 64:
        raise DataError(f"midstate: {len(block)} bytes, must be the first 64 of a header")
    words = np.zeros(64, np.uint32)
    words[:16] = np.frombuffer(block, ">u4")
    state = START.copy()
    compress(state, words, K)
    return tuple(state.tolist())
