"""One protocol: what it uses of a run, and what it refuses."""

import numpy as np
import pytest

from asic_reservoir.errors import DataError, UsageError
from asic_reservoir.evaluation import Split, evaluate, evaluate_targets, mean_interval

SPLIT = Split(100, 400, 300)


def run(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    states = generator.normal(size=(800, 5))
    return states, states @ np.arange(5.0) + generator.normal(size=800)


def test_weights_scales_and_penalty_come_from_the_training_part_alone() -> None:
    states, target = run()
    score = evaluate(states, target, SPLIT)
    changed, moved = states.copy(), target.copy()
    changed[:100], moved[:100] = 1e6, 1e6  # washout
    changed[800 - 1 :] = 7.0  # last test row
    again = evaluate(changed, moved, SPLIT)
    np.testing.assert_array_equal(again.predictions[:-1], score.predictions[:-1])
    assert again.alpha == score.alpha
    assert score.nrmse == pytest.approx(1 / np.sqrt(31), abs=0.02)


def test_nrmse_is_rmse_over_the_deviation_of_the_test_target() -> None:
    states, target = run()
    score = evaluate(states, target, SPLIT)
    wanted = target[500:]
    assert score.nrmse == pytest.approx(np.sqrt(np.mean((score.predictions - wanted) ** 2)) / wanted.std(), rel=1e-12)
    assert evaluate(np.zeros((800, 1)), target, SPLIT).nrmse == pytest.approx(1.0, abs=0.01)


def test_many_targets_score_as_one_by_one_with_gcv() -> None:
    states, target = run()
    targets = np.stack([target, np.roll(target, 3), states[:, 0]], axis=1)
    scores = evaluate_targets(states, targets, SPLIT)
    for column, value in enumerate(scores):
        assert value == pytest.approx(evaluate(states, targets[:, column], SPLIT, selection="gcv").nrmse, rel=1e-9)


def test_symbols_are_counted_by_the_nearest() -> None:
    states = np.random.default_rng(0).normal(size=(800, 2))
    target = np.where(states[:, 0] > 0, 1.0, -1.0)
    score = evaluate(states, target, SPLIT)
    assert score.error_rate((-1.0, 1.0)) == np.mean(np.sign(score.predictions) != target[500:])


def test_what_cannot_be_scored_is_named() -> None:
    states, target = run()
    bad = states.copy()
    bad[600, 3] = np.nan
    for x, y, message in (
        (bad, target, "states: row 600, state 3 is nan"),
        (states[:700], target, "states: 700 rows, must be at least 800"),
        (states, target[:10], "target: 10 rows"),
        (states[:, 0], target, r"states: shape \(800,\)"),
        (states, np.ones(800), "target: constant 1 on the test part"),
        (states, np.where(np.arange(800) == 5, np.inf, target), "target: row 5 is not finite"),
    ):
        with pytest.raises(DataError, match=message):
            evaluate(x, y, SPLIT)
    with pytest.raises(UsageError, match="split: test 3, must be at least 20"):
        Split(0, 100, 3)


def test_interval_over_seeds_is_students() -> None:
    """Ten draws of a standard textbook table: t(0.975, 9) = 2.262."""
    values = np.arange(10.0)
    interval = mean_interval(values)
    assert interval.mean == 4.5
    assert interval.high - interval.mean == pytest.approx(2.262157 * values.std(ddof=1) / np.sqrt(10), rel=1e-6)
    with pytest.raises(DataError, match="must be one or more finite"):
        mean_interval([1.0, np.nan])
