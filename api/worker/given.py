"""Files that settings of a task name by identifier: fetched from the database for the process that drives the board."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from asic_reservoir.kinds import task_kinds
from asic_reservoir.store.facts import models, runs, uploads

SOURCES: Mapping[str, tuple[sa.Table, str]] = {
    "model": (models, ".npz"),
    "series": (uploads, ".npy"),
    "recording": (runs, ""),
}
"""By the word of :attr:`asic_reservoir.kinds.TaskKind.given`: the table, and the suffix of the file."""


class GoneError(Exception):
    """What a setting names is not there (any more), or not on this machine."""


def is_known(connection: sa.Connection, word: str, identifier: str) -> bool:
    """Whether there is such a model, series or recording."""
    table, _ = SOURCES[word]
    return connection.execute(sa.select(table.c.id).where(table.c.id == identifier)).first() is not None


def fetch_given(
    read: Callable[[sa.Select[Any]], Any], kind_name: str, params: Mapping[str, Any], folder: Path
) -> dict[str, str]:
    """Write what the settings name into ``folder``; paths by setting. Settings that are null name nothing.

    A recording is read where it lies: its path is the folder of the run.

    Args:
        read: gives the first column of the first row of a statement, or None.
        kind_name: of the task.
        params: its settings.
        folder: of its own, not that of the task's own files.

    Raises:
        GoneError: there is no such thing, or it is a recording that lies on another machine.
    """
    kind = task_kinds().get(kind_name)
    paths: dict[str, str] = {}
    for setting, word in (kind.given if kind else {}).items():
        identifier = params.get(setting)
        if identifier is None:
            continue
        table, suffix = SOURCES[word]
        if word == "recording":
            paths[setting] = _folder_of(read, setting, identifier)
            continue
        content = read(sa.select(table.c.content).where(table.c.id == identifier))
        if content is None:
            raise GoneError(f"{setting} {identifier}: no such {word}")
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{setting}{suffix}"
        path.write_bytes(content)
        paths[setting] = str(path)
    return paths


def _folder_of(read: Callable[[sa.Select[Any]], Any], setting: str, identifier: str) -> str:
    """Folder of a recorded run."""
    folder = read(sa.select(runs.c.folder).where(runs.c.id == identifier))
    if folder is None:
        raise GoneError(f"{setting} {identifier}: no such recording")
    if not Path(folder).is_dir():
        host = read(sa.select(runs.c.host).where(runs.c.id == identifier))
        raise GoneError(
            f"{setting} {identifier}: lies on {host} in {folder}, not on {socket.gethostname()} where the task runs; "
            "must be asked of a board of that machine"
        )
    return str(folder)
