"""The time line of a board at a wire: CLOCK_MONOTONIC_RAW, stretched where an emulated device runs faster."""

from __future__ import annotations

import time

from firmware_bridge.clocks import monotonic_raw_ns


class BoardClock:
    """Board time = host time + (host time - start) * (speed - 1).

    Args:
        speed: 1 for hardware; of an emulated device, its own speed.
    """

    def __init__(self, speed: float = 1.0) -> None:
        self.speed = speed
        self._start_ns = monotonic_raw_ns()

    def now_ns(self) -> int:
        """Board time now."""
        return self.of_raw(monotonic_raw_ns())

    def of_raw(self, raw_ns: int) -> int:
        """Board time at a moment of CLOCK_MONOTONIC_RAW."""
        if self.speed == 1.0:
            return raw_ns
        return self._start_ns + round((raw_ns - self._start_ns) * self.speed)

    def host_s(self, board_ns: int) -> float:
        """Seconds here in which so much board time passes."""
        return board_ns * 1e-9 / self.speed

    def sleep(self, board_s: float) -> None:
        """Let board time pass."""
        if board_s > 0.0:
            time.sleep(board_s / self.speed)
