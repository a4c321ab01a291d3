"""The BM1366 driver against the emulated board, over real ptys. They share no code above the codec."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from late_machine import Late, nonces_come

from asic_reservoir.board import Board, Detail, NonceFlag, OperatingPoint, Origin, Step, Work, WorkMode
from asic_reservoir.errors import (
    AsicReservoirError,
    BusyError,
    LimitError,
    NotFoundError,
    SafetyError,
    TimeoutExpiredError,
    UsageError,
)
from asic_reservoir.headers import sha256d
from asic_reservoir.registry import open_board
from drivers.bm1366.board import Bm1366Board
from drivers.bm1366.emulated import EmulatedBm1366
from firmware_bridge.bm13xx.bm1366 import NonceReply
from firmware_bridge.bm13xx.jobs import HeaderJob
from firmware_bridge.bm13xx.registers import Bm1366Register
from firmware_bridge.regulators import ds4432u, ina260

SECOND = 1_000_000_000
RECONNECT_WITHIN_S = 120.0
"""The driver states about two seconds and the ramp; a machine of many programs takes longer for its guard alone."""


def uri(device: EmulatedBm1366, **options: object) -> str:
    given = {"ramp_ms": 1, "speed": device.speed, "proof_bits": device.proof_bits, **options}
    query = "".join(f"&{key}={value}" for key, value in given.items())
    return f"bm1366://{device.data.path}?control={device.control.path}{query}"


def drive(device: EmulatedBm1366, **options: object) -> Bm1366Board:
    board = open_board(uri(device, **options))
    assert isinstance(board, Bm1366Board)
    return board


class Truth:
    """What the emulated chips really found, and for which job."""

    def __init__(self) -> None:
        self.roots: dict[tuple[int, int], set[bytes]] = {}

    def __call__(self, job: HeaderJob, reply: NonceReply) -> None:
        self.roots.setdefault((reply.nonce, reply.version_bits), set()).add(job.root)


@pytest.fixture
def device() -> Iterator[EmulatedBm1366]:
    with EmulatedBm1366(seed=3, speed=4.0) as emulated:
        yield emulated


def step(seconds: float, **point: object) -> Step:
    return Step(OperatingPoint(**point), round(seconds * SECOND), detail=Detail.NONCES)  # type: ignore[arg-type]


def test_a_board_from_open_to_close(device: EmulatedBm1366) -> None:
    """Rate, values, times, telemetry and origin of what comes; the safe state at the end."""
    with drive(device) as board:
        assert isinstance(board, Board)
        assert board.info.origin is Origin.SIMULATED
        late = Late(device)
        seen = board.step(step(6.0, frequency_mhz=400.0))
        rate_hz = board.info.chip_rate_hz(400.0, 1)
        expected = 6.0 * rate_hz
        got = int(seen.counts.total.sum())
        assert abs(got - expected) < 5 * expected**0.5 + late.nonces(board, seen, rate_hz)
        assert seen.begin_ns <= int(seen.nonces.time_ns.min()) <= int(seen.nonces.time_ns.max()) <= seen.end_ns
        assert seen.lost == 0 or late.refused_bytes
        assert set(seen.nonces.core.tolist()) <= set(range(112))
        assert len(set(seen.nonces.core.tolist())) > 0.5 * min(got, 112)
        assert seen.applied.frequency_mhz == 400.0
        assert abs(float(seen.telemetry.voltage_mv[0, 0]) - 1190) < 15
        assert 20 < float(seen.telemetry.chip_temperature_c[0, 0]) < 80
        assert 5 < float(seen.telemetry.power_w[0]) < 15
        assert float(seen.telemetry.fan_rpm[0]) > 1000
        counted = board.step(Step(OperatingPoint(difficulty=16), SECOND))
        assert len(counted.nonces) == 0
        assert counted.applied.difficulty == 16
    assert device.chain.in_reset
    assert device.ds4432u.code == ds4432u.encode(990.0)


@pytest.mark.slow
def test_every_nonce_is_given_to_its_own_job(device: EmulatedBm1366) -> None:
    """Jobs change every 40 ms, 16 ids go round in 0.6 s; late, repeated and wrong nonces are among them."""
    truth = Truth()
    device._observer = truth
    with drive(device) as board:
        roots: dict[int, bytes] = {}
        book = board._book
        add = book.add

        def remember(wire: HeaderJob, withdraw: bool, now_ns: int):  # type: ignore[no-untyped-def]
            job = add(wire, withdraw, now_ns)
            roots[job.number] = job.wire.root
            return job

        book.add = remember  # type: ignore[method-assign]
        stale = duplicate = 0
        for _ in range(60):
            seen = board.step(Step(OperatingPoint(frequency_mhz=520.0), SECOND // 6, Work(clean=True), Detail.NONCES))
            keys = set()
            for i in range(len(seen.nonces)):
                key = int(seen.nonces.nonce[i]), int(seen.nonces.version[i])
                flags = int(seen.nonces.flags[i])
                if flags & NonceFlag.VALID:
                    assert roots[int(seen.nonces.job[i])] in truth.roots[key]
                if not flags & NonceFlag.DUPLICATE:
                    assert (int(seen.nonces.job[i]), *key) not in keys
                    keys.add((int(seen.nonces.job[i]), *key))
            stale += int(seen.counts.stale.sum())
            duplicate += int(seen.counts.duplicate.sum())
        assert stale > 0
        assert board._book.count >= 60


@pytest.mark.slow
def test_wrong_bits_duplicates_and_losses_on_the_line(device: EmulatedBm1366) -> None:
    """A wrong bit in 1 % of the frames and 3 % sent twice: every loss counted, nothing counted twice.

    What comes between the steps is counted there: on a machine that is late, much does.
    """
    with drive(device) as board:
        late = Late(device)
        before = board.losses.nonces
        device.faults.corrupt, device.faults.duplicate = 0.01, 0.03
        lost = valid = duplicate = invalid = rows = 0
        for _ in range(8):
            seen = board.step(step(4.0, frequency_mhz=400.0))
            lost += seen.lost
            valid += int(seen.counts.valid.sum())
            duplicate += int(seen.counts.duplicate.sum())
            invalid += int(seen.counts.invalid.sum())
            rows += len(seen.nonces)
        device.faults.corrupt = device.faults.duplicate = 0.0
        between = board.between_steps
        sent, refused = device.sent_nonces, late.refused_bytes // 11
        deadline = time.monotonic() + 60.0
        while board.losses.nonces - before < device.faults.corrupted - 1 and time.monotonic() < deadline:
            board.step(step(0.5))  # what was on its way
        in_all = board.losses.nonces - before
    assert device.faults.corrupted > 5
    assert in_all >= device.faults.corrupted - 1
    assert board.losses.broken <= device.faults.corrupted + 1 + 2 * refused
    assert 0 < lost <= in_all
    assert duplicate >= 0.9 * device.faults.duplicated * rows / (rows + between) - 3 - refused
    assert valid + invalid <= sent
    assert valid + invalid >= 0.97 * (sent - device.faults.corrupted - between - refused) - 30


def test_a_cable_pulled_inside_a_frame_and_plugged_in_again(tmp_path: Path) -> None:
    device = EmulatedBm1366(seed=4, speed=4.0, data_link=tmp_path / "chips", control_link=tmp_path / "control")
    with device, drive(device) as board:
        before = board.step(step(1.0))
        device.pull_plug(inside_frame=True)
        with pytest.raises((TimeoutExpiredError, NotFoundError)):
            board.step(step(1.0))
        with pytest.raises(NotFoundError):
            board.step(step(1.0))
        device.plug_in()
        began = time.monotonic()
        while True:
            try:
                after = board.step(step(1.0))
                break
            except AsicReservoirError:
                assert time.monotonic() - began < RECONNECT_WITHIN_S
                time.sleep(0.1)
        assert board.reconnects == board.losses.outages >= 1
        assert board.losses.away_s > 0.0
        assert after.index == before.index + 1
        assert set(after.nonces.job.tolist()).isdisjoint(before.nonces.job.tolist())
        nonces_come(board)


def some_steps(board: Bm1366Board, seconds: float) -> None:
    """The first may still bring what was on its way when the device fell silent."""
    for _ in range(5):
        board.step(step(seconds))


@pytest.mark.slow
def test_a_device_that_falls_silent(device: EmulatedBm1366) -> None:
    """It is noticed within the step, named, and the board is left safe."""
    with drive(device) as board:
        board.step(step(1.0))
        device.faults.silent = True
        with pytest.raises(TimeoutExpiredError, match="0 of 1 chips answered"):
            some_steps(board, 2.0)
        assert device.chain.in_reset
        device.faults.silent = False
        nonces_come(board)


def test_nothing_is_written_beyond_the_limits(device: EmulatedBm1366) -> None:
    with drive(device) as board:
        requests, registers = device.adapter.requests, dict(device.chain.chips[0].registers)
        for point in (
            {"voltage_mv": 985.0},
            {"voltage_mv": 1301.0},
            {"frequency_mhz": 576.0, "voltage_mv": 1200.0},
            {"frequency_mhz": float("nan")},
            {"fan_percent": 101.0},
            {"difficulty": 0},
        ):
            with pytest.raises(LimitError, match="must be"):
                board.step(step(1.0, **point))
        with pytest.raises(UsageError, match="shape"):
            board.step(step(1.0, frequency_mhz=np.array([400.0, 400.0])))
        assert device.adapter.requests == requests
        assert device.chain.chips[0].registers == registers


def test_settings_move_in_the_order_that_keeps_the_chip_fast_enough(device: EmulatedBm1366) -> None:
    """Voltage up before clock up; clock down before voltage down; clocks in steps of 6.25 MHz."""
    with drive(device) as board:
        log: list[tuple[str, float]] = []
        write_code, write_register = device.ds4432u.write, device.chain.chips[0].write

        def code(data: bytes) -> None:
            if len(data) > 1:
                log.append(("mV", round(ds4432u.decode(data[1]))))
            write_code(data)

        def register(number: int, value: int) -> None:
            write_register(number, value)
            if number == Bm1366Register.PLL0:
                log.append(("MHz", device.chain.chips[0].frequency_mhz))

        device.ds4432u.write = code  # type: ignore[method-assign]
        device.chain.chips[0].write = register  # type: ignore[method-assign]
        board.step(step(0.1, frequency_mhz=550.0, voltage_mv=1250.0))
        assert [kind for kind, _ in log][:2] == ["mV", "MHz"]
        assert [kind for kind, _ in log].count("mV") == 1
        clocks = [value for kind, value in log if kind == "MHz"]
        assert max(np.diff([485.0, *clocks])) < 7.5
        log.clear()
        board.step(step(0.1, frequency_mhz=450.0, voltage_mv=1150.0))
        assert log[-1][0] == "mV"
        assert {kind for kind, _ in log[:-1]} == {"MHz"}


def test_a_voltage_setting_that_is_ignored_is_recognised(device: EmulatedBm1366) -> None:
    with drive(device) as board:
        device.faults.ignore_voltage = True
        with pytest.raises(SafetyError, match="ignores its voltage setting"):
            board.step(step(0.1, voltage_mv=1050.0, frequency_mhz=400.0))
        with pytest.raises(SafetyError, match="stopped"):
            board.step(step(0.1))
        assert device.chain.in_reset


@pytest.mark.slow
def test_too_hot_ends_in_the_safe_state(device: EmulatedBm1366) -> None:
    with drive(device) as board:
        board.step(step(0.1))
        with device._lock:
            device.physics.die_c[:] = 95.0
            device.physics._physics.package_c[:] = 95.0
            device.physics._physics.heatsink_c[:] = 95.0
        with pytest.raises(SafetyError, match="must be at most 80"):
            board.step(step(0.1))
        assert device.chain.in_reset
        assert device.ds4432u.code == ds4432u.encode(990.0)


@pytest.mark.slow
def test_handshake_keeps_one_job_in_flight(device: EmulatedBm1366) -> None:
    with drive(device) as board:
        seen = board.step(
            Step(OperatingPoint(frequency_mhz=400.0), 6 * SECOND, Work(WorkMode.HANDSHAKE), Detail.NONCES)
        )
        answered = seen.nonces.job[seen.nonces.valid & ~seen.nonces.has(NonceFlag.STALE | NonceFlag.DUPLICATE)]
        assert len(answered) > 10
        assert len(set(answered.tolist())) == len(answered)


def test_a_step_ends_with_the_nonce_it_waited_for(device: EmulatedBm1366) -> None:
    with drive(device) as board:
        seen = board.step(Step(OperatingPoint(), 10 * SECOND, detail=Detail.NONCES, until_nonces=5))
        assert len(seen.nonces) == 5
        assert seen.end_ns == int(seen.nonces.time_ns[-1])


@pytest.mark.slow
def test_a_header_of_the_user_is_searched(device: EmulatedBm1366) -> None:
    header = bytes.fromhex("00000020") + bytes(range(72)) + bytes(4)
    with drive(device) as board:
        seen = board.step(Step(OperatingPoint(), SECOND, Work(header=header), Detail.NONCES))
        while len(rows := np.flatnonzero(seen.nonces.valid)) <= 10:
            seen = board.step(Step(OperatingPoint(), SECOND, Work(header=header), Detail.NONCES))
        for i in rows:
            version = 0x20000000 | int(seen.nonces.version[i])
            found = version.to_bytes(4, "little") + header[4:76] + int(seen.nonces.nonce[i]).to_bytes(4, "little")
            assert int.from_bytes(sha256d(found), "little") < 1 << 256 - device.proof_bits


@pytest.mark.slow
@pytest.mark.parametrize(("protocol", "regulator"), [(0, "ds4432u"), (1, "tps546"), (0, "tps546")])
def test_other_firmware_and_regulators(protocol: int, regulator: str) -> None:
    with EmulatedBm1366(seed=5, protocol=protocol, regulator=regulator, speed=4.0) as device:
        with drive(device) as board:
            assert board.info.physical["regulator"] == regulator
            assert board.info.firmware == f"bitaxe-raw protocol {protocol}"
            seen = board.step(step(2.0, voltage_mv=1150.0, frequency_mhz=450.0))
            nonces_come(board)
            assert abs(float(seen.telemetry.voltage_mv[0, 0]) - 1140) < 20
        assert device.chain.in_reset
        if regulator == "tps546":
            assert device.tps546.voltage_mv == 0.0


@pytest.mark.slow
def test_three_chips_each_with_its_own_clock() -> None:
    with EmulatedBm1366(seed=6, n_chips=3, speed=4.0) as device, drive(device, chips=3) as board:
        late = Late(device)
        seen = board.step(step(4.0, frequency_mhz=np.array([200.0, 400.0, 300.0])))
        rate_hz = np.array([board.info.chip_rate_hz(f, 1) for f in (200.0, 400.0, 300.0)])
        expected = 4.0 * rate_hz
        assert np.all(np.abs(seen.counts.total - expected) < 5 * np.sqrt(expected) + late.nonces(board, seen, rate_hz))
        assert [chip.frequency_mhz for chip in device.chain.chips] == [200.0, 400.0, 300.0]


def test_a_board_without_power_meter_has_no_power_reading() -> None:
    """In version 0 an I2C error has the size of a word: it must not be read as 653 W."""
    with EmulatedBm1366(seed=8, protocol=0, speed=4.0) as device:
        del device.adapter.devices[ina260.ADDRESS]
        with drive(device) as board:
            assert np.isnan(board.step(step(0.2)).telemetry.power_w).all()


@pytest.mark.slow
def test_old_firmware_whose_errors_have_a_wrong_length() -> None:
    """Looking for a TPS546 that is not there brings such an error; the port is usable afterwards."""
    with EmulatedBm1366(seed=9, protocol=0, speed=4.0) as device:
        device.adapter.length_defect = True
        with drive(device) as board:
            assert board.info.physical["regulator"] == "ds4432u"
            nonces_come(board)


def test_one_holder_at_a_time(device: EmulatedBm1366) -> None:
    with drive(device) as board:
        with pytest.raises(BusyError, match="another process"):
            drive(device)
        nonces_come(board)


DRIVER = """
import sys
from asic_reservoir.board import OperatingPoint, Step
from asic_reservoir.registry import open_board
board = open_board(sys.argv[1])
print("running", flush=True)
while True:
    board.step(Step(OperatingPoint(), 200_000_000))
"""


def test_a_killed_driver_leaves_the_board_safe(device: EmulatedBm1366, tmp_path: Path) -> None:
    """SIGKILL: nobody in the driver can do anything any more; its guard holds the reset low and the voltage down."""
    report = tmp_path / "guard.json"
    process = subprocess.Popen(
        [sys.executable, "-c", DRIVER, uri(device, guard_report=report)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "running\n"
        assert not device.chain.in_reset
        os.kill(process.pid, signal.SIGKILL)
        process.wait(timeout=60)
        deadline = time.monotonic() + 60.0
        while not report.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert device.chain.in_reset
        assert device.ds4432u.code == ds4432u.encode(990.0)
        assert "(no answer)" not in report.read_text()
    finally:
        process.kill()
        process.wait(timeout=60)
        if process.stdout is not None:
            process.stdout.close()
    with drive(device) as board:  # and the next start works
        nonces_come(board)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bm1366://", "no port"),
        ("bm1366:///dev/ttyACM1", "either control="),
        ("bm1366:///dev/ttyACM1?control=/dev/x&i2c=/dev/y", "either control="),
        ("bm1366:///dev/ttyACM1?control=/dev/x&speed=2", "only for emulated devices"),
        ("bm1366:///dev/ttyACM1?control=/dev/x&proof_bits=2", "only for emulated devices"),
        ("bm1366:///dev/ttyACM1?control=/dev/x&volts=2", "unknown option 'volts'"),
        ("bm1366:///dev/ttyACM1?control=/dev/x&chips=0", "must be an integer from 1"),
    ],
)
def test_a_uri_that_is_wrong_is_told_so(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        open_board(text)


def test_a_port_that_is_not_there() -> None:
    with pytest.raises(NotFoundError, match="no such device"):
        open_board("bm1366:///dev/does-not-exist?control=/dev/neither")
