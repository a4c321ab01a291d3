"""Jumps and loops are told from a smooth edge of independent errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from boards_with_effects import FlickeringBoard
from hypothesis import given
from hypothesis import strategies as st

from asic_reservoir.board import Board, Origin
from asic_reservoir.claim_trials import transition
from asic_reservoir.claim_trials.driving import Driver
from asic_reservoir.claim_trials.transition import Ways
from asic_reservoir.kinds import TaskContext
from asic_reservoir.registry import open_board

URI = "twin://bm1366?seed=1"


def trial(board: Board) -> transition.Finding:
    driver = Driver(board, TaskContext(URI, Path()), 1)
    ways = transition.collect(driver, 9, 30, 200, 100.0, None)
    assert ways is not None
    return transition.judge(ways, board.info.origin)


def test_a_board_with_two_states_supports_the_claim_and_its_twin_does_not() -> None:
    with open_board(URI) as board:
        plain = trial(board)
    with FlickeringBoard(open_board(URI)) as board:
        flickering = trial(board)
    assert plain.label == "not supported", plain.sentence
    assert flickering.label == "supported", flickering.sentence
    assert "fluctuations" in flickering.sentence


def made(up: list[float], down: list[float], nonces: int = 200, seed: int = 0) -> Ways:
    rng = np.random.default_rng(seed)
    total = np.full((2, len(up), 30), nonces)
    right = rng.binomial(total, np.stack([up, down])[:, :, None])
    unknown = (None,) * len(up)
    return Ways(np.linspace(1000.0, 1200.0, len(up)), 400.0, right, total, (unknown, unknown))


EDGE = [0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98]


def test_a_loop_is_a_change_of_phase_and_an_edge_that_is_not_reached_is_nothing() -> None:
    shifted = [*EDGE[1:], 1.0]
    assert transition.judge(made(EDGE, EDGE), Origin.SIMULATED).label == "not supported"
    loop = transition.judge(made(EDGE, shifted), Origin.SIMULATED)
    assert loop.label == "supported", loop.sentence
    assert loop.effect is not None
    assert loop.effect.low > transition.MARGIN
    high = transition.judge(made([0.9] * 7, [0.9] * 7), Origin.SIMULATED)
    assert high.label == "undecided"
    assert "edge was crossed" in high.sentence
    few = transition.judge(made(EDGE, EDGE, nonces=20), Origin.SIMULATED)
    assert few.label == "undecided"  # neither a loop nor none beyond the margin


def test_a_jump_is_told_from_a_smooth_step() -> None:
    rng = np.random.default_rng(1)
    smooth = transition.change_point(made(EDGE, EDGE), rng)
    jump = transition.change_point(made([0.1] * 4 + [0.9] * 4, [0.1] * 4 + [0.9] * 4), rng)
    assert abs(smooth[0] - 1100) < 15
    assert smooth[2] > 0.05
    assert jump[2] < 0.05


def test_a_voltage_that_cannot_be_set_is_undecided() -> None:
    assert transition.judge_fixed("x://y").label == "undecided"


@given(st.floats(0.05, 0.95), st.integers(50, 500), st.integers(0, 10_000))
def test_counting_alone_has_dispersion_one(share: float, nonces: int, seed: int) -> None:
    """Of 2,000 windows the mean of squared differences has a standard deviation of 0.04."""
    total = np.full((1, 2000), nonces)
    right = np.random.default_rng(seed).binomial(total, share)
    assert abs(transition.dispersion(right, total)[0] - 1) < 0.25
    drifting = np.random.default_rng(seed).binomial(total, np.linspace(0.3, 0.7, 2000))
    assert transition.dispersion(drifting, total)[0] < 1.25  # slow warming is no fluctuation
