"""How much a score knows of a label: AUC, mutual information, guessing advantage, each with what chance would give.

Everything is computed from a histogram of the score in each class, so that a run over 10^9 headers needs no more
memory than one over a thousand. Raw scores go through :func:`histogram_of`, one bin a distinct value: nothing is lost.

Accuracy is left out on purpose: at one share in 2^32 hashes the best constant guess is right 0.9999999998 of
the time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from asic_reservoir.errors import DataError, UsageError

Counts = NDArray[np.int64]
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True, eq=False)
class Histogram:
    """Counts of the score in both classes, bins in rising order of the score.

    Raises:
        DataError: shapes that differ, a negative count, a class without a member.
    """

    positive: Counts
    """Shape (n_bins,)."""
    negative: Counts
    """Shape (n_bins,)."""

    def __post_init__(self) -> None:
        if self.positive.shape != self.negative.shape or self.positive.ndim != 1:
            raise DataError(f"histogram: shapes {self.positive.shape} and {self.negative.shape}, must be one, 1-D")
        if self.positive.size and min(self.positive.min(), self.negative.min()) < 0:
            raise DataError("histogram: a negative count, must be at least 0")
        for name, counts in (("positive", self.positive), ("negative", self.negative)):
            if counts.sum() == 0:
                raise DataError(f"{name} class: empty, must have at least 1 member")

    @property
    def n_positive(self) -> int:
        return int(self.positive.sum())

    @property
    def n_negative(self) -> int:
        return int(self.negative.sum())


def check_labels(labels: ArrayLike) -> NDArray[np.bool_]:
    """Labels as booleans, shape (n,).

    Raises:
        DataError: not 1-D, empty, not 0 and 1 only, or one class only.
    """
    raw = np.asarray(labels)
    if raw.ndim != 1 or raw.size == 0:
        raise DataError(f"labels: shape {raw.shape}, must be 1-D with at least one row")
    if raw.dtype != np.bool_ and not (raw.dtype.kind in "iuf" and np.isin(raw, (0, 1)).all()):
        raise DataError(f"labels: {raw.dtype}, must be 0 and 1 only")
    truth = raw.astype(np.bool_)
    if truth.all() or not truth.any():
        raise DataError(f"labels: all {int(truth[0])} in {truth.size} rows, must have both classes")
    return truth


def check_features(features: ArrayLike, n_rows: int | None = None) -> NDArray[np.float64]:
    """Features as float64, shape (n, d).

    Raises:
        DataError: not 2-D, another number of rows, or a value that is not finite (names column and row).
    """
    try:
        x = np.asarray(features, dtype=np.float64)
    except (TypeError, ValueError):
        raise DataError("features: not numbers, must be a 2-D array of numbers") from None
    if x.ndim != 2 or x.shape[1] == 0:
        raise DataError(f"features: shape {x.shape}, must be (n_rows, n_features)")
    if n_rows is not None and x.shape[0] != n_rows:
        raise DataError(f"features: {x.shape[0]} rows, must be {n_rows} as in the labels")
    bad = np.argwhere(~np.isfinite(x))
    if bad.size:
        row, column = bad[0]
        raise DataError(f"features: {x[row, column]} in row {row}, column {column}, must be finite")
    return x


def histogram_of(scores: ArrayLike, labels: ArrayLike) -> Histogram:
    """One bin a distinct score.

    >>> histogram_of([0.1, 0.5, 0.5], [0, 1, 0]).positive.tolist()
    [0, 1]
    """
    truth = check_labels(labels)
    column = check_features(np.asarray(scores).reshape(-1, 1), truth.size)[:, 0]
    values, index = np.unique(column, return_inverse=True)
    return Histogram(
        np.bincount(index[truth], minlength=values.size), np.bincount(index[~truth], minlength=values.size)
    )


@dataclass(frozen=True, slots=True)
class Auc:
    """Area under the ROC curve with its DeLong interval."""

    value: float
    low: float
    high: float
    standard_error: float
    n_positive: int
    n_negative: int

    @property
    def contains_half(self) -> bool:
        """Whether the interval contains 0.5: nothing found."""
        return self.low <= 0.5 <= self.high

    def p_value(self) -> float:
        """Two-sided p of «AUC = 0.5» by the normal law."""
        from scipy.special import erfc

        if self.standard_error == 0.0:
            return 1.0 if self.value == 0.5 else 0.0
        return float(erfc(abs(self.value - 0.5) / self.standard_error / np.sqrt(2.0)))


def auc(histogram: Histogram, confidence: float = CONFIDENCE) -> Auc:
    """AUC (ties count a half) with the interval of DeLong, DeLong and Clarke-Pearson (Biometrics 44, 1988).

    Where the classes are separated without a tie, DeLong's variance is 0; the bound is then what an error-free count
    of the smaller class allows (Clopper-Pearson), so that no finite sample claims certainty.

    >>> round(auc(histogram_of([1, 2, 3, 4], [0, 1, 0, 1])).value, 3)
    0.75
    """
    from scipy.special import ndtri

    m, n = histogram.n_positive, histogram.n_negative
    positive, negative = histogram.positive.astype(np.float64), histogram.negative.astype(np.float64)
    placed_above = (np.cumsum(negative) - 0.5 * negative) / n
    placed_below = 1.0 - (np.cumsum(positive) - 0.5 * positive) / m
    value = float(positive @ placed_above / m)
    variance = 0.0
    for weights, size, placed in ((positive, m, placed_above), (negative, n, placed_below)):
        if size > 1:
            variance += float(weights @ (placed - value) ** 2 / (size - 1)) / size
    error = float(np.sqrt(variance))
    half = float(ndtri(0.5 + confidence / 2)) * error
    low, high = max(0.0, value - half), min(1.0, value + half)
    if value in (0.0, 1.0):
        bound = float((0.5 - confidence / 2) ** (1.0 / min(m, n)))
        low, high = (bound, 1.0) if value == 1.0 else (0.0, 1.0 - bound)
    return Auc(value, low, high, error, m, n)


def smallest_auc_seen(n_positive: int, n_negative: int, n_tests: int = 1, power: float = 0.8) -> float:
    """The AUC above 0.5 that a run with so many rows finds with ``power``, at 5 % over ``n_tests`` tests (Bonferroni).

    Uses the variance of the rank sum without information, (1/m + 1/n + 1/(m n)) / 12.

    >>> round(smallest_auc_seen(500, 500), 3)
    0.551
    """
    from scipy.special import ndtri

    if min(n_positive, n_negative, n_tests) < 1 or not 0 < power < 1:
        raise UsageError(
            f"sizes {n_positive}, {n_negative}, tests {n_tests}, power {power}: must be at least 1, power in (0, 1)"
        )
    variance = (1 / n_positive + 1 / n_negative + 1 / n_positive / n_negative) / 12
    return float(0.5 + (ndtri(1 - 0.025 / n_tests) + ndtri(power)) * np.sqrt(variance))


@dataclass(frozen=True, slots=True)
class MutualInformation:
    """Information of score on label, in bits."""

    bits: float
    """Bias-corrected; can be a little below 0 where there is none."""
    raw_bits: float
    """Plug-in estimate, always too large."""
    bias_bits: float
    """What the plug-in estimate gives on average where there is no information."""
    p_value: float
    """Share of label permutations with at least as much, the data counted among them."""
    n_permutations: int
    prior: float
    """Probability of the positive class that the bits hold for."""


def mutual_information(
    histogram: Histogram, prior: float | None = None, n_permutations: int = 999, seed: int = 0, max_bins: int = 32
) -> MutualInformation:
    """Plug-in mutual information over at most ``max_bins`` bins of about equal counts, less its bias.

    The bias is what label permutations give on average; they leave the bins' totals as they are, so they are drawn as
    multivariate hypergeometric tables. Without permutations it is (bins - 1) pi (1 - pi) (1/m + 1/n) / (2 ln 2), which
    is Miller and Madow's (bins - 1) / (2 N ln 2) where the classes came as they fell.

    Args:
        prior: Probability of the positive class in the world; where classes were sampled apart, it is not m/(m + n).

    >>> exact = mutual_information(histogram_of([0, 0, 1, 1] * 50, [0, 0, 1, 1] * 50), n_permutations=99)
    >>> round(exact.raw_bits, 6), exact.p_value
    (1.0, 0.01)
    """
    positive, negative = _merge_bins(histogram, max_bins)
    m, n = int(positive.sum()), int(negative.sum())
    pi = m / (m + n) if prior is None else prior
    if not 0 < pi < 1:
        raise UsageError(f"prior: {pi}, must be between 0 and 1")
    raw = float(_plug_in_bits(positive[None], negative[None], pi)[0])
    bias = (positive.size - 1) * pi * (1 - pi) * (1 / m + 1 / n) / (2 * np.log(2))
    p_value = 1.0
    if positive.size > 1 and n_permutations:
        total = positive + negative
        drawn = np.random.default_rng(seed).multivariate_hypergeometric(total, m, n_permutations, method="marginals")
        null = _plug_in_bits(drawn, total - drawn, pi)
        bias = null.mean()
        p_value = float((1 + np.count_nonzero(null >= raw * (1 - 1e-12))) / (1 + n_permutations))
    return MutualInformation(float(raw - bias), raw, float(bias), p_value, n_permutations, float(pi))


def _plug_in_bits(positive: NDArray[np.int64], negative: NDArray[np.int64], prior: float) -> NDArray[np.float64]:
    """Bits of every row of tables (k, n_bins), shape (k,)."""
    p = positive / positive.sum(axis=1, keepdims=True)
    q = negative / negative.sum(axis=1, keepdims=True)
    mixture = prior * p + (1 - prior) * q
    safe = np.where(mixture > 0, mixture, 1.0)

    def term(weight: float, part: NDArray[np.float64]) -> NDArray[np.float64]:
        ratio = np.where(part > 0, part / safe, 1.0)
        return np.asarray(weight * (part * np.log2(ratio)).sum(axis=1))

    return np.asarray(np.maximum(term(prior, p) + term(1 - prior, q), 0.0))


def _merge_bins(histogram: Histogram, max_bins: int) -> tuple[Counts, Counts]:
    """Neighbouring bins joined to about equal totals; the edges depend on the totals only, never on the labels."""
    if max_bins < 2:
        raise UsageError(f"max_bins: {max_bins}, must be at least 2")
    total = histogram.positive + histogram.negative
    middle = np.cumsum(total) - 0.5 * total
    group = np.minimum((middle / total.sum() * max_bins).astype(np.int64), max_bins - 1)
    _, group = np.unique(group[total > 0], return_inverse=True)
    merged = [
        np.bincount(group, weights=counts[total > 0]).astype(np.int64)
        for counts in (histogram.positive, histogram.negative)
    ]
    return merged[0], merged[1]


@dataclass(frozen=True, slots=True)
class GuessingAdvantage:
    """Accuracy of the rule learnt on one part, on another part, less that of the best constant guess there."""

    value: float
    low: float
    high: float
    prior: float


def guessing_advantage(train: Histogram, test: Histogram, prior: float = 0.5) -> GuessingAdvantage:
    """Rule: say «positive» in the bins where ``train`` makes it more likely than not at ``prior``; scored on ``test``.

    At prior 0.5 it is half of Youden's index. At the true prior of a share it is 0 for any score that is not nearly
    certain: the constant guess is that good. Interval: normal, 95 %.

    Raises:
        DataError: histograms of different bins.
    """
    if train.positive.shape != test.positive.shape:
        raise DataError(f"histograms: {train.positive.size} and {test.positive.size} bins, must be the same bins")
    if not 0 < prior < 1:
        raise UsageError(f"prior: {prior}, must be between 0 and 1")
    yes = prior * train.positive / train.n_positive > (1 - prior) * train.negative / train.n_negative
    hit = float(test.positive[yes].sum() / test.n_positive)
    false = float(test.negative[yes].sum() / test.n_negative)
    value = prior * hit + (1 - prior) * (1 - false) - max(prior, 1 - prior)
    spread = prior**2 * hit * (1 - hit) / test.n_positive + (1 - prior) ** 2 * false * (1 - false) / test.n_negative
    half = 1.959963984540054 * float(np.sqrt(spread))
    return GuessingAdvantage(value, value - half, value + half, prior)


@dataclass(frozen=True, slots=True)
class Proportion:
    """A share of successes with its exact interval."""

    successes: int
    trials: int
    value: float
    low: float
    high: float


def clopper_pearson(successes: int, trials: int, confidence: float = CONFIDENCE, one_sided: bool = False) -> Proportion:
    """Exact binomial interval (Clopper and Pearson 1934); one-sided bounds put the whole risk on each side.

    >>> round(clopper_pearson(30, 30).low, 4), round(clopper_pearson(0, 7, one_sided=True).high, 4)
    (0.8843, 0.3482)
    """
    from scipy.special import betaincinv

    if trials < 1 or not 0 <= successes <= trials:
        raise UsageError(f"successes: {successes} of {trials}, must be 0 to trials, at least 1 trial")
    risk = 1 - confidence if one_sided else (1 - confidence) / 2
    low = 0.0 if successes == 0 else float(betaincinv(successes, trials - successes + 1, risk))
    high = 1.0 if successes == trials else float(betaincinv(successes + 1, trials - successes, 1 - risk))
    return Proportion(successes, trials, successes / trials, low, high)
