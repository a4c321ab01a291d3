"""Frames of the stream's WebSocket: what comes is checked here before anything else sees it.

From the client::

    {"seq": 0, "u": 0.25}               one input
    {"seq": 1, "u": [0.1, 0.3, 0.2]}    several, with the sequences from 1 on
    {"end": true}                       no more inputs follow

From the service::

    {"type": "hello", "next": 0, "window": 64, "low": 0.0, "high": 0.5, "idle_seconds": 30.0}
    {"type": "output", "seq": 0, "y": 0.31, "begin_ns": 0, "end_ns": 1000000000}    with "states" where asked for
    {"type": "alive", "next": 1}                                                    where nothing else is to be said
    {"type": "end", "state": "succeeded", "ended": "ended"}                         before the socket is closed
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, NoReturn

from api.worker.streaming import WINDOW

LARGEST = 1 << 16
"""Characters of a frame."""
PROTOCOL = "asic-reservoir"
"""Subprotocol of the socket."""
KEY_PROTOCOL = "key."
"""A browser sends its key as a second subprotocol with this before it: a page cannot set headers of a socket."""


class Close(IntEnum):
    """Why the socket is closed."""

    DONE = 1000
    """The stream has ended, and every output was sent."""
    NOT_TEXT = 1003
    """A binary frame."""
    MALFORMED = 1007
    """A frame that is none of those above: not JSON, NaN, a string, too many inputs."""
    TOO_BIG = 1009
    REFUSED = 4400
    """An input outside its range, a gap in the sequence, another value for a sequence that is there."""
    TAKEN_OVER = 4401
    """The same stream was opened over another connection."""
    IDLE = 4408
    """No input came for too long; the board is in its safe state."""
    SESSION_OVER = 4409
    """The session that holds the board is over."""
    TASK_OVER = 4410
    """The task was cancelled or failed."""


class FrameError(Exception):
    """A frame that is refused, with the code to close with."""

    def __init__(self, code: Close, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


@dataclass(frozen=True, slots=True)
class Inputs:
    """Inputs with the sequences from ``first`` on."""

    first: int
    values: list[float]


def parse_frame(text: str, low: float, high: float) -> Inputs | None:
    """Inputs of a frame; None where it says that none follow.

    Raises:
        FrameError: names what is wrong.

    >>> parse_frame('{"seq": 3, "u": 0.25}', 0.0, 0.5)
    Inputs(first=3, values=[0.25])
    """
    if len(text) > LARGEST:
        raise FrameError(Close.TOO_BIG, f"frame: {len(text)} characters, must be at most {LARGEST}")
    try:
        frame = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise FrameError(Close.MALFORMED, "frame: not JSON") from None
    if frame == {"end": True}:
        return None
    if not isinstance(frame, dict) or set(frame) != {"seq", "u"}:
        raise FrameError(Close.MALFORMED, 'frame: must be {"seq": …, "u": …} or {"end": true}')
    first, values = frame["seq"], frame["u"]
    if isinstance(first, bool) or not isinstance(first, int) or not 0 <= first < 2**53:
        raise FrameError(Close.MALFORMED, "seq: must be an integer from 0")
    values = values if isinstance(values, list) else [values]
    if not 1 <= len(values) <= WINDOW:
        raise FrameError(Close.MALFORMED, f"u: {len(values)} inputs, must be 1 to {WINDOW}")
    return Inputs(first, [_number(value, low, high) for value in values])


def _number(value: Any, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise FrameError(Close.MALFORMED, f"u: {type(value).__name__}, must be a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not low <= number <= high:
        raise FrameError(Close.REFUSED, f"u: {number:g}, must be {low:g} to {high:g}")
    return number


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name}, must be a finite number")
