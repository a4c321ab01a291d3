"""Energy of a filter that ran: estimates from counts, with intervals from whole blocks drawn again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asic_reservoir.errors import DataError, UsageError
from asic_reservoir.tpf.energy import MINING_N, EnergyModel, break_even_recall

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class BlockCounts:
    """Outcomes of one block (a job, a stretch of time): the unit that is drawn again."""

    begun: int
    continued: int
    found: int
    missed: int
    rounds: int
    """Executed; 0 where only outcomes are known (a board)."""

    def __post_init__(self) -> None:
        if not 0 <= self.continued <= self.begun or min(self.found, self.missed, self.rounds) < 0:
            raise DataError(f"block {self}: counts must be at least 0, continued at most begun")


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its bootstrap interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class EnergyEstimate:
    """The account of a filter."""

    k: int
    n: int
    begun: int
    found: int
    missed: int
    rounds_counted: int
    continue_probability: Estimate
    recall: Estimate
    break_even_recall: float
    """The recall that would pay at this continue probability."""
    gain: Estimate
    """Hits per joule against no filter, for the stated architecture."""
    rounds_per_found: Estimate
    """R: rounds a found share against no filter; infinite where none was found."""
    savings: float
    """Share of the energy of a begun hash that was left out: what is published as savings."""
    lost_share_of_income: Estimate
    """Shares missed of all that were there."""
    n_blocks: int


def account(
    blocks: Sequence[BlockCounts], k: int, model: EnergyModel, n: int = MINING_N, n_bootstrap: int = 2000, seed: int = 0
) -> EnergyEstimate:
    """Estimate from blocks; intervals: 2.5 % and 97.5 % of ``n_bootstrap`` draws of blocks with replacement.

    Raises:
        DataError: no block, or no share at all in them: recall is not known then.
        UsageError: k outside 0..n.
    """
    if not blocks:
        raise DataError("blocks: none, must be at least 1")
    if n_bootstrap < 100:
        raise UsageError(f"n_bootstrap: {n_bootstrap}, must be at least 100")
    table = np.array([(b.begun, b.continued, b.found, b.missed) for b in blocks], np.float64)
    if table[:, 0].sum() == 0 or table[:, 2:].sum() == 0:
        raise DataError(
            f"blocks: {int(table[:, 2:].sum())} shares in {int(table[:, 0].sum())} hashes, must be at least 1"
        )
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(len(blocks), np.full(len(blocks), 1 / len(blocks)), n_bootstrap)
    drawn = weights @ table
    drawn = drawn[drawn[:, 2:].sum(axis=1) > 0]
    point = table.sum(axis=0)[None]
    spent = float(break_even_recall(k, n, float(point[0, 1] / point[0, 0])))

    def gain(rows: NDArray[np.float64]) -> NDArray[np.float64]:
        keep, recall = rows[:, 1] / rows[:, 0], rows[:, 2] / rows[:, 2:].sum(axis=1)
        idle = float(model.energy_per_hash(k, n, 0))
        full = float(model.energy_per_hash(k, n, 1))
        return np.asarray(recall / (idle + (full - idle) * keep))

    def rounds(rows: NDArray[np.float64]) -> NDArray[np.float64]:
        keep, recall = rows[:, 1] / rows[:, 0], rows[:, 2] / rows[:, 2:].sum(axis=1)
        with np.errstate(divide="ignore"):
            return np.asarray((k / n + (1 - k / n) * keep) / recall)

    return EnergyEstimate(
        k,
        n,
        int(point[0, 0]),
        int(point[0, 2]),
        int(point[0, 3]),
        sum(block.rounds for block in blocks),
        _interval(point[:, 1] / point[:, 0], drawn[:, 1] / drawn[:, 0]),
        _interval(point[:, 2] / point[:, 2:].sum(axis=1), drawn[:, 2] / drawn[:, 2:].sum(axis=1)),
        spent,
        _interval(gain(point), gain(drawn)),
        _interval(rounds(point), rounds(drawn)),
        1 - float(model.energy_per_hash(k, n, float(point[0, 1] / point[0, 0]))),
        _interval(point[:, 3] / point[:, 2:].sum(axis=1), drawn[:, 3] / drawn[:, 2:].sum(axis=1)),
        len(blocks),
    )


def _interval(point: NDArray[np.float64], drawn: NDArray[np.float64]) -> Estimate:
    ordered = np.sort(drawn)
    low = ordered[int(0.025 * (ordered.size - 1))]
    high = ordered[int(np.ceil(0.975 * (ordered.size - 1)))]
    return Estimate(float(point[0]), float(low), float(high))
