"""Capacities of states whose capacities are known, and of states that have none."""

import numpy as np
import pytest

from asic_reservoir.baselines import delay_line
from asic_reservoir.capacity import (
    LagFunctions,
    capacities,
    consistency,
    effective_rank,
    fading_memory,
    noise_threshold,
    transfer,
)
from asic_reservoir.errors import DataError, UsageError
from asic_reservoir.evaluation import Split
from asic_reservoir.tasks import open_task


def uniform(n_steps: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.0, 0.5, n_steps)


def test_a_delay_line_remembers_its_length_and_nothing_else() -> None:
    u = uniform(6000)
    found = capacities(delay_line(u, 12), LagFunctions.of(u))
    np.testing.assert_allclose(found.per_lag()[:12], 1.0, atol=0.003)
    np.testing.assert_array_equal(found.per_lag()[12:], 0.0)
    assert found.of_degree(1) == pytest.approx(12.0, abs=0.05)
    assert found.of_degree(2) == 0.0
    assert found.rank == 12


def test_products_are_capacity_of_degree_two() -> None:
    u = uniform(6000)
    v = 4 * u - 1
    states = np.stack([v, v**2, v * np.roll(v, 3), np.roll(v, 2) * np.roll(v, 7)], axis=1)
    found = capacities(states, LagFunctions.of(u))
    assert found.of_degree(1) == pytest.approx(1.0, abs=0.01)
    assert found.of_degree(2) == pytest.approx(3.0, abs=0.05)
    assert found.memory == pytest.approx(2.0, abs=0.05)
    assert found.total <= found.rank + 0.05


def test_noise_has_no_capacity() -> None:
    """188 functions of 40 noise states at 1,000 rows: uncut they add up to 7.5, cut at one in a thousand to nothing."""
    uncut, cut = [], []
    for seed in range(40):
        u = uniform(1200, seed)
        states = np.random.default_rng(seed + 1000).normal(size=(1200, 40))
        found = capacities(states, LagFunctions.of(u))
        uncut.append(found.raw.sum())
        cut.append(found.total)
    assert np.mean(uncut) == pytest.approx(len(found.terms) * 40 / 999, rel=0.05)
    assert sum(total > 0 for total in cut) <= 1


def test_threshold_is_the_quantile_of_the_null() -> None:
    """Dambre et al. 2012, supplement: C of independent functions is close to chi² with r degrees of freedom over T."""
    assert noise_threshold(50, 1000, 1e-4) == pytest.approx(
        0.0938, rel=0.05
    )  # chi²_50 quantile 93.8 / T, less the tail of Beta
    generator = np.random.default_rng(0)
    basis = np.linalg.qr(generator.normal(size=(500, 20)))[0]
    z = generator.normal(size=(500, 20_000))
    share = np.mean(np.sum((basis.T @ z) ** 2, axis=0) / np.sum(z**2, axis=0) > noise_threshold(20, 501, 0.01))
    assert share == pytest.approx(0.01, abs=0.003)


def test_a_two_valued_input_has_no_square() -> None:
    u = np.random.default_rng(0).choice([-1.0, 1.0], 3000)
    found = capacities(np.stack([u, u * np.roll(u, 1)], axis=1), LagFunctions.of(u))
    assert found.total == pytest.approx(2.0, abs=0.01)
    assert not any(((lag, 2),) in found.terms for lag in range(51))


def test_consistency_of_noise_is_the_signal_share_squared() -> None:
    generator = np.random.default_rng(0)
    signal = generator.normal(size=(20_000, 4))
    one, two = (signal + generator.normal(size=signal.shape) * np.sqrt(1 / 3) for _ in range(2))
    np.testing.assert_allclose(consistency(one, two), (3 / 4) ** 2, atol=0.02)
    np.testing.assert_array_equal(consistency(np.ones((300, 2)), one[:300, :2]), 0.0)


def test_transfer_is_lost_when_the_offset_moves() -> None:
    split = Split(200, 1000, 1000)
    series = open_task("narma10").generate(0, split.n_steps)
    run = delay_line(series.input, 20)
    assert transfer(run, run, series.target, split).nrmse < 0.5
    assert transfer(run, run + 0.3, series.target, split).nrmse > 2.0


@pytest.mark.parametrize("noise", [1e-3, 1e-2, 1e-1])
def test_effective_rank_does_not_count_noise(noise: float) -> None:
    """Fifty copies of three signals: rank 3 at any noise, where a cut at a fixed value counts fifty."""
    generator = np.random.default_rng(0)
    signal = generator.normal(size=(2000, 3)) @ generator.normal(size=(3, 50))
    replicas = signal + noise * generator.normal(size=(10, 2000, 50))
    assert effective_rank(replicas) == 3
    assert np.linalg.matrix_rank(replicas[0]) == 50


def test_effective_rank_of_noise_alone_is_about_nothing() -> None:
    ranks = [effective_rank(np.random.default_rng(seed).normal(size=(10, 1000, 20))) for seed in range(20)]
    assert np.mean(ranks) < 0.5
    with pytest.raises(DataError, match="replicas"):
        effective_rank(np.zeros((1, 10, 3)))


def test_fading_memory_finds_the_time_constant_and_what_is_never_forgotten() -> None:
    generator = np.random.default_rng(0)
    drive = generator.normal(size=(400, 6))
    runs = []
    for start in (-5.0, 5.0):
        x, states = np.full(6, start), []
        for step in drive:
            x = np.exp(-1 / 12) * x + step
            states.append(x)
        runs.append(np.array(states))
    forgot = fading_memory(*runs, equal_from=0)
    assert forgot.time_constant == pytest.approx(12.0, rel=1e-3)
    noisy = [run + 0.01 * generator.normal(size=run.shape) for run in runs]
    assert fading_memory(*noisy, equal_from=0).time_constant == pytest.approx(12.0, rel=0.15)
    assert fading_memory(*noisy, equal_from=0).floor < 0.02
    apart = generator.normal(size=(2, 400, 6))
    assert fading_memory(apart[0], apart[1], equal_from=0).floor > 1.0


def test_what_does_not_fit_is_named() -> None:
    u = uniform(500)
    with pytest.raises(UsageError, match="lags 300"):
        LagFunctions.of(u, max_lag=300)
    with pytest.raises(DataError, match="input: constant"):
        LagFunctions.of(np.ones(500))
    with pytest.raises(DataError, match=r"states: shape \(400, 2\)"):
        capacities(np.zeros((400, 2)), LagFunctions.of(u))
    with pytest.raises(DataError, match="must both be"):
        consistency(np.zeros((5, 2)), np.zeros((5, 3)))
