"""One thread that writes: transactions of many callers become one commit.

SQLite has one writer at a time, and a commit costs a sync of the disk. Callers hand their work to the one thread
that writes; while it commits, more work gathers, and goes into the next commit together (group commit).
"""

from __future__ import annotations

import itertools
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self, TypeVar

import sqlalchemy as sa

from asic_reservoir.errors import BusyError, UsageError

Item = TypeVar("Item")
Result = TypeVar("Result")
Together = Callable[[sa.Connection, Sequence[Item]], Sequence[Result | Exception]]
"""Work for many at once: for each item what came of it, in order. An exception is one item's, which changed nothing."""

GROUP = 256
"""Units of work in one commit, at most: what bounds the wait of the first of them."""
LINGER_S, LINGER_MOST_S = 0.001, 0.008
"""Where units came together a moment ago, the next commit waits for company, as PostgreSQL's ``commit_delay`` has it: a
commit costs as much for one as for fifty. It goes as soon as nobody came within the first time, and after the second
at the latest. A unit that comes by itself never waits."""


class Writer:
    """Writes for everybody. A unit of work is a function of a connection; it is committed whole or not at all.

    A unit that raises is undone alone, by its savepoint; the others of its group are committed. A future is done
    when the commit is: its result is in the database. Works the same on PostgreSQL.

    >>> import tempfile
    >>> from asic_reservoir.store.facts import keys, open_engine, upgrade
    >>> folder = tempfile.TemporaryDirectory()
    >>> engine = open_engine(f"sqlite:///{folder.name}/facts.db")
    >>> upgrade(engine)
    >>> with Writer(engine) as writer:
    ...     row = {"id": "1", "name": "me", "hash": "0" * 64, "scopes": ["admin"], "created_utc_ns": 0}
    ...     writer.run(lambda connection: connection.execute(keys.insert(), row).rowcount)
    1
    >>> engine.dispose(); folder.cleanup()
    """

    def __init__(self, engine: sa.Engine, group: int = GROUP) -> None:
        self._engine = engine.execution_options(write=True)
        self._group = group
        self._queue: queue.SimpleQueue[_Unit | None] = queue.SimpleQueue()
        self._gate = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._loop, name="facts-writer", daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[sa.Connection], Result]) -> Future[Result]:
        """Queue a unit of work. The future's result is what ``work`` gave, once it is committed.

        Raises:
            UsageError: the writer is closed.
        """
        return self._put(work, _ALONE)

    def gather(self, work: Together[Item, Result], item: Item) -> Future[Result]:
        """Queue an item of work of which many come at once: what waits side by side is given to ``work`` in one call.

        A statement for many rows costs a tenth of as many statements. Where the call raises, each item is tried by
        itself.

        Args:
            work: the same object for all that belong together.
            item: handed to it with the others'.

        Raises:
            UsageError: the writer is closed.
        """
        return self._put(work, item)

    def _put(self, work: Callable[..., Any], item: Any) -> Future[Any]:
        future: Future[Any] = Future()
        with self._gate:
            if self._closed:
                raise UsageError("writer of facts: closed, must be open to write")
            self._queue.put((work, item, future))
        return future

    def run(self, work: Callable[[sa.Connection], Result]) -> Result:
        """Do a unit of work and wait until it is committed. Raises what ``work`` raises, or BusyError."""
        return self.submit(work).result()

    def close(self) -> None:
        """Commit what is queued, and stop. May be called twice."""
        with self._gate:
            if not self._closed:
                self._closed = True
                self._queue.put(None)
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _loop(self) -> None:
        open_, company = True, False
        while open_:
            first = self._queue.get()
            if first is None:
                return
            if company:
                self._linger()
            group = [first]
            while len(group) < self._group:
                try:
                    item = self._queue.get_nowait()
                except queue.Empty:
                    break
                if item is None:
                    open_ = False
                    break
                group.append(item)
            company = len(group) > 1
            self._commit([unit for unit in group if unit[2].set_running_or_notify_cancel()])

    def _linger(self) -> None:
        here, until = 0, time.monotonic() + LINGER_MOST_S
        while time.monotonic() < until:
            time.sleep(LINGER_S)
            if (now := self._queue.qsize()) == here or now >= self._group:
                return
            here = now

    def _commit(self, group: list[_Unit]) -> None:
        outcomes: list[Any] = []
        try:
            with self._engine.begin() as connection:
                for work, units in itertools.groupby(group, key=_kind):
                    items = [item for _, item, _ in units]
                    outcomes += _do(connection, work, items)
        except Exception as error:
            failure: Exception = error
            if isinstance(error, sa.exc.OperationalError) and "locked" in str(error.orig):
                failure = BusyError(f"database {self._engine.url!r}: another process holds it")
            outcomes = [failure] * len(group)
        for (_, _, future), outcome in zip(group, outcomes, strict=True):
            if isinstance(outcome, Exception):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)


_Unit = tuple[Callable[..., Any], Any, Future[Any]]
"""What to do, with what, and who waits for it."""
_ALONE = object()
"""Item of work that is done by itself."""


def _kind(unit: _Unit) -> tuple[Callable[..., Any], object]:
    """Neighbours of one kind are done together; two that are alone are never of one kind."""
    work, item, future = unit
    return work, future if item is _ALONE else None


def _do(connection: sa.Connection, kind: tuple[Callable[..., Any], object], items: list[Any]) -> list[Any]:
    """Results or exceptions, one an item."""
    work, _ = kind
    alone = items[0] is _ALONE
    _say(connection, "SAVEPOINT unit")  # a fiftieth of the cost of begin_nested()
    try:
        outcomes = [work(connection)] if alone else list(work(connection, items))
        if len(outcomes) != len(items):
            raise RuntimeError(f"{work}: {len(outcomes)} outcomes of {len(items)} items")
    except Exception as error:
        _say(connection, "ROLLBACK TO SAVEPOINT unit")
        outcomes = [error]
    _say(connection, "RELEASE SAVEPOINT unit")
    if len(outcomes) == len(items):
        return outcomes
    return [outcome for item in items for outcome in _do(connection, kind, [item])]


def _say(connection: sa.Connection, statement: str) -> None:
    """A statement without parameters or rows, on SQLite past the layers that would cost more than it."""
    driver = connection.connection.driver_connection
    if isinstance(driver, sqlite3.Connection):
        try:
            driver.execute(statement)
        except sqlite3.Error:
            pass  # again, the long way: it gives the error its proper class
        else:
            return
    connection.exec_driver_sql(statement)
