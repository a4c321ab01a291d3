"""What counting nonces tells: the share filter, the rate law, how a clock arrives, what time stamps are worth."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from asic_reservoir.board import Detail, NonceFlag
from asic_reservoir.calibration.asking import SETTLE_S, TRIES, Asker, applied_mhz, fresh, mean_of, unit
from asic_reservoir.calibration.record import FrequencyResult, MaskResult, RateResult, TimestampResult

FALLBACK_MHZ, FALLBACK_MV = 50.0, 990.0
"""What stock LV06 firmware falls back to after it was too hot."""


_WINDOWS = 3
"""The mask is of the median of so many windows, so that one in which the path stalled does not decide; of more where
that lies between two powers of two."""
_CLEAR = 0.25
"""Octaves from a power of two."""


def find_mask(asker: Asker) -> tuple[MaskResult, list[str]]:
    """Rate at a known clock gives the share filter; a board in its overheat fallback gives itself away here."""
    info, clock, findings = asker.info, asker.calm_mhz, []
    asker.ask(SETTLE_S, frequency_mhz=clock, voltage_mv=asker.nominal_mv, difficulty=asker.difficulty)
    seen = asker.ask(asker.seconds_for(asker.effort.mask_nonces // _WINDOWS, clock))
    applied, volts = applied_mhz(seen), mean_of(seen.telemetry.voltage_mv)
    if abs(applied - FALLBACK_MHZ) < 1.0 < abs(clock - FALLBACK_MHZ) or abs(volts - FALLBACK_MV) < 25.0:
        findings.append("overheat-fallback")
        applied = FALLBACK_MHZ
    per_second = info.n_chips * applied * 1e6 * info.hashes_per_clock / unit(info)
    estimates: list[float] = []
    nonces = 0
    while True:
        found = int(fresh(seen).sum())
        nonces += found
        estimates.append(per_second * seen.duration_s / max(found, 0.5))
        estimate = float(np.median(estimates))
        octaves = math.log2(estimate)
        if (len(estimates) >= _WINDOWS and abs(octaves - round(octaves)) < _CLEAR) or len(estimates) >= 3 * _WINDOWS:
            break
        seen = asker.ask(asker.seconds_for(asker.effort.mask_nonces // _WINDOWS, clock))
    measured = 1 << max(0, round(octaves))
    if measured > asker.difficulty:
        findings.append("mask-stricter-than-asked")
    return MaskResult(requested=asker.difficulty, measured=measured, estimate=estimate, nonces=nonces), findings


def find_rate(asker: Asker) -> RateResult:
    """Nonces against the law at three clocks."""
    low, high = asker.info.limits.frequency_mhz.low, asker.calm_mhz
    ratios, reached, seen_total, expected_total = [], [], 0, 0.0
    for clock in np.linspace(max(low, 0.5 * high), high, 3):
        asker.settle(float(clock))
        seen = asker.ask(asker.seconds_for(asker.effort.rate_nonces, float(clock)))
        applied = applied_mhz(seen)
        expected = asker.rate_hz(applied) * seen.duration_s
        count = int(fresh(seen).sum()) + seen.lost
        ratios.append(count / expected)
        reached.append(applied)
        seen_total, expected_total = seen_total + count, expected_total + expected
    return RateResult(
        frequency_mhz=reached,
        ratio=ratios,
        overall=seen_total / expected_total,
        standard_error=math.sqrt(max(seen_total, 1)) / expected_total,
    )


def find_settling(asker: Asker) -> tuple[FrequencyResult, float]:
    """Nonces missing after a jump of the clock, against the plateau, say how long the way took.

    Also gives the seconds that the driver itself waited before nonces counted: what happens in them cannot be seen.
    """
    low, high = max(asker.info.limits.frequency_mhz.low, 0.5 * asker.calm_mhz), asker.calm_mhz
    for _ in range(TRIES):
        asker.settle(low)
        before = asker.ask(SETTLE_S)
        broken = len(asker.broken)
        first = asker.ask(SETTLE_S, frequency_mhz=high)
        if len(asker.broken) == broken:  # else the clock arrived unseen, while the link was away
            break
    waited_s = (first.begin_ns - before.end_ns) * 1e-9
    plateau = asker.ask(asker.seconds_for(2 * asker.effort.rate_nonces, high))
    applied = applied_mhz(plateau)
    rate = int(fresh(plateau).sum()) / plateau.duration_s
    step_hz = rate - asker.rate_hz(low)
    missing = rate * first.duration_s - int(fresh(first).sum())
    error = math.sqrt(max(rate, 1e-9) * first.duration_s * (1.0 + first.duration_s / plateau.duration_s))
    settling = 2.0 * missing / step_hz if step_hz > 0 else 0.0
    settling_error = 2.0 * error / step_hz if step_hz > 0 else math.inf
    return FrequencyResult(
        from_mhz=low,
        to_mhz=high,
        actual_mhz=applied * rate / asker.rate_hz(applied),
        settling_s=settling if settling > 2.0 * settling_error else 0.0,
        settling_error_s=settling_error,
    ), waited_s


def find_stamps(asker: Asker) -> TimestampResult:
    """Gaps between nonces: their grid, and whether they are those of independent arrivals."""
    from scipy import stats

    asker.settle(asker.calm_mhz)
    seen = asker.ask(asker.seconds_for(asker.effort.timestamp_nonces, asker.calm_mhz), detail=Detail.NONCES)
    times = np.sort(seen.nonces.time_ns)
    gaps = np.diff(times)
    enough = len(gaps) >= 10
    apart = gaps[gaps > 0]
    return TimestampResult(
        source=seen.timestamp_source.value,
        nonces=len(times),
        same_read_share=float(seen.nonces.has(NonceFlag.SAME_READ).mean()) if enough else 0.0,
        smallest_gap_us=float(apart.min()) / 1e3 if enough and len(apart) else 0.0,
        grain_us=_grain_ns(times) / 1e3 if enough else 0.0,
        exponential_p=float(stats.kstest(gaps / gaps.mean(), "expon").pvalue) if enough else 1.0,
    )


def _grain_ns(times_ns: NDArray[np.int64]) -> float:
    """The coarsest of the usual grids that nearly all times lie on; 0 for none."""
    for grain in (40_000_000, 16_000_000, 10_000_000, 1_000_000, 125_000):
        rest = (times_ns - times_ns[0]) % grain
        near = np.minimum(rest, grain - rest) < 0.02 * grain
        if near.mean() > 0.9:
            return float(grain)
    return 0.0
