"""Scores of a state that cost 32 additions: sums over its 32 bytes, learnt on one part, used on 10^9 headers.

Two predictors have this form. A linear discriminant on the 256 bits is a sum over bytes by definition. A naive Bayes
classifier on bytes adds the log odds of each byte value, so it also sees what depends on several bits of one byte.
Both are kept as tables of 8 words by 4 bytes by 256 values, in integers, so that a run gives the same counts on every
machine and however it was interrupted.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from asic_reservoir.errors import DataError

N_BITS = 256
N_BINS = 512
_SCALE = 8000
"""Largest table entry: fits 16 bits, so that the table of a score stays in the first cache."""
_SHRINKAGE = 0.02
"""Share of the identity in the covariance: rounds whose state hardly varies have a singular one."""
_COVARIANCE_ROWS = 16_384
_PSEUDO_COUNT = 4.0
"""Added to the count of every byte value: a rare class has a few of each, and their noise must not drown the signal."""

Words = NDArray[np.uint32]


class ScoreKind(StrEnum):
    """What is learnt."""

    LINEAR = "linear"
    """Fisher's linear discriminant on the 256 bits of the state."""
    BYTES = "bytes"
    """Naive Bayes on the 32 bytes of the state."""


@dataclass(frozen=True, slots=True, eq=False)
class ScoreTable:
    """A learnt score: bin = clip((sum of table entries - low) >> shift, 0, N_BINS - 1)."""

    table: NDArray[np.int16]
    """Entry of every byte value, shape (8, 4, 256); byte 0 is the lowest of its word."""
    low: int
    shift: int

    def sums(self, states: Words) -> NDArray[np.int32]:
        """Score of every state (n, 8), shape (n,)."""
        out = np.zeros(states.shape[0], np.int32)
        for word in range(8):
            for byte in range(4):
                out += self.table[word, byte, (states[:, word] >> np.uint32(8 * byte)) & np.uint32(0xFF)]
        return out

    def bins(self, states: Words) -> NDArray[np.int64]:
        """Bin of every state (n, 8), shape (n,), as the compiled accumulator counts it."""
        raw = (self.sums(states).astype(np.int64) - self.low) >> self.shift
        return np.asarray(np.clip(raw, 0, N_BINS - 1))


def bits_of(states: Words) -> NDArray[np.float32]:
    """Bits of states (n, 8) as 0 and 1, shape (n, 256); column 32 w + b is bit b (0 lowest) of word w."""
    octets = np.ascontiguousarray(states).astype("<u4").view(np.uint8)
    return np.unpackbits(octets, axis=1, bitorder="little").astype(np.float32)


@dataclass(frozen=True, eq=False)
class Background:
    """What headers without a share look like after one round; learnt once, used for every target."""

    states: Words
    """Shape (n, 8)."""

    def score(self, kind: ScoreKind, positive: Words) -> ScoreTable:
        """Learn a score that tells ``positive`` (m, 8) from the background.

        Raises:
            DataError: either class is empty.
        """
        for name, states in (("positive", positive), ("negative", self.states)):
            if states.shape[0] == 0:
                raise DataError(f"{name} class: empty, must have at least 1 member to learn from")
        return _quantized(self._table(kind, positive), positive, self.states)

    def _table(self, kind: ScoreKind, positive: Words) -> NDArray[np.float64]:
        if kind is ScoreKind.BYTES:
            return _log_shares(positive) - _log_shares(self.states)
        mean, covariance = self._moments
        difference = bits_of(positive).mean(axis=0, dtype=np.float64) - mean
        weights = np.linalg.solve(covariance, difference).reshape(8, 4, 8)
        value_bits = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little")
        return np.asarray(weights @ value_bits.T.astype(np.float64))

    @cached_property
    def _moments(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        x = bits_of(self.states[:_COVARIANCE_ROWS])
        mean = x.mean(axis=0, dtype=np.float64)
        x -= mean.astype(np.float32)
        covariance = (x.T @ x).astype(np.float64) / x.shape[0]
        return mean, (1 - _SHRINKAGE) * covariance + _SHRINKAGE * 0.25 * np.eye(N_BITS)


def _quantized(real: NDArray[np.float64], *seen_states: Words) -> ScoreTable:
    largest = float(np.abs(real).max())
    table = np.rint(real * (_SCALE / largest if largest > 0 else 0.0)).astype(np.int16)
    draft = ScoreTable(table, 0, 0)
    seen = np.concatenate([draft.sums(states) for states in seen_states])
    low, high = int(seen.min()), int(seen.max())
    margin = (high - low) // 8 + 1
    shift = max(0, ((high - low + 2 * margin) // N_BINS).bit_length())
    return ScoreTable(table, (low + high - (N_BINS << shift)) // 2, shift)


def _log_shares(states: Words) -> NDArray[np.float64]:
    """Log of the share of every byte value, shape (8, 4, 256)."""
    octets = np.ascontiguousarray(states).astype("<u4").view(np.uint8)
    counts = np.stack([np.bincount(octets[:, column], minlength=256) for column in range(32)])
    share = (counts + _PSEUDO_COUNT) / (states.shape[0] + 256 * _PSEUDO_COUNT)
    return np.asarray(np.log(share).reshape(8, 4, 256))


@njit(nogil=True, cache=True)
def accumulate(rows: Any, positive: Any, compression: Any, r: Any, tables: Any, low: Any, shift: Any, out: Any) -> None:
    """Count the bins of n headers for k scores.

    Args:
        rows: Traces, uint32 (n, 2, PAIRS, 4).
        positive: Class of each header, bool (n,).
        compression, r: What each score taps, int64 (k,).
        tables, low, shift: Scores, int16 (k, 8, 4, 256), int64 (k,), int64 (k,).
        out: Counts, int64 (k, 2, N_BINS); negatives in [:, 0].
    """
    n_bins = out.shape[2]
    for score in range(compression.shape[0]):
        table = tables[score]
        which, round_ = compression[score], r[score]
        for i in range(rows.shape[0]):
            total = np.int32(0)
            for back in range(4):
                t = round_ + 3 - back
                a, e = rows[i, which, t >> 1, 2 + (t & 1)], rows[i, which, t >> 1, t & 1]
                for byte in range(4):
                    place = np.uint32(8 * byte)
                    total += table[back, byte, (a >> place) & np.uint32(0xFF)]
                    total += table[4 + back, byte, (e >> place) & np.uint32(0xFF)]
            cell = (np.int64(total) - low[score]) >> shift[score]
            cell = min(max(cell, 0), n_bins - 1)
            out[score, np.int64(positive[i]), cell] += 1
