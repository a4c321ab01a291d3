"""How a board is asked: sections, each a few Steps within the limits, from what is harmless to what errs.

Works on any Board. How many nonces a section collects follows from the precision it needs; how long that takes follows
from the board's rate.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from asic_reservoir import __version__
from asic_reservoir.board import Board, BoardInfo, Detail, NonceFlag, Observation, OperatingPoint, Step
from asic_reservoir.calibration.fits import fit_cooling, fit_edge
from asic_reservoir.calibration.record import (
    Calibration,
    EdgeResult,
    FrequencyResult,
    MaskResult,
    RateResult,
    ThermalResult,
    TimestampResult,
    VoltageResult,
)
from asic_reservoir.errors import SafetyError

SECTIONS = ("mask", "rate", "voltage", "frequency", "thermal", "timestamps", "edges")
_FALLBACK_MHZ, _FALLBACK_MV = 50.0, 990.0
"""What stock LV06 firmware falls back to after it was too hot."""
_SHORTEST_S, _LONGEST_S = 0.2, 3600.0
_SETTLE_S = 3.0
"""Clocks that ramp in the firmware have arrived after this, for the usual changes."""
_EDGE_CLIMB = 1.1
"""The clock climbs by so much until half of the nonces are wrong."""
_EDGE_STEPS = 3
"""Bisections between the last two, after which the points around the edge are repeated."""
_QUIET_DIFFICULTY = 256
_THERMAL_SKIP_S = 3.0
"""Die and package settle within seconds; the fit is of the heatsink behind them."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How many nonces and samples a section collects."""

    mask_nonces: int = 60
    rate_nonces: int = 400
    edge_nonces: int = 250
    """At every point of an edge; a quarter as many for every chip where the path tells chips apart."""
    edge_voltages: int = 3
    edge_rest_s: float = 120.0
    """At every new voltage the board first rests so long at a low clock: the edge moves with temperature."""
    thermal_s: float = 300.0
    thermal_samples: int = 60
    timestamp_nonces: int = 400


Report = Callable[[str, str], None]
"""Told the section and a line about every step."""


class Calibrator:
    """Runs sections on an open board.

    Args:
        board: open; it is not closed here.
        effort: how much is collected.
        record: what was found before; its sections are kept.
        report: told of progress.

    Attributes:
        record: what has been found so far.
    """

    def __init__(
        self,
        board: Board,
        effort: Effort | None = None,
        record: Calibration | None = None,
        report: Report | None = None,
    ) -> None:
        self._board, self._effort = board, effort or Effort()
        self._report = report or (lambda section, line: None)
        info = board.info
        self.record = record or Calibration(
            board=info.uri,
            family=info.family,
            model=info.model,
            origin=info.origin,
            code_version=__version__,
            created_utc=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        self._difficulty = 1 if info.ticket_mask_settable else info.ticket_mask
        self._section = ""

    def run(self, sections: tuple[str, ...] = SECTIONS) -> Iterator[str]:
        """Do the sections that the record lacks; yields the name of each when the record holds it.

        A board that stops itself (SafetyError) ends the run: what was found stays, and the record names the reason.
        """
        for name in SECTIONS:
            if name not in sections or getattr(self.record, name) is not None:
                continue
            self._section = name
            try:
                result = getattr(self, f"_{name}")()
            except SafetyError as error:
                self._find(f"stopped: {error}")
                yield name
                return
            self.record = self.record.model_copy(update={name: result})
            yield name

    # -- asking ---------------------------------------------------------------------------------------------------

    @property
    def _info(self) -> BoardInfo:
        return self._board.info

    def _find(self, finding: str) -> None:
        if finding not in self.record.findings:
            self.record = self.record.model_copy(update={"findings": [*self.record.findings, finding]})

    def _ask(self, seconds: float, detail: Detail = Detail.COUNTS, **point: float) -> Observation:
        seconds = min(max(seconds, _SHORTEST_S), _LONGEST_S)
        asked = OperatingPoint(
            frequency_mhz=point.get("frequency_mhz"),
            voltage_mv=point.get("voltage_mv"),
            difficulty=int(point["difficulty"]) if "difficulty" in point else None,
        )
        seen = self._board.step(Step(asked, round(seconds * 1e9), detail=detail))
        named = " ".join(f"{name}={value:g}" for name, value in point.items())
        wrong, total = int(seen.counts.invalid.sum()), int(_fresh(seen).sum())
        self._report(self._section, f"{named or 'as it is'}: {seen.duration_s:.1f} s, {total} nonces, {wrong} wrong")
        return seen

    def _settle(self, frequency_mhz: float) -> None:
        """Set a clock and let a slow firmware arrive at it."""
        self._ask(_SETTLE_S, frequency_mhz=frequency_mhz)

    def _rate_hz(self, frequency_mhz: float, difficulty: int | None = None) -> float:
        """Nonces a second of the whole board by the law."""
        mask = self.record.mask.measured if self.record.mask else self._info.ticket_mask
        effective = max(difficulty or self._difficulty, mask if not self._info.ticket_mask_settable else 1)
        return self._info.n_chips * frequency_mhz * 1e6 * self._info.hashes_per_clock / (effective * _unit(self._info))

    def _seconds_for(self, nonces: int, frequency_mhz: float) -> float:
        return nonces / self._rate_hz(frequency_mhz)

    def _calm_mhz(self) -> float:
        """A frequency far from the edge, and not so low that nothing comes."""
        low, high = self._info.limits.frequency_mhz.low, self._nominal_mhz
        return max(low, 0.75 * high)

    @property
    def _nominal_mhz(self) -> float:
        return float(np.mean(np.asarray(self._info.nominal.frequency_mhz, np.float64)))

    @property
    def _nominal_mv(self) -> float:
        return float(np.mean(np.asarray(self._info.nominal.voltage_mv, np.float64)))

    # -- sections -------------------------------------------------------------------------------------------------

    def _mask(self) -> MaskResult:
        """Rate at a known clock gives the share filter; a board in its overheat fallback gives itself away here."""
        clock = self._calm_mhz()
        self._ask(_SETTLE_S, frequency_mhz=clock, voltage_mv=self._nominal_mv, difficulty=self._difficulty)
        seen = self._ask(self._seconds_for(self._effort.mask_nonces, clock))
        applied = float(np.mean(np.asarray(seen.applied.frequency_mhz, np.float64)))
        volts = (
            float(np.nanmean(seen.telemetry.voltage_mv)) if np.isfinite(seen.telemetry.voltage_mv).any() else math.nan
        )
        if abs(applied - _FALLBACK_MHZ) < 1.0 < abs(clock - _FALLBACK_MHZ) or abs(volts - _FALLBACK_MV) < 25.0:
            self._find("overheat-fallback")
            clock = _FALLBACK_MHZ
        nonces = int(_fresh(seen).sum())
        hashes = self._info.n_chips * clock * 1e6 * self._info.hashes_per_clock * seen.duration_s
        estimate = hashes / _unit(self._info) / max(nonces, 0.5)
        measured = 1 << max(0, round(math.log2(estimate)))
        if measured > self._difficulty:
            self._find("mask-stricter-than-asked")
        return MaskResult(requested=self._difficulty, measured=measured, estimate=estimate, nonces=nonces)

    def _rate(self) -> RateResult:
        limits = self._info.limits.frequency_mhz
        clocks = np.linspace(max(limits.low, 0.5 * self._calm_mhz()), self._calm_mhz(), 3)
        ratios, seen_total, expected_total = [], 0, 0.0
        reached = []
        for clock in clocks:
            self._settle(frequency_mhz=float(clock))
            seen = self._ask(self._seconds_for(self._effort.rate_nonces, float(clock)))
            applied = float(np.mean(np.asarray(seen.applied.frequency_mhz, np.float64)))
            expected = self._rate_hz(applied) * seen.duration_s
            count = int(_fresh(seen).sum()) + seen.lost
            ratios.append(count / expected)
            reached.append(applied)
            seen_total, expected_total = seen_total + count, expected_total + expected
        overall = seen_total / expected_total
        return RateResult(
            frequency_mhz=reached,
            ratio=ratios,
            overall=overall,
            standard_error=math.sqrt(max(seen_total, 1)) / expected_total,
        )

    def _voltage(self) -> VoltageResult | None:
        """Read-back against what was set, at a clock that every one of the voltages carries."""
        clock = max(self._info.limits.frequency_mhz.low, 0.6 * self._nominal_mhz)
        self._settle(frequency_mhz=clock)
        limits = self._info.limits.voltage_mv
        wanted = np.linspace(max(limits.low, 0.93 * self._nominal_mv), min(limits.high, 1.04 * self._nominal_mv), 4)
        read = []
        for millivolts in wanted:
            seen = self._ask(1.0, voltage_mv=float(millivolts))
            read.append(_mean(seen.telemetry.voltage_mv))
        self._ask(_SHORTEST_S, voltage_mv=self._nominal_mv)
        if not np.isfinite(read).all():
            self._find("no-voltage-reading")
            return VoltageResult(set_mv=[], read_mv=[], slope=0.0)
        slope = float(np.polyfit(wanted, read, 1)[0])
        if slope < 0.5:
            self._find("voltage-ignored")
        return VoltageResult(set_mv=wanted.tolist(), read_mv=read, slope=slope)

    def _frequency(self) -> FrequencyResult:
        """Nonces missing after a jump of the clock, against the plateau, say how long the way took."""
        limits = self._info.limits.frequency_mhz
        low, high = max(limits.low, 0.5 * self._calm_mhz()), self._calm_mhz()
        self._settle(frequency_mhz=low)
        self._ask(_SETTLE_S)
        first = self._ask(_SETTLE_S, frequency_mhz=high)
        plateau = self._ask(self._seconds_for(2 * self._effort.rate_nonces, high))
        applied = float(np.mean(np.asarray(plateau.applied.frequency_mhz, np.float64)))
        count = int(_fresh(plateau).sum())
        rate = count / plateau.duration_s
        step_hz = rate - self._rate_hz(low)
        missing = rate * first.duration_s - int(_fresh(first).sum())
        error = math.sqrt(max(rate, 1e-9) * first.duration_s * (1.0 + first.duration_s / plateau.duration_s))
        settling = 2.0 * missing / step_hz if step_hz > 0 else 0.0
        settling_error = 2.0 * error / step_hz if step_hz > 0 else math.inf
        return FrequencyResult(
            from_mhz=low,
            to_mhz=high,
            actual_mhz=applied * rate / self._rate_hz(applied),
            settling_s=settling if settling > 2.0 * settling_error else 0.0,
            settling_error_s=settling_error,
        )

    def _thermal(self) -> ThermalResult | None:
        """Warm at the nominal point, then the lowest clock, and watch it cool."""
        effort, limits = self._effort, self._info.limits.frequency_mhz
        quiet = _QUIET_DIFFICULTY if self._info.ticket_mask_settable else self._difficulty  # nonces are no use here
        self._ask(effort.thermal_s, frequency_mhz=self._nominal_mhz, difficulty=quiet)
        times, temperatures = [], []
        begin = None
        for index in range(effort.thermal_samples):
            interval_s = effort.thermal_s / effort.thermal_samples
            seen = self._ask(interval_s, frequency_mhz=limits.low) if index == 0 else self._ask(interval_s)
            begin = seen.begin_ns if begin is None else begin
            degrees_c = _mean(seen.telemetry.chip_temperature_c[-1])
            if math.isfinite(degrees_c):
                times.append((int(seen.telemetry.time_ns[-1]) - begin) * 1e-9)
                temperatures.append(degrees_c)
        self._ask(_SHORTEST_S, difficulty=self._difficulty)
        moments, degrees = np.array(times), np.array(temperatures)
        late = moments > _THERMAL_SKIP_S
        fit = fit_cooling(moments[late], degrees[late]) if late.any() else None
        if fit is None:
            self._find("no-thermal-response")
            return ThermalResult(time_constant_s=0.0, standard_error_s=0.0, from_c=0.0, to_c=0.0, samples=len(times))
        return ThermalResult(
            time_constant_s=fit.time_constant_s,
            standard_error_s=fit.standard_error_s,
            from_c=fit.begin_c,
            to_c=fit.end_c,
            samples=int(late.sum()),
        )

    def _timestamps(self) -> TimestampResult:
        from scipy import stats

        clock = self._calm_mhz()
        self._settle(frequency_mhz=clock)
        seen = self._ask(self._seconds_for(self._effort.timestamp_nonces, clock), detail=Detail.NONCES)
        times = np.sort(seen.nonces.time_ns)
        gaps = np.diff(times)
        if len(gaps) < 10:
            return TimestampResult(
                source=seen.timestamp_source.value,
                nonces=len(times),
                same_read_share=0.0,
                smallest_gap_us=0.0,
                grain_us=0.0,
                exponential_p=1.0,
            )
        apart = gaps[gaps > 0]
        return TimestampResult(
            source=seen.timestamp_source.value,
            nonces=len(times),
            same_read_share=float(seen.nonces.has(NonceFlag.SAME_READ).mean()),
            smallest_gap_us=float(apart.min()) / 1e3 if len(apart) else 0.0,
            grain_us=_grain_ns(times) / 1e3,
            exponential_p=float(stats.kstest(gaps / gaps.mean(), "expon").pvalue),
        )

    def _edges(self) -> list[EdgeResult]:
        limits = self._info.limits
        low, high = limits.voltage_mv.low, self._nominal_mv
        voltages = np.linspace(max(low, high - 0.35 * (high - low) * 2), high, self._effort.edge_voltages)
        results = []
        for millivolts in voltages[::-1]:
            results.append(self._edge(float(millivolts)))
        self._ask(_SHORTEST_S, frequency_mhz=self._calm_mhz(), voltage_mv=self._nominal_mv)
        return results

    def _edge(self, voltage_mv: float) -> EdgeResult:
        """Bisect on the share of wrong nonces, then fit the curve through everything seen at this voltage."""
        limits = self._info.limits.frequency_mhz
        low = max(limits.low, 0.6 * self._nominal_mhz)
        wanted = max(self._effort.edge_nonces, self._effort.edge_nonces * self._info.n_counters // 4)
        self._ask(_SHORTEST_S, frequency_mhz=low)  # clock down before voltage down, whatever the driver does
        self._ask(self._effort.edge_rest_s, voltage_mv=voltage_mv)
        clocks: list[float] = []
        wrong: list[NDArray[np.float64]] = []
        total: list[NDArray[np.float64]] = []
        hot = math.nan

        def measure(mhz: float) -> float:
            nonlocal hot
            self._settle(frequency_mhz=mhz)
            seen = self._ask(self._seconds_for(wanted, mhz))
            bad, all_ = self._wrong_and_total(seen)
            clocks.append(float(np.mean(np.asarray(seen.applied.frequency_mhz, np.float64))))
            wrong.append(bad)
            total.append(all_)
            hot = _mean(seen.telemetry.chip_temperature_c[-1])
            return float(bad.sum() / max(all_.sum(), 1.0))

        high, at_highest = low, measure(low)
        while at_highest <= 0.5 and high < limits.high:  # from below: the heat comes slowly, and no further than needed
            low, high = high, min(limits.high, _EDGE_CLIMB * high)
            at_highest = measure(high)
        if at_highest > 0.5:
            for _ in range(_EDGE_STEPS):
                middle = 0.5 * (low + high)
                if measure(middle) > 0.5:
                    high = middle
                else:
                    low = middle
            for offset in (-0.02, 0.0, 0.02):
                place = 0.5 * (low + high) * (1.0 + offset)
                measure(min(max(place, limits.low), limits.high))
        else:
            measure(0.96 * high)
        return self._edge_of(voltage_mv, np.array(clocks), np.array(wrong), np.array(total), at_highest, hot)

    def _wrong_and_total(self, seen: Observation) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Per counter. Where a path reports no wrong nonces, those missing from the law are the wrong ones."""
        valid, invalid = seen.counts.valid.astype(np.float64), seen.counts.invalid.astype(np.float64)
        clock = float(np.mean(np.asarray(seen.applied.frequency_mhz, np.float64)))
        expected = self._rate_hz(clock) * seen.duration_s
        if invalid.sum() > 0 or valid.sum() > expected - 4.0 * math.sqrt(expected):
            return invalid, valid + invalid
        each = np.maximum(np.full_like(valid, expected / len(valid)), valid)
        return each - valid, each

    def _edge_of(
        self,
        voltage_mv: float,
        clocks: NDArray[np.float64],
        wrong: NDArray[np.float64],
        total: NDArray[np.float64],
        at_highest: float,
        hot: float,
    ) -> EdgeResult:
        fit = fit_edge(clocks, wrong.sum(axis=1), total.sum(axis=1))
        chips: list[float | None] = []
        if wrong.shape[1] > 1:
            each = [fit_edge(clocks, wrong[:, i], total[:, i]) for i in range(wrong.shape[1])]
            chips = [None if one is None else one.edge_mhz for one in each]
        highest = float(clocks.max())
        return EdgeResult(
            voltage_mv=voltage_mv,
            edge_mhz=None if fit is None else fit.edge_mhz,
            standard_error_mhz=None if fit is None else fit.standard_error_mhz,
            extrapolated=fit is not None and fit.edge_mhz > highest,
            width_mhz=None if fit is None else fit.width_mhz,
            highest_tried_mhz=highest,
            error_at_highest=at_highest,
            temperature_c=None if math.isnan(hot) else hot,
            chip_edge_mhz=chips,
        )


def _fresh(seen: Observation) -> NDArray[np.int64]:
    """Nonces of a step counted once."""
    return seen.counts.valid + seen.counts.invalid


def _mean(readings: NDArray[np.float64]) -> float:
    """Of those that are there; NaN if none is."""
    known = readings[np.isfinite(readings)]
    return float(known.mean()) if len(known) else math.nan


def _unit(info: BoardInfo) -> float:
    return 2.0**24 if info.algorithm == "lbry" else 2.0**32


def _grain_ns(times_ns: NDArray[np.int64]) -> float:
    """The coarsest of the usual grids that nearly all times lie on; 0 for none."""
    for grain in (40_000_000, 16_000_000, 10_000_000, 1_000_000, 125_000):
        rest = (times_ns - times_ns[0]) % grain
        near = np.minimum(rest, grain - rest) < 0.02 * grain
        if near.mean() > 0.9:
            return float(grain)
    return 0.0
