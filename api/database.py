"""The database as the event loop sees it: questions, and units of work that return when they are on the disk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

import sqlalchemy as sa
from starlette.concurrency import run_in_threadpool

from api.homeward import Homeward
from asic_reservoir.store.facts import Item, Together, Writer, open_engine, upgrade

T = TypeVar("T")


class Database:
    """Opened and brought up to date when it is made.

    Args:
        url: ``sqlite:///…`` or ``postgresql://…``.
    """

    def __init__(self, url: str) -> None:
        self.engine = open_engine(url)
        upgrade(self.engine)
        self.writer = Writer(self.engine)
        self._inline = self.engine.dialect.name == "sqlite"
        self._reader: sa.Connection | None = None
        self._homeward: Homeward | None = None

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

    async def close(self) -> None:
        """What was submitted is written first."""
        await run_in_threadpool(self.writer.close)
        if self._reader is not None:
            self._reader.close()
        self.engine.dispose()
