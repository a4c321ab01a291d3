"""Boards in which a claimed effect is real: a twin whose answers are changed on the way, for the tests of verdicts.

The physics of the twin knows nothing of this: what these boards do is not what any board does.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from asic_reservoir.around import BoardAround
from asic_reservoir.board import Board, ChipCounts, Observation, Step
from asic_reservoir.claim_trials.diffusion import digest_bits


def _with(seen: Observation, rows: np.ndarray) -> Observation:
    nonces = seen.nonces.select(rows)
    return replace(seen, nonces=nonces, counts=ChipCounts.of(nonces, len(seen.counts.valid)))


class BeatingBoard(BoardAround):
    """Its rate swings by a half, 2.4 times a second."""

    def __init__(self, board: Board) -> None:
        super().__init__(board)
        self._rng = np.random.default_rng(5)

    def step(self, step: Step) -> Observation:
        seen = super().step(step)
        times_s = seen.nonces.time_ns * 1e-9
        kept = (1 + 0.5 * np.sin(2 * np.pi * 2.4 * times_s)) / 1.5
        return _with(seen, np.flatnonzero(self._rng.random(times_s.size) < kept))


class RegularBoard(BoardAround):
    """At one clock the nonces come like those of a pump: gaps of the published CV 0.092."""

    def __init__(self, board: Board, mhz: float) -> None:
        super().__init__(board)
        self._mhz, self._rng = mhz, np.random.default_rng(6)

    def step(self, step: Step) -> Observation:
        seen = super().step(step)
        clock = float(np.mean(np.asarray(seen.applied.frequency_mhz)))
        if abs(clock - self._mhz) > 5 or len(seen.nonces) < 3:
            return seen
        shape = 1 / 0.092**2
        gaps = self._rng.gamma(shape, 1 / shape, len(seen.nonces))
        share = np.cumsum(gaps) / gaps.sum()
        times = seen.begin_ns + np.floor(share * (seen.end_ns - seen.begin_ns)).astype(np.int64)
        return replace(seen, nonces=replace(seen.nonces, time_ns=times))


class FlickeringBoard(BoardAround):
    """Where some nonces are wrong it jumps between two states: nearly all right, nearly all wrong."""

    def __init__(self, board: Board) -> None:
        super().__init__(board)
        self._rng = np.random.default_rng(7)

    def step(self, step: Step) -> Observation:
        seen = super().step(step)
        total = seen.counts.valid + seen.counts.invalid
        share = float(seen.counts.valid.sum()) / max(int(total.sum()), 1)
        if not 0.05 < share < 0.95:
            return seen
        state = 0.95 if self._rng.random() < share else 0.05
        valid = self._rng.binomial(total, state)
        return replace(seen, counts=replace(seen.counts, valid=valid, invalid=total - valid))


class StickyBoard(BoardAround):
    """Where it errs its nonces come in an order in which each hash is near the one before."""

    def step(self, step: Step) -> Observation:
        seen = super().step(step)
        wrong = int(seen.counts.invalid.sum())
        header = step.work.header
        if header is None or wrong < 0.1 * max(int(seen.counts.total.sum()), 1) or not len(seen.nonces):
            return seen
        bits = digest_bits(header[:76], seen.nonces.nonce, seen.nonces.version)
        left = list(range(1, len(bits)))
        order = [0]
        while left:
            distance = (bits[left] != bits[order[-1]]).sum(axis=1)
            order.append(left.pop(int(np.argmin(distance))))
        nonces = seen.nonces
        moved = replace(nonces, **{name: column[order] for name, column in nonces.columns() if name != "time_ns"})
        return replace(seen, nonces=moved)
