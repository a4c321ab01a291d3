"""LV06: driver against emulated device over real sockets, both generations, faults and safety."""

import os
import shutil
import signal
import subprocess
import sys
import time

import httpx2
import numpy as np
import pytest
from step_begun import when_a_step_runs

from asic_reservoir.board import Detail, NonceFlag, OperatingPoint, Origin, Step, TimestampSource, Work, WorkMode
from asic_reservoir.errors import BusyError, LimitError, SafetyError, TimeoutExpiredError, UsageError
from asic_reservoir.registry import open_board
from drivers.emulated_device import DeviceNonce
from drivers.emulated_pool_client import LinkFaults
from drivers.lv06.board import Lv06Board
from drivers.lv06.emulated import EmulatedLv06
from firmware_bridge.axeos import Generation

SECOND = 1_000_000_000
SPEED = 20.0


class Recording(EmulatedLv06):
    """Keeps what its chip reported, as the truth to compare with."""

    def __init__(self, **options: object) -> None:
        super().__init__(**options)  # type: ignore[arg-type]
        self.truth: dict[tuple[int, int, int], bool] = {}

    def _report(self, nonce: DeviceNonce) -> None:
        job = int(nonce.job.work.job_id[4:12], 16)
        self.truth[job, nonce.share.nonce, nonce.share.version_bits] = nonce.valid
        super()._report(nonce)


def board_of(device: EmulatedLv06, **options: str) -> Lv06Board:
    extra = "".join(f"&{name}={value}" for name, value in options.items())
    board = open_board(f"lv06://{device.host}:{device.port}?listen=127.0.0.1{extra}")
    assert isinstance(board, Lv06Board)
    return board


def keys(observation) -> list[tuple[int, int, int]]:
    nonces = observation.nonces
    return list(zip(nonces.job.tolist(), nonces.nonce.tolist(), nonces.version.tolist(), strict=True))


def test_a_step_brings_nonces_with_the_devices_time_and_says_that_they_are_simulated() -> None:
    with Recording(speed=SPEED, seed=1) as device, board_of(device) as board:
        assert board.generation is Generation.LIVE
        seen = board.step(Step(OperatingPoint(frequency_mhz=550.0), 30 * SECOND, detail=Detail.NONCES))
        assert (seen.origin, seen.timestamp_source) == (Origin.SIMULATED, TimestampSource.DEVICE)
        assert seen.applied.frequency_mhz == 550.0
        expected = 30 * board.info.chip_rate_hz(550.0)
        assert abs(seen.counts.total.sum() - expected) < 5 * expected**0.5
        assert np.all(np.diff(seen.nonces.time_ns) >= 0)
        assert np.all((seen.nonces.time_ns >= seen.begin_ns) & (seen.nonces.time_ns < seen.end_ns))
        assert set(keys(seen)) <= set(device.truth)
        assert np.all(seen.nonces.core < 112)
        assert board.recovered <= 2  # shown by the log, but so late that its step was over: on a machine that is late
        asked = board.step(
            Step(OperatingPoint(), 600 * SECOND, Work(WorkMode.HANDSHAKE), Detail.NONCES, until_nonces=5)
        )
        assert board.handshake.exchanges == 5
        assert [exchange.job for exchange in board.exchanges] == sorted({exchange.job for exchange in board.exchanges})
        assert asked.counts.valid.sum() >= 5  # and what each job still brought until the next one came
    assert (device.nvs["frequency"], device.nvs["coreVoltage"]) == (485.0, 1200)


def test_a_difficulty_below_the_mask_is_reported_and_not_believed() -> None:
    with EmulatedLv06(speed=100, seed=2) as device, board_of(device, source="stratum") as board:
        seen = board.step(Step(OperatingPoint(difficulty=4), 150 * SECOND))
        assert seen.applied.difficulty == 256
        assert board.mask.mask == 256


def test_nothing_outside_the_limits_is_written() -> None:
    with EmulatedLv06(speed=SPEED) as device, board_of(device, range="research") as board:
        before = dict(device.nvs)
        for point in (
            OperatingPoint(voltage_mv=950.0),  # would wrap to 1.42 V in the DS4432U
            OperatingPoint(frequency_mhz=800.0),
            OperatingPoint(frequency_mhz=500.0, fan_percent=120.0),
        ):
            with pytest.raises(LimitError):
                board.step(Step(point, SECOND))
        with pytest.raises(UsageError, match="Stratum cannot carry"):
            board.step(Step(OperatingPoint(), SECOND, Work(header=bytes(80))))
        assert device.nvs == before
        httpx2.patch(f"http://127.0.0.1:{device.port}/api/system", json={"coreVoltage": 950})
        deadline = time.monotonic() + 60
        while True:  # protocols.md 5.1: what the limit is there for
            info = httpx2.get(f"http://127.0.0.1:{device.port}/api/system/info", timeout=60.0).json()
            if info["coreVoltageActual"] > 1350:
                break
            assert time.monotonic() < deadline, info["coreVoltageActual"]
            time.sleep(0.05)


def test_a_regulator_that_does_not_follow_is_named() -> None:
    step = Step(OperatingPoint(voltage_mv=1100.0), SECOND)
    with EmulatedLv06(speed=SPEED, voltage_ignored=True) as device, board_of(device) as board:  # noqa: SIM117
        with pytest.raises(SafetyError, match=r"setting ignored, asked for 1100 mV"):
            board.step(step)


def test_the_overheat_fallback_of_a_stock_board_is_recognised() -> None:
    left = {"frequency": 50, "coreVoltage": 990}
    with EmulatedLv06(generation=Generation.STOCK, speed=SPEED, settings=left) as device:
        with pytest.raises(SafetyError, match=r"overheat fallback \(50 MHz, 990 mV\)"):
            board_of(device)
        assert device.restarts == 0


@pytest.mark.slow
def test_the_stock_generation_is_restarted_for_every_setting() -> None:
    with Recording(generation=Generation.STOCK, speed=SPEED, seed=3) as device:
        with board_of(device) as board:
            assert board.generation is Generation.STOCK
            restarts = device.restarts
            seen = board.step(
                Step(OperatingPoint(frequency_mhz=550.0, voltage_mv=1250.0), 60 * SECOND, detail=Detail.NONCES)
            )
            assert device.restarts == restarts + 1
            assert (device.nvs["frequency"], device.nvs["coreVoltage"]) == (550, 1250)
            valid = [key for key, ok in zip(keys(seen), seen.nonces.valid, strict=True) if ok]
            assert valid
            assert set(valid) <= {key for key, ok in device.truth.items() if ok}
        assert (device.nvs["frequency"], device.nvs["coreVoltage"]) == (485, 1200)


@pytest.mark.slow
def test_both_generations_protect_themselves() -> None:
    for generation in Generation:
        with EmulatedLv06(
            generation=generation,
            speed=100,
            inlet_c=55.0,
            settings={"autofanspeed": 0, "fanspeed": 20, "manualFanSpeed": 20},
        ) as device:
            httpx2.patch(f"http://127.0.0.1:{device.port}/api/system", json={"frequency": 575, "coreVoltage": 1300})
            body = {"stratumURL": "127.0.0.1", "stratumPort": 1, "stratumUser": "x"}
            if generation is Generation.LIVE:
                httpx2.put(f"http://127.0.0.1:{device.port}/api/system/pools/0", json=body)
            else:
                httpx2.patch(f"http://127.0.0.1:{device.port}/api/system", json=body)
                httpx2.post(f"http://127.0.0.1:{device.port}/api/system/restart")
            deadline = time.monotonic() + 120
            while not device.overheats and time.monotonic() < deadline:
                time.sleep(0.05)
            assert device.overheats
            if generation is Generation.STOCK:
                stored = (device.nvs["frequency"], device.nvs["coreVoltage"], device.nvs["fanspeed"])
                assert stored == (50, 990, 100)


@pytest.mark.slow
def test_a_bad_radio_loses_log_lines_and_no_nonce() -> None:
    """15 % loss and 5 % of shares sent twice: nothing on the wrong job, nothing twice, what was missed is counted."""
    faults = LinkFaults(loss=0.15, retransmit_s=0.05, duplicate=0.05)
    with Recording(speed=SPEED, seed=4, faults=faults) as device, board_of(device) as board:
        seen = [board.step(Step(OperatingPoint(), 40 * SECOND, detail=Detail.NONCES)) for _ in range(6)]
        while not board.recovered and len(seen) < 20:
            seen.append(board.step(Step(OperatingPoint(), 40 * SECOND, detail=Detail.NONCES)))
        found = [
            key
            for one in seen
            for key, flags in zip(keys(one), one.nonces.flags.tolist(), strict=True)
            if flags & NonceFlag.VALID and not flags & (NonceFlag.DUPLICATE | NonceFlag.STALE)
        ]
        assert len(found) == len(set(found)) == sum(int(one.counts.valid.sum()) for one in seen)
        assert set(found) <= {key for key, ok in device.truth.items() if ok}
        assert len(found) > 60
        assert board.recovered > 0
        jobs = {key[0] for key in found}
        true_and_missing = {key for key, ok in device.truth.items() if ok and key[0] in jobs} - set(found)
        assert len(true_and_missing) <= board.between_steps + 3  # between steps, and what is still on its way


@pytest.mark.slow
def test_a_restart_in_the_middle_of_a_step_is_an_error_and_the_next_step_works() -> None:
    with EmulatedLv06(speed=SPEED, seed=5) as device, board_of(device) as board:
        url = f"http://127.0.0.1:{device.port}/api/system/restart"
        helper = when_a_step_runs(board, 0.7, lambda: httpx2.post(url, timeout=60.0))
        with pytest.raises(TimeoutExpiredError, match="link lost"):
            board.step(Step(OperatingPoint(), 1000 * SECOND))
        helper.join(60)
        valid, deadline = 0, time.monotonic() + 60
        while valid <= 3:
            valid += int(board.step(Step(OperatingPoint(), 40 * SECOND)).counts.valid.sum())
            assert time.monotonic() < deadline


@pytest.mark.slow
def test_a_second_program_on_the_same_board_is_named() -> None:
    with EmulatedLv06(speed=SPEED, seed=6) as device, board_of(device) as first:
        first.step(Step(OperatingPoint(), SECOND))
        with board_of(device) as second:
            second.step(Step(OperatingPoint(), SECOND))
            with pytest.raises(BusyError, match="another program points it at"):
                first.step(Step(OperatingPoint(), SECOND))


DRIVER = """
import sys, time
from asic_reservoir.board import OperatingPoint, Step
from asic_reservoir.registry import open_board
board = open_board(sys.argv[1])
board.step(Step(OperatingPoint(frequency_mhz=550.0, voltage_mv=1250.0), 1_000_000_000))
print("up", flush=True)
time.sleep(60)
"""


@pytest.mark.slow
def test_a_killed_driver_leaves_the_board_at_its_defaults() -> None:
    with EmulatedLv06(speed=SPEED, seed=7) as device:
        uri = f"lv06://127.0.0.1:{device.port}?listen=127.0.0.1"
        process = subprocess.Popen([sys.executable, "-c", DRIVER, uri], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        assert (device.nvs["frequency"], device.nvs["coreVoltage"]) == (550.0, 1250)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        deadline = time.monotonic() + 60
        while device.nvs["frequency"] != 485.0 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert (device.nvs["frequency"], device.nvs["coreVoltage"]) == (485.0, 1200)


def test_pages_from_elsewhere_are_refused_and_curl_is_not() -> None:
    """protocols.md 3.6."""
    with EmulatedLv06(speed=SPEED) as device:
        url = f"http://127.0.0.1:{device.port}/api/system/info"
        assert httpx2.get(url, headers={"Origin": "http://evil.example.com"}).status_code == 401
        assert httpx2.get(url, headers={"Origin": "http://192.168.1.7"}).status_code == 200
        answer = httpx2.get(f"http://127.0.0.1:{device.port}/api/nowhere")
        assert (answer.status_code, answer.json()) == (404, {"error": "unknown route"})
        curl = shutil.which("curl")
        if curl is None:
            pytest.skip("curl is not installed")
        text = subprocess.run([curl, "-s", url], capture_output=True, text=True, check=True).stdout
        assert '"ASICModel":"BM1366"' in text
