"""The readout for symbols: one ridge target a class, the largest wins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from asic_reservoir.readout._moments import FloatArray
from asic_reservoir.readout._ridge import DEFAULT_ALPHAS, RidgeReadout


class ReadoutClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Classes from states: ridge regression on ±1 targets, one penalty for all of them chosen as in ``RidgeReadout``.

    Parameters: as :class:`RidgeReadout`.

    Attributes:
        classes_: The classes, sorted.
        readout_: The fitted :class:`RidgeReadout`; of two classes it has one target, else one a class.

    >>> import numpy as np
    >>> states = np.random.default_rng(0).normal(size=(200, 2))
    >>> labels = np.where(states[:, 0] > 0, "up", "down")
    >>> bool(ReadoutClassifier().fit(states, labels).score(states, labels) > 0.95)
    True
    """

    def __init__(
        self,
        alphas: Sequence[float] = DEFAULT_ALPHAS,
        *,
        selection: str = "gcv",
        n_folds: int = 5,
        gap: int = 0,
        washout: int = 0,
    ) -> None:
        self.alphas = alphas
        self.selection = selection
        self.n_folds = n_folds
        self.gap = gap
        self.washout = washout

    def fit(self, X: Any, y: Any) -> Self:
        """Learn from states (n_steps, n_states) and labels (n_steps,).

        Raises:
            ValueError: shapes differ, NaN or infinity, a single class, a parameter out of range.
        """
        x, labels = validate_data(self, X, y, dtype=(np.float64, np.float32))
        check_classification_targets(labels)
        self.classes_, place = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"y holds one class, {self.classes_[0]!r}, must hold at least two")
        targets = np.where(place[:, None] == np.arange(len(self.classes_))[None, :], 1.0, -1.0)
        self.readout_ = RidgeReadout(
            self.alphas, selection=self.selection, n_folds=self.n_folds, gap=self.gap, washout=self.washout
        ).fit(x, targets[:, 1] if len(self.classes_) == 2 else targets)
        return self

    def decision_function(self, X: Any) -> FloatArray:
        """(n_steps,) for two classes, above 0 for the second; (n_steps, n_classes) otherwise."""
        check_is_fitted(self, "readout_")
        x = validate_data(self, X, dtype=(np.float64, np.float32), reset=False)
        return self.readout_.predict(x)

    def predict(self, X: Any) -> Any:
        """(n_steps,): the class of each step."""
        scores = self.decision_function(X)
        place = (scores > 0).astype(int) if scores.ndim == 1 else scores.argmax(axis=1)
        return self.classes_[place]
