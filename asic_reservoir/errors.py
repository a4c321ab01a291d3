"""The error tree. Raised where the fact is known; turned into an exit code at the edge only.

Every message names the thing, its value and what would be right, in one line::

    AsicReservoirError            exit code
    ├── UsageError                2    a setting, a URI option, an argument
    │   └── LimitError            5    an operating point outside the limits of the board (safety)
    ├── NotFoundError             3    an unknown board, task, file, run
    ├── BusyError                 4    the board, run or folder has another holder
    ├── SafetyError               5    the board left its safe region, or a write was refused by the sentinel
    ├── TimeoutExpiredError       6    a device or server did not answer in its stated time
    ├── ServerError               7    a server answered with an error
    └── DataError                 8    a file, frame, recording or stream is not what it claims to be
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asic_reservoir.board import BoardInfo


class AsicReservoirError(Exception):
    """Base of every error of this distribution."""

    exit_code = 1


class UsageError(AsicReservoirError):
    """A setting, a URI option or an argument is wrong."""

    exit_code = 2


class LimitError(UsageError):
    """An operating point lies outside the limits of the board. Nothing was written."""

    exit_code = 5


class NotFoundError(AsicReservoirError):
    """No board, task, file or run of that name."""

    exit_code = 3


class BusyError(AsicReservoirError):
    """Somebody else holds the board, the run or the folder."""

    exit_code = 4


class SafetyError(AsicReservoirError):
    """The board left its safe region, or a write was refused to keep it there.

    ``finding`` names a known trouble (``overheat-fallback``, ``voltage-ignored``) for the record of a calibration;
    ``info`` is the board's :class:`~asic_reservoir.board.BoardInfo` where it could not even be opened.
    """

    exit_code = 5

    def __init__(self, message: str, *, finding: str = "", info: BoardInfo | None = None) -> None:
        super().__init__(message)
        self.finding, self.info = finding, info


class TimeoutExpiredError(AsicReservoirError):
    """A device or a server did not answer in the time stated for it."""

    exit_code = 6


class ServerError(AsicReservoirError):
    """A server answered, with an error."""

    exit_code = 7


class DataError(AsicReservoirError):
    """A file, frame, recording or stream is not what it claims to be."""

    exit_code = 8
