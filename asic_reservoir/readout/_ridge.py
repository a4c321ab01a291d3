"""The linear readout: ridge regression whose penalty is chosen inside the training part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from asic_reservoir._blas import threads_for
from asic_reservoir.readout._blocks import TimeBlocks, split_in_time
from asic_reservoir.readout._moments import FloatArray, Moments
from asic_reservoir.readout._penalty import RidgePath, block_errors, choose

DEFAULT_ALPHAS: tuple[float, ...] = tuple(float(10.0**exponent) for exponent in np.linspace(-10.0, 2.0, 25))
"""25 penalties, half a decade apart, on states of unit variance: from noise-free simulation to counting noise."""


class RidgeReadout(MultiOutputMixin, RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Ridge regression from states to targets, the penalty chosen among ``alphas`` on the training rows alone.

    Minimises ``mean((y - ŷ)²) + α |w|²`` over weights of states scaled to unit variance (on the training rows), the
    intercept not penalised. In scikit-learn's terms on the scaled states, α here is ``Ridge(alpha=n_rows * α)``: a
    penalty means the same whatever the length of the series.

    One pass over the states collects a centred Gram matrix, one eigendecomposition serves every penalty.

    Parameters:
        alphas: Penalties to choose among; one value fixes it.
        selection: ``"gcv"``: generalised cross-validation. ``"blocks"``: K-fold validation over blocks in time, for
            residuals that are correlated in time.
        n_folds: Blocks in time of ``"blocks"``; ``partial_fit`` keeps between ``n_folds`` and twice as many.
        gap: Rows left out of training beside a validation block (take the memory of the states). ``fit`` only.
        standardize: Scale states to unit variance before the penalty.
        washout: Rows dropped at the start of every series.
        alpha_per_target: Choose a penalty for each target instead of one for all.

    Attributes:
        coef_: Weights in units of the states, (n_states,) or (n_targets, n_states).
        intercept_: float or (n_targets,).
        alpha_: The penalty chosen: float, or (n_targets,) with ``alpha_per_target``.
        errors_: Mean squared error by the selection, (n_targets, n_alphas), alphas ascending.
        n_rows_: Training rows seen, washout excluded.

    The rows of X are steps in time. ``fit`` keeps scikit-learn's contract save for what time order means: with
    ``selection="blocks"`` or a washout, a permutation of the rows is another problem.

    >>> import numpy as np
    >>> states = np.random.default_rng(0).normal(size=(500, 3))
    >>> readout = RidgeReadout().fit(states, states @ [1.0, 2.0, 3.0] + 5.0)
    >>> np.round(readout.coef_, 3).tolist(), round(readout.intercept_, 3)
    ([1.0, 2.0, 3.0], 5.0)
    """

    def __init__(
        self,
        alphas: Sequence[float] = DEFAULT_ALPHAS,
        *,
        selection: str = "gcv",
        n_folds: int = 5,
        gap: int = 0,
        standardize: bool = True,
        washout: int = 0,
        alpha_per_target: bool = False,
    ) -> None:
        self.alphas = alphas
        self.selection = selection
        self.n_folds = n_folds
        self.gap = gap
        self.standardize = standardize
        self.washout = washout
        self.alpha_per_target = alpha_per_target

    def fit(self, X: Any, y: Any) -> Self:
        """Learn from states ``X`` (n_steps, n_states) and targets ``y`` (n_steps,) or (n_steps, n_targets).

        Raises:
            ValueError: shapes differ, NaN or infinity, too few rows after the washout, a parameter out of range.
        """
        alphas = self._checked_parameters()
        x, targets, flat = self._rows(X, y, reset=True)
        x, targets = x[self.washout :], targets[self.washout :]
        if len(x) < 2:
            raise ValueError(f"n_samples = {len(x)} after washout {self.washout}, must be at least 2")
        self._forget()
        self._flat = flat
        with threads_for(float(len(x)) * x.shape[1] ** 2):
            if self.selection == "blocks" and len(x) >= 2 * self.n_folds:
                blocks, gaps = split_in_time(x, targets, self.n_folds, self.gap)
                total = blocks[0].copy()
                for block in blocks[1:]:
                    total.merge(block)
                errors = block_errors(total, blocks, gaps, alphas, self.standardize)
                return self._solve(total, alphas, errors)
            return self._solve(Moments.of(x, targets), alphas, None)

    def partial_fit(self, X: Any, y: Any, *, new_series: bool = False, solve: bool = True) -> Self:
        """Learn from more rows; memory does not depend on how many there were.

        Args:
            X: (n_steps, n_states), the steps after those of the last call.
            y: (n_steps,) or (n_steps, n_targets).
            new_series: These rows begin another series: its first ``washout`` rows are dropped again.
            solve: False only collects; a later call with True gives the weights.

        Raises:
            ValueError: as ``fit``; or ``gap`` is set, which needs all rows at hand.
        """
        alphas = self._checked_parameters()
        if self.gap:
            raise ValueError(f"gap={self.gap}: partial_fit keeps no rows to leave out, must be 0")
        first = not hasattr(self, "_stream")
        x, targets, flat = self._rows(X, y, reset=first)
        if first:
            folds = self.n_folds if self.selection == "blocks" else 1
            self._stream = TimeBlocks(folds, x.shape[1], targets.shape[1])
            self._to_drop = self.washout
            self._flat = flat
        elif new_series:
            self._to_drop = self.washout
        dropped = min(self._to_drop, len(x))
        self._to_drop -= dropped
        with threads_for(float(len(x)) * x.shape[1] ** 2):
            self._stream.add_rows(x[dropped:], targets[dropped:])
        if not solve:
            return self
        total = self._stream.total()
        if total.n < 2:
            raise ValueError(f"n_samples = {total.n} after washout {self.washout}, must be at least 2")
        blocks = self._stream.blocks()
        errors = None
        if self.selection == "blocks" and len(blocks) > 1:
            errors = block_errors(total, blocks, [None] * len(blocks), alphas, self.standardize)
        return self._solve(total, alphas, errors)

    def predict(self, X: Any) -> FloatArray:
        """(n_steps,) or (n_steps, n_targets): one prediction a row, washout included."""
        check_is_fitted(self, "coef_")
        x = validate_data(self, X, dtype=(np.float64, np.float32), reset=False)
        prediction: FloatArray = x @ self.coef_.T + self.intercept_
        return prediction

    def _checked_parameters(self) -> FloatArray:
        alphas = np.sort(np.atleast_1d(np.asarray(self.alphas, dtype=np.float64)))
        if alphas.ndim != 1 or alphas.size == 0 or not np.all(np.isfinite(alphas)) or alphas[0] < 0:
            raise ValueError(f"alphas={self.alphas!r}, must be one or more finite numbers from 0")
        if self.selection not in ("gcv", "blocks"):
            raise ValueError(f"selection={self.selection!r}, must be 'gcv' or 'blocks'")
        for name, least in (("n_folds", 2), ("gap", 0), ("washout", 0)):
            value = getattr(self, name)
            if not isinstance(value, (int, np.integer)) or value < least:
                raise ValueError(f"{name}={value!r}, must be an integer from {least}")
        return alphas

    def _rows(self, X: Any, y: Any, reset: bool) -> tuple[FloatArray, FloatArray, bool]:
        x, targets = validate_data(
            self, X, y, dtype=(np.float64, np.float32), multi_output=True, y_numeric=True, reset=reset
        )
        flat = targets.ndim == 1
        targets = np.asarray(targets, dtype=np.float64).reshape(len(targets), -1)
        return x, targets, flat

    def _forget(self) -> None:
        """A ``fit`` starts anew: nothing of an earlier stream stays."""
        for name in ("_stream", "_to_drop"):
            if hasattr(self, name):
                delattr(self, name)

    def _solve(self, total: Moments, alphas: FloatArray, errors: FloatArray | None) -> Self:
        path = RidgePath.of(total, self.standardize)
        self.errors_ = path.gcv(alphas) if errors is None else errors
        best = choose(self.errors_, path.variance_y, self.alpha_per_target)
        coefficients, offsets = path.solve(alphas)
        targets = np.arange(len(best))
        coef, intercept = coefficients[:, targets, best].T, offsets[targets, best]
        self.coef_ = np.ascontiguousarray(coef[0] if self._flat else coef)
        self.intercept_ = float(intercept[0]) if self._flat else intercept
        chosen = alphas[best]
        self.alpha_ = chosen if self.alpha_per_target and not self._flat else float(chosen[0])
        self.n_rows_ = total.n
        return self
