"""An echo state network of reservoirpy, through our harness and on its own: one answer."""

import numpy as np
import pytest
from reservoirpy.nodes import Reservoir, Ridge

from asic_reservoir.evaluation import Split, evaluate
from asic_reservoir.readout import RidgeReadout
from asic_reservoir.tasks import open_task

SPLIT = Split(200, 1000, 1000)


@pytest.fixture(scope="module")
def network() -> tuple[np.ndarray, np.ndarray]:
    series = open_task("narma10").generate(seed=0, n_steps=SPLIT.n_steps)
    reservoir = Reservoir(60, sr=0.9, lr=1.0, input_scaling=0.2, seed=7)
    return reservoir.run(series.input[:, None]), series.target


def test_the_same_penalty_gives_the_same_weights(network: tuple[np.ndarray, np.ndarray]) -> None:
    states, target = network
    x, y = states[SPLIT.train_rows], target[SPLIT.train_rows]
    for penalty in (1e-6, 1e-2):
        theirs = Ridge(ridge=penalty).fit(x, y[:, None])
        ours = RidgeReadout([penalty / len(x)], standardize=False).fit(x, y)
        np.testing.assert_allclose(ours.predict(states), theirs.run(states)[:, 0], atol=1e-8)


def test_the_harness_scores_what_the_library_scores(network: tuple[np.ndarray, np.ndarray]) -> None:
    """Their states, their ridge, the error by hand, against ``evaluate`` with the penalty that it chose."""
    states, target = network
    score = evaluate(states, target, SPLIT)
    scaled = states / states[SPLIT.train_rows].std(axis=0)
    readout = Ridge(ridge=score.alpha * SPLIT.train).fit(scaled[SPLIT.train_rows], target[SPLIT.train_rows][:, None])
    wanted = target[SPLIT.test_rows]
    theirs = np.sqrt(np.mean((readout.run(scaled[SPLIT.test_rows])[:, 0] - wanted) ** 2)) / wanted.std()
    assert score.nrmse == pytest.approx(theirs, abs=1e-6)
    assert score.nrmse < 0.6
