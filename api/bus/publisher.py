"""What a site says: events of tasks out of the database, telemetry out of a buffer. Nobody waits for it."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import sqlalchemy as sa
import structlog

from api.bus.connection import REMEMBERS_S, Link, checked_url
from api.bus.messages import Message, board_message, events_after, tasks_since
from asic_reservoir.errors import UsageError
from asic_reservoir.store.facts import now_ns

IN_FLIGHT = 64
"""Messages that wait for their acknowledgement at once."""
TASKS = 100_000
"""Tasks whose news have not gone out yet, at most: identifiers only, the events are in the database."""
LOOK_S = 1.0
SWEEP_S = 30.0
"""Between two looks for tasks that have news which nobody mentioned."""

log = structlog.get_logger("bus")


@dataclass(frozen=True, slots=True)
class BusSettings:
    """Where the bus is, and who speaks."""

    url: str
    site: str
    """Name of this site: its service and all its workers say the same."""
    buffer: int = 10_000
    """Telemetry messages kept while the bus is away; then the oldest are dropped, and counted."""

    def __post_init__(self) -> None:
        checked_url(self.url)
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", self.site):
            raise UsageError(f"--site {self.site!r}: must be 1 to 64 letters, digits, '-' or '_'")


class Bus:
    """Publishes for one process. Every method returns at once.

    Events of tasks are read from the database when the bus is there, in order, from where it left off: none is lost
    while it is away, and what was not sent before this process was killed is sent by the next one (for tasks that
    are not over or ended within the hour). Telemetry is worth less: it waits in a bounded buffer.

    Attributes:
        published: messages that the stream has acknowledged, by what they are about.
        dropped: telemetry messages, and notes of tasks, that did not fit.
    """

    def __init__(self, settings: BusSettings, engine: sa.Engine) -> None:
        self.settings, self._engine = settings, engine
        self.published = {"tasks": 0, "boards": 0}
        self.dropped = 0
        self._gate = threading.Lock()
        self._boards: deque[Message] = deque()
        self._tasks: dict[str, None] = {}
        self._sent: dict[str, int] = {}
        self._news = asyncio.Event()
        # older events were sent by an earlier process; sent again they would not be known for the same
        self._oldest = now_ns() - int(REMEMBERS_S * 0.9e9)
        self._swept = 0
        self._link = Link(settings.url, f"{settings.site} says", self._work)

    @property
    def connected(self) -> bool:
        return self._link.connected

    @property
    def waiting(self) -> int:
        """Telemetry messages and tasks that have not gone out."""
        return len(self._boards) + len(self._tasks)

    def start(self) -> None:
        self._link.start()

    def stop(self, patience_s: float = 3.0) -> None:
        """Say what is left if the bus is there, then leave."""
        end = time.monotonic() + patience_s
        while self.connected and self.waiting and time.monotonic() < end:
            time.sleep(0.02)
        self._link.stop()

    def changed(self, task_id: str) -> None:
        """From any thread: this task has new events."""
        with self._gate:
            if len(self._tasks) >= TASKS and task_id not in self._tasks:
                self.dropped += 1
                return
            self._tasks[task_id] = None
        self._link.call(self._news.set)

    def board(self, name: str, what: str, content: Mapping[str, Any]) -> None:
        """From any thread: something about a board. What does not fit pushes out the oldest."""
        if what not in ("live", "lease"):
            return
        message = board_message(self.settings.site, name, what, now_ns(), content)
        with self._gate:
            if len(self._boards) >= self.settings.buffer:
                self._boards.popleft()
                self.dropped += 1
            self._boards.append(message)
        self._link.call(self._news.set)

    # -- in the loop ---------------------------------------------------------------------------------------------

    async def _work(self, connection: Any, stream: Any) -> None:
        sweep_at = 0.0
        while True:
            if time.monotonic() >= sweep_at:  # what an earlier process had no time for, and what nobody told this one
                sweep_at = time.monotonic() + SWEEP_S
                for task_id in await asyncio.to_thread(self._recent):
                    self.changed(task_id)
            self._news.clear()
            while await self._send_boards(stream) or await self._send_tasks(stream):
                pass
            try:
                await asyncio.wait_for(self._news.wait(), LOOK_S)
            except TimeoutError:
                continue

    def _recent(self) -> list[str]:
        with self._engine.connect() as connection:
            found = tasks_since(connection, max(self._oldest, self._swept))
        self._swept = now_ns() - int(2 * SWEEP_S * 1e9)
        return found

    async def _send_boards(self, stream: Any) -> bool:
        with self._gate:
            part = [self._boards.popleft() for _ in range(min(IN_FLIGHT, len(self._boards)))]
        try:
            await self._publish(stream, part)
        except BaseException:
            with self._gate:  # again, in their order; the stream knows those that it has
                self._boards.extendleft(reversed(part))
            raise
        self.published["boards"] += len(part)
        return bool(part)

    async def _send_tasks(self, stream: Any) -> bool:
        with self._gate:
            task_id = next(iter(self._tasks), None)
            if task_id is None:
                return False
            del self._tasks[task_id]  # whoever changes it from now on puts it back
        try:
            after = self._sent.get(task_id, 0)
            found = await asyncio.to_thread(partial(self._events, task_id, after))
            await self._publish(stream, [message for _, message in found])
        except BaseException:
            self.changed(task_id)
            raise
        if found:
            self._sent[task_id] = found[-1][0]
            self.published["tasks"] += len(found)
            self.changed(task_id)  # until there is nothing more
        if len(self._sent) > TASKS:  # forgotten, it would be sent again and known by its identifiers
            del self._sent[next(iter(self._sent))]
        return True

    def _events(self, task_id: str, after: int) -> list[tuple[int, Message]]:
        with self._engine.connect() as connection:
            return events_after(connection, self.settings.site, task_id, after, self._oldest)

    async def _publish(self, stream: Any, messages: list[Message]) -> None:
        """All of them acknowledged, or an error. Those of one task keep their order: one connection, one sender."""
        for first in range(0, len(messages), IN_FLIGHT):
            await asyncio.gather(
                *(
                    stream.publish(one.subject, one.payload, headers={"Nats-Msg-Id": one.identifier})
                    for one in messages[first : first + IN_FLIGHT]
                )
            )
