"""A hashboard owned directly, driver against emulation over real ptys. They share no code above the codec."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from late_machine import Late, nonces_come

from asic_reservoir.board import Board, Detail, OperatingPoint, Origin, Step, Work
from asic_reservoir.errors import AsicReservoirError, BusyError, LimitError, TimeoutExpiredError, UsageError
from asic_reservoir.headers import sha256d
from asic_reservoir.registry import open_board
from drivers.emulated_search import find_nonce
from drivers.s9.emulated_chain import EmulatedHashboard
from drivers.s9.own_board import S9Hashboard
from firmware_bridge.bm13xx.bm1387 import WorkReply
from firmware_bridge.bm13xx.jobs import MidstateJob
from firmware_bridge.bm13xx.pll import bm1387_pll
from firmware_bridge.bm13xx.registers import Bm1387Register
from firmware_bridge.bm13xx.sha256 import midstate
from firmware_bridge.pic16 import protocol as pic16

SECOND = 1_000_000_000


def uri(device: EmulatedHashboard, **options: object) -> str:
    given = {"speed": f"{device.speed:g}", "proof_bits": device.proof_bits, "chips": len(device.chips), **options}
    query = "".join(f"&{key}={value}" for key, value in given.items())
    return f"s9-chain://{device.data.path}?control={device.control.path}{query}"


def drive(device: EmulatedHashboard, **options: object) -> S9Hashboard:
    board = open_board(uri(device, **options))
    assert isinstance(board, S9Hashboard)
    return board


@pytest.fixture
def small() -> Iterator[EmulatedHashboard]:
    """Six chips: little work for the machine that tests."""
    with EmulatedHashboard(seed=3, n_chips=6, speed=4.0) as emulated:
        yield emulated


def step(seconds: float, **point: object) -> Step:
    return Step(OperatingPoint(**point), round(seconds * SECOND), detail=Detail.NONCES)  # type: ignore[arg-type]


def test_nonces_are_found_from_the_midstate_on() -> None:
    header = bytes(range(76))
    tail = tuple(int.from_bytes(header[at : at + 4], "little") for at in (64, 68, 72))
    for valid in (True, False):
        nonce = find_nonce(midstate(header[:64]), tail, 0x29 << 24, 0x80FFFF03, 8, valid, 5)  # type: ignore[arg-type]
        assert nonce is not None
        digest = int.from_bytes(sha256d(header + nonce.to_bytes(4, "little")), "little")
        assert (digest < 1 << 248) is valid
        assert nonce >> 24 & 0x7F == 0x29


@pytest.mark.slow
def test_a_whole_hashboard_with_a_clock_for_every_chip() -> None:
    with EmulatedHashboard(seed=2) as device, drive(device) as board:
        assert isinstance(board, Board)
        assert board.info.origin is Origin.SIMULATED
        clocks = np.where(np.arange(63) % 2, 600.0, 300.0)
        late = Late(device)
        seen = board.step(step(3.0, frequency_mhz=clocks))
        rate_hz = np.array([board.info.chip_rate_hz(float(f), 1) for f in clocks])
        slack = late.nonces(board, seen, rate_hz)
        expected = 3.0 * rate_hz
        assert abs(int(seen.counts.total.sum()) - expected.sum()) < 6 * expected.sum() ** 0.5 + slack.sum()
        assert np.all(np.abs(seen.counts.total - expected) < 6 * np.sqrt(expected) + slack)
        real = [bm1387_pll(chip.registers[Bm1387Register.PLL]).frequency_mhz for chip in device.chips]
        assert np.allclose(real, seen.applied.frequency_mhz)  # type: ignore[arg-type]
        assert np.allclose(real, clocks)
        assert set(seen.nonces.core.tolist()) <= set(device.spec.core_numbers)
        assert seen.lost == 0 or late.refused_bytes


@pytest.mark.slow
def test_a_hashboard_from_open_to_close(small: EmulatedHashboard) -> None:
    with drive(small) as board:
        late = Late(small)
        seen = board.step(step(4.0, frequency_mhz=500.0, voltage_mv=8600.0))
        rate_hz = 6 * board.info.chip_rate_hz(500.0, 1)
        expected, slack = 4.0 * rate_hz, late.nonces(board, seen, rate_hz)
        assert abs(int(seen.counts.total.sum()) - expected) < 5 * expected**0.5 + slack
        assert seen.counts.valid.sum() > 0.95 * seen.counts.total.sum() - slack
        assert abs(float(seen.telemetry.voltage_mv[0, 0]) - 8600) < 6
        assert 20 < float(seen.telemetry.chip_temperature_c[0, 5]) < 110
        assert small.pic.enabled
        time.sleep(3.0)  # 12 s of the board: the heartbeat runs on while nobody steps
        assert small.pic.enabled
        nonces_come(board)
    assert not small.pic.enabled
    assert small.pic.cut_offs == 0


@pytest.mark.slow
def test_every_nonce_is_given_to_its_own_work() -> None:
    """Works change every few milliseconds and ids go round ten times a second; jobs change as well.

    A nonce tells its work by proving it. At the 6 bits of the other tests, 1 nonce in 300 proves another work of its
    id by chance; a real board asks 32, and 12 are enough for this test: one that is so late that its id has gone round
    is given to a wrong job once in 4,096 times.
    """
    small = EmulatedHashboard(seed=3, n_chips=6, speed=4.0, proof_bits=12)
    truth: dict[tuple[int, int], set[int]] = {}

    def observe(work: MidstateJob, reply: WorkReply) -> None:
        truth.setdefault((reply.nonce, reply.work_id % 4), set()).add(work.root_tail)

    small._observer = observe
    with small, drive(small) as board:
        tails: dict[int, int] = {}
        valid = stale = wrong = 0
        deadline = time.monotonic() + 120.0
        while (valid <= 1000 or not stale) and time.monotonic() < deadline:
            seen = board.step(Step(OperatingPoint(), SECOND, Work(clean=True), Detail.NONCES))
            assert board._source is not None
            tails[board._source.number] = int.from_bytes(board._source._base[64:68], "little")
            for i in np.flatnonzero(seen.nonces.valid):
                job, nonce = int(seen.nonces.job[i]), int(seen.nonces.nonce[i])
                index = int(seen.nonces.version[i]) >> 13
                if job in tails:
                    wrong += tails[job] not in truth[nonce, index]
                    valid += 1
            stale += int(seen.counts.stale.sum())
        assert wrong <= 2
        assert valid > 1000
        assert stale > 0


@pytest.mark.slow
def test_a_header_of_the_user_is_searched(small: EmulatedHashboard) -> None:
    header = bytes.fromhex("00000020") + bytes(range(72)) + bytes(4)
    with drive(small) as board:
        seen = board.step(Step(OperatingPoint(), 2 * SECOND, Work(header=header), Detail.NONCES))
        while len(rows := np.flatnonzero(seen.nonces.valid)) <= 50:
            seen = board.step(Step(OperatingPoint(), 2 * SECOND, Work(header=header), Detail.NONCES))
        assert len(set(seen.nonces.version.tolist())) > 50
        for i in rows:
            version = 0x20000000 ^ int(seen.nonces.version[i])
            found = version.to_bytes(4, "little") + header[4:76] + int(seen.nonces.nonce[i]).to_bytes(4, "little")
            assert int.from_bytes(sha256d(found), "little") < 1 << 256 - small.proof_bits


@pytest.mark.slow
def test_wrong_bits_and_repetitions(small: EmulatedHashboard) -> None:
    """Without a preamble a wrong bit costs its frame, and the next one is found again."""
    with drive(small) as board:
        late = Late(small)
        before = board.losses.nonces
        small.faults.corrupt, small.faults.duplicate = 0.01, 0.03
        lost = duplicate = total = rows = 0
        for _ in range(6):
            seen = board.step(step(4.0, frequency_mhz=500.0))
            lost += seen.lost
            duplicate += int(seen.counts.duplicate.sum())
            total += int((seen.counts.valid + seen.counts.invalid).sum())
            rows += len(seen.nonces)
        small.faults.corrupt = small.faults.duplicate = 0.0
        between, sent, refused = board.between_steps, small.sent_nonces, late.refused_bytes // 7
        deadline = time.monotonic() + 60.0
        while board.losses.nonces - before < 0.7 * small.faults.corrupted and time.monotonic() < deadline:
            board.step(step(0.5))  # what was on its way
        in_all = board.losses.nonces - before  # with what was lost between the steps: on a late machine, that is much
    assert small.faults.corrupted > 5
    assert 0.7 * small.faults.corrupted <= in_all
    assert board.losses.broken <= 1.5 * small.faults.corrupted + 3 + 2 * refused  # no job explains some between steps
    assert 0 < lost <= in_all
    assert duplicate > 0.7 * small.faults.duplicated * rows / (rows + between) - 3 - refused
    assert total <= sent


def test_settings_move_in_a_safe_order_and_within_limits(small: EmulatedHashboard) -> None:
    with drive(small) as board:
        log: list[str] = []
        execute, write = small.pic._execute, small._write

        def pic(message: pic16.Message) -> None:
            if message.command is pic16.Command.SET_VOLTAGE:
                log.append("mV")
            execute(message)

        def chip(target, register: int, value: int) -> None:  # type: ignore[no-untyped-def]
            if register == Bm1387Register.PLL:
                log.append("MHz")
            write(target, register, value)

        small.pic._execute, small._write = pic, chip  # type: ignore[method-assign]
        board.step(step(0.1, frequency_mhz=700.0, voltage_mv=9200.0))
        assert log == ["mV"] + ["MHz"] * 6
        log.clear()
        board.step(step(0.1, frequency_mhz=400.0, voltage_mv=8200.0))
        assert log == ["MHz"] * 6 + ["mV"]
        log.clear()
        for point in ({"voltage_mv": 7900.0}, {"voltage_mv": 9450.0}, {"frequency_mhz": 150.0}):
            with pytest.raises(LimitError, match="must be"):
                board.step(step(0.1, **point))
        for other in ({"fan_percent": 50.0}, {"difficulty": 3}):
            with pytest.raises(UsageError):
                board.step(step(0.1, **other))
        assert log == []


def some_steps(board: S9Hashboard, seconds: float) -> None:
    """The first may still bring what was on its way when the chips fell silent."""
    for _ in range(5):
        board.step(step(seconds))


@pytest.mark.slow
def test_power_lost_is_noticed_and_the_board_comes_back(small: EmulatedHashboard) -> None:
    with drive(small) as board:
        board.step(step(0.5))
        with small._lock:
            small.pic.enabled = False  # as after a brown-out: the chips forget everything
            small._chips_lose_power()
        with pytest.raises(TimeoutExpiredError, match="chips answered"):
            some_steps(board, 4.0)
        nonces_come(board)
        assert board.reconnects == 1


DRIVER = """
import sys
from asic_reservoir.board import OperatingPoint, Step
from asic_reservoir.registry import open_board
board = open_board(sys.argv[1])
print("running", flush=True)
while True:
    board.step(Step(OperatingPoint(), 200_000_000))
"""


@pytest.mark.parametrize(
    ("with_guard", "speed"), [(True, 1.0), pytest.param(False, 4.0, marks=pytest.mark.slow)], ids=["guard", "pic"]
)
def test_a_killed_driver_leaves_the_board_without_power(tmp_path: Path, with_guard: bool, speed: float) -> None:
    """By its guard at once; by the PIC itself ten seconds of the board later where the guard was killed too."""
    with EmulatedHashboard(seed=3, n_chips=6, speed=speed) as small:
        kill_a_driver(small, tmp_path, with_guard)


def kill_a_driver(small: EmulatedHashboard, tmp_path: Path, with_guard: bool) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", DRIVER, uri(small, guard_report=tmp_path / "guard.json")],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "running\n"
        assert small.pic.enabled
        if not with_guard:
            for child in psutil.Process(process.pid).children():
                child.kill()
        os.kill(process.pid, signal.SIGKILL)
        process.wait(timeout=60)
        deadline = time.monotonic() + 60.0
        while small.pic.enabled and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not small.pic.enabled
        assert small.pic.cut_offs == (0 if with_guard else 1)
    finally:
        process.kill()
        process.wait(timeout=60)
        if process.stdout is not None:
            process.stdout.close()


@pytest.mark.slow
def test_chips_that_fall_silent_are_noticed_and_come_back(small: EmulatedHashboard) -> None:
    """The board is left without power, and a step after it works again."""
    with drive(small) as board:
        board.step(step(0.5))
        small.faults.silent = True
        with pytest.raises(TimeoutExpiredError, match="0 of 1 chips answered"):
            some_steps(board, 1.0)
        assert not small.pic.enabled
        small.faults.silent = False
        nonces_come(board)
        assert board.losses.outages == 1
        assert board.losses.away_s > 0.0


def test_one_holder_at_a_time(small: EmulatedHashboard) -> None:
    with drive(small) as board:
        with pytest.raises(BusyError, match="another process"):
            drive(small)
        nonces_come(board)


@pytest.mark.slow
def test_a_cable_pulled_and_plugged_in_again(tmp_path: Path) -> None:
    links = {"data_link": tmp_path / "chips", "control_link": tmp_path / "control"}
    with EmulatedHashboard(seed=4, n_chips=6, speed=4.0, **links) as device, drive(device) as board:
        board.step(step(1.0))
        device.pull_plug(inside_frame=True)
        with pytest.raises(AsicReservoirError):
            board.step(step(1.0))
        device.plug_in()
        began = time.monotonic()
        while True:
            try:
                board.step(step(1.0))
                break
            except AsicReservoirError:
                assert time.monotonic() - began < 120.0
                time.sleep(0.1)
        nonces_come(board)
