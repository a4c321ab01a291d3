"""Intervals that cover what they say, and tests that err as often as they say."""

import numpy as np
import pytest
from scipy import stats

from asic_reservoir.controls import (
    block_bootstrap,
    block_bootstrap_difference,
    equivalence,
    holm,
    max_statistic,
    paired_difference,
    seed_bootstrap,
)
from asic_reservoir.errors import DataError, UsageError
from asic_reservoir.evaluation import Score, nrmse


def score(generator: np.random.Generator, spread: float, n: int = 2000, memory: float = 0.8) -> Score:
    """Errors with a memory of a few steps and a known variance, on a target of variance 1."""
    errors = np.empty(n)
    errors[0] = generator.normal()
    for t, shock in enumerate(generator.normal(size=n - 1) * np.sqrt(1 - memory**2)):
        errors[t + 1] = memory * errors[t] + shock
    target = generator.permutation(stats.norm.ppf((np.arange(n) + 0.5) / n))
    predictions = target + spread * errors
    return Score(nrmse(predictions, target), predictions, target, 1.0)


def test_block_bootstrap_covers_the_true_error() -> None:
    generator = np.random.default_rng(0)
    covered = 0
    for seed in range(200):
        interval = block_bootstrap(score(generator, 0.4), seed=seed, draws=500)
        covered += interval.low <= 0.4 <= interval.high
    assert 178 <= covered <= 198  # 95 % of 200, less what blocks of finite length lose


def test_paired_bootstrap_sees_a_difference_that_single_intervals_hide() -> None:
    generator = np.random.default_rng(1)
    one = score(generator, 0.40)
    error = one.predictions - one.target
    better = one.target + 0.97 * error + 0.01 * generator.normal(size=error.size)
    two = Score(nrmse(better, one.target), better, one.target, 1.0)
    assert block_bootstrap(two).high > block_bootstrap(one).low
    assert block_bootstrap_difference(two, one).high < 0
    assert block_bootstrap_difference(one, one).low == block_bootstrap_difference(one, one).high == 0.0


def test_bootstrap_refuses_other_targets_and_long_blocks() -> None:
    generator = np.random.default_rng(2)
    with pytest.raises(DataError, match="different test targets"):
        block_bootstrap_difference(score(generator, 0.4), score(generator, 0.4))
    with pytest.raises(UsageError, match="block of 3000 rows, must be from 1 to the 2000"):
        block_bootstrap(score(generator, 0.4), block=3000)


def test_paired_difference_is_the_paired_t_interval() -> None:
    generator = np.random.default_rng(3)
    a, b = generator.normal(size=12), generator.normal(size=12)
    theirs = stats.ttest_rel(a, b).confidence_interval(0.95)
    ours = paired_difference(list(a), list(b))
    np.testing.assert_allclose([ours.low, ours.high], [theirs.low, theirs.high], rtol=1e-9)
    with pytest.raises(DataError, match="12 and 11 seeds"):
        paired_difference(list(a), list(b[:-1]))


def test_seed_bootstrap_is_close_to_t_where_seeds_are_normal() -> None:
    values = list(stats.norm.ppf((np.arange(40) + 0.5) / 40))
    interval = seed_bootstrap(values)
    assert interval.high - interval.mean == pytest.approx(1.96 * np.std(values) / np.sqrt(40), rel=0.1)


def test_equivalence_is_the_welch_tost_and_never_the_lack_of_a_difference() -> None:
    generator = np.random.default_rng(4)
    a, b = generator.normal(0.0, 1.0, 400), generator.normal(0.02, 2.0, 400)
    result = equivalence(list(a), list(b), margin=0.5)
    lower = stats.ttest_ind(a + 0.5, b, equal_var=False, alternative="greater").pvalue
    upper = stats.ttest_ind(a - 0.5, b, equal_var=False, alternative="less").pvalue
    assert result.p == pytest.approx(max(lower, upper), rel=1e-9)
    assert result.label == "equivalent"
    assert equivalence(list(a), list(b), margin=0.05).label == "undecided"
    assert equivalence(list(a), list(b + 3.0), margin=0.5).label == "different"
    assert equivalence(list(a[:50]), list(b[:50]), margin=50.0).label == "undecided"  # too few, whatever they say


def test_equivalence_errs_at_its_size_on_the_margin() -> None:
    generator = np.random.default_rng(5)
    wrong = sum(
        equivalence(list(generator.normal(0.3, 1.0, 100)), list(generator.normal(0.0, 1.0, 100)), 0.3).label
        == "equivalent"
        for _ in range(600)
    )
    assert wrong / 600 <= 0.075


def test_holm_is_the_published_step_down() -> None:
    """Worked example: p = .01, .04, .03, .005 of four tests."""
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])


def test_max_statistic_keeps_the_family_error() -> None:
    generator = np.random.default_rng(6)
    alarms = 0
    for _ in range(200):
        null = generator.normal(size=(199, 30))
        alarms += max_statistic(generator.normal(size=30), null).min() <= 0.05
    assert alarms / 200 <= 0.09  # uncorrected, 30 cells would alarm in 79 % of sweeps
    assert max_statistic(np.full(3, 9.0), generator.normal(size=(199, 3))).max() == pytest.approx(1 / 200)
    with pytest.raises(DataError, match="sweep"):
        max_statistic(np.zeros(3), np.zeros((10, 4)))
