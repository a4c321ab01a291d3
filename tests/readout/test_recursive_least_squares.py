"""Recursive least squares is least squares: the batch solution, at every step."""

import numpy as np
import pytest

from asic_reservoir.readout import RecursiveLeastSquares


def problem(n_rows: int = 400, n_states: int = 25, n_targets: int = 2) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(n_rows, n_states)) + 3.0
    return x, x @ generator.normal(size=(n_states, n_targets)) + generator.normal(size=(n_rows, n_targets)) - 7.0


def batch(x: np.ndarray, y: np.ndarray, delta: float, forgetting: float) -> np.ndarray:
    rows = np.column_stack([x, np.ones(len(x))])
    age = forgetting ** np.arange(len(x))[::-1]
    penalty = delta * forgetting ** len(x) * np.eye(rows.shape[1])
    return np.linalg.solve(rows.T @ (rows * age[:, None]) + penalty, rows.T @ (y * age[:, None])).T


@pytest.mark.parametrize("forgetting", [1.0, 0.99])
def test_weights_are_the_batch_solution(forgetting: float) -> None:
    x, y = problem()
    online = RecursiveLeastSquares(delta=1e-2, forgetting=forgetting).fit(x, y)
    expected = batch(x, y, 1e-2, forgetting)
    np.testing.assert_allclose(online.coef_, expected[:, :-1], atol=1e-9)
    np.testing.assert_allclose(online.intercept_, expected[:, -1], atol=1e-8)


def test_in_pieces_as_in_one_and_every_step_predicted_before_it_is_learned() -> None:
    x, y = problem(n_targets=1)
    y = y[:, 0]
    whole = RecursiveLeastSquares(delta=1e-2)
    before = whole.run(x, y)
    pieces = RecursiveLeastSquares(delta=1e-2)
    for rows in np.array_split(np.arange(len(x)), 7):
        pieces.partial_fit(x[rows], y[rows])
    np.testing.assert_allclose(pieces.coef_, whole.coef_, rtol=1e-9)
    for step in (1, 40, 399):
        weights = batch(x[:step], y[:step, None], 1e-2, 1.0)[0]
        assert before[step] == pytest.approx(x[step] @ weights[:-1] + weights[-1], abs=1e-6)


def test_forgetting_follows_a_change_that_plain_least_squares_averages() -> None:
    generator = np.random.default_rng(1)
    x = generator.normal(size=(2000, 3))
    y = np.where(np.arange(2000) < 1000, x[:, 0], -x[:, 0])
    assert RecursiveLeastSquares(forgetting=0.98).fit(x, y).coef_[0] == pytest.approx(-1.0, abs=1e-3)
    assert abs(RecursiveLeastSquares().fit(x, y).coef_[0]) < 0.1


@pytest.mark.parametrize(
    ("settings", "message"), [({"delta": 0.0}, "delta=0.0"), ({"forgetting": 1.5}, "forgetting=1.5")]
)
def test_parameters_out_of_range_are_named(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RecursiveLeastSquares(**settings).fit(*problem())
