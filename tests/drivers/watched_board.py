"""A Board around a board that notes, step by step, what its emulated device hides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asic_reservoir.board import Board, BoardInfo, Observation, Step
from asic_reservoir.calibration.record import EdgeResult
from drivers.emulated_physics import DevicePhysics


class WatchedBoard:
    """The truth is read from the physics behind the wire right after every step."""

    def __init__(self, inner: Board, physics: DevicePhysics) -> None:
        self._inner, self._physics = inner, physics
        self.seen: list[tuple[float, float, NDArray[np.float64]]] = []
        """Clock, voltage and the edges of all chips at each step."""

    @property
    def info(self) -> BoardInfo:
        return self._inner.info

    def step(self, step: Step) -> Observation:
        found = self._inner.step(step)
        clock = float(np.mean(np.asarray(found.applied.frequency_mhz)))
        self.seen.append((clock, float(np.mean(np.asarray(found.applied.voltage_mv))), self._physics.edge_mhz()))
        return found

    def close(self) -> None:
        self._inner.close()

    def __enter__(self) -> WatchedBoard:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def edges_at(self, found: EdgeResult, within: float = 0.05) -> NDArray[np.float64]:
        """Edges of all chips when the board last ran at that voltage near the clock that was found."""
        assert found.edge_mhz is not None
        return next(
            edges
            for clock, voltage, edges in reversed(self.seen)
            if abs(voltage - found.voltage_mv) < 8.0 and abs(clock / found.edge_mhz - 1.0) < within
        )


def slowest_s(physics: DevicePhysics, clock_mhz: float, voltage_v: float, fan_share: float, chip: int) -> float:
    """Time constant of a chip's temperature at a point, feedback of leakage included: by asking a copy of the twin.

    A heatsink that is one kelvin warmer comes back to its rest; the last part of that way is one exponential.
    """
    copy = DevicePhysics(replace(physics.spec, heat=physics.spec.heat), 0)
    copy.chips, copy._physics.chips = physics.chips, physics.chips
    copy.frequency_mhz[:], copy.voltage_v[:], copy.fan_share = clock_mhz, voltage_v, fan_share
    copy.advance(3000.0, difficulty=2**40)
    rest = copy.die_c[chip]
    for part in (copy._physics.die_c, copy._physics.package_c, copy._physics.heatsink_c):
        part += 1.0
    above = []
    for _ in range(400):
        copy.advance(0.5, difficulty=2**40)
        above.append(copy.die_c[chip] - rest)
    late = np.array(above)
    keep = (late < 0.6) & (late > 0.05)
    return float(-1.0 / np.polyfit(0.5 * np.arange(400)[keep], np.log(late[keep]), 1)[0])


def second_opinion(judge: Callable[..., None], found: tuple[Any, ...], again: Callable[[], tuple[Any, ...]]) -> None:
    """Judge what a calibration found, and where it falls through one more calibration.

    Counting noise alone, drawn anew in every run, puts one edge of a hashboard in some hundreds a PLL step away (its
    standard error is 1 MHz, and up to 2 MHz with the drift between its points); two in a row are a fault.
    """
    try:
        judge(*found)
    except AssertionError:
        judge(*again())
