"""Predictors of a hash's fate from the state after a round, and of a window's outcome; scikit-learn estimators.

Whoever has an estimator of their own can put it in: everything that :func:`evaluate` needs is ``fit`` and a score.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, TransformerMixin

from asic_reservoir.errors import DataError, UsageError
from asic_reservoir.tpf.detectors import Dataset, Finding, Split, detect
from asic_reservoir.tpf.information import (
    Auc,
    GuessingAdvantage,
    Histogram,
    MutualInformation,
    auc,
    guessing_advantage,
    histogram_of,
    mutual_information,
    smallest_auc_seen,
)
from asic_reservoir.tpf.scoring import bits_of

PUBLISHED_LAYERS = (3, 16, 8, 4, 2)
"""The network of paper 2. The paper prints 297 parameters; see :func:`count_parameters`."""
_ADVANTAGE_BINS = 20


class PredictorName(StrEnum):
    """Predictors that come with the package."""

    LDA = "lda"
    LOGISTIC = "logistic"
    MLP = "mlp"
    BOOSTING = "boosting"
    PUBLISHED = "published-mlp"


class StateBits(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """States (n, 8) of eight 32-bit words to their 256 bits, as -1 and 1.

    >>> StateBits().fit_transform(np.zeros((1, 8), np.uint32)).shape
    (1, 256)
    """

    def fit(self, states: ArrayLike, y: object = None) -> Self:
        """Nothing is learnt."""
        _states(states)
        self.n_features_in_ = 8
        return self

    def transform(self, states: ArrayLike) -> NDArray[np.float64]:
        """Shape (n, 256)."""
        return np.asarray(2.0 * bits_of(_states(states)) - 1.0, np.float64)


def _states(states: ArrayLike) -> NDArray[np.uint32]:
    words = np.asarray(states)
    if words.ndim != 2 or words.shape[1] != 8 or words.dtype.kind not in "iuf":
        raise DataError(f"states: shape {words.shape}, {words.dtype}, must be (n, 8) words of 32 bits")
    if words.size and (not np.isfinite(words).all() or words.min() < 0 or words.max() > 0xFFFFFFFF):
        raise DataError("states: a value that is no 32-bit word, must be from 0 to 2^32 - 1")
    return words.astype(np.uint32)


def make_predictor(name: PredictorName, seed: int = 0) -> Any:
    """A classifier with its scaling, learnt inside the training part only."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if name is PredictorName.LDA:
        return make_pipeline(StandardScaler(), LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.02))
    if name is PredictorName.LOGISTIC:
        return make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500))
    if name is PredictorName.BOOSTING:
        return HistGradientBoostingClassifier(max_iter=100, early_stopping=False, random_state=seed)
    if name is PredictorName.MLP:
        hidden: tuple[int, ...] = (64, 32)
        network = MLPClassifier(hidden, early_stopping=True, max_iter=60, alpha=1e-3, random_state=seed)
    else:
        hidden = PUBLISHED_LAYERS[1:-1]
        network = MLPClassifier(hidden, max_iter=1000, random_state=seed)
    return make_pipeline(StandardScaler(), network)


def count_parameters(layers: Sequence[int]) -> int:
    """Weights and biases of a fully connected network.

    >>> count_parameters(PUBLISHED_LAYERS), count_parameters((3, 16, 8, 4, 1))
    (246, 241)
    """
    if len(layers) < 2 or min(layers) < 1:
        raise UsageError(f"layers: {list(layers)}, must be two or more positive sizes")
    return sum((a + 1) * b for a, b in pairwise(layers))


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A score on rows that were not learnt from, or the reasons why there is none."""

    predictor: str
    n_train: int
    n_test: int
    findings: tuple[Finding, ...]
    auc: Auc | None
    information: MutualInformation | None
    advantage: GuessingAdvantage | None
    smallest_auc: float | None
    """AUC that these test rows find with 80 % power."""

    @property
    def refused(self) -> bool:
        """Whether a leak detector forbids to show a score."""
        return bool(self.findings)

    def sentence(self) -> str:
        """The result in words."""
        if self.auc is None:
            reasons = "; ".join(f"{finding.detector}: {finding.reason}" for finding in self.findings)
            return f"{self.predictor}: refused. {reasons}."
        return (
            f"{self.predictor}: AUC {self.auc.value:.4f} ({self.auc.low:.4f} to {self.auc.high:.4f}) on "
            f"{self.n_test} later rows; {self.smallest_auc:.3f} would have been seen."
        )


def evaluate(name: str, predictor: Any, data: Dataset, split: Split, seed: int = 0) -> Evaluation:
    """Run the leak detectors; if none objects, learn on one part and score the other.

    Args:
        predictor: Anything with ``fit(X, y)`` and ``decision_function(X)`` or ``predict_proba(X)``.
    """
    findings = tuple(detect(data, split))
    n_train, n_test = int(split.train.size), int(split.test.size)
    if findings:
        return Evaluation(name, n_train, n_test, findings, None, None, None, None)
    return score(name, predictor, data, split, seed)


def score(name: str, predictor: Any, data: Dataset, split: Split, seed: int = 0) -> Evaluation:
    """Learn and score without asking the detectors; for data of our own making that was checked before."""
    x, y = data.features, data.labels
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*[Mm]aximum iterations.*")
        warnings.filterwarnings("ignore", message=".*did not converge.*")
        predictor.fit(x[split.train], y[split.train])
    train_scores, test_scores = scores_of(predictor, x[split.train]), scores_of(predictor, x[split.test])
    histogram = histogram_of(test_scores, y[split.test])
    edges = np.unique(np.quantile(train_scores, np.linspace(0, 1, _ADVANTAGE_BINS + 1)[1:-1]))
    advantage = guessing_advantage(
        _binned(train_scores, y[split.train], edges), _binned(test_scores, y[split.test], edges)
    )
    return Evaluation(
        name,
        int(split.train.size),
        int(split.test.size),
        (),
        auc(histogram),
        mutual_information(histogram, seed=seed),
        advantage,
        smallest_auc_seen(histogram.n_positive, histogram.n_negative),
    )


def scores_of(predictor: Any, x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Score of every row by a fitted classifier, shape (n,)."""
    if hasattr(predictor, "decision_function"):
        return np.asarray(predictor.decision_function(x), np.float64)
    return np.asarray(predictor.predict_proba(x)[:, 1], np.float64)


def _binned(scores: NDArray[np.float64], labels: NDArray[np.bool_], edges: NDArray[np.float64]) -> Histogram:
    index = np.searchsorted(edges, scores, side="right")
    n = edges.size + 1
    return Histogram(np.bincount(index[labels], minlength=n), np.bincount(index[~labels], minlength=n))
