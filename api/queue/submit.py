"""From a request to a row of the queue."""

from __future__ import annotations

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


# made once: to make a statement costs as much as to execute it
_ON_SHELF = sa.select(shelf.c.name).where(shelf.c.board_id == sa.bindparam("board_id"))
_INSERT = tasks.insert()


def submit(connection: sa.Connection, draft: Draft, most_waiting: int | None = None) -> tuple[str, bool]:
    """Queue a task; its identifier, and whether it is new.

    Raises:
        NotFoundError: the service has no such board.
        IdempotencyError: the idempotency key was used for another request.
        QueueFullError: more tasks would wait than ``most_waiting``.
    """
    now = now_ns()
    if draft.idempotency_key is not None:
        before = connection.execute(
            sa.select(idempotency.c.task_id, idempotency.c.sha256).where(
                idempotency.c.owner == draft.owner, idempotency.c.name == draft.idempotency_key
            )
        ).one_or_none()
        if before is not None:
            return _repeated(draft, before.task_id, before.sha256), False
    if most_waiting is not None:
        waiting = sa.select(sa.func.count()).where(tasks.c.owner == draft.owner, tasks.c.state == TaskState.QUEUED)
        if connection.execute(waiting).scalar_one() >= most_waiting:
            raise QueueFullError(f"queue: {most_waiting} tasks of this key wait already, must be fewer")
    if connection.execute(_ON_SHELF, {"board_id": draft.board_id}).first() is None:
        raise NotFoundError(f"board {draft.board_id}: not on the shelf")
    task_id = new_id(now)
    connection.execute(
        _INSERT,
        {
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
        },
    )
    if draft.idempotency_key is not None:
        row = {"owner": draft.owner, "name": draft.idempotency_key, "sha256": draft.fingerprint}
        try:
            with connection.begin_nested():
                connection.execute(idempotency.insert(), row | {"task_id": task_id, "created_utc_ns": now})
        except sa.exc.IntegrityError:  # two at once, on PostgreSQL: the other was faster
            before = connection.execute(
                sa.select(idempotency.c.task_id, idempotency.c.sha256).where(
                    idempotency.c.owner == draft.owner, idempotency.c.name == draft.idempotency_key
                )
            ).one()
            connection.execute(tasks.delete().where(tasks.c.id == task_id))
            return _repeated(draft, before.task_id, before.sha256), False
    notify(connection, "board", draft.board_id)
    return task_id, True


def _repeated(draft: Draft, task_id: str, fingerprint: str) -> str:
    if fingerprint != draft.fingerprint:
        raise IdempotencyError(
            f"Idempotency-Key {draft.idempotency_key!r}: used for another request (task {task_id}), "
            "must be new for a new request"
        )
    return task_id
