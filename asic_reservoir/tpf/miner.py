"""A miner in software that really aborts: rounds left out are not computed, rounds made are counted one by one.

One header after the other, one round after the other, as a sequential core would. It is slow beside the kernels that
hash for the leakage curve; it is here so that what a filter saves and loses is counted, not derived.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from asic_reservoir.errors import UsageError
from asic_reservoir.tpf._constants import DIGEST_BITS, HEADER_BITS, IV, PADDING, K
from asic_reservoir.tpf.compression import Job, check_nonces
from asic_reservoir.tpf.policy import FilterPolicy
from asic_reservoir.tpf.sha256 import word7_of, zero_bits

_U = np.uint32


@dataclass(frozen=True, slots=True, eq=False)
class MiningResult:
    """What a miner did on n nonces."""

    nonces: NDArray[np.uint32]
    """Shape (n,)."""
    continued: NDArray[np.bool_]
    """Whether the policy let the hash go on, shape (n,)."""
    found: NDArray[np.uint32]
    """Nonces of the shares that were found and handed in: all that were completed and good."""
    missed: NDArray[np.uint32]
    """Shares among the aborted; known only because an audit hashed them again, outside the count."""
    rounds: int
    """Compression rounds that were executed, audit not counted."""

    @property
    def n(self) -> int:
        return int(self.nonces.size)

    @property
    def n_continued(self) -> int:
        return int(self.continued.sum())


def mine(job: Job, nonces: ArrayLike, share_bits: int, policy: FilterPolicy | None = None) -> MiningResult:
    """Search ``nonces`` for hashes with at least ``share_bits`` zero bits, with or without a policy.

    Raises:
        UsageError: share_bits not 1 to 32.

    >>> plain = mine(Job.of(bytes(80)), np.arange(1000), 6)
    >>> plain.rounds, plain.n_continued, plain.missed.size
    (128000, 1000, 0)
    """
    if isinstance(share_bits, bool) or not 1 <= share_bits <= 32:
        raise UsageError(f"share_bits: {share_bits}, must be from 1 to 32")
    values = check_nonces(nonces)
    words, continued = np.zeros(values.size, np.uint32), np.zeros(values.size, np.bool_)
    if policy is None:
        table, tap, threshold = np.zeros((8, 4, 256), np.int16), -1, 0
    else:
        table, tap, threshold = policy.score.table, policy.k, policy.threshold
    rounds = int(_mine(job.midstate, job.tail, values, tap, table, threshold, words, continued))
    found = values[continued & (zero_bits(words) >= share_bits)]
    aborted = values[~continued]
    missed = aborted[zero_bits(word7_of(job, aborted)) >= share_bits]
    return MiningResult(values, continued, found, missed, rounds)


@njit(nogil=True, cache=True, inline="always")
def _rotr(x: Any, n: int) -> Any:
    return (x >> _U(n)) | (x << _U(32 - n))


@njit(nogil=True, cache=True)
def _round(s: Any, w: Any, t: int) -> None:
    """Round t (from 0) on s = (a..h); message words as a ring of 16."""
    if t >= 16:
        x, y = w[(t + 1) & 15], w[(t + 14) & 15]
        s0 = _rotr(x, 7) ^ _rotr(x, 18) ^ (x >> _U(3))
        s1 = _rotr(y, 17) ^ _rotr(y, 19) ^ (y >> _U(10))
        w[t & 15] = w[t & 15] + s0 + w[(t + 9) & 15] + s1
    a, b, c, d, e, f, g, h = s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7]
    t1 = h + (_rotr(e, 6) ^ _rotr(e, 11) ^ _rotr(e, 25)) + (g ^ (e & (f ^ g))) + K[t] + w[t & 15]
    t2 = (_rotr(a, 2) ^ _rotr(a, 13) ^ _rotr(a, 22)) + ((a & b) | (c & (a | b)))
    s[7], s[6], s[5], s[4], s[3], s[2], s[1], s[0] = g, f, e, d + t1, c, b, a, t1 + t2


@njit(nogil=True, cache=True)
def _score(s: Any, table: Any) -> Any:
    total = np.int64(0)
    for word in range(8):
        for byte in range(4):
            total += table[word, byte, (s[word] >> _U(8 * byte)) & _U(0xFF)]
    return total


@njit(nogil=True, cache=True)
def _mine(
    midstate: Any, tail: Any, nonces: Any, tap: int, table: Any, threshold: int, words: Any, continued: Any
) -> int:
    """Hash until the policy says no after round ``tap`` of 128 (-1: never); gives the rounds executed."""
    s, w = np.empty(8, np.uint32), np.empty(16, np.uint32)
    rounds = 0
    for i in range(nonces.shape[0]):
        x = nonces[i]
        s[:] = midstate
        w[:] = _U(0)
        w[0], w[1], w[2] = tail[0], tail[1], tail[2]
        w[3] = (x >> _U(24)) | ((x >> _U(8)) & _U(0xFF00)) | ((x & _U(0xFF00)) << _U(8)) | (x << _U(24))
        w[4], w[15] = _U(PADDING), _U(HEADER_BITS)
        aborted = False
        for step in range(129):
            if step == tap and _score(s, table) < threshold:
                aborted = True
                break
            if step == 128:
                break
            if step == 64:
                for word in range(8):
                    w[word] = s[word] + midstate[word]
                    w[8 + word] = _U(0)
                    s[word] = IV[word]
                w[8], w[15] = _U(PADDING), _U(DIGEST_BITS)
            _round(s, w, step & 63)
            rounds += 1
        if not aborted:
            continued[i] = True
            words[i] = s[7] + IV[7]
    return rounds
