"""Leak detectors: ways in which a score is right for the wrong reason."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from asic_reservoir.capacity import noise_threshold, orthonormal_basis
from asic_reservoir.evaluation import Split

FloatArray = NDArray[np.float64]
FUTURE_STEPS = 5
FUTURE_FALSE_ALARM = 1e-4


@dataclass(frozen=True, slots=True)
class Leak:
    """One finding."""

    kind: str
    """``constant_state``, ``state_is_target``, ``duplicate_rows``, ``target_scaled_on_test``, ``knows_future`` or
    ``block_is_label``."""
    states: tuple[int, ...]
    """Columns concerned; empty where it is not about single states."""
    sentence: str


def find_leaks(
    states: FloatArray,
    target: FloatArray,
    split: Split,
    *,
    u: FloatArray | None = None,
    acquisition_block: NDArray[np.int64] | None = None,
) -> list[Leak]:
    """Look for leaks in what the readout is given.

    Args:
        states: (n_steps, n_states).
        target: (n_steps,).
        split: The split that is scored.
        u: (n_steps,) input of independent draws: states that know u[t+1] have seen the future.
        acquisition_block: (n_steps,): which sitting a row was recorded in, for labels recorded sitting by sitting.

    Returns:
        Findings; empty when there is nothing to say. A constant state is harmless to the score and named all the same.
    """
    rows = slice(split.washout, split.n_steps)
    x, y = np.asarray(states)[rows], np.asarray(target)[rows]
    found = [_constant(x), _state_is_target(x, y), _duplicates(x, split), _scaled_on_test(y, split)]
    if u is not None:
        found.append(_knows_future(x, np.asarray(u)[rows]))
    if acquisition_block is not None:
        found.append(_block_is_label(y, np.asarray(acquisition_block)[rows]))
    return [leak for leak in found if leak is not None]


def _list(columns: NDArray[np.intp]) -> str:
    shown = ", ".join(str(int(column)) for column in columns[:5])
    return f"{shown}, … ({columns.size})" if columns.size > 5 else shown


def _constant(x: FloatArray) -> Leak | None:
    columns = np.flatnonzero(np.ptp(x, axis=0) == 0)
    if not columns.size:
        return None
    return Leak("constant_state", tuple(map(int, columns)), f"state {_list(columns)} never changes: it carries nothing")


def _state_is_target(x: FloatArray, y: FloatArray) -> Leak | None:
    """A state that alone gives the target: |correlation| above 0.999, or for two classes a perfect ranking (AUC 1)."""
    centred_x, centred_y = x - x.mean(axis=0), y - y.mean()
    power = np.sqrt(np.sum(centred_x**2, axis=0) * np.sum(centred_y**2))
    correlation = np.divide(np.abs(centred_y @ centred_x), power, out=np.zeros(x.shape[1]), where=power > 0)
    given = correlation > 0.999
    classes = np.unique(y)
    if classes.size == 2:
        upper = y == classes[1]
        n_upper, n_lower = int(upper.sum()), int((~upper).sum())
        ranks = rankdata(x, axis=0)[upper].sum(axis=0)
        area = (ranks - n_upper * (n_upper + 1) / 2) / (n_upper * n_lower)
        given |= np.maximum(area, 1 - area) >= 1.0
    columns = np.flatnonzero(given)
    if not columns.size:
        return None
    return Leak("state_is_target", tuple(map(int, columns)), f"state {_list(columns)} alone gives the target")


def _duplicates(x: FloatArray, split: Split) -> Leak | None:
    """Test rows that stand in the training part bit for bit, more of them than repeat by themselves.

    Small counts meet again by chance: as often as rows of the second half of the training part meet the first half.
    """
    if x.shape[1] < 2:
        return None
    rows = np.ascontiguousarray(x)

    def repeated(known: FloatArray, asked: FloatArray) -> int:
        seen = {row.tobytes() for row in known}
        return sum(row.tobytes() in seen for row in asked)

    half = split.train // 2
    by_chance = repeated(rows[:half], rows[half : split.train]) / max(split.train - half, 1)
    twice = repeated(rows[: split.train], rows[split.train :])
    if twice <= split.test * (0.01 + 2.0 * by_chance):
        return None
    return Leak("duplicate_rows", (), f"{twice} of {split.test} test rows stand in the training part too")


def _scaled_on_test(y: FloatArray, split: Split) -> Leak | None:
    """A target of mean 0 and deviation 1 over both parts, and not over the training part, was scaled with the test."""

    def standard(part: FloatArray) -> bool:
        return bool(abs(part.mean()) < 1e-9 and abs(part.std() - 1.0) < 1e-9)

    if not standard(y) or standard(y[: split.train]):
        return None
    return Leak("target_scaled_on_test", (), "the target is standardised over training and test part together")


def _knows_future(x: FloatArray, u: FloatArray) -> Leak | None:
    """No state may hold inputs that were not yet given; of independent draws every later one is unknown."""
    basis = orthonormal_basis(x[:-FUTURE_STEPS])
    cut = noise_threshold(basis.shape[1], len(basis), FUTURE_FALSE_ALARM)
    for ahead in range(1, FUTURE_STEPS + 1):
        later = u[ahead : len(u) - FUTURE_STEPS + ahead]
        later = later - later.mean()
        share = float(np.sum((basis.T @ later) ** 2) / np.sum(later**2))
        if share > cut:
            return Leak("knows_future", (), f"the states of step t give {share:.1%} of the later u[t+{ahead}]")
    return None


def _block_is_label(y: FloatArray, block: NDArray[np.int64]) -> Leak | None:
    """Where every sitting holds one label, a readout may learn the sitting."""
    blocks = np.unique(block)
    if blocks.size < 2 or np.unique(y).size < 2 or np.unique(y).size > len(y) // 10:
        return None
    if any(np.unique(y[block == one]).size > 1 for one in blocks):
        return None
    return Leak(
        "block_is_label",
        (),
        f"each of the {blocks.size} acquisition blocks holds one label: its effect and the sitting's are one",
    )
