"""How the trials drive a board: within its limits, from cool to warm, cancelled between any two steps."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from asic_reservoir.board import Board, Detail, Observation, OperatingPoint, Origin, Step, Work
from asic_reservoir.errors import UsageError
from asic_reservoir.kinds import TaskContext

START = 0.6
"""A search for the edge starts at this share of the nominal clock."""
CLIMB = 1.05
VOLTAGE_STEPS = 20
LONGEST_S = 3600.0
"""No step of a trial is longer."""


@dataclass(slots=True)
class Driver:
    """A board that a trial drives, and how far it is."""

    board: Board
    context: TaskContext
    steps: int
    """In all, for the progress that people see."""
    done: int = 0

    def __post_init__(self) -> None:
        info = self.board.info
        if info.origin is Origin.REPLAYED or info.nominal.frequency_mhz is None:
            raise UsageError(f"board {info.uri}: a recording, must be a board that can be driven")

    @property
    def nominal_mhz(self) -> float:
        return float(np.mean(np.asarray(self.board.info.nominal.frequency_mhz, np.float64)))

    @property
    def nominal_mv(self) -> float | None:
        """None where the path cannot set a voltage."""
        nominal = self.board.info.nominal.voltage_mv
        if nominal is None or not self.board.info.voltage_settable:
            return None
        return float(np.mean(np.asarray(nominal, np.float64)))

    def rate_hz(self, mhz: float, difficulty: int | None = None) -> float:
        """Nonces a second of the whole board, right and wrong ones, by the law."""
        asked = self.board.info.nominal.difficulty if difficulty is None else difficulty
        return self.board.info.chip_rate_hz(mhz, asked) * self.board.info.n_chips

    def ask(
        self,
        text: str,
        seconds: float,
        mhz: float | None = None,
        millivolts: float | None = None,
        difficulty: int | None = None,
        work: Work | None = None,
        nonces: int | None = None,
        detail: Detail = Detail.COUNTS,
    ) -> Observation:
        """One step. Raises Cancelled where the task was."""
        self.context.stop_if_cancelled()
        point = OperatingPoint(frequency_mhz=mhz, voltage_mv=millivolts, difficulty=difficulty)
        length_ns = max(1_000_000, round(min(seconds, LONGEST_S) * 1e9))
        seen = self.board.step(Step(point, length_ns, work or Work(), detail, nonces))
        self.done = min(self.done + 1, self.steps)
        self.context.progress(self.done, self.steps, text)
        return seen

    def right_and_all(self, seen: Observation) -> tuple[int, int]:
        """Right nonces of a step, and all that it should have. Where a path reports no wrong ones, the law says."""
        right = int(seen.counts.valid.sum())
        if self.board.info.reports_invalid:
            return right, right + int(seen.counts.invalid.sum())
        mhz = float(np.mean(np.asarray(seen.applied.frequency_mhz, np.float64)))
        return right, max(right, round(self.rate_hz(mhz, seen.applied.difficulty) * seen.duration_s))

    def climb(self, millivolts: float | None, wrong: float, nonces: int, highest: float, start: float = START) -> float:
        """The first clock, from below, at which so large a share of the nonces is wrong; the highest allowed else.

        Args:
            millivolts: voltage that is set there; None leaves it.
            wrong: the share.
            nonces: on average at every clock.
            highest: no clock is beyond this multiple of the nominal one, nor beyond the limits.
            start: the first clock, as a multiple of the nominal one.
        """
        limits = self.board.info.limits.frequency_mhz
        top = min(limits.high, highest * self.nominal_mhz)
        mhz = max(limits.low, start * self.nominal_mhz)
        self.ask("clock down", 1.0, mhz)
        while self.wrong_at(mhz, millivolts, nonces) < wrong and mhz < top:
            mhz = min(top, CLIMB * mhz)
        return mhz

    def worse_point(self, wrong: float, nonces: int, highest: float) -> tuple[float, float | None]:
        """Clock and voltage at which about so large a share of the nonces is wrong: the voltage goes down first, in
        twentieths of what is allowed, then the clock goes up."""
        if (nominal := self.nominal_mv) is None:
            return self.climb(None, wrong, nonces, highest, 1.0), None
        low = self.board.info.limits.voltage_mv.low
        for part in range(VOLTAGE_STEPS + 1):
            millivolts = nominal - (nominal - low) * part / VOLTAGE_STEPS
            if self.wrong_at(self.nominal_mhz, millivolts, nonces) >= wrong:
                return self.nominal_mhz, millivolts
        return self.climb(low, wrong, nonces, highest, 1.0), low

    def wrong_at(self, mhz: float, millivolts: float | None, nonces: int) -> float:
        """Share of wrong nonces there; 0 where none came."""
        text = f"looking for the edge, {mhz:.0f} MHz" + ("" if millivolts is None else f", {millivolts:.0f} mV")
        right, total = self.right_and_all(self.ask(text, nonces / self.rate_hz(mhz), mhz, millivolts))
        return 1 - right / total if total else 0.0


def temperature_c(seen: Observation) -> float | None:
    """Mean of the chip sensors that exist."""
    known = seen.telemetry.chip_temperature_c[np.isfinite(seen.telemetry.chip_temperature_c)]
    mean = float(known.mean()) if known.size else math.nan
    return round(mean, 2) if math.isfinite(mean) else None
