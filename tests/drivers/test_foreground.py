"""What ends a device in the foreground, and that it raises nothing wherever it strikes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from drivers.foreground import ENDS, at_end_signals


def test_signals_leave_a_mark_and_go_back_to_whose_they_were() -> None:
    before = [signal.getsignal(number) for number in ENDS]
    marks: list[bool] = []
    with at_end_signals(lambda: marks.append(True)):
        for number in ENDS:
            os.kill(os.getpid(), number)
    assert marks == [True, True]
    assert [signal.getsignal(number) for number in ENDS] == before


def test_a_device_that_was_just_started_ends_in_order_at_once(tmp_path: Path) -> None:
    """The address is printed when a signal is heard, not before."""
    words = ("emulate", "bm1366", "--folder", str(tmp_path))
    program = [sys.executable, "-c", "from asic_reservoir.cli import main; main()", *words]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("bm1366://")
        process.send_signal(signal.SIGINT)
        try:
            assert process.wait(timeout=60) == 0
        finally:
            process.kill()
    assert list(tmp_path.iterdir()) == []
