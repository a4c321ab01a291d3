"""Nonces of a midstate job with as many zero bits as asked for, found by hashing from the midstate on.

``hashlib`` cannot begin at a midstate, so the compression function is here, compiled.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from firmware_bridge.bm13xx.sha256 import INITIAL_STATE, ROUND_CONSTANTS

_K = np.array(ROUND_CONSTANTS, np.uint32)
_START = np.array(INITIAL_STATE, np.uint32)
_TRIES = 1 << 22


@njit(cache=True)
def _rotate(word, by):  # type: ignore[no-untyped-def]
    return np.uint32((word >> np.uint32(by)) | (word << np.uint32(32 - by)))  # sums and shifts widen: cut back


@njit(cache=True)
def _compress(state, words, constants):  # type: ignore[no-untyped-def]
    """One block; ``words`` has room for 64 and its first 16 are set. FIPS 180-4, 6.2.2."""
    for t in range(16, 64):
        w15, w2 = words[t - 15], words[t - 2]
        s0 = _rotate(w15, 7) ^ _rotate(w15, 18) ^ (w15 >> np.uint32(3))
        s1 = _rotate(w2, 17) ^ _rotate(w2, 19) ^ (w2 >> np.uint32(10))
        words[t] = words[t - 16] + s0 + words[t - 7] + s1
    a, b, c, d = state[0], state[1], state[2], state[3]
    e, f, g, h = state[4], state[5], state[6], state[7]
    for t in range(64):
        s1 = _rotate(e, 6) ^ _rotate(e, 11) ^ _rotate(e, 25)
        t1 = np.uint32(h + s1 + ((e & f) ^ (~e & g)) + constants[t] + words[t])
        s0 = _rotate(a, 2) ^ _rotate(a, 13) ^ _rotate(a, 22)
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
def _swapped(word):  # type: ignore[no-untyped-def]
    return np.uint32(_rotate(word, 8) & np.uint32(0xFF00FF00) | _rotate(word, 24) & np.uint32(0x00FF00FF))


@njit(cache=True)
def _search(midstate, tail, fixed, free, zero_bits, valid, seed, start, constants, tries):  # type: ignore[no-untyped-def]
    words = np.zeros(64, np.uint32)
    state = np.zeros(8, np.uint32)
    x = np.uint32(seed) | np.uint32(1)
    shift = np.uint32(32 - zero_bits)
    for _ in range(tries):
        x = np.uint32(x ^ (x << np.uint32(13)))
        x = np.uint32(x ^ (x >> np.uint32(17)))
        x = np.uint32(x ^ (x << np.uint32(5)))
        nonce = (x & free) | fixed
        state[:] = midstate
        words[:] = 0
        words[:3] = tail
        words[3] = _swapped(nonce)
        words[4] = np.uint32(0x80000000)
        words[15] = np.uint32(640)
        _compress(state, words, constants)
        words[:8] = state
        words[8] = np.uint32(0x80000000)
        words[9:15] = 0
        words[15] = np.uint32(256)
        state[:] = start
        _compress(state, words, constants)
        if ((_swapped(state[7]) >> shift) == 0) == valid:
            return nonce
    return fixed


def find_nonce(
    midstate: tuple[int, ...], tail: tuple[int, int, int], fixed: int, free: int, zero_bits: int, valid: bool, seed: int
) -> int:
    """A nonce ``fixed | (anything & free)`` whose hash has ``zero_bits`` leading zero bits, or, not ``valid``, has not.

    Args:
        midstate: state words H0..H7.
        tail: words 16..18 of the header read little-endian: root tail, ntime, nbits.
        zero_bits: 1 to 22.
        seed: of the search.
    """
    words = np.array([int.from_bytes(word.to_bytes(4, "little")) for word in tail], np.uint32)
    return int(
        _search(
            np.array(midstate, np.uint32),
            words,
            np.uint32(fixed),
            np.uint32(free),
            zero_bits,
            valid,
            np.uint32(seed & 0xFFFFFFFF),
            _START,
            _K,
            _TRIES,
        )
    )
