"""Kinds of tasks, registered in one place.

A kind that is registered appears in the command line, the service, the client and the page together. Kinds are
found through the entry-point group ``asic_reservoir.task_kinds``: each entry is a function without arguments that
gives one :class:`TaskKind` or a list of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from pydantic import BaseModel, ValidationError

from asic_reservoir.board import Board, Origin
from asic_reservoir.errors import NotFoundError, UsageError
from asic_reservoir.kept import Kept
from asic_reservoir.metering import Usage

if TYPE_CHECKING:  # brings Arrow along, which a list of kinds does not need
    from asic_reservoir.store.recorder import Recorder

GROUP = "asic_reservoir.task_kinds"
UUID = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
"""Pattern of a setting that names something that the service keeps."""

Params = TypeVar("Params", bound=BaseModel)


class Cancelled(Exception):
    """The task was cancelled, and stopped at a place where it could."""


class Stream(Protocol):
    """Where a streaming task takes its inputs from, and gives its outputs to."""

    def take(self, timeout_s: float) -> list[tuple[int, float]]:
        """Inputs that have come, (sequence, u), in order and none twice; empty after the time-out."""
        ...

    @property
    def ended(self) -> bool:
        """Whether no more inputs follow those that were taken."""
        ...

    def give(self, sequence: int, output: Mapping[str, Any]) -> None:
        """The output that belongs to an input, as plain JSON."""
        ...


class Recordings(Protocol):
    """Where a task records a board: a store of runs, as :class:`asic_reservoir.store.library.Library` is one.

    A run outlives the task that recorded it, whatever becomes of the task.
    """

    @property
    def root(self) -> Path:
        """Folder of the store."""
        ...

    def record(self, board: Board, provenance: dict[str, Any] | None = None) -> Recorder:
        """A recorder of ``board`` into a new run, which is known before the first step."""
        ...


@dataclass(frozen=True, slots=True)
class TaskContext:
    """What a running task is given."""

    board: str
    """URI of the board; open it with :func:`asic_reservoir.registry.open_board`."""
    folder: Path
    """Folder of its own: what it leaves there becomes files of the task."""
    progress: Callable[[int, int, str], None] = lambda done, total, text: None
    """Say how far it is: steps done, steps in all, a word about what is going on."""
    cancelled: Callable[[], bool] = lambda: False
    """Whether it should stop; asked at least once a step."""
    given: Mapping[str, Path] = field(default_factory=dict)
    """Files by the setting that named them, see :attr:`TaskKind.given`."""
    stream: Stream | None = None
    """Inputs that come while it runs; only where the kind is :attr:`TaskKind.streaming`."""
    cores: int = 1
    """Processes that it may compute with where the board is a twin; a real board is driven from this one."""
    spent: Callable[[Usage], None] = lambda usage: None
    """Told what other processes did with boards of theirs: it belongs to the cost of the task."""
    live: Callable[[Mapping[str, Any]], None] = lambda document: None
    """Told now and then what a board of another process said last, as
    :func:`asic_reservoir.live_values.live_document` gives it."""
    recordings: Recordings | None = None
    """Where it may record; None where nothing is kept beyond its folder."""

    def stop_if_cancelled(self) -> None:
        """Raises Cancelled if it should stop."""
        if self.cancelled():
            raise Cancelled


@dataclass(frozen=True, slots=True)
class TaskOutcome:
    """What a task found."""

    origin: Origin
    data: Mapping[str, Any]
    """The result as a JSON document."""
    summary: Mapping[str, float | int | str] = field(default_factory=dict)
    """A handful of numbers that stand for it in lists."""
    facts: tuple[Kept, ...] = ()
    """What is kept for others to look up."""


@dataclass(frozen=True, slots=True)
class TaskKind(Generic[Params]):
    """One kind of task."""

    name: str
    """As in ``POST /tasks``: lower case, digits and hyphens."""
    title: str
    description: str
    params: type[Params]
    """Pydantic model of its settings: its JSON Schema is the form of the page and part of the API's contract."""
    run: Callable[[Params, TaskContext], TaskOutcome]
    """Does the work. Raises errors of our tree, or Cancelled."""
    example: Mapping[str, Any] = field(default_factory=dict)
    """Settings for a first try; must be valid."""
    restartable: bool = True
    """Whether it may be begun again after a real board was driven by an attempt that died."""
    given: Mapping[str, str] = field(default_factory=dict)
    """Settings that are identifiers of something that the service keeps, ``"model"``, ``"series"`` or ``"recording"``:
    what they name is there as a file (a recording: as the folder of its run) when the task runs."""
    streaming: bool = False
    """Whether its inputs come while it runs."""

    def parse(self, settings: Mapping[str, Any]) -> Params:
        """Raises UsageError that names the first setting that is wrong."""
        try:
            return self.params.model_validate(settings)
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "settings"
            shown = repr(first["input"])
            shown = shown if len(shown) <= 60 else shown[:57] + "..."
            raise UsageError(f"{self.name} {where}: {shown}, {first['msg'][:1].lower()}{first['msg'][1:]}") from None


@cache
def task_kinds() -> dict[str, TaskKind[Any]]:
    """Every kind that is installed, by name, in alphabetical order.

    >>> "observe" in task_kinds()
    True
    """
    found: dict[str, TaskKind[Any]] = {}
    for entry in entry_points(group=GROUP):
        made = entry.load()()
        for kind in made if isinstance(made, list | tuple) else [made]:
            if kind.name in found:
                raise UsageError(f"task kind {kind.name!r}: registered twice, must be unique")
            found[kind.name] = kind
    return dict(sorted(found.items()))


def task_kind(name: str) -> TaskKind[Any]:
    """The kind of that name; raises NotFoundError that names the nearest."""
    known = task_kinds()
    if name not in known:
        near = get_close_matches(name[:80], known, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise NotFoundError(f"task kind {name[:80]!r}: unknown, must be one of {', '.join(known)}{hint}")
    return known[name]
