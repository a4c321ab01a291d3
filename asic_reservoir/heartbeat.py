"""Statistics of arrivals: what a stream of nonces says of the machine, and what it cannot say.

Arrivals of valid nonces are a Poisson process of rate H / (D · 2^32), seen through what the machine and the link do to
it. So the null of every statement here is a renewal process with dead time and ramp after each new job, not the bare
exponential.

* Rate: exposure-corrected. The hazard at job age a is (fresh shares at age a) / (time spent at age a).
* Intervals: the coefficient of variation (CV) of n exponential gaps is biased, E[CV²] = (n − 1)/(n + 1).
* Exponentiality: Kolmogorov–Smirnov with the rate estimated from the same data, so the p value comes from simulation
  (Lilliefors' test), not from the table of the plain test.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from asic_reservoir.errors import UsageError

CONFIDENCE = 0.95
LILLIEFORS = 2_000
"""Simulated samples behind a p value: its smallest value is 1/2001."""
LILLIEFORS_N = 2_000
"""Beyond this sample size the null law of sqrt(n) times the distance has converged and is taken from it."""
BIN_NS = 1_000_000
"""Resolution of the fit of dead time and ramp."""
LONGEST_DEAD_NS = 200_000_000
LONGEST_RAMP_NS = 100_000_000
PLATEAU_SHARE = 0.999
"""The plateau is counted from where the fitted ramp has reached this share of it: a bias of at most 0.1 %."""
EARLY = np.array([0.001, 0.003, 0.01, 0.03])
"""Share of the plateau rate that may come during the dead time: late shares of jobs that are not in the data."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its 95 % interval."""

    mean: float
    low: float
    high: float

    def scaled(self, factor: float) -> Estimate:
        return Estimate(self.mean * factor, self.low * factor, self.high * factor)


def poisson_rate(count: int, exposure_s: float) -> Estimate:
    """Rate of a Poisson process from a count, with the exact (Garwood) interval.

    >>> estimate = poisson_rate(100, 10.0)
    >>> estimate.mean, round(estimate.low, 2), round(estimate.high, 2)
    (10.0, 8.14, 12.16)
    """
    if count < 0 or not exposure_s > 0:
        raise UsageError(f"poisson_rate: {count} events in {exposure_s} s, must be 0 or more in a positive time")
    tail = (1 - CONFIDENCE) / 2
    low = float(stats.gamma.ppf(tail, count)) if count else 0.0
    high = float(stats.gamma.ppf(1 - tail, count + 1))
    return Estimate(count / exposure_s, low / exposure_s, high / exposure_s)


@dataclass(frozen=True, slots=True)
class IntervalStatistics:
    """Gaps between arrivals, n of them."""

    n: int
    mean_s: float
    cv: float
    """Standard deviation over mean, as published figures have it: biased towards 0 for few gaps."""
    cv_unbiased: float
    """CV · sqrt((n + 1)/(n − 1)): its square averages 1 for exponential gaps at any n."""
    cv_low: float
    cv_high: float
    """95 % interval of ``cv_unbiased`` (delta method: the gaps' own fourth moments, no law assumed)."""
    cv_expected: float
    """sqrt((n − 1)/(n + 1)): what ``cv`` is on average for n gaps of a Poisson process."""


def interval_statistics(gaps_s: NDArray[np.float64]) -> IntervalStatistics | None:
    """Statistics of gaps of shape (n,), seconds; ``None`` for fewer than 3 or where all are 0.

    >>> gaps = np.random.default_rng(1).exponential(0.1, 1000)
    >>> s = interval_statistics(gaps)
    >>> s.cv_low < 1 < s.cv_high, round(s.cv_expected, 4)
    (True, 0.999)
    """
    n = int(gaps_s.size)
    mean = float(gaps_s.mean()) if n else 0.0
    deviation = float(gaps_s.std()) if n else 0.0
    if n < 3 or mean <= 0:
        return None
    correction = float(np.sqrt((n + 1) / (n - 1)))
    cv = deviation / mean
    half = 0.0
    if deviation > 0:
        centred = gaps_s - mean
        influence = (centred**2 - deviation**2) / (2 * deviation * mean) - deviation * centred / mean**2
        half = float(stats.norm.ppf((1 + CONFIDENCE) / 2)) * float(influence.std()) / float(np.sqrt(n))
    return IntervalStatistics(
        n=n,
        mean_s=mean,
        cv=cv,
        cv_unbiased=cv * correction,
        cv_low=max(0.0, cv * correction - half),
        cv_high=cv * correction + half,
        cv_expected=1 / correction,
    )


@dataclass(frozen=True, slots=True)
class Exponentiality:
    """Lilliefors' test: are the values exponential, whatever their rate?"""

    n: int
    distance: float
    """Largest distance between the empirical and the fitted distribution."""
    p_value: float


def exponentiality(values: NDArray[np.float64], seed: int = 0) -> Exponentiality | None:
    """Test of shape (n,) positive values; ``None`` for fewer than 5.

    >>> rng = np.random.default_rng(2)
    >>> exponentiality(rng.exponential(3.0, 500)).p_value > 0.05, exponentiality(rng.uniform(0, 1, 500)).p_value < 0.01
    (True, True)
    """
    n = int(values.size)
    if n < 5 or values.mean() <= 0:
        return None
    distance = float(_ks_distance(values[None, :])[0])
    size = min(n, LILLIEFORS_N)
    rng = np.random.default_rng(seed)
    null = np.concatenate([_ks_distance(rng.exponential(size=(100, size))) for _ in range(LILLIEFORS // 100)])
    exceeding = int(np.sum(null * np.sqrt(size) >= distance * np.sqrt(n)))
    return Exponentiality(n=n, distance=distance, p_value=(exceeding + 1) / (LILLIEFORS + 1))


def _ks_distance(samples: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance to the exponential of the same mean, a row a sample, shape (k, n) to (k,)."""
    n = samples.shape[1]
    fitted = -np.expm1(-np.sort(samples, axis=1) / samples.mean(axis=1, keepdims=True))
    steps = np.arange(n + 1) / n
    return np.asarray(np.maximum((steps[1:] - fitted).max(axis=1), (fitted - steps[:-1]).max(axis=1)))


@dataclass(frozen=True, slots=True, eq=False)
class JobAgeProfile:
    """Rate of fresh shares against the age of the job, and the dead time and ramp that describe it.

    Model: rate(a) = plateau · (e + (1 − e) · (1 − exp(−(a − dead) / ramp))) after the dead time, fitted by maximum
    likelihood. The ramp is there because a machine works off what it had queued before the new job reaches its cores.
    """

    edges_s: NDArray[np.float64]
    """Borders of the age bins, shape (n_bins + 1,)."""
    events: NDArray[np.int64]
    """Fresh shares a bin, shape (n_bins,)."""
    exposure_s: NDArray[np.float64]
    """Time spent at that age, shape (n_bins,)."""
    dead_time_s: float
    ramp_s: float
    """Time constant of the approach to the plateau."""
    plateau_from_s: float
    plateau: Estimate
    """Rate in Hz from ``plateau_from_s`` on, counted there; the fit only says where to begin."""
    plateau_events: int
    cv_predicted: float
    """CV of the age at the first fresh share that dead time, ramp and plateau alone bring about."""


def job_age_profile(age_ns: NDArray[np.int64], fresh: NDArray[np.bool_], bin_s: float = 0.01) -> JobAgeProfile | None:
    """Profile from the ages at which intervals ended, shape (n,).

    Args:
        age_ns: Age of the newest job when a share came; the next job was sent then.
        fresh: Whether the share belonged to that job. Where not, the interval tells of time without a fresh share.

    Returns:
        ``None`` where there is too little to fit (fewer than 50 fresh shares).
    """
    if int(fresh.sum()) < 50:
        return None
    dead_ns, ramp_ns = _fit_dead_time(age_ns, fresh)
    start = dead_ns - round(ramp_ns * np.log(1 - PLATEAU_SHARE))
    late = fresh & (age_ns >= start)
    exposure_s = float(np.clip(age_ns - start, 0, None).sum()) * 1e-9
    if not late.any():
        return None
    plateau = poisson_rate(int(late.sum()), exposure_s)
    n_bins = max(1, int(np.ceil(np.quantile(age_ns, 0.995) * 1e-9 / bin_s)))
    edges = np.arange(n_bins + 1, dtype=np.float64) * bin_s
    return JobAgeProfile(
        edges_s=edges,
        events=np.histogram(age_ns[fresh] * 1e-9, edges)[0].astype(np.int64),
        exposure_s=_exposure(age_ns.astype(np.float64) * 1e-9, edges),
        dead_time_s=dead_ns * 1e-9,
        ramp_s=ramp_ns * 1e-9,
        plateau_from_s=start * 1e-9,
        plateau=plateau,
        plateau_events=int(late.sum()),
        cv_predicted=_renewal_cv(dead_ns * 1e-9, ramp_ns * 1e-9, plateau.mean),
    )


def _exposure(ages_s: NDArray[np.float64], edges_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Time spent in every age bin by intervals that ended at ``ages_s``, shape (n_bins,)."""
    ages = np.sort(ages_s)
    cumulative = np.concatenate([[0.0], np.cumsum(ages)])
    below = np.searchsorted(ages, edges_s)
    spent = cumulative[below] + (ages.size - below) * edges_s
    return np.asarray(np.diff(spent))


def _fit_dead_time(age_ns: NDArray[np.int64], fresh: NDArray[np.bool_]) -> tuple[int, int]:
    """Dead time and ramp in ns by maximum likelihood over a grid; the plateau rate drops out in closed form.

    log L = Σ_events log g(a) − N · log ∫ g(a) · exposure(a) da, with g the shape of the rate.
    """
    n_bins = int(age_ns.max()) // BIN_NS + 1
    edges = np.arange(n_bins + 1, dtype=np.float64) * (BIN_NS * 1e-9)
    ages = age_ns.astype(np.float64) * 1e-9
    events = np.histogram(ages[fresh], edges)[0].astype(np.float64)
    exposure = _exposure(ages, edges)
    centre = (np.arange(n_bins) + 0.5) * BIN_NS
    best = (-np.inf, 0, BIN_NS)
    ramps = np.geomspace(BIN_NS, LONGEST_RAMP_NS, 40)
    for dead in range(0, LONGEST_DEAD_NS + 1, BIN_NS):
        shape = -np.expm1(-np.clip(centre - dead, 0.0, None) / ramps[:, None])
        for early in EARLY:
            g = early + (1 - early) * shape
            likelihood = np.log(g) @ events - events.sum() * np.log(g @ exposure)
            top = int(likelihood.argmax())
            if likelihood[top] > best[0]:
                best = (float(likelihood[top]), dead, int(ramps[top]))
    return best[1], best[2]


def _renewal_cv(dead_s: float, ramp_s: float, rate_hz: float) -> float:
    """CV of the waiting time whose hazard is 0 until ``dead_s`` and then approaches ``rate_hz`` within ``ramp_s``."""
    end = dead_s + 7 * ramp_s + 30 / rate_hz
    age = np.linspace(0.0, end, 20_001)
    hazard = -rate_hz * np.expm1(-np.clip(age - dead_s, 0.0, None) / ramp_s)
    step = age[1] - age[0]
    cumulative = np.concatenate([[0.0], np.cumsum((hazard[1:] + hazard[:-1]) / 2) * step])
    survival = np.exp(-cumulative)
    mean = float(np.trapezoid(survival, dx=step))
    second = 2 * float(np.trapezoid(age * survival, dx=step))
    return float(np.sqrt(max(second - mean**2, 0.0)) / mean)


@dataclass(frozen=True, slots=True)
class Uniformity:
    """Chi-square test: do all counters count the same, up to counting noise?"""

    n_counters: int
    mean: float
    chi2: float
    p_value: float


def uniformity(counts: NDArray[np.int64]) -> Uniformity | None:
    """Test of counts of shape (n,); ``None`` where the mean is below 5 and the chi-square law does not hold.

    >>> uniformity(np.full(10, 100)).p_value
    1.0
    """
    mean = float(counts.mean()) if counts.size else 0.0
    if counts.size < 2 or mean < 5:
        return None
    chi2 = float(((counts - mean) ** 2).sum() / mean)
    return Uniformity(int(counts.size), mean, chi2, float(stats.chi2.sf(chi2, counts.size - 1)))
