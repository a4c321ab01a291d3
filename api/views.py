"""What many ask for at once, read once: the shelf, and how long each queue is. A quarter of a second old at most."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from api.database import Database
from api.queue.states import TaskState
from api.shelf_documents import shelf_documents
from asic_reservoir.store.facts import now_ns, tasks

FRESH_S = 0.25
RECENT = 20
"""Tasks of a board that the estimate of a start is made of."""


@dataclass(slots=True)
class Queue:
    """The queue of one board, as it was and with what was submitted here since."""

    seen: float
    waiting: Counter[int] = field(default_factory=Counter)
    """Tasks by priority."""
    took_ns: float | None = None
    """Mean duration of the last tasks; None where nothing has ended yet."""

    def start(self, position: int) -> int | None:
        """When a task begins that so many go before, ns since 1970."""
        return None if self.took_ns is None else now_ns() + int(position * self.took_ns)


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
        if known is None or time.monotonic() - known.seen > FRESH_S:
            known = await self._database.read(lambda connection: read_queue(connection, board_id))
            self._queues[board_id] = known
        return known

    async def join(self, board_id: str, priority: int) -> tuple[int, int | None]:
        """A task was submitted: its position, and when it may begin."""
        queue = await self.queue(board_id)
        position = sum(count for other, count in queue.waiting.items() if other >= priority)
        queue.waiting[priority] += 1
        return position, queue.start(position)


def read_queue(connection: sa.Connection, board_id: str) -> Queue:
    """The queue of a board, now."""
    waiting = (
        sa.select(tasks.c.priority, sa.func.count())
        .where(tasks.c.board_id == board_id, tasks.c.state == TaskState.QUEUED.value)
        .group_by(tasks.c.priority)
    )
    recent = (
        sa.select((tasks.c.finished_utc_ns - tasks.c.started_utc_ns).label("took"))
        .where(tasks.c.board_id == board_id, tasks.c.state == TaskState.SUCCEEDED.value)
        .order_by(tasks.c.id.desc())
        .limit(RECENT)
        .subquery()
    )
    counted = Counter({row[0]: row[1] for row in connection.execute(waiting)})
    took = connection.execute(sa.select(sa.func.avg(recent.c.took))).scalar()
    return Queue(time.monotonic(), counted, None if took is None else float(took))
