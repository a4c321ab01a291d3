"""Tasks by name, and what each of them promises."""

import numpy as np
import pytest

from asic_reservoir.errors import NotFoundError
from asic_reservoir.tasks import open_task, task_names


@pytest.mark.parametrize("name", task_names())
def test_one_seed_one_series_bit_for_bit_within_its_range(name: str) -> None:
    task = open_task(name)
    one, two, other = task.generate(3, 400), task.generate(3, 400), task.generate(4, 400)
    np.testing.assert_array_equal(one.input, two.input)
    np.testing.assert_array_equal(one.target, two.target)
    assert not np.array_equal(one.input, other.input)
    assert one.input.shape == one.target.shape == (400,)
    assert np.all(np.isfinite([one.input, one.target]))
    assert one.input_range[0] <= one.input.min() < one.input.max() <= one.input_range[1]
    if one.classes is not None:
        assert set(np.unique(one.target)) <= set(one.classes)


def test_an_unknown_task_names_its_neighbour() -> None:
    with pytest.raises(NotFoundError, match=r"task 'narma01': unknown.*did you mean 'narma"):
        open_task("narma01")


def test_forecasts_are_the_series_itself_later() -> None:
    series = open_task("mackey-glass-84").generate(0, 500)
    np.testing.assert_array_equal(series.target[:-84], series.input[84:])
    assert series.input.std() == pytest.approx(0.22, abs=0.03)  # the attractor of delay 17


def test_lorenz_obeys_its_equation() -> None:
    """Mean of x is 0 and its deviation 7.9 on the attractor of the standard parameters (any textbook integration)."""
    x = open_task("lorenz").generate(0, 50_000).input
    assert abs(x.mean()) < 1.0
    assert x.std() == pytest.approx(7.92, abs=0.15)


def test_channel_without_noise_is_the_published_filter() -> None:
    series = open_task("channel-32db").generate(0, 5000)
    d = series.target  # d[t-2]
    q = (0.08 * d[4:] - 0.12 * d[3:-1] + d[2:-2] + 0.18 * d[1:-3] - 0.1 * d[:-4])[:-2]
    # row t of q is the channel at t, where d[t+2] = target[t+4]; the tail of the filter is left out
    clean = q + 0.036 * q**2 - 0.011 * q**3
    received = series.input[: len(clean)]
    assert np.corrcoef(clean, received)[0, 1] > 0.98


def test_parity_is_the_product_of_its_bits() -> None:
    series = open_task("parity3").generate(0, 300)
    u = series.input
    np.testing.assert_array_equal(series.target[2:], u[2:] * u[1:-1] * u[:-2])
    delayed = open_task("xor-delayed").generate(0, 300)
    np.testing.assert_array_equal(delayed.target[4:], delayed.input[1:-3] * delayed.input[:-4])
