"""A board that stands around another one."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from asic_reservoir.board import Board, BoardInfo, Observation, Step


class BoardAround:
    """Passes everything on to the board inside; who builds on it changes what it is there for.

    >>> from asic_reservoir.registry import open_board
    >>> with BoardAround(open_board("twin://lv06?seed=1")) as board:
    ...     board.info.family
    'lv06'
    """

    def __init__(self, board: Board) -> None:
        self._board = board

    @property
    def info(self) -> BoardInfo:
        return self._board.info

    def step(self, step: Step) -> Observation:
        return self._board.step(step)

    def close(self) -> None:
        self._board.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def inside(board: Board) -> Board:
    """The board that all others stand around.

    >>> from asic_reservoir.registry import open_board
    >>> with open_board("twin://lv06?seed=1") as board:
    ...     inside(BoardAround(BoardAround(board))) is board
    True
    """
    while isinstance(board, BoardAround):
        board = board._board
    return board
