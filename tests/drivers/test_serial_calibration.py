"""Calibration of emulated boards over their serial wires finds what the twins behind them hide."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from asic_reservoir.calibration import Calibrator, Effort
from asic_reservoir.calibration.record import EdgeResult
from asic_reservoir.errors import SafetyError
from asic_reservoir.registry import open_board
from drivers.bm1366.emulated import EmulatedBm1366
from drivers.emulated_serial import Faults
from drivers.s9.emulated_chain import EmulatedHashboard

PLL_STEP_MHZ = 25.0 / 6.0


def uri(device: EmulatedBm1366) -> str:
    return f"bm1366://{device.data.path}?control={device.control.path}&speed={device.speed:g}&ramp_ms=20"


def found_and_true(calibrator: Calibrator, device: EmulatedBm1366 | EmulatedHashboard) -> list[np.ndarray]:
    """Runs mask and edges; for every edge the truth of all chips at its voltage and temperature."""
    truths: list[np.ndarray] = []
    edge = calibrator._edge

    def remember(voltage_mv: float) -> EdgeResult:
        result = edge(voltage_mv)
        truths.append(device.physics.edge_mhz())
        return result

    calibrator._edge = remember  # type: ignore[method-assign]
    assert list(calibrator.run(("mask", "edges"))) == ["mask", "edges"]
    return truths


EFFORT = Effort(mask_nonces=300, edge_nonces=250, edge_voltages=2, edge_rest_s=10.0)


@pytest.mark.slow
def test_mask_and_edge_over_the_wire() -> None:
    """The mask exactly; the edge within one PLL step of what the twin has at its voltage and temperature."""
    with EmulatedBm1366(seed=21, speed=5.0) as device, open_board(uri(device)) as board:
        calibrator = Calibrator(board, EFFORT)
        truths = found_and_true(calibrator, device)
        record = calibrator.record
        assert record.mask is not None
        assert record.edges is not None
        assert record.mask.measured == 1
        for found, truth in zip(record.edges, truths, strict=True):
            assert found.edge_mhz is not None
            assert abs(found.edge_mhz - truth[0]) < PLL_STEP_MHZ + 2 * (found.standard_error_mhz or 0.0)


@pytest.mark.slow
def test_mask_and_edge_of_a_hashboard_and_of_its_chips() -> None:
    """Six chips: the middle of the board within one PLL step (6.25 MHz), the slow and the fast told apart."""
    with EmulatedHashboard(seed=25, n_chips=6, speed=6.0) as device:
        where = f"s9-chain://{device.data.path}?control={device.control.path}&speed=6&chips=6"
        with open_board(where) as board:
            calibrator = Calibrator(board, replace(EFFORT, edge_nonces=800, edge_voltages=1))
            truths = found_and_true(calibrator, device)
            record = calibrator.record
            assert record.mask is not None
            assert record.edges is not None
            assert record.mask.measured == 1
            found = record.edges[0]
            assert found.edge_mhz is not None
            assert abs(found.edge_mhz - float(np.median(truths[0]))) < 6.25 + 2 * (found.standard_error_mhz or 0.0)
            chips = np.array([np.nan if edge is None else edge for edge in found.chip_edge_mhz])
            # bisection gathers its data around the middle of the board: a chip far from it is known less well
            assert np.median(np.abs(chips - truths[0])) < 6.25
            assert np.max(np.abs(chips - truths[0])) < 40.0
            assert np.corrcoef(chips, truths[0])[0, 1] > 0.9


@pytest.mark.slow
def test_thermal_time_constant_over_the_wire() -> None:
    with EmulatedBm1366(seed=22, speed=40.0) as device, open_board(uri(device)) as board:
        calibrator = Calibrator(board, Effort(thermal_s=240.0))
        assert list(calibrator.run(("thermal",))) == ["thermal"]
        heat = device.spec.heat
        truth = heat.heatsink_j_per_k * heat.heatsink_air_k_per_w
        assert calibrator.record.thermal is not None
        assert calibrator.record.thermal.time_constant_s == pytest.approx(truth, rel=0.15)


@pytest.mark.slow
def test_an_ignored_voltage_setting_is_named() -> None:
    with EmulatedBm1366(seed=23, speed=5.0) as device, open_board(uri(device)) as board:
        calibrator = Calibrator(board)
        device.faults.ignore_voltage = True
        assert list(calibrator.run(("voltage",))) == ["voltage"]
        assert any("ignores its voltage setting" in finding for finding in calibrator.record.findings)
        assert device.chain.in_reset


@pytest.mark.slow
def test_a_board_that_was_deaf_from_the_start_is_not_opened() -> None:
    """The regulator stays at what it makes without a code, 1,458 mV."""
    with (
        EmulatedBm1366(seed=24, speed=5.0, faults=Faults(ignore_voltage=True)) as device,
        pytest.raises(SafetyError, match="ignores its voltage setting"),
    ):
        open_board(uri(device))
