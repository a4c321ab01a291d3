"""From a URI to a Board.

Drivers are found through the entry-point group ``asic_reservoir.boards``: the name of an entry point is a URI scheme,
its value a function that takes a :class:`BoardUri` and gives a Board. Whoever writes a driver in another
distribution registers it there, and every command and service of this one can use it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from urllib.parse import parse_qsl, unquote, urlsplit

from asic_reservoir.board import Board
from asic_reservoir.errors import NotFoundError, UsageError

GROUP = "asic_reservoir.boards"

_wrap: ContextVar[Callable[[Board], Board] | None] = ContextVar("board_wrapper", default=None)


@dataclass(frozen=True, slots=True)
class BoardUri:
    """A board URI taken apart: ``scheme://name/path?option=value``.

    >>> uri = BoardUri.parse("twin://s9?seed=1")
    >>> uri.scheme, uri.name, uri.options
    ('twin', 's9', {'seed': '1'})
    """

    text: str
    scheme: str
    name: str
    """Host part: a board model, a host name, or empty."""
    path: str
    port: int | None
    options: dict[str, str]

    @classmethod
    def parse(cls, text: str) -> BoardUri:
        """Raises UsageError that names what is wrong."""
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError as error:
            raise UsageError(f"board {text!r}: {error}, must look like 'twin://s9?seed=1'") from None
        if not parts.scheme or "://" not in text:
            raise UsageError(f"board {text!r}: no scheme, must look like 'twin://s9?seed=1'")
        options: dict[str, str] = {}
        for key, value in parse_qsl(parts.query, keep_blank_values=True):
            if key in options:
                raise UsageError(f"board {text!r}: option {key!r} given twice")
            options[key] = value
        return cls(text, parts.scheme, unquote(parts.hostname or ""), unquote(parts.path), port, options)

    def check_options(self, known: set[str]) -> None:
        """Raises UsageError for an option that is not in ``known``."""
        for key in self.options:
            if key not in known:
                near = get_close_matches(key, sorted(known), 1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise UsageError(
                    f"board {self.text!r}: unknown option {key!r}, must be one of {', '.join(sorted(known))}{hint}"
                )

    def number(self, key: str, default: float, low: float, high: float) -> float:
        """Option ``key`` as a number in [low, high]; raises UsageError otherwise."""
        if key not in self.options:
            return default
        text = self.options[key]
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not low <= value <= high:
            raise UsageError(f"board option {key}: {text!r}, must be a number from {low:g} to {high:g}")
        return value

    def integer(self, key: str, default: int, low: int, high: int) -> int:
        """Option ``key`` as an integer in [low, high]; raises UsageError otherwise."""
        if key not in self.options:
            return default
        text = self.options[key]
        if not text.lstrip("-").isdecimal() or not low <= int(text) <= high:
            raise UsageError(f"board option {key}: {text!r}, must be an integer from {low} to {high}")
        return int(text)

    def choice(self, key: str, default: str, allowed: tuple[str, ...]) -> str:
        """Option ``key`` out of ``allowed``; raises UsageError otherwise."""
        value = self.options.get(key, default)
        if value not in allowed:
            raise UsageError(f"board option {key}: {value!r}, must be one of {', '.join(allowed)}")
        return value


def schemes() -> dict[str, EntryPoint]:
    """Every scheme that is installed, by name."""
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def open_board(text: str) -> Board:
    """Open the board that a URI names.

    Raises:
        UsageError: the URI is malformed, or an option is not known.
        NotFoundError: no driver for the scheme, no such board.

    >>> with open_board("twin://s9?seed=1") as board:
    ...     board.info.n_chips
    189
    """
    uri = BoardUri.parse(text)
    known = schemes()
    if uri.scheme not in known:
        near = get_close_matches(uri.scheme, known, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise NotFoundError(
            f"board {text!r}: no driver for {uri.scheme!r}, must be one of {', '.join(sorted(known))}{hint}"
        )
    opener: Callable[[BoardUri], Board] = known[uri.scheme].load()
    board = opener(uri)
    wrap = _wrap.get()
    if wrap is None:
        return board
    try:
        return wrap(board)
    except BaseException:
        board.close()
        raise


@contextmanager
def boards_through(wrap: Callable[[Board], Board]) -> Iterator[None]:
    """Within it, every board that :func:`open_board` opens is handed out through ``wrap``.

    A worker puts its fence and its meter around whatever board a task opens, without the task knowing.
    """
    token = _wrap.set(wrap)
    try:
        yield
    finally:
        _wrap.reset(token)
