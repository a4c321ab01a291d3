"""`asic-reservoir emulate` for the boards at a UART: a process of its own, driven from this one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from asic_reservoir.board import OperatingPoint, Origin, Step
from asic_reservoir.registry import open_board

COMMAND = "from asic_reservoir.cli import main; main()"


@pytest.mark.parametrize(
    ("arguments", "scheme", "end"),
    [
        (["bm1366", "--speed", "2"], "bm1366", signal.SIGTERM),
        (["s9-chain", "--chips", "6", "--speed", "2"], "s9-chain", signal.SIGINT),
    ],
)
@pytest.mark.slow
def test_an_emulated_board_in_a_process_of_its_own(
    tmp_path: Path, arguments: list[str], scheme: str, end: signal.Signals
) -> None:
    """It prints the URI to use; the links are gone after SIGTERM and Ctrl-C."""
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, "emulate", *arguments, "--folder", str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        assert process.stdout is not None
        uri = process.stdout.readline().strip()
        assert uri.startswith(f"{scheme}://{tmp_path}/chips?control={tmp_path}/control")
        with open_board(uri) as board:
            assert board.info.origin is Origin.SIMULATED
            nonces, deadline = 0, time.monotonic() + 60.0
            while nonces <= 20:
                nonces += int(board.step(Step(OperatingPoint(), 2_000_000_000)).counts.total.sum())
                assert time.monotonic() < deadline
        process.send_signal(end)
        assert process.wait(timeout=60) == 0
        assert list(tmp_path.iterdir()) == []
    finally:
        process.kill()
        process.wait(timeout=60)
        if process.stdout is not None:
            process.stdout.close()
