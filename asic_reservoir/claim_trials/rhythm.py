"""Are arrivals of nonces those of independent events, and is there a rhythm in them?

The null is a renewal process: gaps in random order. It keeps whatever dead time, ramp and filter did to single gaps,
and knows no rhythm. Spectrum of the counts n of bins of 1/64 s: P(f) = |Σ (n − mean) exp(−2πift)|² / N, over that of
the null at the same f, so that it is 1 on average where there is no line. A line is looked for in the first half of the
time (largest value over 0.5 to 10 Hz, :func:`asic_reservoir.controls.max_statistic`) and must be there again in the
second half at the same frequency.

Controls: lines planted at 2.4 and 3.7 Hz by leaving out arrivals must be found; reads every 200 ms, planted, must be
recognised as batching; draws of independent arrivals must show nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.fft import next_fast_len, rfft
from scipy.optimize import brentq

from asic_reservoir.claim_trials.trial import LEVEL, MOST_LOUD, QUIET_DRAWS, Effect, Finding, Label, label_of
from asic_reservoir.controls import max_statistic
from asic_reservoir.errors import DataError
from asic_reservoir.heartbeat import exponentiality
from asic_reservoir.inspection import Stream, inspect
from asic_reservoir.nonces import NonceFlag
from asic_reservoir.report.model import Check, Curve, LinePlot, Reference, Table

FloatArray = NDArray[np.float64]
BIN_HZ = 64
"""Bins a second: the highest frequency looked at lies far below half of it."""
BAND_HZ = (0.5, 10.0)
"""Below it lie heat and drift, beyond it reads of the link."""
PUBLISHED_HZ, PLANTED_HZ = 2.4, (2.4, 3.7)
BATCH_S = 0.2
SURROGATES = 99
LEAST_ARRIVALS, LEAST_S = 200, 20.0
DEEPEST = 0.9
"""A planted line deeper than this needs more arrivals instead."""
BATCH_EXCESS = 0.05
"""So much more than chance may gaps of no length occur."""
DEEPEST_RATE = 1.2
"""A rate cannot swing by more than itself: a line of depth 1. Stamps on a grid have one of depth 2."""
LONGEST_SHIFT_S = 5e-3
"""Every arrival is shifted by up to so long before gaps are tested: independent arrivals stay independent under
independent shifts (displacement theorem), and the grain of time stamps is gone."""
WINDOW = 10
"""Gaps of a published window."""


@dataclass(frozen=True, slots=True, eq=False)
class Spectrum:
    """Power relative to the null, and the null's own draws of it."""

    frequency_hz: FloatArray
    """Shape (k,)."""
    power: FloatArray
    """Shape (k,); 1 where there is no line."""
    null: FloatArray
    """Shape (SURROGATES, k)."""
    colour: FloatArray
    """What the null has at each frequency before it is divided by it, shape (k,)."""
    length_s: float

    def strongest(self) -> tuple[float, float]:
        """Frequency of the largest power, and its p over the whole band."""
        p = max_statistic(self.power, self.null)
        best = int(np.argmax(self.power))
        return float(self.frequency_hz[best]), float(p[best])

    def p_near(self, frequency_hz: float) -> float:
        """p of the largest power within the resolution of a frequency."""
        near = np.abs(self.frequency_hz - frequency_hz) <= 1 / self.length_s
        return float(max_statistic(self.power[near], self.null[:, near]).min())

    def threshold(self) -> float:
        """What the largest power of the null stays below in 95 of 100 draws."""
        return float(np.quantile(self.null.max(axis=1), 1 - LEVEL))


def spectrum(times_s: FloatArray, seed: int) -> Spectrum:
    """Spectrum of sorted arrival times, shape (n,), against gaps in random order."""
    rng = np.random.default_rng([0x5BEC, seed])
    start, gaps = float(times_s[0]), np.diff(times_s)
    length_s = float(times_s[-1] - start)
    orders = (np.concatenate([[0.0], np.cumsum(rng.permutation(gaps))]) for _ in range(SURROGATES))
    null = np.stack([_power(ages_s, length_s)[1] for ages_s in orders])
    frequency, power = _power(times_s - start, length_s)
    colour = _smooth(null.mean(axis=0))
    return Spectrum(frequency, power / colour, null / colour, colour, length_s)


def _power(ages_s: FloatArray, length_s: float) -> tuple[FloatArray, FloatArray]:
    """Frequencies of the band, and the power of the counts there, for arrivals within ``length_s``."""
    n_bins = int(np.ceil(length_s * BIN_HZ)) + 1
    size = next_fast_len(2 * n_bins, real=True)  # zeros as long again: no line falls between two frequencies
    frequency = np.fft.rfftfreq(size, 1 / BIN_HZ)
    band = (frequency >= BAND_HZ[0]) & (frequency <= BAND_HZ[1])
    counts = np.bincount((ages_s * BIN_HZ).astype(np.int64), minlength=n_bins)[:n_bins].astype(np.float64)
    counts -= counts.mean()
    return np.asarray(frequency[band], np.float64), np.asarray(np.abs(rfft(counts, size)[band]) ** 2 / ages_s.size)


def _smooth(values: FloatArray, width: int = 9) -> FloatArray:
    padded = np.pad(values, width // 2, mode="edge")
    return np.asarray(np.convolve(padded, np.full(width, 1 / width), "valid"))


@dataclass(frozen=True, slots=True)
class Line:
    """A line that was looked for in one half of the time, and looked up in the other."""

    frequency_hz: float
    p_first: float
    p_again: float

    @property
    def found(self) -> bool:
        return self.p_first <= LEVEL and self.p_again <= LEVEL


def find_line(times_s: FloatArray, seed: int) -> Line:
    """Sorted arrival times, shape (n,)."""
    first, second = _halves(times_s)
    frequency, p = spectrum(first, seed).strongest()
    return Line(frequency, p, spectrum(second, seed + 1).p_near(frequency))


def _halves(times_s: FloatArray) -> tuple[FloatArray, FloatArray]:
    middle = 0.5 * (times_s[0] + times_s[-1])
    return times_s[times_s < middle], times_s[times_s >= middle]


def batched(times_s: FloatArray, same_read: float = 0.0) -> bool:
    """Whether arrivals were read in batches: more gaps of (nearly) no length than independent arrivals have, or stamps
    on a grid, which makes a line deeper than that of any rate.

    Args:
        times_s: sorted, shape (n,).
        same_read: share of arrivals that are known to have come in the read before.
    """
    gaps = np.diff(times_s)
    short_s = min(1e-3, float(gaps.mean()) / 20)
    expected = -np.expm1(-short_s / max(float(gaps.mean()), 1e-12))
    if np.mean(gaps < short_s) - expected > BATCH_EXCESS or same_read > BATCH_EXCESS:
        return True
    frequency, power = _power(times_s - times_s[0], float(times_s[-1] - times_s[0]))
    n = times_s.size
    depth = np.sqrt(4 * power / n)  # P = n depth² / 4
    clear = 4 * np.log(frequency.size * n) / n  # beyond what the largest of so many frequencies has by chance
    return bool(depth.max() ** 2 > DEEPEST_RATE**2 + clear)


def plant_line(times_s: FloatArray, frequency_hz: float, depth: float, seed: int) -> FloatArray:
    """Leave out arrivals so that the rate of the rest goes as 1 + depth · sin(2πft)."""
    rng = np.random.default_rng([0x91A7, seed])
    kept = (1 + depth * np.sin(2 * np.pi * frequency_hz * times_s)) / (1 + depth)
    return times_s[rng.random(times_s.size) < kept]


def depth_seen(found: Spectrum, n: int) -> float:
    """Depth of a line that is found with 80 % power among n arrivals: its power is n · depth² / 4 over the null's."""
    needed = found.threshold() + 1.3 * np.sqrt(2 * found.threshold())
    return float(np.sqrt(4 * needed * found.colour.mean() / n))


def depth_at(times_s: FloatArray, frequency_hz: float, colour: float) -> Effect:
    """Depth m of a line at one frequency: 2 |Σ exp(−2πift)| / n. n m² / (2 colour) is non-central χ² with two degrees
    of freedom, and the interval is what that law does not exclude.

    Args:
        times_s: sorted, shape (n,).
        colour: power of the null there, 1 for independent arrivals.
    """
    n = times_s.size
    value = float(2 * np.abs(np.exp(-2j * np.pi * frequency_hz * (times_s - times_s[0])).sum()) / n)
    seen = n * value**2 / (2 * colour)

    def bound(tail: float) -> float:
        if stats.chi2.cdf(seen, 2) <= tail:
            return 0.0
        excess = brentq(lambda shift: float(stats.ncx2.cdf(seen, 2, shift)) - tail, 1e-9, 4 * seen + 60)
        return float(np.sqrt(2 * colour * excess / n))

    return Effect(f"depth of a rhythm at {frequency_hz:.2f} Hz", value, bound(0.975), bound(0.025), 0.0)


def fresh_times(stream: Stream) -> tuple[FloatArray, float]:
    """Times of valid, fresh nonces in s, sorted, and the share of them that came in the read before.

    Raises:
        DataError: the run kept counts only.
    """
    nonces = stream.nonces
    if not len(nonces):
        raise DataError(f"{stream.board}: no nonces with times, must be recorded one by one")
    fresh = nonces.valid & ~nonces.has(NonceFlag.STALE) & ~nonces.has(NonceFlag.DUPLICATE)
    times = np.sort(nonces.time_ns[fresh])
    if not times.size:
        raise DataError(f"{stream.board}: {len(nonces)} nonces, none fresh and valid, must have at least one")
    return (times - times[0]).astype(np.float64) * 1e-9, float(nonces.has(NonceFlag.SAME_READ)[fresh].mean())


def judge(stream: Stream, seed: int = 0) -> Finding:
    """What a stream of nonces says of the claim.

    Raises:
        DataError: no fresh nonces with times.
    """
    times_s, same_read = fresh_times(stream)
    n, seconds = times_s.size, stream.duration_s
    if n < LEAST_ARRIVALS or seconds < LEAST_S:
        rate = max(n / seconds, 1e-9)
        sentence = (
            f"Undecided: {n} arrivals in {seconds:.0f} s, at least {LEAST_ARRIVALS} in {LEAST_S:.0f} s are needed: "
            f"watch for {max(LEAST_S, 2 * LEAST_ARRIVALS / rate):.0f} s."
        )
        return _finding("undecided", sentence, None, (), n, seconds)
    whole = spectrum(times_s, seed)
    frequency, p_whole = whole.strongest()
    line = find_line(times_s, seed)
    in_batches = batched(times_s, same_read)
    checks = (*_planted(times_s, seed), _quiet(times_s, seed))
    gaps_p, gaps_of = _gaps(stream, times_s, seed)
    label = label_of(
        controls=all(check.passed for check in checks) and not in_batches,
        shown=line.found,
        excluded=not line.found and p_whole > LEVEL and gaps_p > LEVEL,
    )
    near = int(np.argmin(np.abs(whole.frequency_hz - (line.frequency_hz if line.found else PUBLISHED_HZ))))
    effect = depth_at(times_s, line.frequency_hz if line.found else PUBLISHED_HZ, float(whole.colour[near]))
    seen = depth_seen(whole, n)
    sentence = _sentence(label, line, p_whole, frequency, gaps_p, gaps_of, in_batches, checks, effect, n, seen)
    figure = LinePlot(
        id="spectrum",
        title="Spectrum of the arrivals over that of gaps in random order",
        caption="1: nothing. Beyond the line one of twenty such spectra has its largest value.",
        x_label="frequency (Hz)",
        y_label="power",
        curves=[Curve.of("arrivals", whole.frequency_hz, whole.power)],
        references=[Reference(name="95 % of the null", value=whole.threshold())],
    )
    facts = {
        "arrivals": n,
        "line": {"frequency_hz": frequency, "p": p_whole, "found_again": line.found},
        "gaps_p": gaps_p,
        "batched": in_batches,
        "depth_seen": seen,
        **windows_of_ten(times_s),
    }
    checks = (*checks, Check(name="not read in batches", passed=not in_batches, sentence=_batches(in_batches)))
    return _finding(label, sentence, effect, checks, n, seconds, figure, facts)


def _batches(found: bool) -> str:
    return "The link hands nonces over in batches." if found else "No more gaps of no length than chance gives."


def _planted(times_s: FloatArray, seed: int) -> tuple[Check, ...]:
    """Lines that must be found among the same gaps in random order, and a batching that must be recognised."""
    gaps = np.random.default_rng([0x0DE4, seed]).permutation(np.diff(times_s))
    shuffled_s = np.concatenate([[0.0], np.cumsum(gaps)])
    first, _ = _halves(shuffled_s)
    depth = 1.5 * depth_seen(spectrum(first, seed), first.size)
    checks = []
    for frequency in PLANTED_HZ:
        name = f"a planted line at {frequency:g} Hz"
        if depth > DEEPEST:
            text = f"{times_s.size} arrivals are too few to find any line; at least {BAND_HZ[1]:g} a cycle help."
            checks.append(Check(name=name, passed=False, sentence=text))
            continue
        # what is left out takes arrivals: the line is planted as deep as those that are left need
        deep = min(DEEPEST, depth * float(np.sqrt(1 + depth)))
        line = find_line(plant_line(shuffled_s, frequency, deep, seed), seed)
        hit = line.found and abs(line.frequency_hz - frequency) < 4 / times_s[-1] + 0.02
        text = f"depth {deep:.3f}: {'found' if hit else 'not found'}, at {line.frequency_hz:.2f} Hz."
        checks.append(Check(name=name, passed=hit, sentence=text))
    hit = batched(np.ceil(times_s / BATCH_S) * BATCH_S)
    text = f"reads every {BATCH_S * 1e3:.0f} ms are {'recognised' if hit else 'not recognised'} as such."
    return (*checks, Check(name="a planted batching", passed=hit, sentence=text))


def _quiet(times_s: FloatArray, seed: int) -> Check:
    """Independent arrivals through the same test, as many in the same time: all have the same null."""
    rng = np.random.default_rng([0x0F1E, seed])
    n, length_s = times_s.size // 2, float(times_s[-1]) / 2
    null = spectrum(np.sort(rng.uniform(0, length_s, n)), seed)
    loud = 0
    for _ in range(QUIET_DRAWS):
        first, again = (
            replace(null, power=_power(rng.uniform(0, null.length_s, n), null.length_s)[1] / null.colour)
            for _ in range(2)
        )
        frequency, p = first.strongest()
        loud += p <= LEVEL and again.p_near(frequency) <= LEVEL
    text = f"{loud} of {QUIET_DRAWS} draws of independent arrivals show a line, at most {MOST_LOUD} may."
    return Check(name="independent arrivals", passed=loud <= MOST_LOUD, sentence=text)


def _gaps(stream: Stream, times_s: FloatArray, seed: int) -> tuple[float, str]:
    """p of the gaps against an exponential of unknown rate; beyond dead time and ramp where ages of jobs are known."""
    if stream.age_ns is not None:
        found = inspect(stream)
        if found.beyond_exponential is not None:
            return found.beyond_exponential.p_value, "ages of jobs beyond dead time and ramp"
    shift_s = min(LONGEST_SHIFT_S, float(np.diff(times_s).mean()))
    shifted = times_s + np.random.default_rng([0x0D17, seed]).uniform(0, shift_s, times_s.size)
    tested = exponentiality(np.diff(np.sort(shifted)))
    return (1.0 if tested is None else tested.p_value), "gaps"


def windows_of_ten(times_s: FloatArray) -> dict[str, float]:
    """CV on windows of ten gaps as published: its mean, its half width, and the 0.876 of independent arrivals."""
    gaps = np.diff(times_s)
    rows = gaps[: gaps.size // WINDOW * WINDOW].reshape(-1, WINDOW)
    rows = rows[rows.any(axis=1)]  # ten arrivals of one read have no CV
    if len(rows) < 2:
        return {}
    cv = rows.std(axis=1) / rows.mean(axis=1)
    half = 1.96 * float(cv.std(ddof=1)) / float(np.sqrt(cv.size))
    return {"cv_of_ten": float(cv.mean()), "cv_of_ten_half_width": half, "cv_of_ten_null": 0.876}


def _sentence(
    label: Label, line: Line, p_whole: float, frequency: float, gaps_p: float, gaps_of: str, in_batches: bool,
    checks: tuple[Check, ...], effect: Effect, n: int, seen: float,
) -> str:  # fmt: skip
    failed = [check.name for check in checks if not check.passed]
    depth = f"depth {effect.value:.4f} ({effect.low:.4f} to {effect.high:.4f})"
    if label == "supported":
        return (
            f"Supported: a line at {line.frequency_hz:.2f} Hz, {depth}, p {line.p_first:.3f}, and again in the other "
            f"half of {n} arrivals, p {line.p_again:.3f}."
        )
    if label == "not supported":
        return (
            f"Not supported: {n} arrivals have no line from {BAND_HZ[0]:g} to {BAND_HZ[1]:g} Hz (largest at "
            f"{frequency:.2f} Hz, p {p_whole:.2f}; at {PUBLISHED_HZ} Hz {depth}; {seen:.4f} would have been seen), "
            f"and their {gaps_of} are exponential, p {gaps_p:.2f}."
        )
    if in_batches:
        return "Undecided: nonces are handed over in batches, and that alone makes rhythms and short gaps."
    if failed:
        return f"Undecided: the control «{failed[0]}» failed, so no line that is there or not there counts."
    if gaps_p <= LEVEL and not line.found:
        return (
            f"Undecided: {gaps_of} depart from independent arrivals, p {gaps_p:.4f}, without a rhythm; dead time and "
            "reads of the link have to be ruled out first."
        )
    return (
        f"Undecided: the strongest line, {frequency:.2f} Hz, p {p_whole:.3f}, is not in both halves; watch for longer."
    )


def _finding(
    label: Label, sentence: str, effect: Effect | None, checks: tuple[Check, ...], n: int, seconds: float,
    figure: LinePlot | None = None, facts: dict[str, object] | None = None,
) -> Finding:  # fmt: skip
    facts = facts or {"arrivals": n}
    rows: list[list[str | bool | int | float | None]] = [
        [name, value] for name, value in facts.items() if isinstance(value, int | float)
    ]
    return Finding(
        claim="heartbeat",
        label=label,
        sentence=sentence,
        effect=effect,
        checks=checks,
        title="Is there a rhythm in the arrivals?",
        summary=f"{n} fresh nonces in {seconds:.1f} s, their spectrum and their gaps against independent arrivals.",
        figures=[] if figure is None else [figure],
        tables=[Table(title="Numbers", columns=["what", "value"], rows=rows)],
        notes=[
            f"Published: a rhythm of {PUBLISHED_HZ} Hz, withdrawn to a hypothesis; CV on windows of ten gaps.",
            "On windows of ten gaps independent arrivals have a CV of 0.876 on average, not 1.",
            "A departure of single gaps alone supports nothing: dead time, batching and the grain of stamps make one.",
        ],
        facts=facts,
    )
