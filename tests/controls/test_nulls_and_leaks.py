"""Controls in which nothing can be learned, and the ways in which something is learned that should not be."""

import numpy as np
import pytest

from asic_reservoir.baselines import delay_line
from asic_reservoir.controls import (
    decoupled_input,
    find_leaks,
    permutation_test,
    shift_surrogates,
    shuffled_states,
)
from asic_reservoir.errors import UsageError
from asic_reservoir.evaluation import Split, evaluate
from asic_reservoir.synthetic import synthetic_device
from asic_reservoir.tasks import open_task

SPLIT = Split(200, 1000, 1000)


@pytest.fixture(scope="module")
def narma() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    series = open_task("narma10").generate(0, SPLIT.n_steps)
    states = delay_line(series.input, 20) + 0.01 * np.random.default_rng(0).normal(size=(SPLIT.n_steps, 20))
    return series.input, series.target, states


def test_every_null_falls_to_one(narma: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    u, target, states = narma
    assert evaluate(states, target, SPLIT).nrmse < 0.5
    other = delay_line(decoupled_input(u, 1), 20)
    assert sorted(decoupled_input(u, 1)) == sorted(u)
    for null in (shuffled_states(states, 1), other):
        assert evaluate(null, target, SPLIT).nrmse == pytest.approx(1.0, abs=0.02)


def test_a_time_shift_shows_input_and_not_memory(narma: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    """The memoryless drifting wire passes at the smallest possible p: what the test is worth."""
    _, target, states = narma
    assert shift_surrogates(states, target, SPLIT, n_surrogates=39).p == 1 / 40
    long = open_task("narma10").generate(0, 4200)
    wire = synthetic_device("memoryless drift", long.input, 0).first
    assert shift_surrogates(wire, long.target, Split(200, 2000, 2000), n_surrogates=39).p == 1 / 40
    noise = np.random.default_rng(1).normal(size=states.shape)
    assert shift_surrogates(noise, target, SPLIT, n_surrogates=39).p > 0.05
    with pytest.raises(UsageError, match="must be at least 800"):
        shift_surrogates(states, target, Split(200, 100, 100))


def test_permuted_targets_score_one_or_more(narma: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    _, target, states = narma
    test = permutation_test(states, target, SPLIT, n_surrogates=50)
    assert test.p == 1 / 51
    assert test.null.min() > 0.97
    assert test.null.mean() == pytest.approx(1.0, abs=0.02)


def test_clean_states_have_no_leak(narma: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    u, target, states = narma
    assert find_leaks(states, target, SPLIT, u=u) == []


def test_each_leak_is_found_and_named(narma: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    u, target, states = narma
    later = states.copy()
    later[:, 4] += np.roll(u, -1)
    repeated = states.copy()
    repeated[1500:1600] = states[500:600]
    standard = (target - target[200:2200].mean()) / target[200:2200].std()
    labels = (target > np.median(target)).astype(float)
    block = np.repeat(np.arange(22), 100)
    cases = [
        ("constant_state", np.column_stack([states, np.ones(2200)]), target, {}),
        ("state_is_target", np.column_stack([states, 3.0 * target + 1.0]), target, {}),
        ("state_is_target", np.column_stack([states, target]), labels, {}),
        ("duplicate_rows", repeated, target, {}),
        ("target_scaled_on_test", states, standard, {}),
        ("knows_future", later, target, {"u": u}),
        ("block_is_label", states, (block % 2).astype(float), {"acquisition_block": block}),
    ]
    for kind, x, y, more in cases:
        found = find_leaks(x, y, SPLIT, **more)
        assert kind in [leak.kind for leak in found], kind
        assert all("\n" not in leak.sentence for leak in found)
    assert find_leaks(cases[0][1], target, SPLIT)[0].states == (20,)


def test_small_counts_that_meet_by_chance_are_no_leak() -> None:
    rng = np.random.default_rng(3)
    counts = rng.poisson(1.0, size=(2200, 2)).astype(float)  # a handful of values: nearly every row stands elsewhere
    assert find_leaks(counts, rng.normal(size=2200), SPLIT) == []
