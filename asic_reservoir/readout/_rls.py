"""Recursive least squares: the readout that learns while the board runs."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numba import njit
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

FloatArray = NDArray[np.float64]
MOST_UNCERTAINTY = 1e3
"""Times its start value that the uncertainty of a weight may grow to while its state does not move."""


class RecursiveLeastSquares(MultiOutputMixin, RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Exact least squares, one step at a time (Haykin, Adaptive Filter Theory, chapter 9).

    After n steps the weights minimise ``Σ λ^(n-k) (y[k] - w·[x[k], 1])² + λ^n δ |w|²``: with ``forgetting`` λ = 1 the
    batch ridge solution of penalty δ on states with a constant column, the intercept among the weights. A separate
    running mean would not be that solution.

    Parameters:
        delta: δ, the penalty at the start, above 0. Small against Σ x² to be least squares.
        forgetting: λ in (0, 1]; below 1 old steps fade with a memory of 1 / (1 - λ) steps.

    Attributes:
        coef_: (n_states,) or (n_targets, n_states).
        intercept_: float or (n_targets,).
        n_rows_: Steps seen.

    >>> import numpy as np
    >>> states = np.random.default_rng(0).normal(size=(300, 2))
    >>> online = RecursiveLeastSquares().fit(states, states @ [1.0, -1.0] + 2.0)
    >>> np.round(online.coef_, 4).tolist(), round(online.intercept_, 4)
    ([1.0, -1.0], 2.0)
    """

    def __init__(self, delta: float = 1e-6, forgetting: float = 1.0) -> None:
        self.delta = delta
        self.forgetting = forgetting

    def fit(self, X: Any, y: Any) -> Self:
        """Start anew and learn from (n_steps, n_states) and (n_steps,) or (n_steps, n_targets), in order.

        Raises:
            ValueError: shapes differ, NaN or infinity, a parameter out of range.
        """
        if hasattr(self, "_inverse"):
            del self._inverse
        self._learn(X, y, first=True)
        return self

    def partial_fit(self, X: Any, y: Any) -> Self:
        """Learn from the steps that follow. Raises ValueError as ``fit``."""
        self._learn(X, y, first=not hasattr(self, "_inverse"))
        return self

    def run(self, X: Any, y: Any) -> FloatArray:
        """Predict each step from the weights before it, then learn from it: (n_steps,) or (n_steps, n_targets)."""
        before = self._learn(X, y, first=not hasattr(self, "_inverse"))
        return before[:, 0] if self._flat else before

    def predict(self, X: Any) -> FloatArray:
        """(n_steps,) or (n_steps, n_targets), from the weights as they are."""
        check_is_fitted(self, "coef_")
        x = validate_data(self, X, dtype=np.float64, reset=False)
        prediction: FloatArray = x @ self.coef_.T + self.intercept_
        return prediction

    def _learn(self, X: Any, y: Any, first: bool) -> FloatArray:
        if not (np.isfinite(self.delta) and self.delta > 0):
            raise ValueError(f"delta={self.delta!r}, must be a finite number above 0")
        if not 0 < self.forgetting <= 1:
            raise ValueError(f"forgetting={self.forgetting!r}, must be above 0 and at most 1")
        x, targets = validate_data(self, X, y, dtype=np.float64, multi_output=True, y_numeric=True, reset=first)
        if first:
            self._flat = targets.ndim == 1
        targets = np.asarray(targets, dtype=np.float64).reshape(len(targets), -1)
        if first:
            n_weights = x.shape[1] + 1
            self._inverse = np.eye(n_weights) / self.delta
            self._weights = np.zeros((targets.shape[1], n_weights))
            self.n_rows_ = 0
        elif targets.shape[1] != len(self._weights):
            raise ValueError(f"y has {targets.shape[1]} targets, must have {len(self._weights)} as before")
        rows = np.empty((len(x), x.shape[1] + 1))
        rows[:, :-1] = x
        rows[:, -1] = 1.0
        before = _update(
            self._inverse,
            self._weights,
            rows,
            np.ascontiguousarray(targets),
            float(self.forgetting),
            MOST_UNCERTAINTY / self.delta,
        )
        self.n_rows_ += len(x)
        weights = self._weights[0] if self._flat else self._weights
        self.coef_ = weights[..., :-1].copy()
        self.intercept_ = float(weights[-1]) if self._flat else weights[:, -1].copy()
        return np.asarray(before)


@njit(cache=True)
def _symmetric_product(lower: FloatArray, x: FloatArray) -> FloatArray:
    """Of a symmetric matrix, given by its lower triangle, and a vector."""
    product = np.zeros(len(x))
    for i in range(len(x)):
        product[i] += lower[i, i] * x[i]
        for j in range(i):
            product[i] += lower[i, j] * x[j]
            product[j] += lower[i, j] * x[i]
    return product


@njit(cache=True, fastmath=True, error_model="numpy")
def _update(
    inverse: FloatArray, weights: FloatArray, rows: FloatArray, targets: FloatArray, forgetting: float, ceiling: float
) -> FloatArray:
    """Rank-1 updates of the inverse correlation matrix P (lower triangle only) and the weights, in place.

    The downdate of step t and the product P x of step t + 1 read the same matrix: done in one pass over its lower
    triangle, a step costs one reading and writing of half a matrix.

    With forgetting, the uncertainty P[i, i] of a state that does not move (a chip that is off) grows without end, and
    takes the others with it once it overflows: at ``ceiling`` it is scaled back, which keeps P positive definite.
    """
    n_steps, n = rows.shape
    n_targets = len(weights)
    before = np.empty((n_steps, n_targets))
    gain = np.zeros(n)
    product = _symmetric_product(inverse, rows[0])
    for t in range(n_steps):
        denominator = forgetting
        for i in range(n):
            denominator += rows[t, i] * product[i]
        for i in range(n):
            gain[i] = product[i]
        for k in range(n_targets):
            prediction = 0.0
            for i in range(n):
                prediction += weights[k, i] * rows[t, i]
            before[t, k] = prediction
            step = (targets[t, k] - prediction) / denominator
            for i in range(n):
                weights[k, i] += step * gain[i]
        following = rows[min(t + 1, n_steps - 1)]
        product[:] = 0.0
        above = False
        for i in range(n):
            scaled = gain[i] / denominator
            own = following[i]
            row = inverse[i]
            collected = 0.0
            for j in range(i):
                value = (row[j] - scaled * gain[j]) / forgetting
                row[j] = value
                collected += value * following[j]
                product[j] += value * own
            row[i] = (row[i] - scaled * gain[i]) / forgetting
            product[i] += collected + row[i] * own
            above = above or row[i] > ceiling
        if above:
            for i in range(n):
                if inverse[i, i] > ceiling:
                    shrink = np.sqrt(0.1 * ceiling / inverse[i, i])
                    inverse[i, : i + 1] *= shrink
                    inverse[i:, i] *= shrink
            product = _symmetric_product(inverse, following)
    return before
