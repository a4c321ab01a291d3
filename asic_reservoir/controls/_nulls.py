"""Runs and resamplings in which nothing can be learned: each must fall to the score of the mean."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asic_reservoir.errors import UsageError
from asic_reservoir.evaluation import Split, evaluate_targets

FloatArray = NDArray[np.float64]
LEAST_SHIFT = 200
"""Steps of a time shift that lie beyond the memory of states and target."""


@dataclass(frozen=True, slots=True, eq=False)
class NullTest:
    """A score against the scores of surrogates."""

    nrmse: float
    null: FloatArray
    """(n_surrogates,)"""

    @property
    def p(self) -> float:
        """(1 + surrogates that score at least as well) / (1 + surrogates)."""
        return float((1 + np.sum(self.null <= self.nrmse)) / (1 + self.null.size))


def decoupled_input(u: FloatArray, seed: int) -> FloatArray:
    """(n_steps,): what the board is driven with in the decoupled run: the values of ``u`` in an order of their own.

    The states of that run are scored against the target of ``u`` and must give 1.
    """
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0xDEC,))).permutation(u)


def shuffled_states(states: FloatArray, seed: int) -> FloatArray:
    """(n_steps, n_states): the rows of ``states`` in random order. Their score must be 1.

    Weaker than a time shift: it also destroys the correlation in time that makes slow states look like a slow target.
    """
    return states[np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0x5F,))).permutation(len(states))]


def shift_surrogates(
    states: FloatArray, target: FloatArray, split: Split, *, n_surrogates: int = 199, seed: int = 0
) -> NullTest:
    """Shift states against target, circularly, beyond their memory: both keep their correlation in time.

    A small p proves that states depend on the input, never that they remember it: a memoryless drifting wire passes.

    Raises:
        UsageError: the split is shorter than four times the least shift of 200 steps.
        DataError: as :func:`asic_reservoir.evaluation.evaluate`.
    """
    length = split.train + split.test
    if length < 4 * LEAST_SHIFT:
        raise UsageError(
            f"split: {length} steps to train and test, must be at least {4 * LEAST_SHIFT} for shift surrogates"
        )
    shifts = np.random.default_rng(seed).integers(LEAST_SHIFT, length - LEAST_SHIFT, n_surrogates)
    return _null_test(states, target, split, [np.roll(np.arange(length), shift) for shift in shifts])


def permutation_test(
    states: FloatArray, target: FloatArray, split: Split, *, n_surrogates: int = 199, seed: int = 0
) -> NullTest:
    """The target permuted: the null scores lie at 1 or above, or the evaluation itself leaks.

    Raises:
        DataError: as :func:`asic_reservoir.evaluation.evaluate`.
    """
    generator = np.random.default_rng(seed)
    return _null_test(
        states, target, split, [generator.permutation(split.train + split.test) for _ in range(n_surrogates)]
    )


def _null_test(states: FloatArray, target: FloatArray, split: Split, orders: list[NDArray[np.intp]]) -> NullTest:
    """All surrogates share the states, hence one Gram matrix and one decomposition: they cost little more than one."""
    targets = np.repeat(np.asarray(target, dtype=np.float64)[: split.n_steps, None], 1 + len(orders), axis=1)
    scored = targets[split.washout :, 0].copy()
    for column, order in enumerate(orders, start=1):
        targets[split.washout :, column] = scored[order]
    scores = evaluate_targets(states, targets, split)
    return NullTest(float(scores[0]), scores[1:])
