"""One thread that writes: transactions of many callers become one commit.

SQLite has one writer at a time, and a commit costs a sync of the disk. Callers hand their work to the one thread
that writes; while it commits, more work gathers, and goes into the next commit together (group commit).
"""

from __future__ import annotations

import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self, TypeVar

import sqlalchemy as sa

from asic_reservoir.errors import BusyError, UsageError

Result = TypeVar("Result")
Work = Callable[[sa.Connection], Any]

GROUP = 256
"""Units of work in one commit, at most: what bounds the wait of the first of them."""


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
        self._queue: queue.SimpleQueue[tuple[Work, Future[Any]] | None] = queue.SimpleQueue()
        self._gate = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._loop, name="facts-writer", daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[sa.Connection], Result]) -> Future[Result]:
        """Queue a unit of work. The future's result is what ``work`` gave, once it is committed.

        Raises:
            UsageError: the writer is closed.
        """
        future: Future[Result] = Future()
        with self._gate:
            if self._closed:
                raise UsageError("writer of facts: closed, must be open to write")
            self._queue.put((work, future))
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
        open_ = True
        while open_:
            first = self._queue.get()
            if first is None:
                return
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
            self._commit([(work, future) for work, future in group if future.set_running_or_notify_cancel()])

    def _commit(self, group: list[tuple[Work, Future[Any]]]) -> None:
        outcomes: list[tuple[Future[Any], Any, BaseException | None]] = []
        try:
            with self._engine.begin() as connection:
                for work, future in group:
                    _say(connection, "SAVEPOINT unit")  # a fiftieth of the cost of begin_nested()
                    try:
                        outcomes.append((future, work(connection), None))
                    except Exception as error:
                        _say(connection, "ROLLBACK TO SAVEPOINT unit")
                        outcomes.append((future, None, error))
                    _say(connection, "RELEASE SAVEPOINT unit")
        except Exception as error:
            failure: Exception = error
            if isinstance(error, sa.exc.OperationalError) and "locked" in str(error.orig):
                failure = BusyError(f"database {self._engine.url!r}: another process holds it")
            for _, future in group:
                future.set_exception(failure)
            return
        for future, value, wrong in outcomes:
            if wrong is None:
                future.set_result(value)
            else:
                future.set_exception(wrong)


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
