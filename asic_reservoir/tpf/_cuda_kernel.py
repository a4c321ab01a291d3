"""The CUDA kernel. Apart from :mod:`gpu`, so that numba's CUDA target is loaded only where it is asked for."""

from __future__ import annotations

from typing import Any

from numba import cuda as _cuda
from numba import uint32

from asic_reservoir.tpf._constants import DIGEST_BITS, HEADER_BITS, PADDING

cuda: Any = _cuda
"""By this name the simulator finds what it has to replace."""


@cuda.jit(device=True)  # type: ignore[untyped-decorator]
def rotr(x: Any, n: int) -> Any:
    return (x >> uint32(n)) | (x << uint32(32 - n))


@cuda.jit  # type: ignore[untyped-decorator]
def tap(
    midstate: Any, tail: Any, nonces: Any, k: Any, iv: Any, compression: int, r: int, states: Any, words: Any
) -> None:
    i = cuda.grid(1)
    if i >= nonces.shape[0]:
        return
    s, w = cuda.local.array(8, uint32), cuda.local.array(16, uint32)
    x = nonces[i]
    for which in range(2):
        for j in range(8):
            w[j] = s[j] + midstate[j] if which else uint32(0)
            w[8 + j] = uint32(0)
            s[j] = iv[j] if which else midstate[j]
        if which:
            w[8], w[15] = uint32(PADDING), uint32(DIGEST_BITS)
        else:
            w[0], w[1], w[2] = tail[0], tail[1], tail[2]
            low, high = (x & uint32(0xFF00)) << uint32(8), (x >> uint32(8)) & uint32(0xFF00)
            w[3] = (x >> uint32(24)) | high | low | (x << uint32(24))
            w[4], w[15] = uint32(PADDING), uint32(HEADER_BITS)
        for t in range(65):
            if which == compression and t == r:
                for j in range(8):
                    states[i, j] = s[j]
            if t == 64:
                break
            if t >= 16:
                y, z = w[(t + 1) & 15], w[(t + 14) & 15]
                s0 = rotr(y, 7) ^ rotr(y, 18) ^ (y >> uint32(3))
                s1 = rotr(z, 17) ^ rotr(z, 19) ^ (z >> uint32(10))
                w[t & 15] = w[t & 15] + s0 + w[(t + 9) & 15] + s1
            a, e = s[0], s[4]
            choice = s[6] ^ (e & (s[5] ^ s[6]))
            majority = (a & s[1]) | (s[2] & (a | s[1]))
            t1 = s[7] + (rotr(e, 6) ^ rotr(e, 11) ^ rotr(e, 25)) + choice + k[t] + w[t & 15]
            t2 = (rotr(a, 2) ^ rotr(a, 13) ^ rotr(a, 22)) + majority
            s[7], s[6], s[5], s[4] = s[6], s[5], e, s[3] + t1
            s[3], s[2], s[1], s[0] = s[2], s[1], a, t1 + t2
    words[i] = s[7] + iv[7]
