"""``asic-reservoir emulate lv06`` as a process of its own, driven by its printed URI."""

import signal
import subprocess
import sys
import time

import pytest

from asic_reservoir.board import OperatingPoint, Origin, Step
from asic_reservoir.registry import open_board

MAIN = "from asic_reservoir.cli import main; main()"


@pytest.mark.slow
def test_the_printed_uri_opens_the_emulated_board() -> None:
    command = [sys.executable, "-c", MAIN, "emulate", "lv06", "--speed", "20", "--seed", "9"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        uri = process.stdout.readline().strip()
        assert uri.startswith("lv06://127.0.0.1:")
        with open_board(f"{uri}?listen=127.0.0.1") as board:
            deadline = time.monotonic() + 60.0
            while not (
                seen := board.step(Step(OperatingPoint(frequency_mhz=500.0), 20_000_000_000))
            ).counts.total.sum():
                assert time.monotonic() < deadline
        assert seen.origin is Origin.SIMULATED
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_an_address_that_is_taken_is_named() -> None:
    command = [sys.executable, "-c", MAIN, "emulate", "lv06", "--host", "203.0.113.1"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert result.returncode == 4
    assert result.stderr.startswith("error: emulated lv06: ")
