"""Statistics of arrivals against laws that are known exactly, and against streams whose truth is known."""

import doctest

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from asic_reservoir import heartbeat
from asic_reservoir.errors import UsageError
from asic_reservoir.heartbeat import exponentiality, interval_statistics, job_age_profile, poisson_rate, uniformity
from asic_reservoir.nonces import NonceFlag
from asic_reservoir.recording import shipped


def test_doctests():
    assert doctest.testmod(heartbeat).failed == 0


def test_garwood_interval_of_known_counts():
    # Garwood (1936): exact 95 % limits for 0, 1 and 10 events.
    for count, low, high in ((0, 0.0, 3.689), (1, 0.0253, 5.572), (10, 4.795, 18.390)):
        estimate = poisson_rate(count, 1.0)
        assert (estimate.low, estimate.high) == pytest.approx((low, high), abs=6e-4)
    with pytest.raises(UsageError, match="5 events in 0"):
        poisson_rate(5, 0.0)


@pytest.mark.parametrize("n", [10, 100])
def test_bias_of_the_cv(n):
    # E[CV²] = (n − 1)/(n + 1) for n exponential gaps; the corrected CV² averages 1.
    rng = np.random.default_rng(n)
    found = [interval_statistics(rng.exponential(size=n)) for _ in range(2000)]
    squares = np.array([s.cv**2 for s in found])
    assert squares.mean() == pytest.approx((n - 1) / (n + 1), abs=4 * squares.std() / np.sqrt(2000))
    corrected = np.array([s.cv_unbiased**2 for s in found])
    assert corrected.mean() == pytest.approx(1.0, abs=4 * corrected.std() / np.sqrt(2000))
    assert found[0].cv_expected == pytest.approx(np.sqrt((n - 1) / (n + 1)))


def test_interval_of_the_cv_covers():
    rng = np.random.default_rng(3)
    found = [interval_statistics(rng.exponential(size=1000)) for _ in range(300)]
    covered = np.mean([s.cv_low <= 1 <= s.cv_high for s in found])
    assert 0.9 <= covered <= 0.98


def test_lilliefors_keeps_its_level_and_has_power():
    rng = np.random.default_rng(4)
    null = [exponentiality(rng.exponential(size=200), seed=i).p_value for i in range(40)]
    assert np.mean(np.array(null) < 0.05) < 0.2
    assert stats.kstest(null, "uniform").pvalue > 1e-3
    dead = [exponentiality(0.3 + rng.exponential(size=200), seed=i).p_value for i in range(10)]
    assert max(dead) < 0.01
    # From 2,001 values on the null law is taken from 2,000: the level must hold there too.
    assert exponentiality(rng.exponential(size=5000)).p_value > 0.001


def renewal_ages(rng, n, dead_s, ramp_s, rate_hz):
    """Ages at the first event of a hazard that is 0 for ``dead_s``, then approaches ``rate_hz``: by thinning."""
    ages = np.empty(n)
    for index in range(n):
        age = dead_s
        while True:
            age += rng.exponential(1 / rate_hz)
            if rng.random() < -np.expm1(-(age - dead_s) / ramp_s):
                break
        ages[index] = age
    return ages


def test_dead_time_ramp_and_plateau_are_found_again():
    rng = np.random.default_rng(5)
    hits = 0
    for _ in range(8):
        ages = renewal_ages(rng, 2500, 0.015, 0.013, 13.0)
        profile = job_age_profile((ages * 1e9).astype(np.int64), np.ones(2500, bool))
        assert profile.dead_time_s == pytest.approx(0.015, abs=0.004)
        assert profile.ramp_s == pytest.approx(0.013, rel=0.35)
        assert profile.cv_predicted == pytest.approx(ages.std() / ages.mean(), abs=0.05)
        hits += profile.plateau.low <= 13.0 <= profile.plateau.high
    assert hits >= 6


def test_censored_intervals_do_not_bias_the_rate():
    rng = np.random.default_rng(6)
    fresh_at, late_at = rng.exponential(1 / 13.0, 4000), rng.exponential(1 / 4.0, 4000)
    ages = np.minimum(fresh_at, late_at)
    profile = job_age_profile((ages * 1e9).astype(np.int64), fresh_at < late_at)
    assert profile.plateau.low <= 13.0 <= profile.plateau.high


def test_the_real_machine():
    # Prepared by other means: a plateau of 12.96 a second (14 TH/s at difficulty 256) after about 100 ms of job age.
    recording = shipped()
    fresh = ~(recording.nonces.has(NonceFlag.STALE) | recording.nonces.has(NonceFlag.DUPLICATE))
    profile = job_age_profile(recording.age_ns, fresh)
    assert 0.09 <= profile.plateau_from_s <= 0.13
    assert profile.plateau.low < 12.96 < profile.plateau.high
    assert profile.plateau.mean == pytest.approx(12.96, abs=0.25)
    assert int(profile.events.sum()) <= int(fresh.sum())
    ages = recording.age_ns[fresh] * 1e-9
    assert profile.cv_predicted == pytest.approx(ages.std() / ages.mean(), abs=0.02)


def test_too_little_is_none_and_not_a_number():
    assert interval_statistics(np.array([1.0, 2.0])) is None
    assert interval_statistics(np.zeros(10)) is None
    assert exponentiality(np.ones(4)) is None
    assert uniformity(np.array([1, 2, 3])) is None
    assert job_age_profile(np.ones(10, np.int64), np.ones(10, bool)) is None
    constant = interval_statistics(np.full(10, 0.5))
    assert (constant.cv, constant.cv_low, constant.cv_high) == (0.0, 0.0, 0.0)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=200), st.integers(1, 50))
def test_exposure_is_all_the_time_there_was(ages, n_bins):
    ages_s = np.array(ages) * 1e-9
    edges = np.linspace(0.0, 1.0 + 1e-9, n_bins + 1)
    assert heartbeat._exposure(ages_s, edges).sum() == pytest.approx(ages_s.sum(), abs=1e-9)
