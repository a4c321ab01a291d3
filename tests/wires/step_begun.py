"""Things that happen to a device while a step of its board runs, however long the step takes to begin."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from drivers.stratum_board import StratumBoard


def when_a_step_runs(board: StratumBoard, apart_s: float, *actions: Callable[[], object]) -> threading.Thread:
    """Do one thing after the other, so long apart, once the next step watches its device: before, nothing that happens
    would be of that step. The thread that does it is to be joined."""
    begun = threading.Event()
    drop = board._drop_before

    def note(begin_ns: int) -> None:
        drop(begin_ns)
        begun.set()

    def run() -> None:
        assert begun.wait(120)
        board._drop_before = drop  # type: ignore[method-assign]
        for action in actions:
            time.sleep(apart_s)
            action()

    board._drop_before = note  # type: ignore[method-assign]
    helper = threading.Thread(target=run)
    helper.start()
    return helper
