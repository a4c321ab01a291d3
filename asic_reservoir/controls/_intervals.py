"""Intervals and tests: over seeds, and within one run by blocks in time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from asic_reservoir.errors import DataError, UsageError
from asic_reservoir.evaluation import Interval, Score, mean_interval

FloatArray = NDArray[np.float64]
BLOCK_ROWS = 50
DRAWS = 2000


def block_bootstrap(
    score: Score, *, block: int = BLOCK_ROWS, draws: int = DRAWS, seed: int = 0, level: float = 0.95
) -> Interval:
    """Interval of the NRMSE of one run: circular block bootstrap of its squared errors.

    Politis & Romano, in: Exploring the Limits of Bootstrap (1992) 263. The variance of the target is held fixed.

    Args:
        score: One run.
        block: Rows that are drawn together; longer than the errors are correlated.
        draws: Resamples.
        seed: Of the resampling.
        level: Coverage.

    Raises:
        UsageError: the block is longer than the test part.
    """
    resampled = _resampled_nrmse(score, _block_starts(len(score.target), block, draws, seed), block)
    low, high = np.quantile(resampled, [0.5 - level / 2, 0.5 + level / 2])
    return Interval(score.nrmse, float(low), float(high), len(score.target))


def block_bootstrap_difference(
    score: Score,
    reference: Score,
    *,
    block: int = BLOCK_ROWS,
    draws: int = DRAWS,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Interval of NRMSE(score) - NRMSE(reference) of one run, both resampled on the same blocks.

    Raises:
        DataError: the two have different test targets.
        UsageError: the block is longer than the test part.
    """
    if not np.array_equal(score.target, reference.target):
        raise DataError("difference of two scores: different test targets, must be the same steps of the same series")
    starts = _block_starts(len(score.target), block, draws, seed)
    resampled = _resampled_nrmse(score, starts, block) - _resampled_nrmse(reference, starts, block)
    low, high = np.quantile(resampled, [0.5 - level / 2, 0.5 + level / 2])
    return Interval(score.nrmse - reference.nrmse, float(low), float(high), len(score.target))


def _block_starts(n_rows: int, block: int, draws: int, seed: int) -> NDArray[np.int64]:
    if not 1 <= block <= n_rows:
        raise UsageError(f"block of {block} rows, must be from 1 to the {n_rows} rows of the test part")
    return np.random.default_rng(seed).integers(0, n_rows, (draws, n_rows // block))


def _resampled_nrmse(score: Score, starts: NDArray[np.int64], block: int) -> FloatArray:
    errors = score.squared_errors
    running = np.concatenate([[0.0], np.cumsum(np.concatenate([errors, errors[:block]]))])
    mean = (running[starts + block] - running[starts]).mean(axis=1) / block
    return np.asarray(np.sqrt(np.maximum(mean, 0.0) / np.var(score.target)))


def paired_difference(values: Sequence[float], reference: Sequence[float], level: float = 0.95) -> Interval:
    """Mean of values - reference over seeds, with Student's t interval of the differences.

    Raises:
        DataError: different lengths, or not finite.

    >>> str(paired_difference([0.25, 0.26, 0.27], [0.37, 0.38, 0.39]))
    '-0.1200 [-0.1200, -0.1200]'
    """
    if len(values) != len(reference):
        raise DataError(f"paired difference: {len(values)} and {len(reference)} seeds, must be as many")
    return mean_interval(np.asarray(values, dtype=np.float64) - np.asarray(reference, dtype=np.float64), level)


def seed_bootstrap(values: Sequence[float], *, draws: int = DRAWS, seed: int = 0, level: float = 0.95) -> Interval:
    """Mean over seeds with the bootstrap percentile interval: the check of Student's t where seeds are skewed.

    Raises:
        DataError: no values, or not finite.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or array.size == 0 or not np.all(np.isfinite(array)):
        raise DataError(f"values of shape {array.shape}: must be one or more finite numbers")
    means = array[np.random.default_rng(seed).integers(0, array.size, (draws, array.size))].mean(axis=1)
    low, high = np.quantile(means, [0.5 - level / 2, 0.5 + level / 2])
    return Interval(float(array.mean()), float(low), float(high), int(array.size))


@dataclass(frozen=True, slots=True)
class Equivalence:
    """Outcome of two one-sided tests (Schuirmann, J. Pharmacokinet. Biopharm. 15 (1987) 657)."""

    difference: Interval
    """Mean of the first arm minus mean of the second, with the interval of level 1 - 2 size."""
    margin: float
    p: float
    """The larger p of the two one-sided tests."""
    label: str
    """``equivalent``: interval inside ±margin; ``different``: outside it; ``undecided``: neither, or too few values."""


def equivalence(
    first: Sequence[float],
    second: Sequence[float],
    margin: float,
    *,
    size: float = 0.05,
    least: int = 100,
) -> Equivalence:
    """Are the means of two arms equal within a margin that was stated before? «Not rejected» is not «equal».

    Welch's unequal variances. The arms are independent, values within an arm too.

    Args:
        first: Values of one arm.
        second: Values of the other.
        margin: Largest difference that counts as none, above 0.
        size: Error probability of each one-sided test.
        least: Fewer values an arm leave it undecided.

    Raises:
        UsageError: a margin or size out of range.
        DataError: fewer than two values an arm, or not finite.
    """
    if not margin > 0 or not 0 < size < 0.5:
        raise UsageError(f"equivalence: margin {margin}, size {size}, must be above 0 and within (0, 0.5)")
    arms = [np.asarray(arm, dtype=np.float64) for arm in (first, second)]
    for arm in arms:
        if arm.ndim != 1 or arm.size < 2 or not np.all(np.isfinite(arm)):
            raise DataError(f"equivalence: an arm of shape {arm.shape}, must be two or more finite numbers")
    shares = [float(arm.var(ddof=1)) / arm.size for arm in arms]
    difference, error = float(arms[0].mean() - arms[1].mean()), float(np.sqrt(sum(shares)))
    n = min(arm.size for arm in arms)
    if error == 0.0:
        inside = abs(difference) < margin
        label = "undecided" if n < least else "equivalent" if inside else "different"
        return Equivalence(Interval(difference, difference, difference, n), margin, 0.0 if inside else 1.0, label)
    freedom = error**4 / sum(share**2 / (arm.size - 1) for share, arm in zip(shares, arms, strict=True))
    p = float(student.sf((margin - abs(difference)) / error, freedom))
    half = float(student.isf(size, freedom)) * error
    low, high = difference - half, difference + half
    if n < least:
        label = "undecided"
    elif p < size:
        label = "equivalent"
    elif low > margin or high < -margin:
        label = "different"
    else:
        label = "undecided"
    return Equivalence(Interval(difference, low, high, n), margin, p, label)


def holm(p_values: Sequence[float]) -> FloatArray:
    """Adjusted p values of a family of tests, in the order given (Holm, Scand. J. Stat. 6 (1979) 65).

    >>> holm([0.01, 0.04, 0.03]).round(3).tolist()
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p)
    stepped = np.maximum.accumulate(p[order] * (p.size - np.arange(p.size)))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def max_statistic(observed: FloatArray, null: FloatArray) -> FloatArray:
    """p of each cell of a sweep, corrected for having looked at all of them (Westfall & Young 1993).

    Args:
        observed: (n_cells,): larger means more of an effect.
        null: (n_draws, n_cells): the same statistic on surrogates, one row drawn jointly for all cells.

    Returns:
        (n_cells,): share of draws whose largest cell reaches the observed one.

    Raises:
        DataError: shapes that do not fit.
    """
    if null.ndim != 2 or observed.shape != null.shape[1:] or not len(null):
        raise DataError(f"sweep: observed {observed.shape}, null {null.shape}, must be (n_cells,), (n_draws, n_cells)")
    largest = null.max(axis=1)
    return np.asarray((1 + (largest[:, None] >= observed[None, :]).sum(axis=0)) / (1 + len(null)), dtype=np.float64)
