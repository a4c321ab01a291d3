"""How every section asks a board: one step at a time, within its limits, with a line of progress each."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asic_reservoir.board import Board, BoardInfo, Detail, Observation, OperatingPoint, Step
from asic_reservoir.errors import TimeoutExpiredError

SHORTEST_S, LONGEST_S = 0.2, 3600.0
TRIES = 3
"""A step in which the link broke or the firmware restarted is made so often in all."""
SETTLE_S = 3.0
"""Clocks that ramp in the firmware have arrived after this, for the usual changes."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How many nonces and samples a section collects."""

    mask_nonces: int = 200
    """A factor of 1.4 is then four standard deviations: the power of two is certain."""
    rate_nonces: int = 400
    edge_nonces: int = 250
    """At every point of an edge; a quarter as many for every chip where the path tells chips apart."""
    edge_voltages: int = 3
    edge_rest_s: float = 300.0
    """At every new voltage the board first runs so long near its edge: the edge moves with temperature."""
    edge_error: float = 0.002
    """An edge is measured until its standard error, relative, is so small: a quarter of a PLL step."""
    edge_rounds: int = 6
    """And no longer than so many times three points."""
    thermal_s: float = 300.0
    thermal_samples: int = 60
    timestamp_nonces: int = 400


Report = Callable[[str, str], None]
"""Told the section and a line about every step."""


class Asker:
    """A board and what is known of it.

    Attributes:
        section: the one that asks now, for progress.
        mask: the filter that was found; None before.
        broken: why steps had to be made again, one text each; whoever needs an unbroken stretch of time looks at its
            length before and after.
    """

    def __init__(self, board: Board, effort: Effort, report: Report) -> None:
        self._board, self.effort, self._report = board, effort, report
        self.section = ""
        self.mask: int | None = None
        self.broken: list[str] = []
        info = board.info
        self.difficulty = 1 if info.ticket_mask_settable else info.ticket_mask

    @property
    def info(self) -> BoardInfo:
        return self._board.info

    @property
    def nominal_mhz(self) -> float:
        return float(np.mean(np.asarray(self.info.nominal.frequency_mhz, np.float64)))

    @property
    def nominal_mv(self) -> float:
        return float(np.mean(np.asarray(self.info.nominal.voltage_mv, np.float64)))

    @property
    def calm_mhz(self) -> float:
        """A frequency far from the edge, and not so low that nothing comes."""
        return max(self.info.limits.frequency_mhz.low, 0.75 * self.nominal_mhz)

    def ask(self, seconds: float, detail: Detail = Detail.COUNTS, **point: float) -> Observation:
        """One step. A voltage is left out where the path cannot set one.

        A step that its link did not carry to its end is made again.

        Raises:
            TimeoutExpiredError: nor did it the third time.
        """
        seconds = min(max(seconds, SHORTEST_S), LONGEST_S)
        if not self.info.voltage_settable:
            point.pop("voltage_mv", None)
        asked = OperatingPoint(
            frequency_mhz=point.get("frequency_mhz"),
            voltage_mv=point.get("voltage_mv"),
            difficulty=int(point["difficulty"]) if "difficulty" in point else None,
        )
        seen = self._step(Step(asked, round(seconds * 1e9), detail=detail))
        named = " ".join(f"{name}={value:g}" for name, value in point.items())
        wrong, total = int(seen.counts.invalid.sum()), int(fresh(seen).sum())
        self._report(self.section, f"{named or 'as it is'}: {seen.duration_s:.1f} s, {total} nonces, {wrong} wrong")
        return seen

    def _step(self, step: Step) -> Observation:
        for _ in range(TRIES - 1):
            try:
                return self._board.step(step)
            except TimeoutExpiredError as error:
                self.broken.append(f"{self.section}: {error}")
                self._report(self.section, f"again: {error}")
        return self._board.step(step)

    def settle(self, frequency_mhz: float) -> Observation:
        """Set a clock and let a slow firmware arrive at it."""
        return self.ask(SETTLE_S, frequency_mhz=frequency_mhz)

    def rate_hz(self, frequency_mhz: float) -> float:
        """Nonces a second of the whole board by the law."""
        info = self.info
        mask = self.mask if self.mask is not None else info.ticket_mask
        effective = max(self.difficulty, mask if not info.ticket_mask_settable else 1)
        return info.n_chips * frequency_mhz * 1e6 * info.hashes_per_clock / (effective * unit(info))

    def seconds_for(self, nonces: int, frequency_mhz: float) -> float:
        return nonces / self.rate_hz(frequency_mhz)


def applied_mhz(seen: Observation) -> float:
    """The clock that held, the mean of the chips."""
    return float(np.mean(np.asarray(seen.applied.frequency_mhz, np.float64)))


def fresh(seen: Observation) -> NDArray[np.int64]:
    """Nonces of a step counted once."""
    return seen.counts.valid + seen.counts.invalid


def mean_of(readings: NDArray[np.float64]) -> float:
    """Of those that are there; NaN if none is."""
    known = readings[np.isfinite(readings)]
    return float(known.mean()) if len(known) else math.nan


def unit(info: BoardInfo) -> float:
    """Hashes of difficulty 1."""
    return 2.0**24 if info.algorithm == "lbry" else 2.0**32
