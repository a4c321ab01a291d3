"""Blocks in time: what K-fold validation of a series is made of."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from asic_reservoir.readout._moments import FloatArray, Moments

FIRST_BLOCK_ROWS = 16


def split_in_time(x: FloatArray, y: FloatArray, n_folds: int, gap: int) -> tuple[list[Moments], list[Moments | None]]:
    """Moments of ``n_folds`` successive blocks, and of the ``gap`` rows on either side of each.

    Args:
        x: (n_steps, n_states).
        y: (n_steps, n_targets).
        n_folds: Number of blocks, at most half the rows.
        gap: Rows beside a block that belong to no training part of it.
    """
    edges = np.linspace(0, len(x), n_folds + 1).astype(int)
    blocks: list[Moments] = []
    gaps: list[Moments | None] = []
    for start, end in pairwise(edges):
        blocks.append(Moments.of(x[start:end], y[start:end]))
        beside: Moments | None = None
        if gap:
            beside = Moments.empty(x.shape[1], y.shape[1])
            beside.add_rows(x[max(start - gap, 0) : start], y[max(start - gap, 0) : start])
            beside.add_rows(x[end : end + gap], y[end : end + gap])
        gaps.append(beside)
    return blocks, gaps


class TimeBlocks:
    """Blocks of equal length over a stream of unknown length, in flat memory.

    When twice ``n_folds`` blocks are full, neighbours merge and the length of a block doubles: there are always between
    ``n_folds`` and twice as many, each a stretch in time. With ``n_folds`` 1 only the total is kept.
    """

    def __init__(self, n_folds: int, n_states: int, n_targets: int) -> None:
        self._n_folds = n_folds
        self._shape = (n_states, n_targets)
        self._rows = FIRST_BLOCK_ROWS
        self._full: list[Moments] = []
        self._open = Moments.empty(n_states, n_targets)

    def add_rows(self, x: FloatArray, y: FloatArray) -> None:
        """Rows that follow those of the last call: (n, n_states), (n, n_targets)."""
        if self._n_folds == 1:
            self._open.add_rows(x, y)
            return
        start = 0
        while start < len(x):
            end = min(start + self._rows - self._open.n, len(x))
            self._open.add_rows(x[start:end], y[start:end])
            start = end
            if self._open.n == self._rows:
                self._close()

    def _close(self) -> None:
        self._full.append(self._open)
        self._open = Moments.empty(*self._shape)
        if len(self._full) == 2 * self._n_folds:
            for first, second in zip(self._full[::2], self._full[1::2], strict=True):
                first.merge(second)
            self._full = self._full[::2]
            self._rows *= 2

    def blocks(self) -> list[Moments]:
        """The blocks so far; the last one may be shorter."""
        return [*self._full, self._open] if self._open.n else list(self._full)

    def total(self) -> Moments:
        """Moments of all rows."""
        total = self._open.copy()
        for block in self._full:
            total.merge(block)
        return total
