"""What states remember of their input, and whether they say the same twice.

Capacities after Dambre, Verstraeten, Schrauwen & Massar, Sci. Rep. 2 (2012) 514: with Q an orthonormal basis of the
centred states and z a function of past input, C = |Qᵀz|² / |z|² is the share of z that a linear readout can give.
Functions that are orthonormal under the input's distribution have capacities that sum to at most the rank of states.

Independent z scores C ~ Beta(r/2, (T - 1 - r)/2) with mean r/T: without a cut, many functions of nothing add up to a
large capacity. Every capacity here is cut at a quantile of that law, and what survives loses r/T.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh, qr, svd
from scipy.stats import beta

from asic_reservoir._blas import single_thread
from asic_reservoir.errors import DataError, UsageError
from asic_reservoir.evaluation import SELECTION_GAP, Score, Split, nrmse
from asic_reservoir.readout import RidgeReadout

FloatArray = NDArray[np.float64]
Term = tuple[tuple[int, int], ...]
"""((lag, degree), …): the product of orthonormal polynomials of u[t - lag], one of each degree."""
FAMILY_FALSE_ALARM = 1e-3
"""Chance that any of the functions passes the cut when the states are noise."""
GRAM_CONDITION = 1e-8
"""Smallest over largest eigenvalue of a Gram matrix from which a basis is still orthonormal to 1e-8."""
RANK_TOLERANCE = 1e-10
"""Singular values of standardised states below this times the largest are rounding."""


@dataclass(frozen=True)
class Capacities:
    """Capacities of a set of states for a list of functions of past input."""

    terms: tuple[Term, ...]
    raw: FloatArray
    """(n_functions,): C before the cut."""
    threshold: float
    """What independent noise passes with the stated chance, shared out over the functions."""
    rank: int
    """Rank of the centred states."""
    n_rows: int

    @cached_property
    def values(self) -> FloatArray:
        """(n_functions,): 0 up to the threshold, C - rank / n_rows above it."""
        return np.where(self.raw > self.threshold, self.raw - self.rank / self.n_rows, 0.0)

    @property
    def total(self) -> float:
        """Sum of the values; at most the rank, to sampling error."""
        return float(self.values.sum())

    def of_degree(self, degree: int) -> float:
        """Sum of the values of one total degree; degree 1 is the linear memory capacity, lag 0 included."""
        return self._sum(lambda term: sum(power for _, power in term) == degree)

    @property
    def memory(self) -> float:
        """Sum of the values of functions that need an earlier input than u[t]."""
        return self._sum(lambda term: any(lag > 0 for lag, _ in term))

    def per_lag(self) -> FloatArray:
        """(max_lag + 1,): linear capacity of each lag."""
        return np.array(
            [v for term, v in zip(self.terms, self.values, strict=True) if len(term) == 1 and term[0][1] == 1]
        )

    def _sum(self, wanted: Callable[[Term], bool]) -> float:
        return float(sum(v for term, v in zip(self.terms, self.values, strict=True) if wanted(term)))


@dataclass(frozen=True)
class LagFunctions:
    """Orthonormal functions of past input over the rows after a washout: made once, asked of many sets of states."""

    terms: tuple[Term, ...]
    unit: FloatArray
    """(n_functions, n_rows): centred, of length 1."""
    washout: int

    @classmethod
    def of(cls, u: FloatArray, *, washout: int = 200, max_lag: int = 50, max_product_lag: int = 15) -> LagFunctions:
        """Polynomials of degree 1 and 2 of one lag, and products of two lags.

        They are orthogonalised on the input itself: any distribution serves, and an input of two values has no square.

        Args:
            u: (n_steps,), independent draws of one distribution.
            washout: Rows dropped at the start, at least ``max_lag``.
            max_lag: Longest lag of the linear functions.
            max_product_lag: Longest lag of squares and products; -1 leaves them out.

        Raises:
            UsageError: lags that the washout does not cover.
            DataError: an input that ends before the washout, or does not vary.
        """
        if not -1 <= max_product_lag <= max_lag or not 0 <= max_lag <= washout:
            raise UsageError(
                f"capacities: lags {max_lag} (linear) and {max_product_lag} (products), "
                f"must be in this order at most the washout of {washout}"
            )
        if u.ndim != 1 or len(u) < washout + 3:
            raise DataError(f"input: shape {u.shape}, must be (n_steps,) beyond the washout of {washout}")
        first = u - u.mean()
        spread = first.std()
        if spread <= 1e-12 * max(float(np.abs(u).max()), 1e-300):
            raise DataError(f"input: constant {u[0]:g}, must vary")
        first = first / spread
        second = first**2 - 1.0 - np.mean(first**3) * first
        lagged = [first[washout - lag : len(u) - lag] for lag in range(max_lag + 1)]
        terms: list[Term] = [((lag, 1),) for lag in range(max_lag + 1)]
        rows = list(lagged)
        for late in range(max_product_lag + 1):
            if second.std() > 1e-9:
                terms.append(((late, 2),))
                rows.append(second[washout - late : len(u) - late])
            for early in range(late + 1, max_product_lag + 1):
                terms.append(((late, 1), (early, 1)))
                rows.append(lagged[late] * lagged[early])
        functions = np.stack(rows)
        functions -= functions.mean(axis=1, keepdims=True)
        functions /= np.sqrt(np.einsum("ij,ij->i", functions, functions))[:, None]
        return cls(tuple(terms), functions, washout)


def capacities(states: FloatArray, functions: LagFunctions, *, false_alarm: float = FAMILY_FALSE_ALARM) -> Capacities:
    """Linear memory capacity and information processing capacity of degree 2, with the analytic cut.

    Args:
        states: (n_steps, n_states), with a row for every step of the functions' input.
        functions: ``LagFunctions.of(u)``.
        false_alarm: Chance that any function passes the cut on noise.

    Raises:
        DataError: shapes that do not fit.

    >>> u = np.random.default_rng(0).uniform(size=2000)
    >>> round(capacities(u[:, None], LagFunctions.of(u)).of_degree(1), 2)
    1.0
    """
    n_rows = functions.unit.shape[1]
    if states.ndim != 2 or len(states) != functions.washout + n_rows:
        raise DataError(f"states: shape {states.shape}, must be ({functions.washout + n_rows}, n_states) as the input")
    tall, small = _whitened(states[functions.washout :])
    rank = small.shape[1]
    with single_thread():
        overlap = (functions.unit @ tall) @ small
    raw = np.einsum("ij,ij->i", overlap, overlap)
    threshold = noise_threshold(rank, n_rows, false_alarm / len(functions.terms))
    return Capacities(functions.terms, raw, threshold, rank, n_rows)


def noise_threshold(rank: int, n_rows: int, false_alarm: float) -> float:
    """Capacity that a function independent of the states passes with probability ``false_alarm``."""
    if rank == 0 or n_rows - 1 <= rank:
        return 1.0
    return float(beta.isf(false_alarm, rank / 2, (n_rows - 1 - rank) / 2))


def orthonormal_basis(states: FloatArray) -> FloatArray:
    """(n_rows, rank): orthonormal columns that span the centred, scaled states."""
    tall, small = _whitened(states)
    return np.asarray(tall @ small)


def _whitened(states: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Factors (n_rows, k), (k, rank) whose product is :func:`orthonormal_basis`."""
    mean = states.mean(axis=0)
    centred = states - mean
    scale = np.sqrt(np.einsum("ij,ij->j", centred, centred) / len(states))
    moving = scale > 1e-12 * np.maximum(np.abs(mean), 1e-300)
    if not moving.any():
        return np.zeros((len(states), 0)), np.zeros((0, 0))
    if not moving.all():
        centred, scale = centred[:, moving], scale[moving]
    centred /= scale
    with single_thread():
        values, vectors = eigh(centred.T @ centred, driver="evd", check_finite=False)
        if values[0] > GRAM_CONDITION * values[-1]:
            return centred, vectors / np.sqrt(values)
        # a Gram matrix squares the condition: states without noise show their rank only when factorised themselves
        tall, triangle = qr(centred, mode="economic", overwrite_a=True, check_finite=False)
        left, singular, _ = svd(triangle, full_matrices=False, check_finite=False)
        return tall, left[:, singular > RANK_TOLERANCE * singular[0]]


def consistency(first_run: FloatArray, second_run: FloatArray, *, washout: int = 200) -> FloatArray:
    """(n_states,): γ² = squared correlation of each state over two runs of one input from different starts.

    White noise alone gives γ² = (SNR / (1 + SNR))²; low γ² at high SNR means that the state does not forget its start
    (Uchida, McAllister & Roy, Phys. Rev. Lett. 93 (2004) 244102). A state that does not move scores 0.

    Raises:
        DataError: the two runs have different shapes.
    """
    if first_run.shape != second_run.shape or first_run.ndim != 2:
        raise DataError(f"runs {first_run.shape} and {second_run.shape}: must both be (n_steps, n_states)")
    one = first_run[washout:] - first_run[washout:].mean(axis=0)
    two = second_run[washout:] - second_run[washout:].mean(axis=0)
    power = np.einsum("ij,ij->j", one, one) * np.einsum("ij,ij->j", two, two)
    cross = np.einsum("ij,ij->j", one, two)
    gamma_squared: FloatArray = np.divide(cross**2, power, out=np.zeros_like(power), where=power > 0)
    return gamma_squared


def transfer(first_run: FloatArray, second_run: FloatArray, target: FloatArray, split: Split) -> Score:
    """Train on the training part of the first run, test on the test part of a second run of the same input.

    The score of a reservoir survives this; a drifting or chaotic one does not.

    Raises:
        DataError: the two runs have different shapes.
    """
    if first_run.shape != second_run.shape or first_run.ndim != 2:
        raise DataError(f"runs {first_run.shape} and {second_run.shape}: must both be (n_steps, n_states)")
    gap = min(SELECTION_GAP, split.train // 20)
    with single_thread():
        readout = RidgeReadout(selection="blocks", gap=gap).fit(first_run[split.train_rows], target[split.train_rows])
        predictions, wanted = readout.predict(second_run[split.test_rows]), target[split.test_rows]
    return Score(nrmse(predictions, wanted), predictions, wanted, float(readout.alpha_))


def effective_rank(replicas: FloatArray) -> int:
    """Directions in which states move by more than their noise.

    Eigenvalues of the covariance of the mean over replicas that exceed the largest eigenvalue of what differs between
    replicas. An absolute cut would count the noise: copies of one state have rank 1, whatever noise is on them.

    With steps as rows it is the number of usable states; with one end state for each of many different input streams it
    is the kernel rank, and with end states of nearly equal streams the generalisation rank, which should be low
    (Legenstein & Maass, Neural Netw. 20 (2007) 323).

    Args:
        replicas: (n_replicas, n_rows, n_states): the same inputs at least twice.

    Raises:
        DataError: fewer than two replicas or rows.
    """
    if replicas.ndim != 3 or replicas.shape[0] < 2 or replicas.shape[1] < 2:
        raise DataError(f"replicas: shape {replicas.shape}, must be (2 or more replicas, 2 or more rows, n_states)")
    n_replicas, n_rows, _ = replicas.shape
    mean = replicas.mean(axis=0)
    moving = mean - mean.mean(axis=0)
    noise = (replicas - mean).reshape(n_replicas * n_rows, -1)
    with single_thread():
        signal = np.linalg.eigvalsh(moving.T @ moving / n_rows)
        floor = np.linalg.eigvalsh(noise.T @ noise / ((n_replicas - 1) * n_rows))[-1] / n_replicas
    # the largest eigenvalue of noise over few rows exceeds its variance by (1 + √(states / rows))² (Marchenko, Pastur)
    edge = floor * (1.0 + np.sqrt(replicas.shape[2] / n_rows)) ** 2
    return int(np.sum(signal > max(edge, 1e-12 * signal[-1])))


@dataclass(frozen=True, slots=True, eq=False)
class FadingMemory:
    """How two runs forget that their inputs once differed."""

    distance: FloatArray
    """(n_steps,): |x - x'| / |x| after the inputs have become equal."""
    time_constant: float
    """Steps in which the distance falls by e; infinite where it does not fall."""
    floor: float
    """Distance of the last quarter: noise, or what is never forgotten."""


def fading_memory(first: FloatArray, second: FloatArray, equal_from: int) -> FadingMemory:
    """Test of the echo-state property on two runs whose inputs are equal from step ``equal_from`` on.

    Args:
        first: (n_steps, n_states).
        second: (n_steps, n_states).
        equal_from: First step with equal inputs; at least 8 steps must follow.

    Raises:
        DataError: different shapes, or too few steps after ``equal_from``.
    """
    if first.shape != second.shape or first.ndim != 2 or not 0 <= equal_from <= len(first) - 8:
        raise DataError(
            f"runs {first.shape} and {second.shape}, equal from {equal_from}: must both be (n_steps, n_states) "
            "with 8 or more steps of equal input"
        )
    centre = first.mean(axis=0)
    gap = np.linalg.norm(first[equal_from:] - second[equal_from:], axis=1)
    size = float(np.sqrt(np.mean(np.sum((first - centre) ** 2, axis=1))))
    distance = gap / size if size > 0 else gap
    floor = float(np.median(distance[-(len(distance) // 4) :]))
    above = np.flatnonzero(distance <= 2.0 * floor)
    n_fit = int(above[0]) if above.size else len(distance)
    if n_fit < 2:
        return FadingMemory(distance, 0.0 if n_fit == 0 else 1.0, floor)
    slope = float(np.polyfit(np.arange(n_fit), np.log(distance[:n_fit]), 1)[0])
    return FadingMemory(distance, -1.0 / slope if slope < 0 else float("inf"), floor)
