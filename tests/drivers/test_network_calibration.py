"""Calibration of emulated network boards over their sockets finds what the twins behind them hide."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from watched_board import WatchedBoard, second_opinion, slowest_s

from asic_reservoir.board import Origin
from asic_reservoir.calibration import Calibration, Calibrator, Effort, load_calibration
from asic_reservoir.cli import main
from asic_reservoir.registry import open_board
from drivers.lv06.emulated import EmulatedLv06
from drivers.s9.emulated import EmulatedS9
from firmware_bridge.axeos import Generation
from firmware_bridge.axeos.settings import Setting

pytestmark = pytest.mark.timeout(1200)  # three at once, on two cores that others may use as well

PLL_STEP_MHZ = 25.0 / 6.0
FALLBACK: dict[str, Setting] = {"frequency": 50, "coreVoltage": 990}


def lv06(device: EmulatedLv06, **options: str) -> str:
    extra = "".join(f"&{name}={value}" for name, value in options.items())
    return f"lv06://127.0.0.1:{device.port}?listen=127.0.0.1{extra}"


def run_code(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["calibrate", *arguments])
    return int(ended.value.code or 0)


def lv06_edge() -> tuple[Calibration, WatchedBoard]:
    """Over HTTP, Stratum and log: a nonce each 2.5 s, hence the speed."""
    with EmulatedLv06(seed=21, speed=400.0) as device, open_board(lv06(device)) as board:
        watched = WatchedBoard(board, device.physics)
        calibrator = Calibrator(watched, Effort(edge_voltages=1))
        assert list(calibrator.run(("mask", "edges"))) == ["mask", "edges"]
        return calibrator.record, watched


def lv06_heat() -> tuple[Calibration, float]:
    effort = Effort(thermal_s=200.0, thermal_samples=50)
    with EmulatedLv06(seed=22, speed=60.0) as device, open_board(lv06(device)) as board:
        calibrator = Calibrator(board, effort)
        assert list(calibrator.run(("thermal",))) == ["thermal"]
        return calibrator.record, slowest_s(device.physics, 400.0, 1.1, 1.0, chip=0)


def stock_s9() -> tuple[Calibration, tuple[float, float]]:
    sections = ("mask", "voltage", "frequency", "thermal")
    effort = Effort(mask_nonces=2000, rate_nonces=1000, thermal_s=200.0, thermal_samples=50)
    with EmulatedS9(seed=23, speed=25.0) as device:
        where = f"s9://127.0.0.1:{device.http_port}?api_port={device.api_port}&listen=127.0.0.1"
        with open_board(where) as board:
            calibrator = Calibrator(board, effort)
            assert tuple(calibrator.run(sections)) == sections
        chip, fan = device.spec.sensor_chips[0], device.physics.fan_share
        cold, hot = (slowest_s(device.physics, mhz, 8.8, fan, chip) for mhz in (200.0, 650.0))
        return calibrator.record, (cold, hot)


@pytest.fixture(scope="module")
def side_by_side() -> Iterator[Callable[[str], Any]]:
    """The calibrations, which mostly wait for their wires, at the same time."""
    with ThreadPoolExecutor(3) as pool:
        jobs = {job.__name__: pool.submit(job) for job in (stock_s9, lv06_edge, lv06_heat)}
        yield lambda name: jobs[name].result(timeout=1000)


@pytest.mark.slow
def test_mask_and_edge_of_an_lv06(side_by_side: Callable[[str], Any]) -> None:

    def judge(record: Calibration, watched: WatchedBoard) -> None:
        assert record.mask.measured == 256
        (found,) = record.edges
        assert found.edge_mhz is not None
        assert not found.extrapolated
        assert abs(found.edge_mhz - watched.edges_at(found)[0]) < PLL_STEP_MHZ

    second_opinion(judge, side_by_side("lv06_edge"), lv06_edge)


@pytest.mark.slow
def test_time_constant_of_an_lv06(side_by_side: Callable[[str], Any]) -> None:

    def judge(record: Calibration, truth_s: float) -> None:
        assert record.thermal.time_constant_s == pytest.approx(truth_s, rel=0.15)

    second_opinion(judge, side_by_side("lv06_heat"), lv06_heat)


@pytest.mark.slow
def test_a_stock_s9_gives_what_its_path_can_and_says_what_it_cannot(side_by_side: Callable[[str], Any]) -> None:
    """Mask and heat, though every setting restarts the miner; neither voltages nor single chips."""

    def judge(record: Calibration, limits_s: tuple[float, float]) -> None:
        cold_s, hot_s = limits_s
        assert record.mask.measured == 64
        assert record.cannot["voltage"] == "this path cannot set it"
        assert "the driver waits" in record.cannot["clock settling"]
        # leakage slows a hot board; it was watched both cooling and warming
        assert 0.85 * cold_s < record.thermal.time_constant_s < 1.15 * hot_s

    second_opinion(judge, side_by_side("stock_s9"), stock_s9)


def test_a_stock_lv06_in_its_overheat_fallback_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is not opened, and the record and the screen say why."""
    out = tmp_path / "record.json"
    with EmulatedLv06(generation=Generation.STOCK, speed=50.0, settings=FALLBACK) as device:
        assert run_code(lv06(device), "--out", str(out), "-q") == 5
        assert device.restarts == 0
        assert {name: device.nvs[name] for name in FALLBACK} == FALLBACK  # nothing was written
    record = load_calibration(out)
    assert record.findings[0] == "overheat-fallback"
    assert "50 MHz, 990 mV" in record.findings[1]
    assert (record.family, record.origin, record.mask) == ("lv06", Origin.SIMULATED, None)
    shown = capsys.readouterr()
    assert "overheat-fallback" in shown.out
    assert "clear_overheat=yes" in shown.err


@pytest.mark.slow
def test_a_fallback_that_was_cleared_stays_in_the_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "record.json"
    with EmulatedLv06(generation=Generation.STOCK, speed=200.0, seed=4, settings=FALLBACK) as device:
        where = lv06(device, clear_overheat="yes")
        assert run_code(where, "--out", str(out), "-q", "--sections", "mask") == 0
        assert (device.nvs["frequency"], device.nvs["coreVoltage"]) == (485, 1200)
    record = load_calibration(out)
    assert record.findings == ["overheat-fallback"]
    assert record.mask is not None
    assert record.mask.measured == 256
    assert "overheat-fallback" in capsys.readouterr().out


def test_an_lv06_that_ignores_its_voltage_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "record.json"
    with EmulatedLv06(speed=100.0, seed=5, voltage_ignored=True) as device:
        assert run_code(lv06(device), "--out", str(out), "-q", "--sections", "voltage") == 0
        assert (device.nvs["frequency"], device.nvs["coreVoltage"]) == (485.0, 1200)  # its defaults
    record = load_calibration(out)
    assert record.findings[0] == "voltage-ignored"
    assert "setting ignored" in record.findings[1]
    assert "voltage-ignored" in capsys.readouterr().out


@pytest.mark.slow
def test_ctrl_c_at_the_wire_keeps_what_was_found_and_the_next_run_goes_on(tmp_path: Path) -> None:
    """The command in a process of its own; the board is back at its defaults, and only what is missing is done."""
    out = tmp_path / "record.json"
    begin = [sys.executable, "-c", "from asic_reservoir.cli import main; main()", "calibrate"]
    with EmulatedLv06(seed=6, speed=100.0) as device:
        options = [lv06(device), "--out", str(out), "--sections", "mask,thermal", "-q"]
        process = subprocess.Popen([*begin, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 300.0
        while not out.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        while device.nvs["frequency"] != 400.0 and time.monotonic() < deadline:  # in the middle of its cooling
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        shown, said = process.communicate(timeout=120)
        assert process.returncode == 130, said
        assert "Traceback" not in said
        assert "256 (asked for 256" in shown
        assert (device.nvs["frequency"], device.nvs["coreVoltage"]) == (485.0, 1200)
        kept = json.loads(out.read_text())
        assert kept["mask"]["measured"] == 256
        assert kept["thermal"] is None
        done = subprocess.run([*begin, *options, "--resume", "--thermal-seconds", "60"], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        record = load_calibration(out)
        assert record.mask is not None
        assert record.mask.model_dump() == kept["mask"]
        assert record.thermal is not None
