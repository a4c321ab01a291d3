"""What a machine that is late does to the numbers of a board that is emulated on it."""

from __future__ import annotations

import time
from typing import Any

from asic_reservoir.board import Observation, OperatingPoint, Step
from drivers.emulated_serial import SerialDevice
from drivers.uart_board import UartBoard


class Late:
    """Made before a step, asked after it: how many nonces the step may have too few or too many, because device or
    driver did not run when they should have. On a machine that keeps up that is next to nothing.
    """

    def __init__(self, device: SerialDevice) -> None:
        self._device = device
        self._skipped_s, self._refused_bytes = device.skipped_s, device.data.refused_bytes
        device.late_s = 0.0

    def nonces(self, board: UartBoard, seen: Observation, rate_hz: Any, frame_bytes: int = 7) -> Any:
        """Of a board, or of every chip, that finds so many a second of board time."""
        device_s = (self._device.skipped_s - self._skipped_s + self._device.late_s) * board._clock.speed
        driver_s = (board._clock.now_ns() - seen.end_ns) * 1e-9  # when it looked for the last time before the end
        return rate_hz * (device_s + driver_s) + self.refused_bytes / frame_bytes

    @property
    def refused_bytes(self) -> int:
        """What the driver read so late that the line's buffer was full."""
        return self._device.data.refused_bytes - self._refused_bytes


def nonces_come(board: UartBoard, within_s: float = 60.0) -> Observation:
    """The first step that brings a valid nonce; steps of a second of the board."""
    deadline = time.monotonic() + within_s
    while True:
        seen = board.step(Step(OperatingPoint(), 1_000_000_000))
        if seen.counts.valid.sum() > 0:
            return seen
        assert time.monotonic() < deadline, f"no nonce within {within_s:g} s"
