"""Ridge solutions for a whole list of penalties from one Gram matrix, and the choice among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

from asic_reservoir._blas import single_thread
from asic_reservoir.readout._moments import FloatArray, Moments

RESOLUTION = 1e-14
"""Eigenvalues of a Gram matrix below this times the largest are rounding, not signal."""
REMAINDER = 1e-10
"""A variance that shrinks below this share of itself by subtraction is rounding too."""


@dataclass(frozen=True, slots=True)
class RidgePath:
    """Ridge in the eigenbasis of the standardised Gram matrix: every penalty is a division.

    With G = V Λ Vᵀ the covariance of the standardised states, b their covariance with y and q = Vᵀ b, the solution that
    minimises mean (y - ŷ)² + α |w|² is w = V q / (Λ + α).
    """

    n: int
    scale: FloatArray
    """(n_states,): standard deviation of each state on these rows; 1 where a state is constant."""
    values: FloatArray
    """(n_states,): Λ."""
    vectors: FloatArray
    """(n_states, n_states): V."""
    q: FloatArray
    """(n_states, n_targets)."""
    variance_y: FloatArray
    """(n_targets,)."""
    mean_x: FloatArray
    mean_y: FloatArray

    @classmethod
    def of(cls, moments: Moments, standardize: bool, remainder_of: Moments | None = None) -> RidgePath:
        """Decompose. Constant states (to rounding) get no weight.

        ``remainder_of`` are the moments that ``moments`` were left of by subtraction: a state that varies only in
        the rows taken away leaves the rounding of the difference behind, not a variance.
        """
        n = moments.n
        gram = moments.covariance() / n
        variance = np.maximum(np.diag(gram), 0.0)
        rounding = (64.0 * np.finfo(float).eps * np.abs(moments.mean_x)) ** 2
        if remainder_of is not None:
            whole = np.diag(remainder_of.covariance()) / remainder_of.n
            rounding = np.maximum(rounding, REMAINDER * whole)
        constant = variance <= rounding
        scale = np.sqrt(variance) if standardize else np.ones_like(variance)
        scale[constant] = 1.0
        gram[constant, :] = 0.0
        gram[:, constant] = 0.0
        cross = moments.xy / n
        cross[constant] = 0.0
        gram /= scale[:, None]
        gram /= scale[None, :]
        with single_thread():
            values, vectors = eigh(gram, driver="evd", overwrite_a=True, check_finite=False)
        values = np.where(values > RESOLUTION * max(values[-1], 0.0), values, 0.0)
        q = vectors.T @ (cross / scale[:, None])
        q[values == 0.0] = 0.0
        return cls(n, scale, values, vectors, q, moments.yy / n, moments.mean_x, moments.mean_y)

    def solve(self, alphas: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Coefficients (n_states, n_targets, n_alphas) in units of the states, and offsets (n_targets, n_alphas)."""
        n_states, n_targets = self.q.shape
        damped = self.values[:, None] + alphas[None, :]
        in_basis = np.divide(
            self.q[:, :, None],
            damped[:, None, :],
            out=np.zeros((n_states, n_targets, len(alphas))),
            where=damped[:, None, :] > 0,
        )
        flat = (self.vectors @ in_basis.reshape(n_states, -1)).reshape(in_basis.shape)
        coefficients = flat / self.scale[:, None, None]
        return coefficients, self.mean_y[:, None] - np.einsum("n,nkm->km", self.mean_x, coefficients)

    def gcv(self, alphas: FloatArray) -> FloatArray:
        """Generalised cross-validation score (n_targets, n_alphas): mean squared residual / (1 - (df + 1)/n)².

        Golub, Heath & Wahba, Technometrics 21 (1979) 215; the 1 is the intercept. Infinite where nothing is left to
        judge by.
        """
        damped = self.values[:, None] + alphas[None, :]
        safe = np.where(damped > 0, damped, 1.0)
        in_basis = self.q[:, :, None] / safe[:, None, :]
        explained = 2.0 * np.einsum("nk,nkm->km", self.q, in_basis) - np.einsum("n,nkm->km", self.values, in_basis**2)
        residual = np.maximum(self.variance_y[:, None] - explained, 0.0)
        freedom = (self.values[:, None] / safe).sum(axis=0)
        left = 1.0 - (freedom + 1.0) / self.n
        return np.where(left > 1e-9, residual / np.maximum(left, 1e-9) ** 2, np.inf)


def block_errors(
    total: Moments,
    blocks: Sequence[Moments],
    neighbours: Sequence[Moments | None],
    alphas: FloatArray,
    standardize: bool,
) -> FloatArray:
    """Mean squared error of K-fold validation over blocks in time, without a second pass over the states.

    The training moments of fold k are the total without block k and without its neighbouring rows; means and scales are
    those of the training rows; the error on the block follows from the block's own moments.

    Args:
        total: Moments of all rows.
        blocks: Moments of the validation blocks.
        neighbours: For each block the rows beside it that are left out of training (the gap), or None.
        alphas: (n_alphas,).
        standardize: Whether states are scaled to unit variance before the penalty.

    Returns:
        (n_targets, n_alphas).
    """
    error = np.zeros((len(total.mean_y), len(alphas)))
    for block, gap in zip(blocks, neighbours, strict=True):
        training = total.without(block)
        if gap is not None:
            training = training.without(gap)
        coefficients, offset = RidgePath.of(training, standardize, remainder_of=total).solve(alphas)
        error += block.squared_error(coefficients, offset)
    return error / sum(block.n for block in blocks)


def choose(errors: FloatArray, variance_y: FloatArray, per_target: bool) -> NDArray[np.intp]:
    """Index of the best penalty for each target; of ties, and where nothing can be judged, the largest.

    Args:
        errors: (n_targets, n_alphas), penalties in ascending order.
        variance_y: (n_targets,): targets count by their share of explained variance when they choose together.
        per_target: Whether each target has a penalty of its own.

    Returns:
        (n_targets,) of int.
    """
    n_targets, n_alphas = errors.shape
    relative = errors / np.where(variance_y > 0, variance_y, 1.0)[:, None]
    judged = relative if per_target else np.broadcast_to(relative.mean(axis=0), errors.shape)
    best = n_alphas - 1 - np.argmin(judged[:, ::-1], axis=1)
    return np.broadcast_to(best, (n_targets,)).copy()
