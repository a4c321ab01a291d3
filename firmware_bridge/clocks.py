"""Clocks of this host, and how a stamp of one becomes a time of another.

Intervals are measured with CLOCK_MONOTONIC_RAW, which no time service bends. Kernel stamps come in CLOCK_REALTIME.
Triples of both and of CLOCK_TAI, taken now and then, put runs of several hosts on one time line.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from dataclasses import dataclass

from asic_reservoir.errors import UsageError

_TRIES = 5


def monotonic_raw_ns() -> int:
    """CLOCK_MONOTONIC_RAW in ns: the time line of every real board."""
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)


@dataclass(frozen=True, slots=True)
class ClockTriple:
    """Three clocks at one moment."""

    monotonic_raw_ns: int
    realtime_ns: int
    tai_ns: int
    """Differs from real time by the leap seconds where the kernel knows them, else equals it."""
    uncertainty_ns: int
    """The three were read within so long."""


def read_triple() -> ClockTriple:
    """Read the clocks; the narrowest of five readings.

    >>> read_triple().uncertainty_ns < 1_000_000_000
    True
    """
    best: ClockTriple | None = None
    for _ in range(_TRIES):
        before = monotonic_raw_ns()
        realtime, tai = time.time_ns(), time.clock_gettime_ns(time.CLOCK_TAI)
        after = monotonic_raw_ns()
        if best is None or after - before < best.uncertainty_ns:
            best = ClockTriple((before + after) // 2, realtime, tai, after - before)
    assert best is not None
    return best


class TimeLine:
    """Converts between clocks by the triples it was given; between two of them by a straight line.

    >>> line = TimeLine([ClockTriple(0, 100, 137, 0), ClockTriple(1000, 1101, 1138, 0)])
    >>> line.raw_of_realtime(1101), line.realtime_of_raw(2000)
    (1000, 2102)
    """

    def __init__(self, triples: list[ClockTriple] | None = None) -> None:
        self.triples = sorted(triples or [read_triple()], key=lambda triple: triple.monotonic_raw_ns)

    def record(self) -> ClockTriple:
        """Take a triple now and keep it."""
        triple = read_triple()
        self.triples.append(triple)
        return triple

    def raw_of_realtime(self, realtime_ns: int) -> int:
        """CLOCK_MONOTONIC_RAW at a moment of CLOCK_REALTIME: what a kernel stamp means on a board's time line."""
        return self._convert("realtime_ns", "monotonic_raw_ns", realtime_ns)

    def realtime_of_raw(self, raw_ns: int) -> int:
        """CLOCK_REALTIME at a moment of CLOCK_MONOTONIC_RAW."""
        return self._convert("monotonic_raw_ns", "realtime_ns", raw_ns)

    def tai_of_raw(self, raw_ns: int) -> int:
        """CLOCK_TAI at a moment of CLOCK_MONOTONIC_RAW."""
        return self._convert("monotonic_raw_ns", "tai_ns", raw_ns)

    def _convert(self, source: str, target: str, value: int) -> int:
        marks: list[int] = [getattr(triple, source) for triple in self.triples]
        targets: list[int] = [getattr(triple, target) for triple in self.triples]
        if len(marks) == 1:
            return targets[0] + value - marks[0]
        upper = min(max(bisect_left(marks, value), 1), len(marks) - 1)
        begin, end = marks[upper - 1], marks[upper]
        if end <= begin:
            raise UsageError(f"clock triples: {source} does not advance between {begin} and {end}")
        at_begin, at_end = targets[upper - 1], targets[upper]
        return at_begin + (value - begin) * (at_end - at_begin) // (end - begin)
