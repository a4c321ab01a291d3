"""Files that settings of a task name by identifier: fetched from the database for the process that drives the board."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from asic_reservoir.kinds import task_kinds
from asic_reservoir.store.facts import models, uploads

SOURCES: Mapping[str, tuple[sa.Table, str]] = {"model": (models, ".npz"), "series": (uploads, ".npy")}
"""By the word of :attr:`asic_reservoir.kinds.TaskKind.given`: the table, and the suffix of the file."""


class GoneError(Exception):
    """What a setting names is not there (any more)."""


def is_known(connection: sa.Connection, word: str, identifier: str) -> bool:
    """Whether there is such a model or series."""
    table, _ = SOURCES[word]
    return connection.execute(sa.select(table.c.id).where(table.c.id == identifier)).first() is not None


def fetch_given(
    read: Callable[[sa.Select[Any]], Any], kind_name: str, params: Mapping[str, Any], folder: Path
) -> dict[str, str]:
    """Write what the settings name into ``folder``; paths by setting. Settings that are null name nothing.

    Args:
        read: gives the first column of the first row of a statement, or None.
        kind_name: of the task.
        params: its settings.
        folder: of its own, not that of the task's own files.

    Raises:
        GoneError: there is no such thing.
    """
    kind = task_kinds().get(kind_name)
    paths: dict[str, str] = {}
    for setting, word in (kind.given if kind else {}).items():
        identifier = params.get(setting)
        if identifier is None:
            continue
        table, suffix = SOURCES[word]
        content = read(sa.select(table.c.content).where(table.c.id == identifier))
        if content is None:
            raise GoneError(f"{setting} {identifier}: no such {word}")
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{setting}{suffix}"
        path.write_bytes(content)
        paths[setting] = str(path)
    return paths
