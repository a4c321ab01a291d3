"""LB-Box: driver against emulated box over HTTP, port 4028 and LBRY Stratum."""

import contextlib
import time

import httpx2
import pytest

from asic_reservoir.board import OperatingPoint, Origin, Step, Work, WorkMode
from asic_reservoir.errors import LimitError, ServerError, TimeoutExpiredError, UsageError
from asic_reservoir.registry import open_board
from drivers.lb_box.board import LbBoxBoard
from drivers.lb_box.emulated import EmulatedLbBox
from drivers.s9.emulated import EmulatedS9

SECOND = 1_000_000_000


def board_of(device: EmulatedLbBox, **options: str) -> LbBoxBoard:
    extra = "".join(f"&{name}={value}" for name, value in options.items())
    board = open_board(f"lb-box://127.0.0.1:{device.http_port}?api_port={device.api_port}&listen=127.0.0.1{extra}")
    assert isinstance(board, LbBoxBoard)
    return board


def test_a_fragile_box_survives_our_driver_and_not_a_rude_client() -> None:
    with EmulatedLbBox(speed=5, seed=1, fragile=True) as device:
        with board_of(device) as board:
            assert (board.info.origin, board.info.algorithm) == (Origin.SIMULATED, "lbry")
            expected = 5 * 12 * board.info.chip_rate_hz(600.0)
            valid = []
            for _ in range(6):  # a machine that is late moves nonces from one second into the next
                seen = board.step(Step(OperatingPoint(frequency_mhz=600.0), 5 * SECOND))
                valid.append(int(seen.counts.valid.sum()))
                if 0.5 * expected < valid[-1] < expected + 5 * expected**0.5:
                    break
            assert 0.5 * expected < valid[-1] < expected + 5 * expected**0.5, valid
            assert device.settings.active.frequency_mhz == 600
            assert device.settings.manual
            answered = board.step(Step(OperatingPoint(), 60 * SECOND, Work(WorkMode.HANDSHAKE), until_nonces=4))
            assert board.handshake.exchanges == 4
            assert answered.counts.valid.sum() >= 4
            with pytest.raises(UsageError, match="regulates its own fans"):
                board.step(Step(OperatingPoint(fan_percent=50.0), SECOND))
            with pytest.raises(UsageError, match="must be left at 410"):
                board.step(Step(OperatingPoint(voltage_mv=400.0), SECOND))
            with pytest.raises(LimitError):
                board.step(Step(OperatingPoint(frequency_mhz=900.0), SECOND))
            assert set(board.verdicts) <= {"accepted", "stale", "duplicate"}
        assert not device.settings.manual
        assert device.pools == ()
        assert device.crashes == 0
        with httpx2.Client() as rude, contextlib.suppress(httpx2.HTTPError):
            deadline = time.monotonic() + 60.0
            while not device.crashes and time.monotonic() < deadline:
                rude.get(f"http://127.0.0.1:{device.http_port}/mcb/status")
        assert device.crashes == 1


@pytest.mark.slow
def test_a_box_that_is_gone_for_good_is_told_with_what_was_noticed_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its plug is pulled while the board is in use: the error of the step comes first, then what could not be done."""
    monkeypatch.setattr(LbBoxBoard, "back_within_s", 0.5)
    device = EmulatedLbBox(speed=5, seed=2).start()
    with pytest.raises(TimeoutExpiredError) as told, board_of(device) as board:  # noqa: PT012
        device.stop()
        board.step(Step(OperatingPoint(), SECOND))
    first, _, then = str(told.value).partition("; ")
    assert "no miner connected" in first or "no telemetry" in first  # whichever is noticed first
    assert "not in its safe state, its guard goes on trying" in then


def test_another_miner_at_that_address_is_no_box() -> None:
    with EmulatedS9(speed=5) as device, pytest.raises(ServerError, match="status 401, must be that of a Goldshell box"):
        open_board(f"lb-box://127.0.0.1:{device.http_port}?api_port={device.api_port}")


def test_a_wrong_password_is_named() -> None:
    with EmulatedLbBox(speed=5) as device, pytest.raises(ServerError, match="login of 'admin': status 401"):
        board_of(device, password="wrong")
