"""Symbols from states: what a linear classifier can tell, and what it cannot."""

import numpy as np
import pytest

from asic_reservoir.baselines import delay_line
from asic_reservoir.evaluation import Split, evaluate
from asic_reservoir.readout import ReadoutClassifier
from asic_reservoir.tasks import open_task

TRAIN, TEST = slice(50, 1050), slice(1050, 2050)


def test_parity_is_chance_on_lags_and_certain_on_their_product() -> None:
    """Linear baselines are exactly at chance on parity: any success is nonlinear memory."""
    series = open_task("parity3").generate(0, 2050)
    lags = delay_line(series.input, 10)
    product = np.column_stack([lags, lags[:, 0] * lags[:, 1] * lags[:, 2]])
    chance = ReadoutClassifier().fit(lags[TRAIN], series.target[TRAIN]).score(lags[TEST], series.target[TEST])
    assert chance == pytest.approx(0.5, abs=0.05)
    certain = ReadoutClassifier().fit(product[TRAIN], series.target[TRAIN])
    assert certain.score(product[TEST], series.target[TEST]) == 1.0
    assert certain.decision_function(product[TEST]).shape == (1000,)


def test_four_symbols_of_the_channel_as_measured_elsewhere() -> None:
    """Symbol error of ten linear taps 0.087 at 12 dB and 0.0031 at 24 dB, by the nearest symbol."""
    split = Split(200, 4000, 4000)
    for name, expected, spread in (("channel-12db", 0.0865, 0.012), ("channel-24db", 0.0031, 0.002)):
        rates = []
        for seed in range(3):
            series = open_task(name).generate(seed, split.n_steps)
            score = evaluate(delay_line(series.input, 10), series.target, split)
            rates.append(score.error_rate(series.classes))
        assert np.mean(rates) == pytest.approx(expected, abs=spread), name


def test_many_classes_keep_their_names() -> None:
    generator = np.random.default_rng(0)
    names = np.array(["hot", "cold", "off"])
    place = generator.integers(0, 3, 600)
    states = np.eye(3)[place] + 0.2 * generator.normal(size=(600, 3))
    readout = ReadoutClassifier(selection="blocks").fit(states, names[place])
    assert readout.classes_.tolist() == ["cold", "hot", "off"]
    assert readout.score(states, names[place]) > 0.98
    with pytest.raises(ValueError, match="y holds one class"):
        ReadoutClassifier().fit(states, np.full(600, "hot"))
