"""Tasks by name."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import PurePath

from asic_reservoir.errors import NotFoundError
from asic_reservoir.tasks._file import SUFFIXES, load_series
from asic_reservoir.tasks._flows import FLOW_TASKS
from asic_reservoir.tasks._narma import NARMA_TASKS
from asic_reservoir.tasks._symbols import SYMBOL_TASKS
from asic_reservoir.tasks._task import Task

_TASKS: dict[str, Task] = {task.name: task for task in (*NARMA_TASKS, *FLOW_TASKS, *SYMBOL_TASKS)}


def task_names() -> tuple[str, ...]:
    """Every task that is built in."""
    return tuple(_TASKS)


def open_task(name: str) -> Task:
    """The task of that name, or the user's own series where ``name`` is a path to a CSV, NPY or Parquet file.

    Raises:
        NotFoundError: no such task (names the nearest) or file.
        DataError: the file is not a series.

    >>> open_task("narma10").name
    'narma10'
    """
    if name in _TASKS:
        return _TASKS[name]
    if PurePath(name).suffix.lower() in SUFFIXES:
        return load_series(name)
    near = get_close_matches(name, _TASKS, 1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise NotFoundError(
        f"task {name[:80]!r}: unknown, must be one of {', '.join(_TASKS)}, or a .csv, .npy or .parquet file{hint}"
    )
