"""S9 over the network, stock and Braiins: driver against emulated device, and a plain socket against port 4028."""

import socket
from pathlib import Path

import numpy as np
import pytest

from asic_reservoir.board import Detail, NonceFlag, OperatingPoint, Origin, Step, TimestampSource
from asic_reservoir.errors import LimitError, TimeoutExpiredError, UsageError
from asic_reservoir.registry import open_board
from drivers.s9.board import S9Board
from drivers.s9.emulated import EmulatedS9
from firmware_bridge.cgminer.config import parse_bosminer
from firmware_bridge.cgminer.messages import load_reply

SECOND = 1_000_000_000
SPEED = 10.0


def board_of(device: EmulatedS9, known_hosts: Path | None = None) -> S9Board:
    ssh = f"&ssh_port={device.ssh_port}&known_hosts={known_hosts}" if known_hosts else ""
    board = open_board(f"s9://127.0.0.1:{device.http_port}?api_port={device.api_port}&listen=127.0.0.1{ssh}")
    assert isinstance(board, S9Board)
    return board


def ask(port: int, request: bytes) -> bytes:
    """What ``nc`` does."""
    with socket.create_connection(("127.0.0.1", port), 60) as link:
        link.sendall(request)
        link.shutdown(socket.SHUT_WR)
        answer = b""
        while part := link.recv(65536):
            answer += part
    return answer


def test_a_plain_socket_gets_the_answers_of_bmminer() -> None:
    with EmulatedS9(speed=SPEED) as device:
        for request in (b'{"command":"stats"}', b"stats\n"):
            answer = ask(device.api_port, request)
            assert answer.endswith(b"\0")
            assert b"}{" in answer  # its missing comma
            rows = load_reply(answer)["STATS"]
            assert isinstance(rows, list)
            assert rows[0]["Type"] == "Antminer S9"
            assert [rows[1][f"chain_acn{i}"] for i in (6, 7, 8)] == [63, 63, 63]
        assert set(load_reply(ask(device.api_port, b'{"command":"summary+version"}'))) == {"summary", "version", "id"}
        assert b'"Code":45' in ask(device.api_port, b"restart")
        assert b'"Code":14' in ask(device.api_port, b"nonsense")
        assert b'"Code":23' in ask(device.api_port, b'{"command":')


def test_nobody_there_is_a_timeout() -> None:
    with socket.socket() as free:  # bound and not listening: nobody can answer there
        free.bind(("127.0.0.1", 0))
        uri = f"s9://127.0.0.1?api_port={free.getsockname()[1]}"
        with pytest.raises(TimeoutExpiredError):
            open_board(uri)


@pytest.mark.slow
def test_stock_firmware_sets_its_clock_and_refuses_a_voltage() -> None:
    with EmulatedS9(speed=SPEED, seed=1) as device:
        with board_of(device) as board:
            assert (board.info.origin, board.info.firmware) == (Origin.SIMULATED, "bmminer")
            with pytest.raises(UsageError, match=r"voltage_mv: 8600\.0, must be left at 8800"):
                board.step(Step(OperatingPoint(voltage_mv=8600.0), SECOND))
            with pytest.raises(LimitError):
                board.step(Step(OperatingPoint(frequency_mhz=950.0), SECOND))
            expected = 20 * 189 * board.info.chip_rate_hz(600.0, 256)
            found = []
            for _ in range(6):  # a machine that is late moves nonces from one step into the next
                seen = board.step(
                    Step(OperatingPoint(frequency_mhz=600.0, difficulty=256), 20 * SECOND, detail=Detail.NONCES)
                )
                good = seen.nonces.select(seen.nonces.valid & ~seen.nonces.has(NonceFlag.DUPLICATE))
                found.append(len(good))
                if 0.5 * expected < len(good) < expected + 5 * expected**0.5:
                    break
            assert 0.5 * expected < len(good) < expected + 5 * expected**0.5, found
            assert device.config.frequency_mhz == 600
            assert seen.timestamp_source is TimestampSource.KERNEL
            assert set(good.chip.tolist()) <= set(range(63))
            assert np.all(good.core >= 0)
            assert len(np.unique(good.chip)) > 40
            assert len({(j, n, v) for j, n, v in zip(good.job, good.nonce, good.version, strict=True)}) == len(good)
        assert device.config.frequency_mhz == 650
        assert device.config.pools == ()  # given back as it was found


@pytest.mark.slow
def test_braiins_sets_a_voltage_for_every_hashboard(tmp_path: Path) -> None:
    with EmulatedS9(firmware="braiins", speed=SPEED, seed=2) as device:
        found = device.toml
        with board_of(device, tmp_path / "known_hosts") as board:
            assert board.info.firmware == "bosminer"
            asked = np.array([8700.0, 8800.0, 8900.0])
            seen = board.step(Step(OperatingPoint(frequency_mhz=600.0, voltage_mv=asked, difficulty=256), 10 * SECOND))
            config = parse_bosminer(device.toml)
            assert config.frequency_mhz == 600.0
            assert config.chains == {6: (None, 8.7), 7: (None, 8.8), 8: (None, 8.9)}
            assert np.allclose(seen.telemetry.voltage_mv[-1], asked, atol=6.0)  # one code of the PIC
            while seen.counts.valid.sum() <= 10:
                seen = board.step(Step(OperatingPoint(), 10 * SECOND))
        assert device.toml == found
