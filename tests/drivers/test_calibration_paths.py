"""What calibration finds over the wires of an S9 and of an LB-Box, against the twins behind them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from watched_board import WatchedBoard

from asic_reservoir.calibration import Calibration, Calibrator, Effort
from asic_reservoir.registry import open_board
from drivers.lb_box.emulated import EmulatedLbBox
from drivers.s9.emulated import EmulatedS9

EFFORT = Effort(mask_nonces=1000, edge_nonces=500, edge_voltages=1, edge_rest_s=30.0, edge_error=0.01, edge_rounds=2)
TOLERANCE_MHZ = 25.0
"""Of the edge of a whole S9, 3 % of it. Counting is 3 MHz of that. Every clock restarts the miner process, half a
minute in which 189 chips cool, and the rest after it is short; what is found is where half of the nonces of all chips
are wrong, and the truth beside it the median of chips that differ by 3 %. It is less than the width of the edge (35 to
45 MHz): an encoding that rests two widths beside it is on the right side."""


def calibrated(device: Any, where: str, sections: tuple[str, ...]) -> tuple[Calibration, WatchedBoard]:
    with open_board(where) as board:
        watched = WatchedBoard(board, device.physics)
        calibrator = Calibrator(watched, EFFORT)
        assert tuple(calibrator.run(sections)) == sections
        return calibrator.record, watched


def stock(folder: Path) -> tuple[Calibration, WatchedBoard]:
    with EmulatedS9(seed=42, speed=12.0) as device:
        where = f"s9://127.0.0.1:{device.http_port}?api_port={device.api_port}&listen=127.0.0.1"
        return calibrated(device, where, ("edges",))


def braiins(folder: Path) -> tuple[Calibration, WatchedBoard]:
    with EmulatedS9(firmware="braiins", seed=43, speed=10.0) as device:
        where = (
            f"s9://127.0.0.1:{device.http_port}?api_port={device.api_port}&ssh_port={device.ssh_port}"
            f"&listen=127.0.0.1&known_hosts={folder}/known_hosts"
        )
        return calibrated(device, where, ("mask", "voltage"))


def box(folder: Path) -> tuple[Calibration, WatchedBoard]:
    with EmulatedLbBox(seed=41, speed=8.0) as device:
        where = f"lb-box://127.0.0.1:{device.http_port}?api_port={device.api_port}&listen=127.0.0.1"
        return calibrated(device, where, ("mask", "voltage", "edges"))


@pytest.fixture(scope="module")
def side_by_side(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Any]]:
    """The calibrations, which mostly wait for restarts, at the same time."""
    folder = tmp_path_factory.mktemp("keys")
    with ThreadPoolExecutor(3) as pool:
        jobs = {job.__name__: pool.submit(job, folder) for job in (stock, braiins, box)}
        yield lambda name: jobs[name].result(timeout=280)


@pytest.mark.slow
def test_the_edge_of_a_stock_s9(side_by_side: Callable[[str], Any]) -> None:
    record, watched = side_by_side("stock")
    (found,) = record.edges
    assert found.edge_mhz is not None
    assert not found.extrapolated
    assert abs(found.edge_mhz - float(np.median(watched.edges_at(found)))) < TOLERANCE_MHZ
    assert record.cannot["edges at other voltages"] == "this path cannot set the voltage"
    assert record.cannot["edges of single chips"] == "this path does not tell chips apart"


@pytest.mark.slow
def test_mask_and_voltage_of_a_braiins_s9(side_by_side: Callable[[str], Any]) -> None:
    """Its voltage follows the setting, as bosminer tells it: the code of the PIC, not a measurement."""
    record, watched = side_by_side("braiins")
    assert record.mask.measured == 64
    assert record.voltage.slope == pytest.approx(1.0, abs=0.05)
    assert record.voltage.set_mv[0] < 8400.0
    assert "voltage" not in record.cannot
    clock, voltage, _ = watched.seen[-1]
    assert (clock, voltage) == (pytest.approx(390.0, abs=13.0), pytest.approx(8800.0, abs=50.0))


@pytest.mark.slow
def test_an_lb_box_gives_its_mask_and_that_its_edge_lies_beyond_its_limits(side_by_side: Callable[[str], Any]) -> None:
    record, watched = side_by_side("box")
    assert record.mask.measured == 256
    assert record.cannot["voltage"] == "this path cannot set it"
    assert record.cannot["edges at other voltages"] == "this path cannot set the voltage"
    assert record.cannot["edges of single chips"] == "this path does not tell chips apart"
    (found,) = record.edges
    truth_mhz = float(np.median(watched.seen[-2][2]))
    assert found.highest_tried_mhz == 800.0 < truth_mhz
    assert found.error_at_highest < 0.15
    if found.edge_mhz is not None:  # few errors, so that its middle is known to a tenth at best
        assert found.extrapolated
        assert abs(found.edge_mhz - truth_mhz) < 0.2 * truth_mhz
