"""Input masks in space and time: which past inputs each node of a board is driven by, and how strongly.

A node is a channel (a chip with its own clock, a hashboard with its own voltage, or the whole board) in one time slot
of the input step. Masks are linear and drawn from a seed without looking at the target.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asic_reservoir.errors import UsageError

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Mask:
    """Drive of every node: s = weights @ (u[t], u[t-1], …), u scaled to [-1, 1].

    >>> mask = Mask.pairs(np.random.default_rng(0), n_nodes=6, n_lags=4)
    >>> mask.weights.shape, mask.reach
    ((6, 4), 2.0)
    """

    weights: FloatArray
    """Shape (n_nodes, n_lags)."""
    side: FloatArray
    """+1 or -1: whether the node rests above or below its edge. Shape (n_nodes,)."""

    @property
    def n_lags(self) -> int:
        return int(self.weights.shape[1])

    @property
    def reach(self) -> float:
        """Largest drive that an input in [-1, 1] can make."""
        return float(np.abs(self.weights).sum(axis=1).max())

    def drive(self, scaled_input: FloatArray) -> FloatArray:
        """Drive of every node at every step, shape (n_steps, n_nodes), for an input in [-1, 1].

        Of an input of several columns, (n_steps, n_inputs), node k hears column k % n_inputs. Inputs before the start
        count as 0.
        """
        columns = scaled_input[:, None] if scaled_input.ndim == 1 else scaled_input
        padded = np.concatenate([np.zeros((self.n_lags - 1, columns.shape[1])), columns])
        windows = np.lib.stride_tricks.sliding_window_view(padded, self.n_lags, axis=0)[:, :, ::-1]
        drive = np.empty((len(columns), len(self.weights)))
        for column in range(columns.shape[1]):
            nodes = slice(column, None, columns.shape[1])
            drive[:, nodes] = windows[:, column] @ self.weights[nodes].T
        return drive

    @classmethod
    def pairs(cls, rng: np.random.Generator, n_nodes: int, n_lags: int) -> Mask:
        """Each node mixes two lags with random signs; all pairs of lags are used about equally often.

        With one lag (the node sees u[t] only) the weights are +-2, so that the drive has the same reach.

        Raises:
            UsageError: fewer than one lag.
        """
        if n_lags < 1:
            raise UsageError(f"lags: {n_lags}, must be at least 1")
        weights = np.zeros((n_nodes, n_lags))
        sign = rng.choice([-1.0, 1.0], (n_nodes, 2))
        side = np.where(rng.permutation(n_nodes) % 2 == 0, 1.0, -1.0)
        if n_lags == 1:
            weights[:, 0] = 2.0 * sign[:, 0]
            return cls(weights, side)
        first, second = np.triu_indices(n_lags, k=1)
        order = np.concatenate([rng.permutation(len(first)) for _ in range(-(-n_nodes // len(first)))])[:n_nodes]
        node = np.arange(n_nodes)
        weights[node, first[order]] = sign[:, 0]
        weights[node, second[order]] = sign[:, 1]
        return cls(weights, side)
