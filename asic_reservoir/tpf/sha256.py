"""SHA-256 of block headers, opened: the state after any round of either compression, on arrays of nonces.

Mining hashes 80 bytes twice. The first 64 bytes do not hold the nonce: their compression is done once a job (the
midstate). What remains a nonce is 128 rounds: the second block of the first hash (compression 0 here), then the hash
of the digest (compression 1). The nonce is message word 3 of compression 0, so its rounds 1 to 3 are the same for all
nonces of a job. Digest word 7, the word whose zero bits make a share, is H7 + e after round 61 of compression 1: it
is known three rounds before the end, and that is all that can be left out without losing a share (3/128 = 2.34 %).

Formulas: FIPS 180-4. Two kernels, same results: x86 SHA extensions where the processor has them, else portable code.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from itertools import pairwise
from types import ModuleType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from asic_reservoir.errors import UsageError
from asic_reservoir.tpf import _portable, _shani
from asic_reservoir.tpf._constants import PAIRS, ROUNDS
from asic_reservoir.tpf.compression import Job, Trace, Words, check_nonces, check_round
from asic_reservoir.tpf.gpu import tap_on_gpu


class Kernel(StrEnum):
    """Which code computes."""

    AUTO = "auto"
    """SHA extensions where the processor has them."""
    PORTABLE = "portable"
    EXTENSIONS = "extensions"
    GPU = "gpu"
    """A CUDA device for taps and digest words (see :mod:`asic_reservoir.tpf.gpu`); whole traces stay on the CPU."""

    def module(self) -> ModuleType:
        """Raises UsageError where this processor lacks what is asked for."""
        if self is Kernel.PORTABLE or (self in (Kernel.AUTO, Kernel.GPU) and not _shani.available()):
            return _portable
        if not _shani.available():
            raise UsageError("kernel: 'extensions', must be 'portable' or 'auto': this processor has no SHA extensions")
        return _shani


def trace_of(job: Job, nonces: ArrayLike, kernel: Kernel = Kernel.AUTO) -> Trace:
    """All rounds of both compressions; 1,088 bytes a header."""
    values = check_nonces(nonces)
    rows = np.empty((values.size, 2, PAIRS, 4), np.uint32)
    kernel.module().trace(job.midstate, job.tail, values, rows)
    return Trace(rows)


def word7_of(job: Job, nonces: ArrayLike, kernel: Kernel = Kernel.AUTO, threads: int = 1) -> Words:
    """Digest word 7 of every nonce, shape (n,), left at round 61 of the second hash. The fast way to find shares."""
    values = check_nonces(nonces)
    if kernel is Kernel.GPU:
        return tap(job, values, 1, ROUNDS - 3, kernel)[1]
    out = np.empty(values.size, np.uint32)
    run = kernel.module().word7

    def piece(part: slice) -> None:
        run(job.midstate, job.tail, values[part], out[part])

    _spread(piece, values.size, threads)
    return out


def tap(
    job: Job, nonces: ArrayLike, compression: int, r: int, kernel: Kernel = Kernel.AUTO, threads: int = 1
) -> tuple[Words, Words]:
    """State after round ``r`` of ``compression``, shape (n, 8), and digest word 7, shape (n,).

    Raises:
        UsageError: compression not 0 or 1, round not 0 to 64.

    >>> from asic_reservoir.tpf._constants import IV
    >>> states, words = tap(Job.of(bytes(80)), [0, 1, 2], 1, 61)
    >>> bool((states[:, 4] + IV[7] == words).all())
    True
    """
    check_round(compression, r)
    values = check_nonces(nonces)
    if kernel is Kernel.GPU:
        return tap_on_gpu(job, values, compression, r)
    states, words = np.empty((values.size, 8), np.uint32), np.empty(values.size, np.uint32)
    run = kernel.module().tap

    def piece(part: slice) -> None:
        run(job.midstate, job.tail, values[part], compression, int(r), states[part], words[part])

    _spread(piece, values.size, threads)
    return states, words


def _spread(piece: Callable[[slice], None], n: int, threads: int) -> None:
    """``piece`` over equal slices of n, on ``threads`` threads; the kernels run without the interpreter's lock."""
    if threads < 1:
        raise UsageError(f"threads: {threads}, must be at least 1")
    if threads == 1 or n < 2 * threads:
        piece(slice(0, n))
        return
    edges = np.linspace(0, n, threads + 1).astype(int)
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(piece, [slice(a, b) for a, b in pairwise(edges)]))


def zero_bits(words: Words) -> NDArray[np.uint8]:
    """Leading zero bits that digest word 7 gives a hash (0 to 32), hashes read as little-endian integers as Bitcoin
    does: the low bit of the last byte is the first bit, so these are trailing zero bits of the byte-swapped word.

    >>> zero_bits(np.array([0x01000000, 0x00010000, 0, 0x80], np.uint32)).tolist()
    [31, 23, 32, 0]
    """
    swapped = words.byteswap()
    _, exponent = np.frexp(swapped.astype(np.float64))
    return np.where(swapped == 0, 32, 32 - exponent).astype(np.uint8)
