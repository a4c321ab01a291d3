"""What the routes share: the database, the writer, the worker, who waits for news."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import sqlalchemy as sa
import structlog
from starlette.concurrency import run_in_threadpool

from api.bus import Bus, FanIn
from api.database import Database
from api.janitor import end_late, tidy
from api.news import News
from api.settings import ServiceSettings
from api.views import Views
from api.worker import Worker, WorkerSettings
from asic_reservoir.errors import AsicReservoirError
from asic_reservoir.store.facts import Item, Together

T = TypeVar("T")
LATE_S, TIDY_S = 5.0, 60.0
"""Between two looks for tasks that are late, and for what is old."""

log = structlog.get_logger("service")


class Service:
    """Opened with the application, closed with it."""

    def __init__(self, settings: ServiceSettings) -> None:
        settings.data.mkdir(parents=True, exist_ok=True)
        self.settings = settings
        self._database = Database(settings.database)
        self.engine, self.writer = self._database.engine, self._database.writer
        self.views = Views(self._database)
        self.worker: Worker | None = None
        self.bus = self.fan_in = None
        if settings.bus is not None:
            self.bus = Bus(settings.bus, self.engine)
            self.fan_in = FanIn(settings.bus.url, settings.bus.site)
        self.news = News(self._database, None if self.bus is None else self.bus.changed)
        self.started = time.time()
        self._chores: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin to work: workers, news, chores."""
        self.news.start(asyncio.get_running_loop())
        if self.bus is not None and self.fan_in is not None:
            self.bus.start()
            self.fan_in.start()
        if self.settings.workers:
            options = WorkerSettings(self.settings.data, cores=self.settings.cores)
            said = {} if self.bus is None else {"said": self.bus.board}
            self.worker = Worker(self.engine, self.writer, options, changed=self.news.changed, **said)
            self.worker.start()
        self._chores = [asyncio.create_task(self.news.poll()), asyncio.create_task(self._tidy())]

    async def stop(self) -> None:
        """Boards safe, leases back, everything written."""
        for chore in self._chores:
            chore.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await chore
        await run_in_threadpool(self.news.stop)
        if self.worker is not None:
            await run_in_threadpool(self.worker.stop)
        if self.bus is not None and self.fan_in is not None:
            await run_in_threadpool(self.bus.stop)
            await run_in_threadpool(self.fan_in.stop)
        await self._database.close()

    def read(self, question: Callable[[sa.Connection], T]) -> Coroutine[Any, Any, T]:
        """See :meth:`~api.database.Database.read`."""
        return self._database.read(question)

    def write(self, unit: Callable[[sa.Connection], T]) -> Coroutine[Any, Any, T]:
        """See :meth:`~api.database.Database.write`."""
        return self._database.write(unit)

    def gather(self, work: Together[Item, T], item: Item) -> Coroutine[Any, Any, T]:
        """See :meth:`~api.database.Database.gather`."""
        return self._database.gather(work, item)

    def nudge(self, board_id: str) -> None:
        """A board has something new to do."""
        if self.worker is not None:
            self.worker.nudge(board_id)

    def nudge_task(self, task_id: str) -> None:
        """A running task has something new to do."""
        if self.worker is not None:
            self.worker.nudge_task(task_id)

    async def _tidy(self) -> None:
        due = time.monotonic()
        while True:
            now = time.monotonic()
            try:
                if now >= due:
                    due = now + TIDY_S
                    await self.write(lambda connection: tidy(connection, self.settings.retention_days))
                else:
                    await self.write(end_late)
            except (sa.exc.SQLAlchemyError, AsicReservoirError) as error:
                log.warning("tidy_failed", error=" ".join(str(error).split())[:300])
            await asyncio.sleep(LATE_S)
