"""A twin whose steps take time: what waits for real boards can be tried, and measured, without one."""

from __future__ import annotations

import time
from typing import Any

from asic_reservoir.board import Observation, Step
from asic_reservoir.twin.board import TwinBoard


class PacedTwin(TwinBoard):
    """A twin that sleeps for the rest of every step, so that its time line runs as the clock on the wall.

    What it observes is the same, bit by bit, as without. Late steps are not made up for.

    Args:
        pace: seconds on the wall for a second of the board.
        others: as of :class:`TwinBoard`.

    >>> from asic_reservoir.board import OperatingPoint
    >>> from asic_reservoir.twin import SPECS
    >>> began = time.monotonic()
    >>> with PacedTwin(SPECS["bm1366"], seed=1, pace=0.5) as board:
    ...     seen = board.step(Step(OperatingPoint(), duration_ns=40_000_000))
    >>> time.monotonic() - began >= 0.02
    True
    """

    def __init__(self, *args: Any, pace: float, **others: Any) -> None:
        super().__init__(*args, **others)
        self._pace = pace

    def step(self, step: Step) -> Observation:
        """As :meth:`TwinBoard.step`, in the time that it takes on the board."""
        began = time.monotonic()
        observation = super().step(step)
        left = observation.duration_s * self._pace - (time.monotonic() - began)
        if left > 0:
            time.sleep(left)
        return observation
