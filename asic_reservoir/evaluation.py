"""The evaluation protocol: one split in time, one readout, one error, for silicon, host and controls alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from asic_reservoir._blas import single_thread
from asic_reservoir.errors import DataError, UsageError
from asic_reservoir.readout import DEFAULT_ALPHAS, RidgeReadout

FloatArray = NDArray[np.float64]
SELECTION_GAP = 50
"""Rows left out beside a validation block: as many as the longest delay line of the host."""


@dataclass(frozen=True, slots=True)
class Split:
    """Washout, training and test part, one after the other in time.

    Raises:
        UsageError: a part is too short.

    >>> Split(200, 2000, 2000).n_steps
    4200
    """

    washout: int = 200
    """Steps that belong to nobody: states still remember how the board was started."""
    train: int = 2000
    """Steps that weights, scales and penalty are taken from."""
    test: int = 2000
    """Later steps that the error is measured on."""

    def __post_init__(self) -> None:
        for name, least in (("washout", 0), ("train", 20), ("test", 20)):
            if getattr(self, name) < least:
                raise UsageError(f"split: {name} {getattr(self, name)}, must be at least {least} steps")

    @classmethod
    def of(cls, n_steps: int, washout: int = 200) -> Split:
        """Half of what the washout leaves to train, half to test."""
        return cls(washout, (n_steps - washout) // 2, (n_steps - washout) // 2)

    @property
    def n_steps(self) -> int:
        """Steps that a run must have."""
        return self.washout + self.train + self.test

    @property
    def train_rows(self) -> slice:
        """Rows of the training part."""
        return slice(self.washout, self.washout + self.train)

    @property
    def test_rows(self) -> slice:
        """Rows of the test part."""
        return slice(self.washout + self.train, self.n_steps)


@dataclass(frozen=True, slots=True, eq=False)
class Score:
    """What one readout scored on the test part."""

    nrmse: float
    """Root mean squared error / standard deviation of the target, both on the test part. The mean scores 1."""
    predictions: FloatArray
    """(n_test,)"""
    target: FloatArray
    """(n_test,)"""
    alpha: float
    """The penalty that the training part chose."""
    weights: FloatArray = field(default_factory=lambda: np.zeros(0))
    """In units of the states, (n_states,); empty where the score is not that of one readout of states."""
    intercept: float = 0.0

    @property
    def squared_errors(self) -> FloatArray:
        """(n_test,)"""
        return (self.predictions - self.target) ** 2

    def error_rate(self, classes: Sequence[float]) -> float:
        """Share of test steps whose prediction is nearest to a symbol of ``classes`` that is not the target."""
        symbols = np.asarray(classes, dtype=np.float64)
        nearest = symbols[np.abs(self.predictions[:, None] - symbols[None, :]).argmin(axis=1)]
        return float(np.mean(nearest != self.target))


def evaluate(
    states: FloatArray,
    target: FloatArray,
    split: Split,
    *,
    alphas: Sequence[float] = DEFAULT_ALPHAS,
    selection: str = "blocks",
) -> Score:
    """Train a ridge readout on the training part, score it on the test part.

    Scales, penalty (five blocks in time with a gap of 50 rows, or ``"gcv"``) and weights come from the training part
    alone.

    Args:
        states: (n_steps, n_states), finite; row t has seen ``input[0..t]``.
        target: (n_steps,), finite.
        split: Rows beyond ``split.n_steps`` are not used.
        alphas: Penalties to choose among, see :class:`asic_reservoir.readout.RidgeReadout`.
        selection: ``"blocks"`` or ``"gcv"``.

    Raises:
        DataError: shapes that do not fit, fewer rows than the split needs, NaN or infinity, a target without variance.
    """
    states, target = _checked(states, target, split)
    x, y = states[split.train_rows], target[split.train_rows]
    gap = min(SELECTION_GAP, split.train // 20) if selection == "blocks" else 0
    with single_thread():
        readout = RidgeReadout(alphas, selection=selection, gap=gap).fit(x, y)
        predictions = readout.predict(states[split.test_rows])
    wanted = target[split.test_rows]
    coef, intercept = np.asarray(readout.coef_, np.float64), float(readout.intercept_)
    return Score(nrmse(predictions, wanted), predictions, wanted, float(readout.alpha_), coef, intercept)


def evaluate_targets(
    states: FloatArray, targets: FloatArray, split: Split, *, alphas: Sequence[float] = DEFAULT_ALPHAS
) -> FloatArray:
    """Test NRMSE of many targets on one set of states, each with a penalty of its own by generalised cross-validation.

    Args:
        states: (n_steps, n_states), finite.
        targets: (n_steps, n_targets), finite.
        split: Rows beyond ``split.n_steps`` are not used.
        alphas: Penalties to choose among.

    Returns:
        (n_targets,).

    Raises:
        DataError: as :func:`evaluate`.
    """
    if targets.ndim != 2 or targets.shape[1] == 0:
        raise DataError(f"targets: shape {targets.shape}, must be (n_steps, n_targets)")
    states, _ = _checked(states, targets[:, 0], split)
    readout = RidgeReadout(alphas, alpha_per_target=True)
    with single_thread():
        readout.fit(states[split.train_rows], targets[split.train_rows])
        predictions, wanted = readout.predict(states[split.test_rows]), targets[split.test_rows]
    return np.array([nrmse(predictions[:, k], wanted[:, k]) for k in range(wanted.shape[1])])


def nrmse(predictions: FloatArray, target: FloatArray) -> float:
    """RMSE / standard deviation of ``target``, over the same rows.

    Raises:
        DataError: the target has no variance.
    """
    spread = float(np.std(target))
    if spread <= 1e-12 * max(float(np.abs(target).max()), 1e-300):
        raise DataError(f"target: constant {target[0]:g} on the test part, must vary")
    return float(np.sqrt(np.mean((predictions - target) ** 2))) / spread


def _checked(states: FloatArray, target: FloatArray, split: Split) -> tuple[FloatArray, FloatArray]:
    states = np.asarray(states)
    target = np.asarray(target, dtype=np.float64)
    if states.ndim != 2 or states.shape[1] == 0:
        raise DataError(f"states: shape {states.shape}, must be (n_steps, n_states)")
    if target.ndim != 1:
        raise DataError(f"target: shape {target.shape}, must be (n_steps,)")
    for name, length in (("states", len(states)), ("target", len(target))):
        if length < split.n_steps:
            raise DataError(f"{name}: {length} rows, must be at least {split.n_steps} (washout, train, test)")
    states, target = states[: split.n_steps], target[: split.n_steps]
    if not np.all(np.isfinite(target)):
        raise DataError(f"target: row {int(np.flatnonzero(~np.isfinite(target))[0])} is not finite")
    if not np.all(np.isfinite(states)):
        row, column = (int(place) for place in np.argwhere(~np.isfinite(states))[0])
        raise DataError(f"states: row {row}, state {column} is {states[row, column]}, must be finite")
    return states, target


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with the interval that covers it at the stated level."""

    mean: float
    low: float
    high: float
    n: int
    """Values that it comes from."""

    def __str__(self) -> str:
        return f"{self.mean:.4f} [{self.low:.4f}, {self.high:.4f}]"


def mean_interval(values: Sequence[float] | FloatArray, level: float = 0.95) -> Interval:
    """Mean over seeds with Student's t interval; of one value the interval is infinite.

    Raises:
        DataError: no values, or one that is not finite.

    >>> str(mean_interval([1.0, 2.0, 3.0]))
    '2.0000 [-0.4841, 4.4841]'
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or array.size == 0 or not np.all(np.isfinite(array)):
        raise DataError(
            f"values: {array.tolist() if array.size < 9 else array.shape}, must be one or more finite numbers"
        )
    mean = float(array.mean())
    if array.size == 1:
        return Interval(mean, -np.inf, np.inf, 1)
    half = float(student.ppf(0.5 + level / 2, array.size - 1) * array.std(ddof=1) / np.sqrt(array.size))
    return Interval(mean, mean - half, mean + half, int(array.size))
