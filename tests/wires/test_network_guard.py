"""A driver killed with SIGKILL: its guard gives an S9 (either firmware) and an LB-Box back as they were found."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from drivers.lb_box.emulated import EmulatedLbBox
from drivers.s9.emulated import EmulatedS9
from firmware_bridge.cgminer.config import parse_bosminer

DRIVER = """
import sys, time
from asic_reservoir.board import OperatingPoint, Step
from asic_reservoir.registry import open_board
board = open_board(sys.argv[1])
board.step(Step(OperatingPoint(frequency_mhz=600.0), 1_000_000_000))
print("up", flush=True)
time.sleep(60)
"""


def kill_a_driver(uri: str, changed: Callable[[], bool], given_back: Callable[[], bool]) -> None:
    process = subprocess.Popen([sys.executable, "-c", DRIVER, uri], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "up\n"
        assert changed()
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
    deadline = time.monotonic() + 60
    while not given_back() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert given_back()


@pytest.mark.slow
def test_of_an_s9_with_stock_firmware() -> None:
    with EmulatedS9(speed=20, seed=8) as device:
        kill_a_driver(
            f"s9://127.0.0.1:{device.http_port}?api_port={device.api_port}&listen=127.0.0.1",
            lambda: device.config.frequency_mhz == 600,
            lambda: device.config.frequency_mhz == 650,
        )


@pytest.mark.slow
def test_of_an_s9_with_braiins_firmware(tmp_path: Path) -> None:
    with EmulatedS9(firmware="braiins", speed=20, seed=8) as device:
        found = device.toml
        uri = f"s9://127.0.0.1:{device.http_port}?api_port={device.api_port}&ssh_port={device.ssh_port}"
        kill_a_driver(
            f"{uri}&known_hosts={tmp_path / 'known_hosts'}&listen=127.0.0.1",
            lambda: parse_bosminer(device.toml).frequency_mhz == 600.0 and device.restarts == 3,
            lambda: device.toml == found and device.restarts == 4,  # our pool, our settings, 600 MHz; as it was
        )


@pytest.mark.slow
def test_of_an_lb_box() -> None:
    with EmulatedLbBox(speed=5, seed=8) as device:
        kill_a_driver(
            f"lb-box://127.0.0.1:{device.http_port}?api_port={device.api_port}&listen=127.0.0.1",
            lambda: device.settings.active.frequency_mhz == 600,
            lambda: device.settings.active.frequency_mhz == 725,
        )
