"""What the facts say of a run, made from its folder: the folder counts, the database has a copy."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from asic_reservoir.store.events.catalogue import Catalogue
from asic_reservoir.store.events.folder import RunFolder, RunRecord
from asic_reservoir.store.events.kinds import Kind
from asic_reservoir.store.facts import boards, new_id, now_ns, runs, segments


@dataclass(frozen=True, slots=True)
class Registration:
    """A run folder, read."""

    record: RunRecord
    values: Mapping[str, Any]
    """Columns of the table ``runs`` that change while it is recorded."""
    segments: tuple[dict[str, Any], ...]
    """Rows of the catalogue."""

    @property
    def nonces(self) -> int:
        """Sealed, and not pruned."""
        kept = (row for row in self.segments if row["kind"] == Kind.NONCES.word and row["file"] is not None)
        return sum(row["end_row"] - row["first_row"] for row in kept)

    @property
    def bytes(self) -> int:
        """Of sealed segments."""
        return sum(row["bytes"] for row in self.segments if row["file"] is not None)


def describe(folder: RunFolder) -> Registration:
    """Read a folder.

    Raises:
        NotFoundError: there is no run.
        DataError: its record or its catalogue is damaged.
    """
    about = folder.record()
    rows: list[dict[str, Any]] = []
    if folder.catalogue_path.exists():
        with Catalogue(folder.catalogue_path, about.run_id) as catalogue:
            rows = [catalogue.row(segment) for segment in catalogue.segments()]
    nonces = [row for row in rows if row["kind"] == Kind.NONCES.word]
    values = {
        "begin_ns": min((row["begin_ns"] for row in nonces), default=None),
        "end_ns": max((row["end_ns"] for row in nonces), default=None),
        "folder": str(folder.path.resolve()),
        "host": socket.gethostname(),
    }
    return Registration(about, values, tuple(rows))


def register(
    connection: sa.Connection,
    run: Registration,
    state: str,
    task_id: str | None = None,
    calibration_id: str | None = None,
) -> None:
    """Bring board, run and catalogue of the facts to what the folder says. Safe to do again.

    Args:
        connection: in a transaction that may write.
        run: as the folder is now.
        state: ``recording``, ``finished`` or ``imported``. What is all pruned is ``deleted`` whatever this says, and
            what was imported stays so when it is finished.
        task_id: that recorded it; only where the run is new to the facts.
        calibration_id: of the board; likewise.
    """
    about, rows = run.record, list(run.segments)
    if rows and all(row["file"] is None for row in rows):
        state = "deleted"
    board_id = _board(connection, about)
    if connection.execute(sa.select(runs.c.id).where(runs.c.id == about.run_id)).first() is None:
        row = dict(run.values) | {
            "id": about.run_id, "board_id": board_id, "calibration_id": calibration_id, "task_id": task_id,
            "origin": about.origin.value, "state": state, "provenance": about.provenance,
            "created_utc_ns": about.created_utc_ns,
        }  # fmt: skip
        connection.execute(runs.insert(), row)
    else:
        kept = sa.case((runs.c.state == "imported", "imported"), else_=state) if state == "finished" else state
        connection.execute(runs.update().where(runs.c.id == about.run_id).values(state=kept, **run.values))
    connection.execute(segments.delete().where(segments.c.run_id == about.run_id))
    if rows:
        connection.execute(segments.insert(), rows)


def _board(connection: sa.Connection, about: RunRecord) -> str:
    """Identifier of the board of a run, which is entered where it is new."""
    uri = about.board.get("uri", "")
    found: str | None = connection.execute(sa.select(boards.c.id).where(boards.c.uri == uri)).scalar_one_or_none()
    if found is not None:
        return found
    row = {
        "id": new_id(), "uri": uri, "family": about.board.get("family", ""), "model": about.board.get("model", ""),
        "origin": about.origin.value, "info": about.board, "created_utc_ns": now_ns(),
    }  # fmt: skip
    connection.execute(boards.insert(), row)
    return str(row["id"])
