"""AUC, DeLong, information and exact intervals, against other implementations and by what chance does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from asic_reservoir.errors import DataError, UsageError
from asic_reservoir.tpf.information import (
    Histogram,
    auc,
    check_features,
    check_labels,
    clopper_pearson,
    guessing_advantage,
    histogram_of,
    mutual_information,
    smallest_auc_seen,
)


@st.composite
def labelled_scores(draw: st.DrawFn) -> tuple[list[float], list[int]]:
    labels = draw(st.lists(st.integers(0, 1), min_size=2, max_size=60).filter(lambda y: 0 < sum(y) < len(y)))
    return draw(st.lists(st.integers(-5, 5), min_size=len(labels), max_size=len(labels))), labels


@given(labelled_scores())
def test_auc_is_that_of_scikit_learn(sample: tuple[list[float], list[int]]) -> None:
    scores, labels = sample
    found = auc(histogram_of(scores, labels))
    assert found.value == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    assert 0 <= found.low <= found.value <= found.high <= 1


def test_delong_is_the_variance_of_the_placements() -> None:
    """Against the definition (DeLong et al. 1988), pair by pair."""
    rng = np.random.default_rng(3)
    x, y = np.round(rng.normal(0.4, 1, 40), 1), np.round(rng.normal(0, 1, 55), 1)
    kernel = (x[:, None] > y[None]) + 0.5 * (x[:, None] == y[None])
    variance = kernel.mean(axis=1).var(ddof=1) / 40 + kernel.mean(axis=0).var(ddof=1) / 55
    found = auc(histogram_of(np.concatenate([x, y]), [1] * 40 + [0] * 55))
    assert found.value == pytest.approx(kernel.mean())
    assert found.standard_error == pytest.approx(np.sqrt(variance))


def test_delong_covers_as_often_as_it_says() -> None:
    rng = np.random.default_rng(11)
    labels = np.arange(300) % 3 == 0
    hits = sum(auc(histogram_of(rng.normal(size=300), labels)).contains_half for _ in range(400))
    assert 360 <= hits <= 397  # 380 +- 4 standard deviations of 400 draws at 95 %


def test_perfect_separation_claims_no_certainty() -> None:
    found = auc(histogram_of(range(40), [0] * 20 + [1] * 20))
    assert (found.value, found.high) == (1.0, 1.0)
    assert found.low == pytest.approx(0.025 ** (1 / 20))


def test_information_of_a_known_table() -> None:
    """H(Y) - H(Y|X) by hand: P(1|a) = 0.9, P(1|b) = 0.1, both equally likely: 1 - H(0.1) = 0.5310 bits."""
    table = Histogram(np.array([1000, 9000]), np.array([9000, 1000]))
    assert mutual_information(table).raw_bits == pytest.approx(1 - 0.4689955936, abs=1e-9)


def test_information_without_any_is_zero_on_average_and_p_is_uniform() -> None:
    rng = np.random.default_rng(5)
    found = []
    for seed in range(120):
        labels = rng.random(400) < 0.3
        found.append(mutual_information(histogram_of(rng.normal(size=400), labels), n_permutations=99, seed=seed))
    bits = np.array([f.bits for f in found])
    assert abs(bits.mean()) < 4 * bits.std() / np.sqrt(bits.size)
    assert np.mean([f.raw_bits for f in found]) > 0.03  # the plug-in estimate alone would have claimed this much
    assert 0.01 <= np.mean([f.p_value <= 0.1 for f in found]) <= 0.22


def test_information_at_the_true_rate_of_a_rare_class() -> None:
    """Classes sampled apart: at prior p a score that knows everything has H(p) bits."""
    table = Histogram(np.array([0, 500]), np.array([500, 0]))
    prior = 2.0**-8
    entropy = -prior * np.log2(prior) - (1 - prior) * np.log2(1 - prior)
    assert mutual_information(table, prior).raw_bits == pytest.approx(entropy)


def test_guessing_advantage() -> None:
    learnt = Histogram(np.array([100, 900]), np.array([900, 100]))
    judged = Histogram(np.array([20, 80]), np.array([70, 30]))
    assert guessing_advantage(learnt, judged).value == pytest.approx((0.8 + 0.7) / 2 - 0.5)
    assert guessing_advantage(learnt, judged, prior=1e-3).value == pytest.approx(0.0)


@pytest.mark.parametrize(
    ("successes", "trials", "one_sided", "low", "high"),
    [(30, 30, False, 0.8843, 1.0), (0, 7, True, 0.0, 0.3482), (5, 10, False, 0.1871, 0.8129)],
)
def test_clopper_pearson(successes: int, trials: int, one_sided: bool, low: float, high: float) -> None:
    """The first two as the theory of paper 2's counts states them, the third from tables."""
    found = clopper_pearson(successes, trials, one_sided=one_sided)
    assert (round(found.low, 4), round(found.high, 4)) == (low, high)


def test_power_is_what_a_simulation_gives() -> None:
    from scipy.stats import norm

    n = 300
    smallest = smallest_auc_seen(n, n)
    shift = np.sqrt(2) * norm.ppf(smallest)
    rng = np.random.default_rng(1)
    labels = np.repeat([1, 0], n)
    seen = [
        auc(histogram_of(np.concatenate([rng.normal(shift, 1, n), rng.normal(size=n)]), labels)).low > 0.5
        for _ in range(300)
    ]
    assert 0.72 <= np.mean(seen) <= 0.88


@pytest.mark.parametrize(
    ("call", "error", "named"),
    [
        (lambda: check_labels([1, 1, 1]), DataError, "labels: all 1 in 3 rows"),
        (lambda: check_labels([]), DataError, "labels: shape"),
        (lambda: check_labels([0, 2]), DataError, "labels: int64, must be 0 and 1 only"),
        (lambda: check_labels(["a", "b"]), DataError, "labels: <U1"),
        (lambda: check_features([[1.0], [float("nan")]]), DataError, "features: nan in row 1, column 0"),
        (lambda: check_features([1.0]), DataError, "features: shape"),
        (lambda: check_features([["a"]]), DataError, "features: not numbers"),
        (lambda: check_features([[1.0]], 2), DataError, "features: 1 rows, must be 2"),
        (lambda: Histogram(np.array([0]), np.array([1])), DataError, "positive class: empty"),
        (lambda: Histogram(np.array([1]), np.array([0])), DataError, "negative class: empty"),
        (lambda: Histogram(np.array([-1, 2]), np.array([1, 1])), DataError, "histogram: a negative count"),
        (lambda: Histogram(np.array([1, 2]), np.array([1])), DataError, "histogram: shapes"),
        (lambda: clopper_pearson(8, 7), UsageError, "successes: 8 of 7"),
        (lambda: smallest_auc_seen(0, 5), UsageError, "sizes 0"),
        (lambda: mutual_information(Histogram(np.array([1]), np.array([1])), 1.5), UsageError, "prior: 1.5"),
    ],
)
def test_bad_input_is_named(call: object, error: type[Exception], named: str) -> None:
    with pytest.raises(error, match=f"^{named}"):
        call()  # type: ignore[operator]
