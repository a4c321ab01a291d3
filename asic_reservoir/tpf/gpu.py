"""The same taps on a GPU, through numba's CUDA target; used when a device is there.

One thread a header, one plain loop of rounds, the message words as a ring of 16. The kernel is held against the CPU
kernels: on a device where there is one, and in numba's simulator (``NUMBA_ENABLE_CUDASIM=1``) everywhere else, which
checks the arithmetic and says nothing about speed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from asic_reservoir.errors import UsageError
from asic_reservoir.tpf._constants import IV, K
from asic_reservoir.tpf.compression import Job, Words, check_nonces, check_round

_THREADS = 128


def available() -> bool:
    """Whether a CUDA device (or the simulator) can be used."""
    try:
        from asic_reservoir.tpf._cuda_kernel import cuda

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
    from asic_reservoir.tpf._cuda_kernel import cuda
    from asic_reservoir.tpf._cuda_kernel import tap as kernel

    states = cuda.device_array((values.size, 8), np.uint32)
    words = cuda.device_array(values.size, np.uint32)
    blocks = -(-values.size // _THREADS)
    if blocks:
        arrays = [cuda.to_device(array) for array in (job.midstate, job.tail, values, K, IV)]
        kernel[blocks, _THREADS](*arrays, compression, int(r), states, words)
    return states.copy_to_host(), words.copy_to_host()
