"""Calibration of emulated boards over their serial wires finds what the twins behind them hide."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from watched_board import WatchedBoard, second_opinion, slowest_s

from asic_reservoir.calibration import Calibration, Calibrator, Effort
from asic_reservoir.errors import SafetyError
from asic_reservoir.registry import open_board
from drivers.bm1366.emulated import EmulatedBm1366
from drivers.emulated_serial import Faults
from drivers.s9.emulated_chain import EmulatedHashboard

pytestmark = pytest.mark.timeout(1200)  # three at once, on two cores that others may use as well

PLL_STEP_MHZ = 25.0 / 6.0
"""Distance of neighbouring BM1366 clocks around 500 MHz with the dividers in use there: 25 MHz / (2 · 3)."""
BM1387_STEP_MHZ = 6.25


def uri(device: EmulatedBm1366) -> str:
    return f"bm1366://{device.data.path}?control={device.control.path}&speed={device.speed:g}&ramp_ms=20"


def bm1366_edge() -> tuple[Calibration, WatchedBoard]:
    effort = Effort(mask_nonces=3000, edge_voltages=1, edge_rest_s=200.0)
    with EmulatedBm1366(seed=21, speed=20.0) as device, open_board(uri(device)) as board:
        watched = WatchedBoard(board, device.physics)
        calibrator = Calibrator(watched, effort)
        assert list(calibrator.run(("mask", "edges"))) == ["mask", "edges"]
        return calibrator.record, watched


def bm1366_heat() -> tuple[Calibration, float]:
    with EmulatedBm1366(seed=22, speed=40.0) as device, open_board(uri(device)) as board:
        calibrator = Calibrator(board, Effort(thermal_s=240.0))
        assert list(calibrator.run(("thermal",))) == ["thermal"]
        return calibrator.record, slowest_s(device.physics, 50.0, 1.0, 1.0, chip=0)


def hashboard() -> tuple[Calibration, WatchedBoard, float]:
    """Six chips of an S9."""
    effort = Effort(
        mask_nonces=3000, edge_nonces=800, edge_voltages=1, edge_rest_s=120.0, thermal_s=120.0, thermal_samples=40
    )
    with EmulatedHashboard(seed=25, n_chips=6, speed=10.0) as device:
        where = f"s9-chain://{device.data.path}?control={device.control.path}&speed=10&chips=6"
        with open_board(where) as board:
            watched = WatchedBoard(board, device.physics)
            calibrator = Calibrator(watched, effort)
            assert list(calibrator.run(("mask", "thermal", "edges"))) == ["mask", "thermal", "edges"]
        truth_s = slowest_s(device.physics, 200.0, 7.95 * 6 / 63, device.physics.fan_share, chip=5)
        return calibrator.record, watched, truth_s


@pytest.fixture(scope="module")
def side_by_side() -> Iterator[Callable[[str], Any]]:
    """The calibrations, which mostly wait for their wires, two at a time."""
    with ThreadPoolExecutor(2) as pool:
        jobs = {job.__name__: pool.submit(job) for job in (hashboard, bm1366_edge, bm1366_heat)}
        yield lambda name: jobs[name].result(timeout=1000)


@pytest.mark.slow
def test_mask_and_edge_over_the_wire(side_by_side: Callable[[str], Any]) -> None:
    """The mask exactly; the edge within one PLL step of what the twin has at its voltage and temperature."""

    def judge(record: Calibration, watched: WatchedBoard) -> None:
        assert record.mask.measured == 1
        (found,) = record.edges
        assert found.edge_mhz is not None
        assert abs(found.edge_mhz - watched.edges_at(found)[0]) < PLL_STEP_MHZ

    second_opinion(judge, side_by_side("bm1366_edge"), bm1366_edge)


@pytest.mark.slow
def test_thermal_time_constant_over_the_wire(side_by_side: Callable[[str], Any]) -> None:

    def judge(record: Calibration, truth_s: float) -> None:
        assert record.thermal.time_constant_s == pytest.approx(truth_s, rel=0.15)

    second_opinion(judge, side_by_side("bm1366_heat"), bm1366_heat)


@pytest.mark.slow
def test_mask_edges_and_time_constant_of_a_hashboard(side_by_side: Callable[[str], Any]) -> None:
    """The middle of the board within one PLL step, the slow and the fast chips told apart, and its heat."""

    def judge(record: Calibration, watched: WatchedBoard, truth_s: float) -> None:
        assert record.mask.measured == 1
        assert record.thermal.time_constant_s == pytest.approx(truth_s, rel=0.15)
        (found,) = record.edges
        assert found.edge_mhz is not None
        truths = watched.edges_at(found)
        assert abs(found.edge_mhz - float(np.median(truths))) < BM1387_STEP_MHZ
        chips = np.array([np.nan if edge is None else edge for edge in found.chip_edge_mhz])
        # the points lie around the middle of the board: a chip far from it is known less well
        assert np.median(np.abs(chips - truths)) < BM1387_STEP_MHZ
        assert np.max(np.abs(chips - truths)) < 40.0
        assert np.corrcoef(chips, truths)[0, 1] > 0.9

    second_opinion(judge, side_by_side("hashboard"), hashboard)


@pytest.mark.slow
def test_an_ignored_voltage_setting_is_named() -> None:
    with EmulatedBm1366(seed=23, speed=5.0) as device, open_board(uri(device)) as board:
        calibrator = Calibrator(board)
        device.faults.ignore_voltage = True
        assert list(calibrator.run(("voltage",))) == ["voltage"]
        assert calibrator.record.findings[0] == "voltage-ignored"
        assert any("ignores its voltage setting" in finding for finding in calibrator.record.findings)
        assert device.chain.in_reset


@pytest.mark.slow
def test_a_board_that_was_deaf_from_the_start_is_not_opened() -> None:
    """The regulator stays at what it makes without a code, 1,458 mV."""
    with (
        EmulatedBm1366(seed=24, speed=5.0, faults=Faults(ignore_voltage=True)) as device,
        pytest.raises(SafetyError, match="ignores its voltage setting") as raised,
    ):
        open_board(uri(device))
    assert raised.value.finding == "voltage-ignored"
