"""The same taps on a GPU, through numba's CUDA target; used when a device is there.

One thread a header, one plain loop of rounds, the message words as a ring of 16. The kernel is held against the CPU
kernels: on a device where there is one, and in numba's simulator (``NUMBA_ENABLE_CUDASIM=1``) everywhere else, which
checks the arithmetic and says nothing about speed.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from asic_reservoir.errors import UsageError
from asic_reservoir.tpf._constants import DIGEST_BITS, HEADER_BITS, IV, PADDING, K
from asic_reservoir.tpf.sha256 import Job, Words, check_nonces, check_round

_THREADS = 128


def available() -> bool:
    """Whether a CUDA device (or the simulator) can be used."""
    try:
        from numba import cuda

        return bool(cuda.is_available())
    except Exception:  # drivers fail in as many ways as there are drivers; none of them is our business
        return False


def tap_on_gpu(job: Job, nonces: ArrayLike, compression: int, r: int) -> tuple[Words, Words]:
    """As :func:`asic_reservoir.tpf.sha256.tap`: states (n, 8) after the round, digest word 7 (n,).

    Raises:
        UsageError: no device, or a round that does not exist.
    """
    check_round(compression, r)
    values = check_nonces(nonces)
    if not available():
        raise UsageError("gpu: no CUDA device, must have one; the CPU kernels give the same")
    from numba import cuda

    states = cuda.device_array((values.size, 8), np.uint32)
    words = cuda.device_array(values.size, np.uint32)
    blocks = -(-values.size // _THREADS)
    if blocks:
        arrays = [cuda.to_device(array) for array in (job.midstate, job.tail, values, K, IV)]
        _kernel()[blocks, _THREADS](*arrays, compression, int(r), states, words)
    return states.copy_to_host(), words.copy_to_host()


@lru_cache(maxsize=1)
def _kernel() -> Any:
    """Compiled on first use, so that importing this module needs no driver."""
    from numba import cuda, uint32

    @cuda.jit(device=True)  # type: ignore[untyped-decorator,unused-ignore]
    def rotr(x: Any, n: int) -> Any:
        return (x >> uint32(n)) | (x << uint32(32 - n))

    @cuda.jit  # type: ignore[untyped-decorator,unused-ignore]
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

    return tap
