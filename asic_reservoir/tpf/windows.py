"""Windows of a stream of shares: the published features, and better ones.

Paper 2 classifies windows of two seconds by three numbers (shares in the window, mean and deviation of their time
since its start) and calls a window a success where at least one share came. The label is then a function of the first
feature, and no prediction at all; :mod:`detectors` says so. For the S9 it takes ten shares (rate, mean and deviation
of the jitter) and the difficulty of the last of them.

The honest form: features of what had come before, label of what came next.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from asic_reservoir.errors import DataError, UsageError
from asic_reservoir.tpf.detectors import Dataset

PUBLISHED_WINDOW_S = 2.0
PUBLISHED_SHARES = 10
PUBLISHED_NAMES = ("window_shares", "jitter_mean", "jitter_std")
S9_NAMES = ("share_rate", "jitter_mean", "jitter_std")
BETTER_NAMES = (*S9_NAMES, "last_gap", "gap_cv", "last_jitter", "chip_repeats", "core_repeats")


def published_windows(time_s: NDArray[np.float64], window_s: float = PUBLISHED_WINDOW_S) -> Dataset:
    """Windows with the published features and the published label («at least one share in the window»).

    Raises:
        DataError: every window has the same label.

    >>> published_windows(np.array([0.1, 0.2, 2.5, 6.1]), 1.0).labels.tolist()
    [True, False, True, False, False, False, True]
    """
    if not window_s > 0:
        raise UsageError(f"window_s: {window_s}, must be above 0")
    slot = np.floor(time_s / window_s).astype(np.int64)
    index = slot - slot[0]
    n = int(index[-1]) + 1
    start = slot * window_s
    since = time_s - start
    count = np.bincount(index, minlength=n).astype(np.float64)
    safe = np.maximum(count, 1)
    mean = np.bincount(index, weights=since, minlength=n) / safe
    square = np.bincount(index, weights=since**2, minlength=n) / safe
    deviation = np.sqrt(np.maximum(square - mean**2, 0.0))
    return Dataset.of(
        np.column_stack([count, mean, deviation]),
        count > 0,
        time=np.arange(n) * window_s,
        names=PUBLISHED_NAMES,
    )


def share_windows(
    time_s: NDArray[np.float64],
    jitter_s: NDArray[np.float64],
    chip: NDArray[np.integer],
    core: NDArray[np.integer],
    groups: NDArray[np.integer],
    labels: NDArray[np.bool_],
    *,
    better: bool = False,
    n_shares: int = PUBLISHED_SHARES,
) -> Dataset:
    """One row a share: features of the ``n_shares`` before it, label of the share itself.

    Args:
        time_s, jitter_s, chip, core, groups, labels: Shape (n,), in order of arrival.
        better: :data:`BETTER_NAMES` in place of the three published ones.

    Raises:
        DataError: not more shares than a window has.
    """
    n = time_s.size
    if n <= n_shares + 1:
        raise DataError(f"shares: {n}, must be more than {n_shares + 1} for windows of {n_shares}")

    def before(column: NDArray[np.generic]) -> NDArray[np.float64]:
        view = np.lib.stride_tricks.sliding_window_view(np.asarray(column, np.float64), n_shares)
        return np.asarray(view[:-1])

    past_time, past_jitter = before(time_s), before(jitter_s)
    span = np.maximum(past_time[:, -1] - past_time[:, 0], 1e-6)
    columns = [n_shares / span, past_jitter.mean(axis=1), past_jitter.std(axis=1)]
    if better:
        gaps = np.diff(past_time, axis=1)
        columns += [
            gaps[:, -1],
            gaps.std(axis=1) / np.maximum(gaps.mean(axis=1), 1e-9),
            past_jitter[:, -1],
            _repeats(before(chip)),
            _repeats(before(core)),
        ]
    rows = slice(n_shares, n)
    return Dataset.of(
        np.column_stack(columns),
        labels[rows],
        groups=groups[rows],
        time=time_s[rows],
        names=BETTER_NAMES if better else S9_NAMES,
    )


def _repeats(window: NDArray[np.float64]) -> NDArray[np.float64]:
    """How many of a window's values occurred in it before, shape (n,)."""
    ordered = np.sort(window, axis=1)
    return np.asarray((np.diff(ordered, axis=1) == 0).sum(axis=1), np.float64)
