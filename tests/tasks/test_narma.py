"""NARMA: the recursion of the literature, lag by lag, and what happens to sequences that leave their range."""

import numpy as np
import pytest

from asic_reservoir.errors import UsageError
from asic_reservoir.tasks import open_task
from asic_reservoir.tasks._narma import Narma, windowed
from asic_reservoir.tasks._task import draw_generator

DROPPED = 200


def standard_form(u: np.ndarray, order: int, a: float, b: float, c: float, d: float) -> np.ndarray:
    """The textbook loop, written again from the formula: y[t+1] for every t."""
    y = np.zeros(len(u) + 1)
    for t in range(order - 1, len(u)):
        y[t + 1] = a * y[t] + b * y[t] * y[t - order + 1 : t + 1].sum() + c * u[t - order + 1] * u[t] + d
    return y[1:]


@pytest.mark.parametrize(
    ("name", "order", "coefficients"),
    [
        ("narma5", 5, (0.3, 0.05, 1.5, 0.1)),
        ("narma10", 10, (0.3, 0.05, 1.5, 0.1)),
        ("narma30", 30, (0.2, 0.04, 1.5, 0.001)),
    ],
)
def test_target_of_step_t_is_the_standard_recursion_at_t_plus_1(name: str, order: int, coefficients: tuple) -> None:
    series = open_task(name).generate(seed=4, n_steps=500)
    u = draw_generator(4, series.redraws).uniform(0.0, 0.5, 700)
    np.testing.assert_array_equal(series.input, u[DROPPED:])
    np.testing.assert_allclose(series.target, standard_form(u, order, *coefficients)[DROPPED:], rtol=1e-12)


def test_narma2_and_the_saturated_narma20() -> None:
    u = draw_generator(1, 0).uniform(0.0, 0.5, 700)
    y = np.zeros(701)
    for t in range(1, 700):
        y[t + 1] = 0.4 * y[t] + 0.4 * y[t] * y[t - 1] + 0.6 * u[t] ** 3 + 0.1
    np.testing.assert_allclose(open_task("narma2").generate(1, 500).target, y[1 + DROPPED :], rtol=1e-12)
    y = np.zeros(701)
    for t in range(19, 700):
        y[t + 1] = np.tanh(0.3 * y[t] + 0.05 * y[t] * y[t - 19 : t + 1].sum() + 1.5 * u[t - 19] * u[t] + 0.01)
    np.testing.assert_allclose(open_task("narma20").generate(1, 500).target, y[1 + DROPPED :], rtol=1e-12)


def test_moments_of_narma10_as_measured_elsewhere() -> None:
    target = np.concatenate([open_task("narma10").generate(seed, 10_000).target for seed in range(10)])
    assert target.mean() == pytest.approx(0.389, abs=0.003)  # mean 0.389, sd 0.108, min 0.175 of another implementation
    assert target.std() == pytest.approx(0.108, abs=0.003)
    assert target.min() == pytest.approx(0.175, abs=0.02)


def test_sequences_that_leave_their_range_are_redrawn_counted_and_never_clipped() -> None:
    redraws = [open_task("narma10").generate(seed, 10_000).redraws for seed in range(40)]
    # 12 % of sequences of 10^4 steps exceed 1, 4.5 % diverge: some of 40 are redrawn, most are not
    assert 1 <= sum(count > 0 for count in redraws) <= 20
    long = open_task("narma10").generate(0, 100_000)
    assert long.redraws > 0
    assert long.target.max() < 1.0


def test_a_recursion_that_no_draw_survives_is_refused_with_what_to_do() -> None:
    explosive = Narma("explosive", 2, "y[t+1] = 2 y[t] + 1.5 u[t-1] u[t] + 0.1", windowed(2.0, 0.0, 1.5, 0.1))
    with pytest.raises(
        UsageError, match=r"explosive: no sequence of 100 steps stayed in \[0, 1\] in 200 draws; take several"
    ):
        explosive.generate(0, 100)


def test_redraws_of_one_seed_are_no_series_of_another() -> None:
    first = draw_generator(0, 1).uniform(size=5)
    assert all(not np.array_equal(first, draw_generator(seed, 0).uniform(size=5)) for seed in range(5))


@pytest.mark.parametrize(("seed", "n_steps"), [(-1, 100), (2**63, 100), (0, 0), (0, 200_001)])
def test_seed_and_length_out_of_range_are_named(seed: int, n_steps: int) -> None:
    with pytest.raises(UsageError, match=r"narma10: (seed|\d+ steps)"):
        open_task("narma10").generate(seed, n_steps)
