"""What the sensors tell: whether the voltage follows its setting, and how the board warms and cools."""

from __future__ import annotations

import math

import numpy as np

from asic_reservoir.calibration.asking import SHORTEST_S, TRIES, Asker, mean_of
from asic_reservoir.calibration.fits import Cooling, fit_cooling
from asic_reservoir.calibration.record import ThermalResult, VoltageResult

_QUIET_DIFFICULTY = 256
_THERMAL_SKIP_S = 3.0
"""Die and package settle within seconds; the fit is of the heatsink behind them."""
_PASSES = 5
_ENOUGH = 0.03
"""Relative standard error of a time constant that is known well enough."""
NO_VOLTAGE = VoltageResult(set_mv=[], read_mv=[], slope=0.0)


def find_voltage(asker: Asker) -> tuple[VoltageResult, list[str]]:
    """Read-back against what was set, at a clock that every one of the voltages carries."""
    asker.settle(max(asker.info.limits.frequency_mhz.low, 0.6 * asker.nominal_mhz))
    limits, nominal = asker.info.limits.voltage_mv, asker.nominal_mv
    wanted = np.linspace(max(limits.low, 0.93 * nominal), min(limits.high, 1.04 * nominal), 4)
    read = [mean_of(asker.ask(1.0, voltage_mv=float(mv)).telemetry.voltage_mv) for mv in wanted]
    asker.ask(SHORTEST_S, voltage_mv=nominal)
    if not np.isfinite(read).all():
        return NO_VOLTAGE, ["no-voltage-reading"]
    slope = float(np.polyfit(wanted, read, 1)[0])
    findings = ["voltage-ignored"] if slope < 0.5 else []
    return VoltageResult(set_mv=wanted.tolist(), read_mv=read, slope=slope), findings


def find_cooling(asker: Asker) -> tuple[ThermalResult, list[str]]:
    """Warm at the nominal point, then at the lowest clock and voltage, and watch it cool.

    Where little heat or a coarse sensor leaves the time constant uncertain, the board is watched warming up and cooling
    again, and the passes are averaged by their variances. (A board that restarts for every setting cools unseen
    meanwhile: its warming tells more.)
    """
    quiet = _QUIET_DIFFICULTY if asker.info.ticket_mask_settable else asker.difficulty  # nonces are no use here
    limits = asker.info.limits
    warm = asker.nominal_mhz, asker.nominal_mv
    cool = limits.frequency_mhz.low, limits.voltage_mv.low
    asker.ask(asker.effort.thermal_s, frequency_mhz=warm[0], voltage_mv=warm[1], difficulty=quiet)
    fits: list[Cooling] = []
    samples = spoiled = 0
    for index in range(_PASSES):
        towards, away = (warm, cool) if index % 2 else (cool, warm)
        fit, more = _watch(asker, *towards)
        while fit is None and more == 0 and spoiled < TRIES:
            spoiled += 1
            asker.ask(asker.effort.thermal_s, frequency_mhz=away[0], voltage_mv=away[1])
            fit, more = _watch(asker, *towards)
        samples += more
        if fit is not None:
            fits.append(fit)
        if fits and _error(fits) < _ENOUGH * _mean(fits):
            break
    asker.ask(SHORTEST_S, frequency_mhz=warm[0], voltage_mv=warm[1], difficulty=asker.difficulty)
    if not fits:
        none = ThermalResult(time_constant_s=0.0, standard_error_s=0.0, from_c=0.0, to_c=0.0, samples=samples)
        return none, ["no-thermal-response"]
    best = min(fits, key=lambda fit: fit.standard_error_s)
    return ThermalResult(
        time_constant_s=_mean(fits),
        standard_error_s=_error(fits),
        from_c=best.begin_c,
        to_c=best.end_c,
        samples=samples,
    ), []


def _watch(asker: Asker, frequency_mhz: float, voltage_mv: float) -> tuple[Cooling | None, int]:
    """Temperatures after a change of the operating point: their fit, and their number.

    A board whose link broke, or that restarted, has cooled in between: nothing is made of such a watch.
    """
    effort, broken = asker.effort, len(asker.broken)
    interval_s = effort.thermal_s / effort.thermal_samples
    times: list[float] = []
    temperatures: list[float] = []
    begin_ns = 0
    for index in range(effort.thermal_samples):
        if index == 0:
            seen = asker.ask(interval_s, frequency_mhz=frequency_mhz, voltage_mv=voltage_mv)
        else:
            seen = asker.ask(interval_s)
        if len(asker.broken) > broken:
            return None, 0
        begin_ns = begin_ns or seen.begin_ns
        degrees_c = mean_of(seen.telemetry.chip_temperature_c[-1])
        if math.isfinite(degrees_c):
            times.append((int(seen.telemetry.time_ns[-1]) - begin_ns) * 1e-9)
            temperatures.append(degrees_c)
    moments, degrees = np.array(times), np.array(temperatures)
    late = moments > _THERMAL_SKIP_S
    return (fit_cooling(moments[late], degrees[late]) if late.any() else None), int(late.sum())


def _mean(fits: list[Cooling]) -> float:
    """Of the time constants, by their variances."""
    weights = [fit.standard_error_s**-2 for fit in fits]
    return sum(w * fit.time_constant_s for w, fit in zip(weights, fits, strict=True)) / sum(weights)


def _error(fits: list[Cooling]) -> float:
    return float(sum(fit.standard_error_s**-2 for fit in fits) ** -0.5)
