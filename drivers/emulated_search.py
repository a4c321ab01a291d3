"""Nonces for emulated chips: hashed from the midstate on until the hash has the zero bits that were asked for."""

from __future__ import annotations

import numpy as np
from numba import njit

from firmware_bridge.bm13xx.sha256_compiled import START, K, compress, swapped

_TRIES = 1 << 20


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
        words[3] = swapped(nonce)
        words[4] = np.uint32(0x80000000)
        words[15] = np.uint32(640)
        compress(state, words, constants)
        words[:8] = state
        words[8] = np.uint32(0x80000000)
        words[9:15] = 0
        words[15] = np.uint32(256)
        state[:] = start
        compress(state, words, constants)
        if ((swapped(state[7]) >> shift) == 0) == valid:
            return np.int64(nonce)
    return np.int64(-1)


def find_nonce(
    midstate: tuple[int, ...], tail: tuple[int, int, int], fixed: int, free: int, zero_bits: int, valid: bool, seed: int
) -> int | None:
    """A nonce ``fixed | (anything & free)`` whose hash has ``zero_bits`` leading zero bits, or, not ``valid``, has not.

    None where a million tries found none.

    Args:
        midstate: state words H0..H7.
        tail: words 16..18 of the header read little-endian: root tail, ntime, nbits.
        zero_bits: 1 to 22.
        seed: of the search.
    """
    words = np.array([int.from_bytes(word.to_bytes(4, "little")) for word in tail], np.uint32)
    found = int(
        _search(
            np.array(midstate, np.uint32),
            words,
            np.uint32(fixed),
            np.uint32(free),
            zero_bits,
            valid,
            np.uint32(seed & 0xFFFFFFFF),
            START,
            K,
            _TRIES,
        )
    )
    return None if found < 0 else found
