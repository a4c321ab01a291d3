"""What an executor is."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from asic_reservoir.arms import Plan, SeedResult

POLL_S = 0.2
"""How often a job asks whether it should stop, and says how far it is."""

Job = tuple[Plan, int]
"""A plan and one of its seeds."""


class Executor(Protocol):
    """Runs jobs on twins, each with one BLAS thread."""

    def run(
        self, jobs: Sequence[Job], progress: Callable[[int], None], cancelled: Callable[[], bool]
    ) -> list[SeedResult]:
        """Results in the order of the jobs.

        Args:
            jobs: independent of each other; the longest first.
            progress: called with the steps done by all of them so far.
            cancelled: asked several times a second.

        Raises:
            Interrupted: cancelled; every job has kept what it recorded.
        """
        ...


class Seldom:
    """Lets something through once in :data:`POLL_S`: asking costs more than a step of a small twin."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def due(self) -> bool:
        now = time.monotonic()
        if now - self._last < POLL_S:
            return False
        self._last = now
        return True
