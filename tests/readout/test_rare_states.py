"""A state that varies in one validation block only: rare hardware errors of a good chip."""

import numpy as np

from asic_reservoir.readout import RidgeReadout


def test_block_selection_survives_a_state_that_is_constant_outside_one_block() -> None:
    rng = np.random.default_rng(5)
    states = rng.normal(size=(1000, 8))
    rare = np.zeros(1000)
    rare[470] = 1.0
    target = states @ rng.normal(size=8) + 0.1 * rng.normal(size=1000)
    alone = RidgeReadout(selection="blocks").fit(states, target)
    with_rare = RidgeReadout(selection="blocks").fit(np.column_stack([states, rare]), target)
    assert with_rare.alpha_ <= 10 * alone.alpha_
    assert with_rare.errors_.min() < 1.5 * alone.errors_.min()
