"""From a request to a row of the queue."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from api.queue.notices import notify
from api.queue.states import TaskState
from asic_reservoir.errors import BusyError, NotFoundError, UsageError
from asic_reservoir.store.facts import idempotency, new_id, now_ns, shelf, tasks


class IdempotencyError(UsageError):
    """The same idempotency key came with another request."""


class QueueFullError(BusyError):
    """A key has as many tasks waiting as it may."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A task that somebody wants done."""

    kind: str
    request: dict[str, Any]
    board_id: str
    owner: str = ""
    """Identifier of the key; empty for a nameless user of this machine."""
    priority: int = 0
    """Higher goes first."""
    deadline_utc_ns: int | None = None
    """Do not begin it after this time."""
    max_attempts: int = 3
    idempotency_key: str | None = None
    fingerprint: str = ""
    """SHA-256 of the request, to compare repetitions with."""
    most_waiting: int | None = None
    """Tasks of this owner that may wait, with this one."""


# made once: to make a statement costs as much as to execute it
_ON_SHELF = sa.select(shelf.c.board_id).where(shelf.c.board_id.in_(sa.bindparam("boards", expanding=True)))
_WAITING = sa.select(sa.func.count()).where(
    tasks.c.owner == sa.bindparam("owner"), tasks.c.state == TaskState.QUEUED.value
)
_COLUMNS = (
    tasks.c.id, tasks.c.kind, tasks.c.request, tasks.c.state, tasks.c.key_id, tasks.c.owner, tasks.c.created_utc_ns,
    tasks.c.board_id, tasks.c.priority, tasks.c.deadline_utc_ns, tasks.c.max_attempts,
)  # fmt: skip
_EACH = sa.func.json_each(sa.bindparam("rows")).table_valued("value")
_INSERT_SQLITE = tasks.insert().from_select(
    _COLUMNS,
    sa.select(*(sa.func.json_extract(_EACH.c.value, f"$.{column.name}") for column in _COLUMNS)),
    include_defaults=False,
)
"""All rows as one JSON text, which SQLite takes apart by itself: the driver steps through rows that Python hands over
one by one, and gives the interpreter away and asks for it back at each."""
_INSERT = tasks.insert()


def submit_all(connection: sa.Connection, drafts: Sequence[Draft]) -> list[str | Exception]:
    """Queue tasks, with one look and one statement for all of them.

    Args:
        connection: in a transaction that writes.
        drafts: without idempotency keys; see :func:`submit` for one that has one.

    Returns:
        For each its identifier, or NotFoundError or QueueFullError, as :func:`submit` raises them.
    """
    boards = {draft.board_id for draft in drafts}
    known = set(connection.execute(_ON_SHELF, {"boards": list(boards)}).scalars())
    limited = {draft.owner for draft in drafts if draft.most_waiting is not None}
    waiting = {owner: connection.execute(_WAITING, {"owner": owner}).scalar_one() for owner in limited}
    now = now_ns()
    outcomes: list[str | Exception] = []
    rows: list[dict[str, Any]] = []
    for draft in drafts:
        if draft.most_waiting is not None and waiting[draft.owner] >= draft.most_waiting:
            words = f"queue: {draft.most_waiting} tasks of this key wait already, must be fewer"
            outcomes.append(QueueFullError(words))
        elif draft.board_id not in known:
            outcomes.append(NotFoundError(f"board {draft.board_id}: not on the shelf"))
        else:
            task_id = new_id(now)
            outcomes.append(task_id)
            rows.append(_row(draft, task_id, now))
            if draft.owner in waiting:
                waiting[draft.owner] += 1
    if rows:
        if connection.dialect.name == "sqlite":
            connection.execute(_INSERT_SQLITE, {"rows": json.dumps(rows)})
        else:
            connection.execute(_INSERT, rows)
    for board_id in boards & known:
        notify(connection, "board", board_id)
    return outcomes


def submit(connection: sa.Connection, draft: Draft) -> tuple[str, bool]:
    """Queue a task; its identifier, and whether it is new.

    Raises:
        NotFoundError: the service has no such board.
        IdempotencyError: the idempotency key was used for another request.
        QueueFullError: more tasks of this owner would wait than may.
    """
    if draft.idempotency_key is not None:
        before = connection.execute(_BEFORE, {"owner": draft.owner, "name": draft.idempotency_key}).one_or_none()
        if before is not None:
            return _repeated(draft, before.task_id, before.sha256), False
    [task_id] = submit_all(connection, [draft])
    if isinstance(task_id, Exception):
        raise task_id
    if draft.idempotency_key is not None:
        name = {"owner": draft.owner, "name": draft.idempotency_key}
        row = name | {"sha256": draft.fingerprint, "task_id": task_id, "created_utc_ns": now_ns()}
        try:
            with connection.begin_nested():
                connection.execute(idempotency.insert(), row)
        except sa.exc.IntegrityError:  # two at once, on PostgreSQL: the other was faster
            before = connection.execute(_BEFORE, name).one()
            connection.execute(tasks.delete().where(tasks.c.id == task_id))
            return _repeated(draft, before.task_id, before.sha256), False
    return task_id, True


_BEFORE = sa.select(idempotency.c.task_id, idempotency.c.sha256).where(
    idempotency.c.owner == sa.bindparam("owner"), idempotency.c.name == sa.bindparam("name")
)


def _row(draft: Draft, task_id: str, now: int) -> dict[str, Any]:
    return {
        "id": task_id,
        "kind": draft.kind,
        "request": draft.request,
        "state": TaskState.QUEUED.value,
        "key_id": draft.owner or None,
        "owner": draft.owner,
        "created_utc_ns": now,
        "board_id": draft.board_id,
        "priority": draft.priority,
        "deadline_utc_ns": draft.deadline_utc_ns,
        "max_attempts": draft.max_attempts,
    }


def _repeated(draft: Draft, task_id: str, fingerprint: str) -> str:
    if fingerprint != draft.fingerprint:
        raise IdempotencyError(
            f"Idempotency-Key {draft.idempotency_key!r}: used for another request (task {task_id}), "
            "must be new for a new request"
        )
    return task_id
