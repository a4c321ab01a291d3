"""Kernels for any processor: plain numba, written so that LLVM makes vector code over a row of headers.

The reference of all others. A work area holds, for ``LANES`` headers at once, rows of (a, e, w): row t has the working
variables after round t - 3 and message word t. A round reads the four rows before and writes one; no variable is
ever moved, and what remains when the rounds are done is the trace.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from asic_reservoir.tpf._constants import DIGEST_BITS, HEADER_BITS, IV, PADDING, PAIRS, K

LANES = 16
_ROWS = 2 * PAIRS
_U = np.uint32
_IV7 = np.uint32(IV[7])


@njit(nogil=True, cache=True, inline="always")
def _rotr(x: Any, n: int) -> Any:
    return (x >> _U(n)) | (x << _U(32 - n))


@njit(nogil=True, cache=True)
def _rounds(area: Any, last: int) -> None:
    """Rounds 1 to ``last`` in the work area (_ROWS, 3, LANES) whose rows 0..3 hold the state and 0..15 the message."""
    for t in range(np.uintp(last)):
        if t >= 16:
            for lane in range(LANES):
                x, y = area[t - 15, 2, lane], area[t - 2, 2, lane]
                s0 = _rotr(x, 7) ^ _rotr(x, 18) ^ (x >> _U(3))
                s1 = _rotr(y, 17) ^ _rotr(y, 19) ^ (y >> _U(10))
                area[t, 2, lane] = area[t - 16, 2, lane] + s0 + area[t - 7, 2, lane] + s1
        k = K[t]
        for lane in range(LANES):
            d, h = area[t, 0, lane], area[t, 1, lane]
            c, g = area[t + 1, 0, lane], area[t + 1, 1, lane]
            b, f = area[t + 2, 0, lane], area[t + 2, 1, lane]
            a, e = area[t + 3, 0, lane], area[t + 3, 1, lane]
            t1 = h + (_rotr(e, 6) ^ _rotr(e, 11) ^ _rotr(e, 25)) + (g ^ (e & (f ^ g))) + k + area[t, 2, lane]
            t2 = (_rotr(a, 2) ^ _rotr(a, 13) ^ _rotr(a, 22)) + ((a & b) | (c & (a | b)))
            area[t + 4, 0, lane] = t1 + t2
            area[t + 4, 1, lane] = d + t1


@njit(nogil=True, cache=True)
def _fill(area: Any, state: Any, last_word: int) -> None:
    """The same state in all lanes, and the padding of the message (words 4.. or 8.. are set by the caller)."""
    for t in range(4):
        area[t, 0, :] = state[3 - t]
        area[t, 1, :] = state[7 - t]
    area[:16, 2, :] = _U(0)
    area[15, 2, :] = _U(last_word)


@njit(nogil=True, cache=True)
def _header_hash(midstate: Any, tail: Any, nonces: Any, begin: int, first: Any, second: Any, last: int) -> int:
    """LANES headers from ``begin`` through both compressions, the second up to round ``last``; gives how many."""
    n: int = min(LANES, nonces.shape[0] - begin)
    _fill(first, midstate, HEADER_BITS)
    for word in range(3):
        first[word, 2, :] = tail[word]
    first[4, 2, :] = _U(PADDING)
    for lane in range(LANES):
        x = nonces[begin + min(lane, n - 1)]
        first[3, 2, lane] = (x >> _U(24)) | ((x >> _U(8)) & _U(0xFF00)) | ((x & _U(0xFF00)) << _U(8)) | (x << _U(24))
    _rounds(first, 64)
    _fill(second, IV, DIGEST_BITS)
    for word in range(4):
        for lane in range(LANES):
            second[word, 2, lane] = first[_ROWS - 1 - word, 0, lane] + midstate[word]
            second[word + 4, 2, lane] = first[_ROWS - 1 - word, 1, lane] + midstate[word + 4]
    second[8, 2, :] = _U(PADDING)
    _rounds(second, last)
    return n


@njit(nogil=True, cache=True)
def _copy_trace(area: Any, lane: int, out: Any) -> None:
    for t in range(_ROWS):
        out[t >> 1, t & 1] = area[t, 1, lane]
        out[t >> 1, 2 + (t & 1)] = area[t, 0, lane]


@njit(nogil=True, cache=True)
def word7(midstate: Any, tail: Any, nonces: Any, out: Any) -> None:
    """out[i] = digest word 7 of the header with nonces[i]; stops at e after round 61 of the second compression.

    Args: midstate (8,), tail (3,) message words 0..2 of the second block, nonces (n,), out (n,); all uint32.
    """
    first, second = np.empty((_ROWS, 3, LANES), np.uint32), np.empty((_ROWS, 3, LANES), np.uint32)
    for begin in range(0, nonces.shape[0], LANES):
        n = _header_hash(midstate, tail, nonces, begin, first, second, 61)
        for lane in range(n):
            out[begin + lane] = second[64, 1, lane] + _IV7


@njit(nogil=True, cache=True)
def trace(midstate: Any, tail: Any, nonces: Any, out: Any) -> None:
    """out[i, 0] and out[i, 1] = trace of the two compressions of nonces[i]; out uint32 (n, 2, PAIRS, 4)."""
    first, second = np.empty((_ROWS, 3, LANES), np.uint32), np.empty((_ROWS, 3, LANES), np.uint32)
    for begin in range(0, nonces.shape[0], LANES):
        n = _header_hash(midstate, tail, nonces, begin, first, second, 64)
        for lane in range(n):
            _copy_trace(first, lane, out[begin + lane, 0])
            _copy_trace(second, lane, out[begin + lane, 1])


@njit(nogil=True, cache=True)
def tap(midstate: Any, tail: Any, nonces: Any, compression: int, r: int, states: Any, words: Any) -> None:
    """states[i] = (a..h) after round r of compression 0 or 1, words[i] = digest word 7; uint32 (n, 8) and (n,)."""
    first, second = np.empty((_ROWS, 3, LANES), np.uint32), np.empty((_ROWS, 3, LANES), np.uint32)
    tapped = first if compression == 0 else second
    for begin in range(0, nonces.shape[0], LANES):
        n = _header_hash(midstate, tail, nonces, begin, first, second, 64)
        for lane in range(n):
            for back in range(4):
                states[begin + lane, back] = tapped[r + 3 - back, 0, lane]
                states[begin + lane, 4 + back] = tapped[r + 3 - back, 1, lane]
            words[begin + lane] = second[64, 1, lane] + _IV7


@njit(nogil=True, cache=True)
def compress(states: Any, blocks: Any, out: Any) -> None:
    """out[i] = trace of compressing blocks[i] (16 words) from states[i] (8 words); out uint32 (n, PAIRS, 4)."""
    area = np.empty((_ROWS, 3, LANES), np.uint32)
    for begin in range(0, blocks.shape[0], LANES):
        n = min(LANES, blocks.shape[0] - begin)
        for lane in range(LANES):
            i = begin + min(lane, n - 1)
            for t in range(4):
                area[t, 0, lane] = states[i, 3 - t]
                area[t, 1, lane] = states[i, 7 - t]
            for t in range(16):
                area[t, 2, lane] = blocks[i, t]
        _rounds(area, 64)
        for lane in range(n):
            _copy_trace(area, lane, out[begin + lane])
