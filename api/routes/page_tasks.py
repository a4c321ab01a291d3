"""The page's table of tasks: the newest, those that wait in the order of their turn, those that run, those that failed.

However many there are, a page of them is read by an index, and those that wait are counted by the shelf already.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa

from api.queue.states import ACTIVE, TaskState
from api.schemas import time_of
from asic_reservoir.store.facts import shelf, tasks

Show = Literal["newest", "waiting", "running", "failed"]

_STATES: dict[Show, tuple[TaskState, ...]] = {
    "waiting": (TaskState.QUEUED,),
    "running": tuple(ACTIVE),
    "failed": (TaskState.FAILED, TaskState.SET_ASIDE, TaskState.EXPIRED, TaskState.CANCELLED),
}
_COLUMNS = (
    tasks.c.id, tasks.c.kind, tasks.c.state, tasks.c.priority, tasks.c.error, tasks.c.created_utc_ns,
    shelf.c.name.label("board"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class TaskTable:
    """What the table shows."""

    show: Show
    after: str | None
    """Last task of the page before; None: this is the first."""
    rows: Sequence[dict[str, Any]]
    following: str | None
    """What to ask for the next page with; None: there is none."""
    waiting: int
    running: int


def read_tasks(
    connection: sa.Connection, boards: Sequence[dict[str, Any]], show: Show, after: str | None, limit: int
) -> TaskTable:
    """A page of the table.

    Args:
        connection: to the facts.
        boards: the shelf, as the API gives it.
        show: which tasks.
        after: identifier of the last task of the page before.
        limit: rows, at most.
    """
    statement = sa.select(*_COLUMNS).outerjoin(shelf, shelf.c.board_id == tasks.c.board_id).limit(limit + 1)
    if show in _STATES:
        statement = statement.where(tasks.c.state.in_([state.value for state in _STATES[show]]))
    if show == "waiting":
        statement = statement.order_by(tasks.c.priority.desc(), tasks.c.id)
        if after is not None:
            before = sa.select(tasks.c.priority).where(tasks.c.id == after).scalar_subquery()
            later = sa.and_(tasks.c.priority == before, tasks.c.id > after)
            statement = statement.where(sa.or_(tasks.c.priority < before, later))
    else:
        statement = statement.order_by(tasks.c.id.desc())
        if after is not None:
            statement = statement.where(tasks.c.id < after)
    found = connection.execute(statement).all()
    rows = [{**row._mapping, "created": time_of(row.created_utc_ns)} for row in found[:limit]]
    return TaskTable(
        show=show,
        after=after,
        rows=rows,
        following=rows[-1]["id"] if len(found) > limit else None,
        waiting=sum(board["queue_depth"] for board in boards),
        running=sum(board["running"] is not None for board in boards),
    )
