"""What many ask for at once, read once: the shelf, and how long each queue is. A quarter of a second old, as a rule."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from api.database import Database
from api.queue.states import TaskState, literal
from api.shelf_documents import shelf_documents
from asic_reservoir.store.facts import now_ns, tasks

FRESH_S, SELDOM = 0.25, 20
"""A look is good for so long, and for so many times what it cost: long queues cost a twentieth of the time at most."""
RECENT = 20
"""Tasks of a board that the estimate of a start is made of."""


@dataclass(slots=True)
class Queue:
    """The queue of one board, as it was and with what was submitted here since."""

    seen: float
    cost_s: float
    """What the look took."""
    waiting: Counter[int]
    """Tasks by priority."""
    took_ns: float | None
    """Mean duration of the last tasks."""


class Views:
    """Kept by the service."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._shelf: tuple[float, list[dict[str, Any]]] = (-1e9, [])
        self._changes = 0
        self._queues: dict[str, Queue] = {}

    def forget(self) -> None:
        """Something was changed here: the next look is a new one."""
        self._shelf = (-1e9, [])
        self._changes += 1

    async def shelf(self) -> list[dict[str, Any]]:
        """Documents of all boards; not to be changed."""
        if time.monotonic() - self._shelf[0] > FRESH_S:
            asked, changes = time.monotonic(), self._changes
            found = await self._database.read(shelf_documents)
            if changes == self._changes:  # what was read before a change must not be kept after it
                self._shelf = (asked, found)
            return found
        return self._shelf[1]

    async def queue(self, board_id: str) -> Queue:
        """The queue of a board."""
        known = self._queues.get(board_id)
        if known is None or time.monotonic() - known.seen > max(FRESH_S, SELDOM * known.cost_s):
            known = await self._database.read(lambda connection: read_queue(connection, board_id))
            self._queues[board_id] = known
        return known

    async def join(self, board_id: str, priority: int) -> tuple[int, int | None]:
        """A task was submitted: its position, and when it may begin."""
        submitted = time.monotonic()
        queue = await self.queue(board_id)
        position = sum(count for other, count in queue.waiting.items() if other >= priority)
        if queue.seen < submitted:
            queue.waiting[priority] += 1
        else:  # the look was made after it: it saw the task itself, unless a worker was faster
            position = max(0, position - 1)
        return position, estimated_start(position, queue.took_ns)


def read_queue(connection: sa.Connection, board_id: str) -> Queue:
    """The queue of a board, now."""
    waiting = (
        sa.select(tasks.c.priority, sa.func.count())
        .where(tasks.c.board_id == board_id, tasks.c.state == TaskState.QUEUED.value)
        .group_by(tasks.c.priority)
    )
    began = time.monotonic()
    counted = Counter({row[0]: row[1] for row in connection.execute(waiting)})
    took_ns = mean_duration_ns(connection, board_id)
    return Queue(began, time.monotonic() - began, counted, took_ns)


def mean_duration_ns(connection: sa.Connection, board_id: str) -> float | None:
    """How long the last tasks of a board took; None where none has succeeded yet."""
    recent = (
        sa.select((tasks.c.finished_utc_ns - tasks.c.started_utc_ns).label("took"))
        .where(tasks.c.board_id == board_id, tasks.c.state == literal(TaskState.SUCCEEDED))
        .order_by(tasks.c.id.desc())
        .limit(RECENT)
        .subquery()
    )
    took = connection.execute(sa.select(sa.func.avg(recent.c.took))).scalar()
    return None if took is None else float(took)


def estimated_start(position: int, took_ns: float | None) -> int | None:
    """When a task begins that so many go before, ns since 1970; None where nothing has ended yet."""
    return None if took_ns is None else now_ns() + int(position * took_ns)
