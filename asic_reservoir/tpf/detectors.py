"""Leak detectors: ways in which a data set gives a good score without anything being known of the label.

They run before any score is shown. What one of them finds is a reason to refuse the score, in words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from asic_reservoir.errors import DataError
from asic_reservoir.tpf.information import (
    auc,
    check_features,
    check_labels,
    histogram_of,
)

_FEW_RUNS = 4
"""Sorted by a feature, an interval of it can part the labels into three runs; chance makes hundreds."""
_BLOCK_EXPLAINS = 0.5
_PERMUTATIONS = 199
_CONTINUOUS = 0.9
"""Share of distinct rows above which an exact repetition is no coincidence."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A reason to refuse a score."""

    detector: str
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Rows to learn from and to be judged by, in order of time.

    Raises:
        DataError: shapes that do not fit, labels not of two classes, a feature that is not finite, time running back.
    """

    features: NDArray[np.float64]
    """Shape (n, d)."""
    labels: NDArray[np.bool_]
    """Shape (n,)."""
    groups: NDArray[np.int64]
    """What must not be torn apart: the job of a share. Shape (n,)."""
    time: NDArray[np.float64]
    """Any unit, rising. Shape (n,)."""
    blocks: NDArray[np.int64]
    """Part of the acquisition that a row comes from (another day, another operating point). Shape (n,)."""
    names: tuple[str, ...]

    @classmethod
    def of(
        cls,
        features: ArrayLike,
        labels: ArrayLike,
        *,
        groups: ArrayLike | None = None,
        time: ArrayLike | None = None,
        blocks: ArrayLike | None = None,
        names: Sequence[str] | None = None,
    ) -> Dataset:
        """From anything array-like; groups left out: a row is its own; blocks left out: one for all."""
        truth = check_labels(labels)
        x = check_features(features, truth.size)
        when = np.arange(truth.size, dtype=np.float64) if time is None else np.asarray(time, np.float64)
        group = np.arange(truth.size) if groups is None else np.asarray(groups, np.int64)
        block = np.zeros(truth.size, np.int64) if blocks is None else np.asarray(blocks, np.int64)
        for name, column in (("groups", group), ("time", when), ("blocks", block)):
            if column.shape != truth.shape:
                raise DataError(f"{name}: shape {column.shape}, must be {truth.shape} as the labels")
        if not np.isfinite(when).all() or (np.diff(when) < 0).any():
            raise DataError("time: not finite or running back, must rise from row to row")
        titles = tuple(names) if names is not None else tuple(f"x{i}" for i in range(x.shape[1]))
        if len(titles) != x.shape[1]:
            raise DataError(f"names: {len(titles)}, must be {x.shape[1]} as the features")
        return cls(x, truth, group, when, block, titles)

    def __len__(self) -> int:
        return int(self.labels.size)

    def varying(self) -> Dataset:
        """Without the columns that never change, for data where some are known to be constant."""
        keep = np.ptp(self.features, axis=0) > 0
        names = tuple(name for name, kept in zip(self.names, keep, strict=True) if kept)
        return Dataset(self.features[:, keep], self.labels, self.groups, self.time, self.blocks, names)


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Rows to learn from, and rows to be judged by."""

    train: NDArray[np.intp]
    test: NDArray[np.intp]


def split_by_time(data: Dataset, test_share: float = 0.4) -> Split:
    """The last part of the time for the test, no group on both sides (a group that straddles the cut is left out).

    Raises:
        DataError: a class is missing on one side.
    """
    if not 0 < test_share < 1:
        raise DataError(f"test_share: {test_share}, must be between 0 and 1")
    cut = round(len(data) * (1 - test_share))
    early, late = np.arange(cut), np.arange(cut, len(data))
    both = np.intersect1d(data.groups[early], data.groups[late])
    train = early[~np.isin(data.groups[early], both)]
    test = late[~np.isin(data.groups[late], both)]
    for name, rows in (("train", train), ("test", test)):
        if rows.size == 0 or np.unique(data.labels[rows]).size < 2:
            raise DataError(f"{name} part: {rows.size} rows of one class only, must have both")
    return Split(train, test)


def detect(data: Dataset, split: Split) -> list[Finding]:
    """Everything that is wrong, an empty list where nothing is.

    >>> clean = Dataset.of(np.random.default_rng(0).normal(size=(400, 2)), np.arange(400) % 3 == 0)
    >>> detect(clean, split_by_time(clean))
    []
    """
    return [
        *_constant(data),
        *_function_of_feature(data),
        *_block_confounded(data),
        *_groups_torn(data, split),
        *_order(data, split),
        *_repeated_rows(data, split),
        *_scaled_with_test(data, split),
    ]


def _constant(data: Dataset) -> list[Finding]:
    return [
        Finding("constant feature", f"feature {name!r} is {data.features[0, i]:g} in all rows: it was never measured")
        for i, name in enumerate(data.names)
        if np.ptp(data.features[:, i]) == 0
    ]


def _function_of_feature(data: Dataset) -> list[Finding]:
    """A feature that alone gives AUC 1, or whose intervals or values decide the label without exception."""
    findings = []
    fewest = min(int(data.labels.sum()), int((~data.labels).sum()))
    for i, name in enumerate(data.names):
        column = data.features[:, i]
        values, index = np.unique(column, return_inverse=True)
        positive = np.bincount(index, weights=data.labels, minlength=values.size)
        pure = np.all((positive == 0) | (positive == np.bincount(index, minlength=values.size)))
        if not pure or values.size < 2:
            continue
        alone = auc(histogram_of(column, data.labels)).value
        runs = 1 + int(np.count_nonzero(np.diff((positive > 0).astype(int))))
        repeated = values.size <= len(data) // 4
        if alone in (0.0, 1.0):
            findings.append(
                Finding("label is a function of a feature", f"feature {name!r} alone gives AUC {alone:.0f}")
            )
        elif fewest >= 10 and (repeated or runs <= _FEW_RUNS):
            findings.append(
                Finding(
                    "label is a function of a feature",
                    f"every value of {name!r} has one label only ({runs} runs over {values.size} values)",
                )
            )
    return findings


def _block_confounded(data: Dataset) -> list[Finding]:
    from asic_reservoir.tpf.information import Histogram, mutual_information

    _, index = np.unique(data.blocks, return_inverse=True)
    n_blocks = int(index.max()) + 1
    if n_blocks < 2 or n_blocks > len(data) // 4:
        return []
    counts = Histogram(
        np.bincount(index[data.labels], minlength=n_blocks), np.bincount(index[~data.labels], minlength=n_blocks)
    )
    found = mutual_information(counts, n_permutations=_PERMUTATIONS, max_bins=n_blocks)
    p = data.labels.mean()
    entropy = float(-p * np.log2(p) - (1 - p) * np.log2(1 - p))
    if found.bits < _BLOCK_EXPLAINS * entropy or found.p_value > 1 / _PERMUTATIONS:
        return []
    share = found.bits / entropy
    return [
        Finding(
            "label confounded with acquisition block", f"the block alone explains {share:.0%} of the label's entropy"
        )
    ]


def _groups_torn(data: Dataset, split: Split) -> list[Finding]:
    both = np.intersect1d(data.groups[split.train], data.groups[split.test])
    if both.size == 0:
        return []
    return [Finding("group on both sides", f"{both.size} groups have rows to learn from and to be judged by")]


def _order(data: Dataset, split: Split) -> list[Finding]:
    if data.time[split.train].max() <= data.time[split.test].min():
        return []
    return [Finding("order of time", "rows to be judged by lie before rows to learn from")]


def _repeated_rows(data: Dataset, split: Split) -> list[Finding]:
    distinct = np.unique(data.features, axis=0).shape[0]
    if distinct < _CONTINUOUS * len(data):
        return []
    seen = {row.tobytes() for row in data.features[split.train]}
    repeated = sum(row.tobytes() in seen for row in data.features[split.test])
    if not repeated:
        return []
    return [Finding("repeated rows", f"{repeated} rows to be judged by were learnt from, number for number")]


def _scaled_with_test(data: Dataset, split: Split) -> list[Finding]:
    findings = []
    train, test = data.features[split.train], data.features[split.test]
    for i, name in enumerate(data.names):
        if np.unique(train[:, i]).size < 3:
            continue  # a balanced -1 and 1 has these moments by itself
        for what, column in (("test rows", test[:, i]), ("all rows", np.concatenate([train[:, i], test[:, i]]))):
            if abs(column.mean()) < 1e-9 and abs(column.std() - 1) < 1e-9:
                findings.append(
                    Finding("standardized on test data", f"feature {name!r} has mean 0 and deviation 1 over {what}")
                )
                break
    return findings
