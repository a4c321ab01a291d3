"""A regime that is there is found in its cell, and only there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from boards_with_effects import RegularBoard
from hypothesis import given
from hypothesis import strategies as st

from asic_reservoir.board import Board
from asic_reservoir.claim_trials import regimes
from asic_reservoir.claim_trials.driving import Driver
from asic_reservoir.claim_trials.regimes import Cell, Sweep
from asic_reservoir.errors import LimitError, UsageError
from asic_reservoir.kinds import Cancelled, TaskContext
from asic_reservoir.registry import open_board

URI = "twin://bm1366?seed=1"


def sweep(board: Board, gaps: int = 100) -> regimes.Finding:
    driver = Driver(board, TaskContext(URI, Path()), 1)
    found = regimes.collect(driver, regimes.grid_of(driver, (1000.0, 1200.0)), gaps, 0)
    return regimes.judge(found, board.info)


def test_a_board_that_pumps_at_one_clock_supports_the_claim_and_its_twin_does_not() -> None:
    with open_board(URI) as board:
        plain = sweep(board)
    with RegularBoard(open_board(URI), 325.0) as board:
        pumping = sweep(board)
    assert plain.label == "not supported", plain.sentence
    assert pumping.label == "supported", pumping.sentence
    assert "325 MHz" in pumping.sentence
    regular = [row for row in pumping.tables[0].rows if row[-1] == "more regular"]
    assert {row[1] for row in regular} == {325.0}
    assert pumping.effect is not None
    assert pumping.effect.high < -0.5


def made(cvs: list[float], n: int = 150, seed: int = 0) -> Sweep:
    rng = np.random.default_rng(seed)
    cells = tuple(Cell(None, 200.0 + 25 * k, 1) for k in range(len(cvs)))
    visits = tuple(tuple(rng.gamma(1 / cv**2, cv**2, n) for cv in cvs) for _ in range(2))
    return Sweep(cells, (visits[0], visits[1]), 0.0)


def test_what_departs_everywhere_alike_is_no_regime() -> None:
    with open_board(URI) as board:
        found = regimes.judge(made([0.5] * 8), board.info)
        batched = regimes.judge(
            Sweep(*[getattr(made([1.0] * 8), name) for name in ("cells", "gaps_s")], 0.5), board.info
        )
        few = regimes.judge(made([1.0] * 8, n=5), board.info)
    assert found.label == "undecided"
    assert "alike" in found.sentence
    assert batched.label == "undecided"
    assert "not read in batches" in batched.sentence
    assert few.label == "undecided"
    assert few.effect is None


@pytest.mark.parametrize(("uri", "family"), [("twin://s9?seed=1", "s9"), ("twin://lv06?seed=1", "lv06"),
                                             ("twin://lb-box?seed=1", "lb-box"), (URI, "bm1366")])  # fmt: skip
def test_the_grid_is_within_the_limits_and_of_the_published_gaps(uri: str, family: str) -> None:
    with open_board(uri) as board:
        driver = Driver(board, TaskContext(uri, Path()), 1)
        cells = regimes.grid_of(driver)
        for cell in cells:
            assert board.info.limits.frequency_mhz.contains(cell.mhz)
            assert cell.millivolts is None or board.info.limits.voltage_mv.contains(cell.millivolts)
            rate = driver.rate_hz(driver.nominal_mhz, cell.difficulty)
            assert 0.3 < rate < 7  # a gap of the published S9 lasts 0.3 to 1.3 s
        if family == "s9":
            assert {cell.millivolts for cell in cells} == {8000.0, 8200.0, 8400.0}
            assert {cell.mhz for cell in cells} == {200.0, 325.0, 450.0, 600.0}


def test_a_recording_a_forbidden_cell_and_a_cancelled_task_end_it() -> None:
    with open_board("replay://s9-shares") as board, pytest.raises(UsageError, match="can be driven"):
        Driver(board, TaskContext("replay://s9-shares", Path()), 1)
    with open_board(URI) as board:
        driver = Driver(board, TaskContext(URI, Path(), cancelled=lambda: True), 1)
        with pytest.raises(LimitError):
            regimes.collect(driver, (Cell(100.0, 300.0, 1),), 20, 0)
        with pytest.raises(Cancelled):
            regimes.collect(driver, (Cell(1200.0, 300.0, 1),), 20, 0)


@given(st.integers(30, 3000), st.integers(0, 1000), st.floats(1e-6, 10.0))
def test_entropy_is_at_most_that_of_even_bins_and_knows_no_unit(n: int, seed: int, scale: float) -> None:
    gaps = np.random.default_rng(seed).exponential(1.0, n)
    bits = regimes.entropy_bits(gaps)
    assert 0 <= bits <= np.log2(regimes.ENTROPY_BINS) + regimes.ENTROPY_BINS / (2 * n * np.log(2))
    assert regimes.entropy_bits(gaps * scale) == pytest.approx(bits, abs=0.3)
