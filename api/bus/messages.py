"""Subjects and payloads of the bus."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from asic_reservoir.store.facts import shelf, task_events, tasks

ROOT = "asic_reservoir"
STREAM = "ASIC_RESERVOIR"
AT_ONCE = 500
"""Events that are read from the database in one go."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message, ready to be sent as often as it takes."""

    subject: str
    identifier: str
    """Nats-Msg-Id."""
    payload: bytes


def token(name: str) -> str:
    """A name as one word of a subject.

    >>> token("s9.0 *")
    's9_0__'
    """
    return re.sub(r"[^A-Za-z0-9_-]", "_", name) or "_"


def encode(subject: str, identifier: str, content: Mapping[str, Any]) -> Message:
    return Message(subject, identifier, json.dumps(content, allow_nan=False, separators=(",", ":")).encode())


def board_message(site: str, board: str, what: str, utc_ns: int, content: Mapping[str, Any]) -> Message:
    """Something about a board: ``live`` or ``lease``."""
    subject = f"{ROOT}.{token(site)}.boards.{token(board)}.{what}"
    return encode(
        subject, f"{site}:{board}:{what}:{utc_ns}", {"site": site, "board": board, "utc_ns": utc_ns, **content}
    )


def events_after(
    connection: sa.Connection, site: str, task_id: str, sequence: int, utc_ns: int
) -> list[tuple[int, Message]]:
    """Events of a task after that sequence and that time, with their sequence, at most :data:`AT_ONCE`."""
    rows = connection.execute(
        sa.select(
            task_events.c.sequence, task_events.c.kind, task_events.c.data, task_events.c.created_utc_ns,
            tasks.c.kind.label("task_kind"), shelf.c.name.label("board"),
        )
        .join(tasks, tasks.c.id == task_events.c.task_id)
        .outerjoin(shelf, shelf.c.board_id == tasks.c.board_id)
        .where(task_events.c.task_id == task_id, task_events.c.sequence > sequence)
        .where(task_events.c.created_utc_ns >= utc_ns)
        .order_by(task_events.c.sequence)
        .limit(AT_ONCE)
    ).all()  # fmt: skip
    return [
        (
            row.sequence,
            encode(
                f"{ROOT}.{token(site)}.tasks.{token(task_id)}.{token(row.kind)}",
                f"{site}:{task_id}:{row.sequence}",
                {
                    "site": site,
                    "task_id": task_id,
                    "board": row.board or "",
                    "task_kind": row.task_kind,
                    "sequence": row.sequence,
                    "kind": row.kind,
                    "created_utc_ns": row.created_utc_ns,
                    "data": row.data,
                },
            ),
        )
        for row in rows
    ]


def tasks_since(connection: sa.Connection, utc_ns: int) -> list[str]:
    """Tasks that are not over, or ended after that time."""
    recent = sa.or_(tasks.c.finished_utc_ns.is_(None), tasks.c.finished_utc_ns >= utc_ns)
    return list(connection.execute(sa.select(tasks.c.id).where(recent, tasks.c.last_event > 0)).scalars())
