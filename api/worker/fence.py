"""What stands around every board that a task opens: the fence and the meter."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from api.queue.leases import Clock, StaleTokenError, boot_clock
from asic_reservoir.around import BoardAround
from asic_reservoir.board import Board, Observation, Origin, Resumable, Step
from asic_reservoir.errors import UsageError
from asic_reservoir.kinds import Cancelled
from asic_reservoir.metering import Seen, Usage


@runtime_checkable
class Player(Board, Protocol):
    """A board that plays what was recorded."""

    def play(self) -> Iterator[tuple[Step, Observation]]: ...


class Fence:
    """The right to drive, with its end. The supervisor moves the end; every command asks first."""

    def __init__(self, board: str, token: int, valid_until: float, clock: Clock = boot_clock) -> None:
        self.board, self.token = board, token
        self.valid_until = valid_until
        self.cancelled = False
        self._clock = clock

    def check(self) -> None:
        """Raises StaleTokenError after the end, Cancelled where cancel was asked for."""
        if self._clock() >= self.valid_until:
            raise StaleTokenError(f"board {self.board}: token {self.token} is past its term, must be renewed")
        if self.cancelled:
            raise Cancelled

    @property
    def over(self) -> bool:
        return self._clock() >= self.valid_until


class FencedBoard(BoardAround):
    """A board whose every step asks the fence first. A stale token reaches no wire; leaving the safe way, by
    closing, is always allowed.

    Raises:
        UsageError: a real board other than the leased one.
        StaleTokenError: the lease is over.
    """

    def __init__(self, board: Board, fence: Fence, meter: Usage, leased_uri: str, seen: Seen) -> None:
        # a twin is no device: a task may open as many as it wants
        if board.info.origin is Origin.MEASURED and board.info.uri != leased_uri:
            raise UsageError(f"board {board.info.uri}: not leased to this task, must be {leased_uri}")
        fence.check()
        super().__init__(board)
        self._fence, self._meter, self._seen = fence, meter, seen

    def step(self, step: Step) -> Observation:
        self._fence.check()
        observation = super().step(step)
        self._meter.add(observation)
        self._seen(self._board.info, observation)
        return observation


class FencedResumableBoard(FencedBoard):
    """The same around a board whose state can be kept and put back."""

    _board: Board

    def snapshot(self) -> bytes:
        assert isinstance(self._board, Resumable)
        return self._board.snapshot()

    def restore(self, state: bytes) -> None:
        assert isinstance(self._board, Resumable)
        self._fence.check()
        self._board.restore(state)


class FencedRecording(FencedBoard):
    """The same around a recorded run, which can be played as a whole."""

    _board: Player

    def play(self) -> Iterator[tuple[Step, Observation]]:
        for step, observation in self._board.play():
            self._fence.check()
            self._meter.add(observation)
            self._seen(self._board.info, observation)
            yield step, observation
