"""What the routes share: the database, the writer, the worker, who waits for news."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

import sqlalchemy as sa
import structlog
from starlette.concurrency import run_in_threadpool

from api.bus import Bus, FanIn
from api.homeward import Homeward
from api.janitor import tidy
from api.news import News
from api.settings import ServiceSettings
from api.views import Views
from api.worker import Worker, WorkerSettings
from asic_reservoir.errors import AsicReservoirError
from asic_reservoir.store.facts import Item, Together, Writer, open_engine, upgrade

T = TypeVar("T")
TIDY_S = 60.0

log = structlog.get_logger("service")


class Service:
    """Opened with the application, closed with it."""

    def __init__(self, settings: ServiceSettings) -> None:
        settings.data.mkdir(parents=True, exist_ok=True)
        self.settings = settings
        self.engine = open_engine(settings.database)
        upgrade(self.engine)
        self.writer = Writer(self.engine)
        self.news = News(self)
        self.views = Views(self)
        self.worker: Worker | None = None
        self.bus = self.fan_in = None
        if settings.bus is not None:
            self.bus = Bus(settings.bus, self.engine)
            self.fan_in = FanIn(settings.bus.url, settings.bus.site)
        self.started = time.time()
        self._inline = self.engine.dialect.name == "sqlite"
        self._reader: sa.Connection | None = None
        self._homeward: Homeward | None = None
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
        await run_in_threadpool(self.writer.close)
        if self._reader is not None:
            self._reader.close()
        self.engine.dispose()

    async def read(self, question: Callable[[sa.Connection], T]) -> T:
        """Ask the database. SQLite answers within the loop, in less time than a thread costs; PostgreSQL does not."""
        if self._inline:
            if self._reader is None:
                self._reader = self.engine.connect().execution_options(autocommit=True)
            return question(self._reader)
        return await run_in_threadpool(self._ask, question)

    def _ask(self, question: Callable[[sa.Connection], T]) -> T:
        with self.engine.connect() as connection:
            return question(connection)

    async def write(self, unit: Callable[[sa.Connection], T]) -> T:
        """Change the database; returns when it is on the disk."""
        return await self._bring(self.writer.submit(unit))

    async def gather(self, work: Together[Item, T], item: Item) -> T:
        """Change the database together with who does the same; returns when it is on the disk."""
        return await self._bring(self.writer.gather(work, item))

    def _bring(self, future: Future[T]) -> asyncio.Future[T]:
        loop = asyncio.get_running_loop()
        if self._homeward is None or self._homeward.loop is not loop:
            self._homeward = Homeward(loop)
        return self._homeward.bring(future)

    def nudge(self, board_id: str) -> None:
        """A board has something new to do."""
        if self.worker is not None:
            self.worker.nudge(board_id)

    def nudge_task(self, task_id: str) -> None:
        """A running task has something new to do."""
        if self.worker is not None:
            self.worker.nudge_task(task_id)

    async def _tidy(self) -> None:
        while True:
            try:
                await self.write(lambda connection: tidy(connection, self.settings.retention_days))
            except (sa.exc.SQLAlchemyError, AsicReservoirError) as error:
                log.warning("tidy_failed", error=" ".join(str(error).split())[:300])
            await asyncio.sleep(TIDY_S)


def row_dict(row: sa.Row[Any]) -> dict[str, Any]:
    """A row by column name."""
    return dict(row._mapping)
