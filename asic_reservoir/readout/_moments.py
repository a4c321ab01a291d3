"""Sufficient statistics of a linear readout: what is kept of the states instead of the states.

A ridge solution, its generalised cross-validation score and its error on any block need only count, means and centred
second moments of (states, targets). Memory is O(n_states²) whatever the number of steps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.blas import dsyrk

FloatArray = NDArray[np.float64]
ROWS_PER_CHUNK = 2048
"""A centred chunk of 500 states takes 8 MB: it stays in the last-level cache between centring and the product."""


@dataclass(slots=True, eq=False)
class Moments:
    """Count, means and centred second moments of rows (x, y). Merges exactly, in any partition of the rows.

    Merging follows Chan, Golub & LeVeque, American Statistician 37 (1983) 242: sums of squares about the mean never
    meet the square of the mean, so states with a large offset (temperatures, counts) lose no digits.
    """

    n: int
    """Rows seen."""
    mean_x: FloatArray
    """(n_states,)"""
    mean_y: FloatArray
    """(n_targets,)"""
    lower_xx: FloatArray
    """(n_states, n_states), Fortran order, lower triangle of Σ (x - mean)(x - mean)ᵀ; the upper is not used."""
    xy: FloatArray
    """(n_states, n_targets): Σ (x - mean)(y - mean)ᵀ."""
    yy: FloatArray
    """(n_targets,): Σ (y - mean)²."""

    @classmethod
    def empty(cls, n_states: int, n_targets: int) -> Moments:
        """Of no rows."""
        return cls(
            0,
            np.zeros(n_states),
            np.zeros(n_targets),
            np.zeros((n_states, n_states), order="F"),
            np.zeros((n_states, n_targets)),
            np.zeros(n_targets),
        )

    @classmethod
    def of(cls, x: FloatArray, y: FloatArray) -> Moments:
        """Of rows ``x`` (n, n_states) and ``y`` (n, n_targets)."""
        moments = cls.empty(x.shape[1], y.shape[1])
        moments.add_rows(x, y)
        return moments

    def copy(self) -> Moments:
        """Shares no memory with this one."""
        return Moments(
            self.n,
            self.mean_x.copy(),
            self.mean_y.copy(),
            self.lower_xx.copy(order="F"),
            self.xy.copy(),
            self.yy.copy(),
        )

    def add_rows(self, x: FloatArray, y: FloatArray) -> None:
        """Take in rows, chunk by chunk; float32 and integers are widened a chunk at a time."""
        buffer = np.empty((min(len(x), ROWS_PER_CHUNK), x.shape[1]))
        for start in range(0, len(x), ROWS_PER_CHUNK):
            rows, targets = x[start : start + ROWS_PER_CHUNK], y[start : start + ROWS_PER_CHUNK]
            mean_x, mean_y = rows.mean(axis=0, dtype=np.float64), targets.mean(axis=0, dtype=np.float64)
            centred = np.subtract(rows, mean_x, out=buffer[: len(rows)])
            centred_y = targets - mean_y
            # the transpose of a C-ordered chunk is Fortran-ordered: BLAS reads it in place and adds into our triangle
            self.lower_xx = dsyrk(1.0, centred.T, beta=1.0, c=self.lower_xx, lower=1, overwrite_c=1)
            self.xy += centred.T @ centred_y
            self.yy += np.einsum("ij,ij->j", centred_y, centred_y)
            self._shift(len(rows), mean_x, mean_y)

    def merge(self, other: Moments) -> None:
        """Take in the rows of ``other``."""
        self.lower_xx += other.lower_xx
        self.xy += other.xy
        self.yy += other.yy
        self._shift(other.n, other.mean_x, other.mean_y)

    def _shift(self, n: int, mean_x: FloatArray, mean_y: FloatArray) -> None:
        """Account for the distance between the two means, after their sums about their own means were added."""
        total = self.n + n
        if total == 0:
            return
        delta_x, delta_y = mean_x - self.mean_x, mean_y - self.mean_y
        weight = self.n * n / total
        if weight:
            self.lower_xx += np.outer(weight * delta_x, delta_x).T
            self.xy += np.outer(weight * delta_x, delta_y)
            self.yy += weight * delta_y * delta_y
        self.mean_x = self.mean_x + delta_x * (n / total)
        self.mean_y = self.mean_y + delta_y * (n / total)
        self.n = total

    def without(self, part: Moments) -> Moments:
        """Moments of the rows that are not in ``part``, which must be a part of these rows."""
        n = self.n - part.n
        if n <= 0:
            return Moments.empty(len(self.mean_x), len(self.mean_y))
        mean_x = self.mean_x + (self.mean_x - part.mean_x) * (part.n / n)
        mean_y = self.mean_y + (self.mean_y - part.mean_y) * (part.n / n)
        weight = n * part.n / self.n
        delta_x, delta_y = mean_x - part.mean_x, mean_y - part.mean_y
        return Moments(
            n,
            mean_x,
            mean_y,
            self.lower_xx - part.lower_xx - np.outer(weight * delta_x, delta_x).T,
            self.xy - part.xy - np.outer(weight * delta_x, delta_y),
            np.maximum(self.yy - part.yy - weight * delta_y * delta_y, 0.0),
        )

    def covariance(self) -> FloatArray:
        """(n_states, n_states): Σ (x - mean)(x - mean)ᵀ, both triangles."""
        lower = np.tril(self.lower_xx)
        return np.asarray(lower + np.tril(lower, -1).T)

    def squared_error(self, coefficients: FloatArray, offset: FloatArray) -> FloatArray:
        """Sum of squared errors on these rows of ŷ = x · coefficients + offset.

        Args:
            coefficients: (n_states, n_targets, n_models).
            offset: (n_targets, n_models).

        Returns:
            (n_targets, n_models).
        """
        n_states, n_targets, n_models = coefficients.shape
        flat = coefficients.reshape(n_states, -1)
        quadratic = np.einsum("ij,ij->j", flat, self.covariance() @ flat).reshape(n_targets, n_models)
        cross = np.einsum("nk,nkm->km", self.xy, coefficients)
        bias = self.mean_y[:, None] - np.einsum("n,nkm->km", self.mean_x, coefficients) - offset
        error: FloatArray = np.maximum(self.yy[:, None] - 2.0 * cross + quadratic, 0.0) + self.n * bias * bias
        return error
