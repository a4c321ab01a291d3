"""A fallback of the firmware, a lost link or a restart in the middle of a calibration over the wire.

The board ends safe, what was measured is kept, the record says what happened, and the next run goes on with the rest.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from asic_reservoir.around import BoardAround
from asic_reservoir.board import Board, Observation, OperatingPoint, Step
from asic_reservoir.calibration import Calibrator, Effort, load_calibration
from asic_reservoir.cli import main
from asic_reservoir.errors import SafetyError
from asic_reservoir.registry import open_board
from drivers.lb_box.emulated import EmulatedLbBox
from drivers.lv06.emulated import EmulatedLv06
from firmware_bridge.axeos import Generation
from firmware_bridge.goldshell.status import BoxDevice

WITHIN_S = 60.0


def lv06(device: EmulatedLv06, extra: str = "") -> str:
    return f"lv06://127.0.0.1:{device.port}?listen=127.0.0.1{extra}"


def run_code(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["calibrate", *arguments, "-q"])
    return int(ended.value.code or 0)


def wait_for(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def beside(action: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=action, daemon=True)
    thread.start()
    return thread


class Struck(BoardAround):
    """A board to which something happens while it makes its first step of at least so many board seconds that leaves
    the operating point as it is: such a step only counts."""

    def __init__(self, board: Board, at_least_s: float, blow: Callable[[], object]) -> None:
        super().__init__(board)
        self._at_least_ns, self._blow = round(at_least_s * 1e9), blow
        self.helper: threading.Thread | None = None

    def step(self, step: Step) -> Observation:
        point = step.operating_point
        counts_only = point.frequency_mhz is None and point.voltage_mv is None
        if self.helper is None and counts_only and step.duration_ns >= self._at_least_ns:
            self.helper = beside(self._blow)
        return super().step(step)


@pytest.mark.slow
def test_an_overheat_fallback_in_the_middle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """After the mask, while it warms for its time constant. The board is left in its fallback, where the next start
    finds it; with ``clear_overheat`` and ``--resume`` the rest is done, and the mask is not asked for again."""
    out = tmp_path / "record.json"
    with EmulatedLv06(generation=Generation.STOCK, seed=31, speed=200.0) as device:
        options = ["--out", str(out), "--sections", "mask,thermal", "--thermal-seconds"]

        def blow() -> None:
            wait_for(lambda: out.exists() and device.nvs["frequency"] == 485 and device.clock_mhz == 485)
            time.sleep(0.5)
            device.overheat()

        helper = beside(blow)
        # a warming of 7,200 s takes 36 s here: it trips in its midst
        assert run_code(lv06(device), *options, "7200") == 0
        helper.join(WITHIN_S)
        assert device.overheats == 1
        kept = load_calibration(out)
        assert kept.mask is not None
        assert kept.mask.measured == 256
        assert kept.thermal is None
        assert kept.findings[0] == "overheat-fallback"
        assert kept.findings[1].startswith("stopped: ")
        assert "in its overheat fallback" in kept.findings[1]
        assert "overheat-fallback" in capsys.readouterr().out
        assert (device.nvs["frequency"], device.nvs["coreVoltage"]) == (50, 990)
        assert run_code(lv06(device), *options, "60", "--resume") == 5
        assert run_code(lv06(device, "&clear_overheat=yes"), *options, "60", "--resume") == 0
        assert (device.nvs["frequency"], device.nvs["coreVoltage"]) == (485, 1200)
    whole = load_calibration(out)
    assert whole.mask == kept.mask
    assert whole.thermal is not None


@pytest.mark.slow
def test_a_restart_of_the_firmware_in_the_middle() -> None:
    """While the board cools, which its restart disturbs: that watch is thrown away and made again from a warm board."""
    with EmulatedLv06(seed=33, speed=120.0) as device, open_board(lv06(device)) as board:
        before = device.restarts

        def blow() -> None:
            assert device._loop is not None
            device._loop.call_soon_threadsafe(device.restart_soon)

        struck = Struck(board, 1.9, blow)  # the first of the watch that sets nothing
        calibrator = Calibrator(struck, Effort(thermal_s=120.0, thermal_samples=60))
        assert list(calibrator.run(("thermal",))) == ["thermal"]
        assert device.restarts == before + 1
        record = calibrator.record
        assert (device.nvs["frequency"], device.nvs["coreVoltage"]) == (485.0, 1200)
    assert record.thermal is not None
    assert record.thermal.time_constant_s > 0.0
    assert [finding.startswith("repeated: ") for finding in record.findings] == [True]
    assert "thermal: " in record.findings[0]


def test_a_live_lv06_that_overheats_ends_its_step_and_keeps_its_latch() -> None:
    """It stops, cools, and comes back 100 MHz and 100 mV lower: nobody takes that for the operating point asked for."""
    with EmulatedLv06(seed=35, speed=200.0) as device, open_board(lv06(device)) as board:
        board.step(Step(OperatingPoint(), 20_000_000_000))

        def blow() -> None:
            time.sleep(0.2)
            device.overheat()

        helper = beside(blow)
        with pytest.raises(SafetyError, match="in its overheat fallback") as raised:
            board.step(Step(OperatingPoint(), 36_000_000_000_000))  # three minutes here
        helper.join(WITHIN_S)
        assert raised.value.finding == "overheat-fallback"
    assert (device.nvs["overheat_mode"], device.nvs["frequency"], device.nvs["coreVoltage"]) == (1, 385.0, 1100)


def test_a_box_that_reports_heat_in_the_middle_of_a_step_is_made_safe_at_once() -> None:
    class Hot(EmulatedLbBox):
        hot = False

        def _device(self) -> BoxDevice:
            from dataclasses import replace

            return replace(super()._device(), overheat=self.hot)

    with Hot(seed=34, speed=10.0) as device:
        found = device.settings
        where = f"lb-box://127.0.0.1:{device.http_port}?api_port={device.api_port}&listen=127.0.0.1"
        with open_board(where) as board:
            board.step(Step(OperatingPoint(frequency_mhz=600.0), 1_000_000_000))

            def blow() -> None:
                time.sleep(0.2)
                device.hot = True

            helper = beside(blow)
            with pytest.raises(SafetyError, match="reports that it is too hot; the board was put into its safe state"):
                board.step(Step(OperatingPoint(), 3_600_000_000_000))  # six minutes here
            helper.join(WITHIN_S)
            assert device.settings.active == found.active
