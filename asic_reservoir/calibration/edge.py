"""The edge of stability at one voltage: found from below, approached by bisection, measured at its own temperature."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from asic_reservoir.board import Observation
from asic_reservoir.calibration.asking import SHORTEST_S, TRIES, Asker, applied_mhz, mean_of
from asic_reservoir.calibration.fits import Edge, fit_edge
from asic_reservoir.calibration.record import EdgeResult

_CLIMB = 1.1
"""The clock climbs by so much until half of the nonces are wrong."""
_BISECTIONS = 2
"""Between the last two clocks of the climb: within about 3 % of the edge, where its curve is steep."""
_COARSE = 4
"""On the way there a point needs so many times fewer nonces."""
_BESIDE = 0.02
"""The fine points lie so far on either side of the edge: within its width, so that the shape of its tails is no
matter."""
_CHIP_OFFSETS = (0.06, 0.1, 0.14)
"""Where chips tell themselves apart, their own edges are looked for so far from the middle of the board."""
_RESTARTED_S = 10.0
"""A board that was away for so long between two steps has cooled, and rests again before it is measured."""
_LEAST_SHARE = 0.002
"""An edge beyond the limits is extrapolated from no smaller share of wrong nonces."""
_SHAPE_UNKNOWN = 0.3
"""Share of the distance of an extrapolation that it may be off by, beside counting: the cores of a chip are a draw,
so that the middle of its curve is not known from its foot. (Forty twins: 5 MHz at 15 MHz beyond.)"""


def voltages_of(asker: Asker) -> list[float]:
    """Where edges are looked for, the highest first: from the nominal voltage down."""
    high = asker.nominal_mv
    if not asker.info.voltage_settable:
        return [high]
    low = max(asker.info.limits.voltage_mv.low, high - 0.7 * (high - asker.info.limits.voltage_mv.low))
    return [float(mv) for mv in np.linspace(high, low, asker.effort.edge_voltages)]


class EdgeSearch:
    """One voltage."""

    def __init__(self, asker: Asker, voltage_mv: float) -> None:
        self._asker, self._voltage_mv = asker, voltage_mv
        info = asker.info
        self._wanted = max(asker.effort.edge_nonces, asker.effort.edge_nonces * info.n_counters // 4)
        self._clocks: list[float] = []
        self._wrong: list[NDArray[np.float64]] = []
        self._total: list[NDArray[np.float64]] = []
        self._hot = math.nan
        self._ended_ns = 0
        """When the step before ended, while the temperature must be that of the edge; 0 on the way there."""

    def run(self) -> EdgeResult:
        """Coarse, then at rest, then fine."""
        asker, limits = self._asker, self._asker.info.limits.frequency_mhz
        low = max(limits.low, 0.6 * asker.nominal_mhz)
        asker.ask(SHORTEST_S, frequency_mhz=low)  # clock down before voltage down, whatever the driver does
        asker.ask(SHORTEST_S, voltage_mv=self._voltage_mv)
        coarse = max(20, self._wanted // _COARSE)
        high, share = low, self._measure(low, coarse)
        while share <= 0.5 and high < limits.high:  # from below: the heat comes slowly, and no further than needed
            low, high = high, min(limits.high, _CLIMB * high)
            share = self._measure(high, coarse)
        reached = share > 0.5
        for _ in range(_BISECTIONS if reached else 0):
            middle = 0.5 * (low + high)
            low, high = (low, middle) if self._measure(middle, coarse) > 0.5 else (middle, high)
        place = 0.5 * (low + high) if reached else high
        rested = asker.ask(asker.effort.edge_rest_s, frequency_mhz=place)
        self._forget()
        self._ended_ns = rested.end_ns
        fit, at_place = self._fine(place)
        if fit is not None and asker.info.n_counters > 1:
            self._reach_chips(min(max(fit.edge_mhz, limits.low), limits.high))
        return self._result(fit, at_place)

    def _fine(self, place: float) -> tuple[Edge | None, float]:
        """Three points around the edge, again and again around what they say, until it is known well enough."""
        limits, effort = self._asker.info.limits.frequency_mhz, self._asker.effort
        fit: Edge | None = None
        at_highest = 0.0
        for _ in range(effort.edge_rounds):
            top = min(place * (1.0 + _BESIDE), limits.high)
            clocks = [top, top / (1.0 + _BESIDE), top / (1.0 + 2.0 * _BESIDE)]
            shares = [self._measure(max(mhz, limits.low), self._wanted) for mhz in clocks]
            at_highest = shares[0]
            fit = fit_edge(*self._sums())
            if fit is None or max(shares) < _LEAST_SHARE:
                return None, at_highest
            place = min(max(fit.edge_mhz, limits.low), limits.high)
            bracketed = fit.edge_mhz <= max(self._clocks) or top >= limits.high
            if bracketed and fit.standard_error_mhz < effort.edge_error * fit.edge_mhz:
                break
        return fit, at_highest

    def _reach_chips(self, place: float) -> None:
        """Further points above and below, as long as a chip's own edge lies beyond those there are."""
        limits = self._asker.info.limits.frequency_mhz
        for direction in (1.0, -1.0):
            for offset in _CHIP_OFFSETS:
                outermost = int(np.argmax(direction * np.array(self._clocks)))
                share = self._wrong[outermost] / np.maximum(self._total[outermost], 1.0)
                mhz = place * (1.0 + direction * offset)
                if not (direction * (share - 0.5) < 0.0).any() or not limits.contains(mhz):
                    break
                self._measure(mhz, self._wanted)

    def _measure(self, mhz: float, nonces: int) -> float:
        """The share of wrong nonces at a clock."""
        asker = self._asker
        settled = asker.settle(mhz)
        if self._ended_ns and (settled.begin_ns - self._ended_ns) * 1e-9 > _RESTARTED_S:
            asker.ask(asker.effort.edge_rest_s)
        for _ in range(TRIES):
            broken = len(asker.broken)
            seen = asker.ask(asker.seconds_for(nonces, mhz))
            if len(asker.broken) == broken or not self._ended_ns:
                break
            asker.ask(asker.effort.edge_rest_s)  # it was away and has cooled
        bad, all_ = self._wrong_and_total(seen)
        self._clocks.append(applied_mhz(seen))
        self._wrong.append(bad)
        self._total.append(all_)
        self._hot = mean_of(seen.telemetry.chip_temperature_c[-1])
        if self._ended_ns:
            self._ended_ns = seen.end_ns
        return float(bad.sum() / max(all_.sum(), 1.0))

    def _forget(self) -> None:
        """What was seen on the way belongs to other temperatures."""
        self._clocks.clear()
        self._wrong.clear()
        self._total.clear()

    def _sums(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        return np.array(self._clocks), np.array(self._wrong).sum(axis=1), np.array(self._total).sum(axis=1)

    def _wrong_and_total(self, seen: Observation) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Per counter. Where a path reports no wrong nonces, those missing from the law are the wrong ones."""
        valid, invalid = seen.counts.valid.astype(np.float64), seen.counts.invalid.astype(np.float64)
        if self._asker.info.reports_invalid:
            return invalid, valid + invalid
        expected = self._asker.rate_hz(applied_mhz(seen)) * seen.duration_s
        each = np.maximum(np.full_like(valid, expected / len(valid)), valid)
        return each - valid, each

    def _result(self, fit: Edge | None, at_highest: float) -> EdgeResult:
        clocks, wrong, total = np.array(self._clocks), np.array(self._wrong), np.array(self._total)
        chips: list[float | None] = []
        if wrong.shape[1] > 1:
            each = [fit_edge(clocks, wrong[:, i], total[:, i]) for i in range(wrong.shape[1])]
            chips = [None if one is None else one.edge_mhz for one in each]
        highest = float(clocks.max())
        beyond = 0.0 if fit is None else max(0.0, fit.edge_mhz - highest)
        return EdgeResult(
            voltage_mv=self._voltage_mv,
            edge_mhz=None if fit is None else fit.edge_mhz,
            standard_error_mhz=None if fit is None else math.hypot(fit.standard_error_mhz, _SHAPE_UNKNOWN * beyond),
            extrapolated=beyond > 0.0,
            width_mhz=None if fit is None else fit.width_mhz,
            highest_tried_mhz=highest,
            error_at_highest=at_highest,
            temperature_c=None if math.isnan(self._hot) else self._hot,
            chip_edge_mhz=chips,
        )
