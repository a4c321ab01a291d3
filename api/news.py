"""Who waits for events of a task. One read of the database serves everybody who waits for the same task."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import sqlalchemy as sa
import structlog

from api.database import Database
from api.queue.notices import Listener
from api.queue.states import FINAL
from asic_reservoir.errors import AsicReservoirError
from asic_reservoir.store.facts import task_events, tasks

POLL_S = 0.25
"""How soon news of workers in other processes arrive, where the database sends no notices."""

log = structlog.get_logger("news")


@dataclass(slots=True)
class Channel:
    """Events of one task, encoded as they go out, while somebody listens."""

    messages: list[bytes] = field(default_factory=list)
    """``messages[n]`` has sequence n + 1."""
    over: bool = False
    more: asyncio.Event = field(default_factory=asyncio.Event)
    listeners: int = 0


class News:
    """Channels by task.

    Args:
        database: where the events are.
        tell: who else wants to know of a task that has news, from any thread; must return at once.
    """

    def __init__(self, database: Database, tell: Callable[[str], None] | None = None) -> None:
        self._database, self._tell = database, tell
        self._channels: dict[str, Channel] = {}
        self._watched: dict[str, set[asyncio.Event]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._listener = Listener(database.engine, self._heard, lambda: None)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._listener.start()

    def stop(self) -> None:
        """Blocks for a moment."""
        self._listener.stop()

    def _heard(self, topic: str, identifier: str) -> None:
        if topic == "task":
            self.changed(identifier)

    def changed(self, task_id: str) -> None:
        """From any thread: this task has news."""
        if self._tell is not None:
            self._tell(task_id)
        if self._loop is None:
            return
        with contextlib.suppress(RuntimeError):  # it is closed
            if task_id in self._channels:
                self._loop.call_soon_threadsafe(self._refresh_soon, task_id)
            if task_id in self._watched:
                self._loop.call_soon_threadsafe(self._stir, task_id)

    def _stir(self, task_id: str) -> None:
        for event in self._watched.get(task_id, ()):
            event.set()

    @contextmanager
    def watched(self, task_id: str) -> Iterator[asyncio.Event]:
        """An event that is set whenever something happened to the task, for who reads the rest for himself."""
        event = asyncio.Event()
        self._watched.setdefault(task_id, set()).add(event)
        try:
            yield event
        finally:
            self._watched[task_id].discard(event)
            if not self._watched[task_id]:
                del self._watched[task_id]

    def _refresh_soon(self, task_id: str) -> None:
        task = asyncio.ensure_future(self._refresh([task_id]))
        task.add_done_callback(lambda done: done.cancelled() or done.exception())

    @property
    def listeners(self) -> int:
        return sum(channel.listeners for channel in self._channels.values())

    async def open(self, task_id: str) -> Channel:
        """Begin to listen; :meth:`close` ends it."""
        channel = self._channels.setdefault(task_id, Channel())
        channel.listeners += 1
        if channel.listeners == 1:
            await self._refresh([task_id])
        return channel

    def close(self, task_id: str) -> None:
        channel = self._channels.get(task_id)
        if channel is not None:
            channel.listeners -= 1
            if channel.listeners <= 0:
                del self._channels[task_id]

    async def poll(self) -> None:
        """Look for what other processes wrote, for as long as the service runs."""
        while True:
            await asyncio.sleep(self._listener.pause_s(POLL_S))
            try:
                await self._refresh([task_id for task_id, channel in self._channels.items() if not channel.over])
            except (sa.exc.SQLAlchemyError, AsicReservoirError) as error:
                log.warning("news_late", error=" ".join(str(error).split())[:300])

    async def _refresh(self, task_ids: list[str]) -> None:
        for first in range(0, len(task_ids), 500):
            part = task_ids[first : first + 500]
            wanted = sa.select(tasks.c.id, tasks.c.state, tasks.c.last_event).where(tasks.c.id.in_(part))
            heads = await self._database.read(partial(_all, statement=wanted))
            for head in heads:
                channel = self._channels.get(head.id)
                if channel is None:
                    continue
                if head.last_event > len(channel.messages):
                    await self._fetch(head.id, channel)
                # a final state is written together with its event
                if head.state in FINAL and len(channel.messages) >= head.last_event and not channel.over:
                    channel.over = True
                    _wake(channel)

    async def _fetch(self, task_id: str, channel: Channel) -> None:
        rows = await self._database.read(
            lambda c: c.execute(
                sa.select(task_events)
                .where(task_events.c.task_id == task_id, task_events.c.sequence > len(channel.messages))
                .order_by(task_events.c.sequence)
            ).all()
        )
        for row in rows:
            if row.sequence == len(channel.messages) + 1:
                channel.messages.append(encode(row.sequence, row.kind, row.data, row.created_utc_ns))
        _wake(channel)


def encode(sequence: int, kind: str, data: dict[str, object], created_utc_ns: int) -> bytes:
    """One server-sent event."""
    body = json.dumps({"sequence": sequence, "kind": kind, "created_utc_ns": created_utc_ns, "data": data})
    return f"id: {sequence}\nevent: {kind}\ndata: {body}\n\n".encode()


def _all(connection: sa.Connection, statement: sa.Select[Any]) -> Sequence[sa.Row[Any]]:
    return connection.execute(statement).all()


def _wake(channel: Channel) -> None:
    channel.more.set()
    channel.more = asyncio.Event()
