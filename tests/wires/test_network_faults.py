"""What goes wrong on a network, for every board behind one: driver against emulated device over real sockets.

No nonce belongs to a wrong job, none counts twice, what is lost is counted, and the driver is back in its stated time.
"""

from __future__ import annotations

import functools
import time
from typing import Any

import httpx2
import pytest
from step_begun import when_a_step_runs

from asic_reservoir.board import Detail, NonceFlag, Observation, OperatingPoint, Step
from asic_reservoir.errors import BusyError, TimeoutExpiredError
from asic_reservoir.registry import open_board
from drivers import sensors
from drivers.emulated_device import DeviceNonce
from drivers.emulated_pool_client import PoolClient
from drivers.lb_box.emulated import EmulatedLbBox
from drivers.lv06.emulated import EmulatedLv06
from drivers.s9.emulated import EmulatedS9
from drivers.stratum_board import StratumBoard
from firmware_bridge.axeos import Generation

SECOND = 1_000_000_000
Key = tuple[int, int, int]


class Recording:
    """Keeps what the device sent to its pool, as the truth to compare with: job, nonce and version of every share."""

    truth: dict[Key, bool]

    def submit(self, nonce: DeviceNonce) -> bool:
        passed: bool = super().submit(nonce)  # type: ignore[misc]
        if passed:
            job = int(nonce.job.work.job_id[4:12], 16)
            self.truth[job, nonce.share.nonce, nonce.share.version_bits] = nonce.valid
        return passed


class RecordingS9(Recording, EmulatedS9):
    pass


class RecordingLbBox(Recording, EmulatedLbBox):
    pass


class RecordingLv06(Recording, EmulatedLv06):
    pass


def opened(device: Any) -> StratumBoard:
    device.truth = {}
    if isinstance(device, EmulatedLv06):
        uri = f"lv06://127.0.0.1:{device.port}?listen=127.0.0.1"
    else:
        family = "s9" if isinstance(device, EmulatedS9) else "lb-box"
        uri = f"{family}://127.0.0.1:{device.http_port}?api_port={device.api_port}&listen=127.0.0.1"
    board = open_board(uri)
    assert isinstance(board, StratumBoard)
    return board


def step_of(host_s: float, device: Any) -> Step:
    """Takes so long here, whatever the device's time runs at; some tens of nonces a second."""
    difficulty = 256 if isinstance(device, EmulatedLv06) else 2048
    duration_ns = round(host_s * device.speed * SECOND)
    return Step(OperatingPoint(difficulty=difficulty), duration_ns, detail=Detail.NONCES)


class Ledger:
    """Every nonce that a board gave so far; judges each step as it comes."""

    def __init__(self, device: Any, board: StratumBoard) -> None:
        self.device, self.board = device, board
        self.found: set[Key] = set()
        self.duplicates = 0
        self.pools: set[PoolClient] = {device.pool}

    def take(self, seen: Observation) -> int:
        """How many fresh valid nonces the step brought."""
        fresh = 0
        columns = (seen.nonces.job, seen.nonces.nonce, seen.nonces.version, seen.nonces.flags)
        for job, nonce, version, flags in zip(*(column.tolist() for column in columns), strict=True):
            key = job, nonce, version
            if flags & NonceFlag.DUPLICATE:
                self.duplicates += 1
            elif flags & NonceFlag.VALID and not flags & NonceFlag.STALE:
                assert self.device.truth.get(key), f"{key} was never sent for that job"
                assert key not in self.found, f"{key} counted twice"
                self.found.add(key)
                fresh += 1
        assert fresh == seen.counts.valid.sum()
        return fresh

    def nothing_unexplained(self) -> None:
        """Every share that was sent for a job of ours came in a step, or between steps, or stale, or was lost, counted.

        What the device could not deliver is counted here by itself; whether its firmware tells is another matter.
        """
        pool = self.device.pool
        self.pools.add(pool)
        sent = dict(self.device.truth)
        waiting = {number for number, name in list(pool._ids.items()) if name == "submit"}
        deadline = time.monotonic() + 60.0
        while waiting & set(pool._ids) and time.monotonic() < deadline:
            time.sleep(0.01)  # an answer says that the share is in the driver's hands
        self.take(self.board.step(step_of(0.1, self.device)))
        jobs = {key[0] for key in self.found}
        missing = {key for key, ok in sent.items() if ok and key[0] in jobs} - self.found
        lost = sum(pool.lost for pool in self.pools)
        known = self.board.losses
        explained = known.between_steps + known.refused + self.board.verdicts["stale"] + lost
        assert len(missing) <= explained + _RACES


_RACES = 3
"""Shares that were sent while the list of those under way was being made."""


def bad_radio(device: Any, ledger: Ledger) -> None:
    """15 % of the segments lost, 5 % of the shares sent twice."""
    device.faults.loss, device.faults.retransmit_s, device.faults.duplicate = 0.15, 0.02, 0.05
    taken, deadline = 0, time.monotonic() + 90.0
    try:
        while (taken <= 20 or not ledger.duplicates) and time.monotonic() < deadline:
            taken += ledger.take(ledger.board.step(step_of(1.0, device)))
    finally:
        device.faults.loss = device.faults.duplicate = 0.0
    assert taken > 20
    assert ledger.duplicates > 0
    ledger.nothing_unexplained()


def back_again(device: Any, ledger: Ledger) -> None:
    """The next step brings nonces, within the time that the board states."""
    board = ledger.board
    since = time.monotonic()
    while True:
        try:
            if ledger.take(board.step(step_of(0.5, device))):
                break
        except TimeoutExpiredError:
            pass
        assert time.monotonic() - since < board.back_within_s / device.speed + 30.0
    ledger.nothing_unexplained()


def cable(device: Any, ledger: Ledger) -> None:
    """Pulled in the middle of a share, after a moment in which nothing came through, and put back."""
    before = ledger.board.losses
    helper = when_a_step_runs(
        ledger.board,
        0.4,
        lambda: setattr(device.faults, "silent", True),
        device.pull_plug,
        lambda: setattr(device.faults, "silent", False),
        device.plug_in,
    )
    with pytest.raises(TimeoutExpiredError, match=r"link lost .* it must be repeated"):
        ledger.board.step(step_of(8.0, device))
    helper.join(60)
    back_again(device, ledger)
    losses = ledger.board.losses
    assert losses.outages == before.outages + 1
    assert losses.broken == before.broken + 1  # the share that was cut in two
    if isinstance(device, EmulatedS9):
        assert losses.reported > before.reported  # its firmware counts what it could not deliver


def silence(device: Any, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """The device hangs, its connections stay open."""
    monkeypatch.setattr(sensors, "STALE_S", 1.5)
    helper = when_a_step_runs(ledger.board, 0.3, lambda: setattr(device.faults, "silent", True))
    try:
        with pytest.raises(TimeoutExpiredError, match=r"silent for \d+ s, must answer within 1\.5 s"):
            ledger.board.step(step_of(120.0, device))
    finally:
        helper.join(60)
        device.faults.silent = False
        monkeypatch.undo()
    back_again(device, ledger)


def restart(device: Any, ledger: Ledger, url: str, method: str, headers: dict[str, str], auth: Any = None) -> None:
    """Somebody restarts the device in the middle of a step."""
    outages = ledger.board.losses.outages
    ask = functools.partial(httpx2.request, method, url, headers=headers, auth=auth, timeout=60.0)
    helper = when_a_step_runs(ledger.board, 0.4, ask)
    with pytest.raises(TimeoutExpiredError, match="link lost"):
        ledger.board.step(step_of(120.0, device))
    helper.join(60)
    back_again(device, ledger)
    assert ledger.board.losses.outages > outages
    assert ledger.board.losses.away_s > 0.0


def second_program(device: Any, board: StratumBoard) -> None:
    """It points the miner at its own pool: the first driver says so, and takes nothing of the other's for its own."""
    truth = dict(device.truth)
    with opened(device) as second:
        device.truth.update(truth)
        deadline = time.monotonic() + 60.0
        while not second.step(step_of(0.5, device)).counts.valid.sum():
            assert time.monotonic() < deadline
        with pytest.raises(BusyError, match="another program points it at"):
            board.step(step_of(0.5, device))


@pytest.mark.slow
def test_an_s9_with_stock_firmware(monkeypatch: pytest.MonkeyPatch) -> None:
    with RecordingS9(speed=30, seed=11) as device, opened(device) as board:
        ledger = Ledger(device, board)
        bad_radio(device, ledger)
        cable(device, ledger)
        silence(device, ledger, monkeypatch)
        url = f"http://127.0.0.1:{device.http_port}/cgi-bin/reboot.cgi"
        restart(device, ledger, url, "GET", {}, httpx2.DigestAuth("root", "root"))
        second_program(device, board)


@pytest.mark.slow
def test_an_lb_box(monkeypatch: pytest.MonkeyPatch) -> None:
    with RecordingLbBox(speed=20, seed=12) as device, opened(device) as board:
        ledger = Ledger(device, board)
        bad_radio(device, ledger)
        cable(device, ledger)
        silence(device, ledger, monkeypatch)
        token = httpx2.get(
            f"http://127.0.0.1:{device.http_port}/user/login?username=admin&password=123456789&cipher=false",
            timeout=60.0,
        ).json()["JWT Token"]
        url = f"http://127.0.0.1:{device.http_port}/mcb/restart"
        restart(device, ledger, url, "PUT", {"Authorization": f"Bearer {token}"})
        second_program(device, board)


@pytest.mark.slow
def test_an_lv06_of_the_live_generation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its bad radio is a test of its own, beside the others of its log."""
    with RecordingLv06(speed=40, seed=13) as device, opened(device) as board:
        ledger = Ledger(device, board)
        cable(device, ledger)
        silence(device, ledger, monkeypatch)


@pytest.mark.slow
def test_an_lv06_of_the_stock_generation() -> None:
    with RecordingLv06(generation=Generation.STOCK, speed=40, seed=13) as device, opened(device) as board:
        ledger = Ledger(device, board)
        bad_radio(device, ledger)
        cable(device, ledger)
