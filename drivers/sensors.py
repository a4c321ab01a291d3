"""Readings of a network board's sensors: polled in a thread, kept for the step they fall into, never silently old."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from asic_reservoir.board import Limits, Telemetry
from asic_reservoir.errors import AsicReservoirError, TimeoutExpiredError

STALE_S = 10.0
"""Host time without an answer from the sensors after which nothing is to be trusted (protocols.md 8)."""
PERIOD_S = 1.0
"""Host time between two readings."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One reading of the board's sensors."""

    time_ns: int
    """Board time."""
    chip_c: float
    board_c: tuple[float, ...]
    voltage_mv: tuple[float, ...]
    power_w: float
    fan_rpm: float
    hardware_errors: int | None = None
    """Counter of wrong nonces that the firmware keeps to itself; None where it has none."""
    undelivered: int | None = None
    """Counter of nonces that the firmware found and could not deliver; None where it has none."""
    fallback: str = ""
    """How the firmware says that it protects the board from heat, by settings of its own; empty where it does not."""


def beyond_limits(sample: Sample, limits: Limits) -> str:
    """What is beyond its limit, for a message; empty where nothing is. A sensor that is not there is beyond none."""
    if sample.chip_c > limits.chip_temperature_c:
        return f"chip at {sample.chip_c:.1f} degC, limit {limits.chip_temperature_c:g} degC"
    if limits.power_w is not None and sample.power_w > limits.power_w:
        return f"{sample.power_w:.0f} W, limit {limits.power_w:g} W"
    return ""


class Sensors:
    """Keeps the readings of one board.

    Args:
        read: Reads the sensors once; may raise an error of ours.
        board: Its name, for messages.
    """

    def __init__(self, read: Callable[[], Sample], board: str) -> None:
        self._read, self._board = read, board
        self._samples: deque[Sample] = deque(maxlen=4096)
        self._answered_at = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._poll, name="telemetry", daemon=True)

    def start(self) -> None:
        """Begin to poll."""
        self._thread.start()

    def stop(self) -> None:
        """End polling. May be called twice, and before :meth:`start`."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(10.0)

    def read(self) -> Sample:
        """A reading of now; the last one while the board is silent for a moment.

        Raises:
            TimeoutExpiredError: it has been silent for ten seconds, or never answered.
        """
        try:
            sample = self._read()
        except AsicReservoirError as error:
            silent = time.monotonic() - self._answered_at
            if silent > STALE_S or not self._samples:
                raise TimeoutExpiredError(
                    f"board {self._board}: no telemetry for {silent:.0f} s, must answer within {STALE_S:g} s ({error})"
                ) from None
            return self._samples[-1]
        self._answered_at = time.monotonic()
        self._samples.append(sample)
        return sample

    @property
    def latest(self) -> Sample | None:
        """The last reading, however old; None before the first."""
        return self._samples[-1] if self._samples else None

    def check_alive(self) -> None:
        """Raises TimeoutExpiredError where nothing has answered for ten seconds, though it is asked every second."""
        silent = time.monotonic() - self._answered_at
        if silent > STALE_S:
            raise TimeoutExpiredError(
                f"board {self._board}: silent for {silent:.0f} s, must answer within {STALE_S:g} s"
            )

    def between(self, begin_ns: int, end_ns: int, last: Sample, n_counters: int) -> Telemetry:
        """The readings of a step; ``last`` where none fell into it. The chip sensor counts for the first counter."""
        samples = [sample for sample in list(self._samples) if begin_ns <= sample.time_ns < end_ns] or [last]
        chip = np.full((len(samples), n_counters), np.nan)
        chip[:, 0] = [sample.chip_c for sample in samples]
        return Telemetry(
            time_ns=np.array([sample.time_ns for sample in samples], np.int64),
            chip_temperature_c=chip,
            board_temperature_c=np.array([sample.board_c for sample in samples], np.float64),
            voltage_mv=np.array([sample.voltage_mv for sample in samples], np.float64),
            power_w=np.array([sample.power_w for sample in samples], np.float64),
            fan_rpm=np.array([sample.fan_rpm for sample in samples], np.float64),
        )

    def _poll(self) -> None:
        while not self._stop.wait(PERIOD_S):
            with contextlib.suppress(AsicReservoirError):
                self.read()
