"""What boards did, added up from their observations, wherever they were driven."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from asic_reservoir.around import BoardAround
from asic_reservoir.board import Board, BoardInfo, Observation, Resumable, Step

Seen = Callable[[BoardInfo, Observation], None]
"""Told of every step of a board, after it."""


@dataclass(slots=True)
class Usage:
    """Steps, time, energy and nonces."""

    steps: int = 0
    board_seconds: float = 0.0
    """On the board's time line."""
    energy_j: float = 0.0
    """Power that the telemetry reported, times time; 0 where the board reports none."""
    metered_seconds: float = 0.0
    """Board time for which a power was reported."""
    valid: int = 0
    invalid: int = 0

    def add(self, observation: Observation) -> None:
        """One more step."""
        seconds = observation.duration_s
        self.steps += 1
        self.board_seconds += seconds
        self.valid += int(observation.counts.valid.sum())
        self.invalid += int(observation.counts.invalid.sum())
        power = observation.telemetry.power_w
        known = power[np.isfinite(power)]
        if known.size:
            self.energy_j += float(known.mean()) * seconds
            self.metered_seconds += seconds

    def include(self, other: Usage) -> None:
        """What was done elsewhere."""
        self.steps += other.steps
        self.board_seconds += other.board_seconds
        self.energy_j += other.energy_j
        self.metered_seconds += other.metered_seconds
        self.valid += other.valid
        self.invalid += other.invalid


class MeteredBoard(BoardAround):
    """A board whose steps are added to a :class:`Usage`, and told to who wants to know."""

    def __init__(self, board: Board, usage: Usage, seen: Seen = lambda info, observation: None) -> None:
        super().__init__(board)
        self._usage, self._seen = usage, seen

    def step(self, step: Step) -> Observation:
        observation = super().step(step)
        self._usage.add(observation)
        self._seen(self._board.info, observation)
        return observation


class MeteredResumableBoard(MeteredBoard):
    """The same around a board whose state can be kept and put back."""

    def snapshot(self) -> bytes:
        assert isinstance(self._board, Resumable)
        return self._board.snapshot()

    def restore(self, state: bytes) -> None:
        assert isinstance(self._board, Resumable)
        self._board.restore(state)


def metered(board: Board, usage: Usage, seen: Seen = lambda info, observation: None) -> Board:
    """The board, with its steps added to ``usage``; for :func:`asic_reservoir.registry.boards_through`.

    Args:
        board: any.
        usage: is added to.
        seen: told of every step, after it.

    >>> from asic_reservoir.board import OperatingPoint
    >>> from asic_reservoir.registry import open_board
    >>> usage = Usage()
    >>> with metered(open_board("twin://bm1366?seed=1"), usage) as board:
    ...     seen = board.step(Step(OperatingPoint(), duration_ns=2_000_000_000))
    >>> usage.steps, usage.board_seconds
    (1, 2.0)
    """
    kind = MeteredResumableBoard if isinstance(board, Resumable) else MeteredBoard
    return kind(board, usage, seen)
