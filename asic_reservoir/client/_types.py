"""What the service answers, typed."""

from __future__ import annotations

import html
from dataclasses import dataclass, field
from typing import Any, Self

from asic_reservoir.errors import (
    AsicReservoirError,
    BusyError,
    DataError,
    LimitError,
    NotFoundError,
    ServerError,
    UsageError,
)

FINAL = frozenset({"succeeded", "failed", "cancelled", "expired", "set_aside"})


class TaskFailedError(ServerError):
    """A task ended without a result."""


@dataclass(frozen=True, slots=True)
class Task:
    """A task and where it is."""

    id: str
    kind: str
    board: str
    state: str
    params: dict[str, Any]
    error: str | None
    queue_position: int | None
    attempts: int
    raw: dict[str, Any] = field(repr=False)
    """Everything that the service said."""

    @property
    def over(self) -> bool:
        return self.state in FINAL

    @classmethod
    def of(cls, raw: dict[str, Any]) -> Self:
        return cls(**{name: raw[name] for name in _TASK_FIELDS}, raw=raw)


_TASK_FIELDS = ("id", "kind", "board", "state", "params", "error", "queue_position", "attempts")


@dataclass(frozen=True, slots=True)
class Model:
    """A trained readout that the service keeps."""

    id: str
    name: str
    version: int
    origin: str
    task: str | None
    """Task that it comes from."""
    created: str
    sha256: str

    @classmethod
    def of(cls, raw: dict[str, Any]) -> Self:
        return cls(**{name: raw[name] for name in cls.__slots__})


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a task."""

    sequence: int
    kind: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Result:
    """What a task found. In a notebook it shows itself as a table."""

    task_id: str
    kind: str
    board: str
    origin: str
    """``simulated``, ``replayed`` or ``measured``."""
    summary: dict[str, Any]
    data: dict[str, Any] = field(repr=False)
    cost: dict[str, Any] = field(repr=False)
    provenance: dict[str, Any] = field(repr=False)
    files: list[dict[str, Any]] = field(repr=False)

    @classmethod
    def of(cls, task_id: str, raw: dict[str, Any]) -> Self:
        names = ("kind", "board", "origin", "summary", "data", "cost", "provenance", "files")
        return cls(task_id=task_id, **{name: raw[name] for name in names})

    def _repr_html_(self) -> str:
        """For notebooks; every word is escaped."""
        rows = {"board": self.board, "origin": self.origin, **self.summary, **self.cost}
        cells = "".join(
            f"<tr><th>{html.escape(str(name))}</th><td>{html.escape(_shown(value))}</td></tr>"
            for name, value in rows.items()
        )
        return f"<table><caption>{html.escape(self.kind)} ({html.escape(self.origin)})</caption>{cells}</table>"


def _shown(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def error_of(status: int, problem: dict[str, Any], text: str) -> AsicReservoirError:
    """The error of our tree that a problem document stands for."""
    detail = str(problem.get("detail") or text[:200] or f"status {status}")
    name = str(problem.get("type", "")).rpartition("/")[2]
    known: dict[str, type[AsicReservoirError]] = {
        "not-found": NotFoundError,
        "outside-limits": LimitError,
        "invalid": UsageError,
        "key-reused": UsageError,
        "malformed": UsageError,
        "too-large": UsageError,
        "no-key": UsageError,
        "no-right": UsageError,
        "stale": BusyError,
        "not-ready": BusyError,
        "too-many": BusyError,
    }
    return known.get(name, ServerError)(detail)


class EventParser:
    """Server-sent events out of lines.

    >>> parser = EventParser()
    >>> lines = ["id: 1", "event: running", 'data: {"sequence":1,"kind":"running","data":{}}', ""]
    >>> [event for line in lines for event in parser.feed(line)]
    [Event(sequence=1, kind='running', data={})]
    """

    def __init__(self) -> None:
        self._kind, self._data = "", ""
        self.over = False

    def feed(self, line: str) -> list[Event]:
        """One line, without its end. Raises DataError for what is no event of ours."""
        import json

        if line.startswith("event: "):
            self._kind = line[7:]
        elif line.startswith("data: "):
            self._data = line[6:]
        elif not line and self._data:
            kind, data = self._kind, self._data
            self._kind = self._data = ""
            if kind == "end":
                self.over = True
                return []
            try:
                raw = json.loads(data)
                return [Event(int(raw["sequence"]), str(raw["kind"]), dict(raw["data"]))]
            except (ValueError, KeyError, TypeError) as error:
                raise DataError(f"event {data[:60]!r}: {error}, must be an event of this service") from None
        return []
