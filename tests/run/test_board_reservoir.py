"""A board in scikit-learn's clothes."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from asic_reservoir.errors import LimitError, UsageError
from asic_reservoir.readout import RidgeReadout
from asic_reservoir.reservoir import BoardReservoir

NOT_FOR_SERIES = "rows are steps in time: a subset or another order of them is another series"


def expected_failures(estimator: BoardReservoir) -> dict[str, str]:
    return {
        "check_methods_subset_invariance": NOT_FOR_SERIES,
        "check_methods_sample_order_invariance": NOT_FOR_SERIES,
    }


@parametrize_with_checks(
    [BoardReservoir("twin://bm1366?seed=1", step_seconds=1.0, lags=3)], expected_failed_checks=expected_failures
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_scikit_learns_promises(estimator: BoardReservoir, check: object) -> None:
    check(estimator)  # type: ignore[operator]


def test_a_board_and_a_readout_make_a_pipeline() -> None:
    u = np.random.default_rng(1).uniform(0, 0.5, (700, 1))
    y = 0.5 * u[:, 0] + 0.8 * np.roll(u[:, 0], 3)
    model = make_pipeline(BoardReservoir(), RidgeReadout(washout=30)).fit(u[:500], y[:500])
    error = np.std(model.predict(u[500:])[30:] - y[530:]) / np.std(y)
    assert error < 0.4
    assert model[0].origin_ == "simulated"
    assert np.array_equal(model[0].transform(u[:50]), model[0].transform(u[:50]))


def test_an_input_far_outside_of_what_was_fitted_is_refused() -> None:
    board = BoardReservoir().fit(np.linspace(0, 1, 50)[:, None])
    with pytest.raises(LimitError, match="must be 200 to 900 MHz"):
        board.transform(np.full((30, 1), 50.0))
    with pytest.raises(UsageError, match="must be one of chip-frequency"):
        BoardReservoir(encoding="smell").fit(np.zeros((5, 1)))
