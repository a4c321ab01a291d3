"""A board step by step against a board driven with the whole series."""

from __future__ import annotations

import numpy as np
import pytest

from asic_reservoir.drive import drive
from asic_reservoir.edges import EdgeMap
from asic_reservoir.encoding import Encoder, EncodingSettings
from asic_reservoir.errors import UsageError
from asic_reservoir.feature_names import feature_names
from asic_reservoir.live import LiveReservoir
from asic_reservoir.observables import OBSERVABLES, states_of
from asic_reservoir.registry import open_board

URI = "twin://bm1366?seed=3"
EDGES = EdgeMap(1100.0, np.array([450.0]), np.array([0.03]), 0.0, 0.0)
SETTINGS = {
    "frequency": EncodingSettings("frequency", n_lags=5, n_slots=2, step_s=1.0),
    "dialogue": EncodingSettings("frequency", mode="dialogue", n_lags=4, n_slots=2, step_s=1.0),
    "work": EncodingSettings("work", mode="dialogue", n_lags=1, step_s=1.0),
    "constant": EncodingSettings("frequency", mode="constant", n_lags=3, step_s=1.0),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_the_same_states_bit_by_bit(name: str) -> None:
    settings = SETTINGS[name]
    observables = ("response", "window") if name == "work" else ("counts", "thermal")
    inputs = np.random.default_rng(5).uniform(0.0, 0.5, 40)
    scaled = 2.0 * (inputs - 0.0) / 0.5 - 1.0
    with open_board(URI) as board:
        record = drive(board, Encoder(settings, board.info, EDGES, scaled, 7), len(scaled), settings.n_slots)
    wanted = states_of(observables, record)
    with open_board(URI) as board:
        live = LiveReservoir(board, settings, EDGES, observables=observables, mask_seed=7)
        found = [live.step(float(u)) for u in inputs]
    np.testing.assert_array_equal(np.array([step.states for step in found]), wanted)
    assert [step.begin_ns for step in found] == record.begin_ns[:, 0].tolist()


@pytest.mark.parametrize("u", [np.nan, -0.001, 0.5001, np.inf])
def test_an_input_outside_its_range_touches_nothing(u: float) -> None:
    with open_board(URI) as board:
        live = LiveReservoir(board, SETTINGS["frequency"], EDGES)
        with pytest.raises(UsageError, match=r"must be a number from 0 to 0\.5"):
            live.step(u)
        assert live.step(0.25).begin_ns == 0


@pytest.mark.parametrize("name", OBSERVABLES)
def test_every_column_has_a_name(name: str) -> None:
    settings = SETTINGS["frequency"]
    with open_board(URI) as board:
        record = drive(board, Encoder(settings, board.info, EDGES, np.zeros(12), 7), 12, settings.n_slots)
    names = feature_names([name], record)
    assert len(names) == states_of([name], record).shape[1]
    assert len(set(names)) == len(names)
