"""Wake-up calls of PostgreSQL: LISTEN and NOTIFY, so that nobody has to look again and again.

A notice is a hint that something changed, never the change itself: who hears it reads the database. It goes out with
the commit of the transaction that made the change. One that is lost (a cut connection) costs time and nothing else,
as everybody looks from time to time all the same; SQLite has none, and is looked at more often.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Any, Literal

import sqlalchemy as sa
import structlog

CHANNEL = "asic_reservoir"
RELAXED_S = 2.0
"""Between two looks while notices arrive."""
PATIENCE_S = 0.5
"""How soon a listener sees that it should stop, or tries to connect again."""

Topic = Literal["task", "board"]
Heard = Callable[[Topic, str], None]

log = structlog.get_logger("notices")
_NOTIFY = sa.text("SELECT pg_notify(:channel, :payload)")


def notify(connection: sa.Connection, topic: Topic, identifier: str) -> None:
    """With the commit of this transaction, tell everybody who listens; nothing on SQLite.

    Args:
        connection: in a transaction that writes.
        topic: ``task``: it has a new event. ``board``: it has something new to do, or to stop doing.
        identifier: of the task or board.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(_NOTIFY, {"channel": CHANNEL, "payload": f"{topic} {identifier}"})


class Listener:
    """A thread with a connection of its own that hears notices; it connects again for as long as it lives.

    Args:
        engine: of the database; on SQLite nothing is heard and ``alive`` stays False.
        heard: called in the thread for every notice.
        missed: called in the thread whenever it begins to listen: what was said before is not known.
    """

    def __init__(self, engine: sa.Engine, heard: Heard, missed: Callable[[], None]) -> None:
        self._engine, self._heard, self._missed = engine, heard, missed
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.alive = False
        """Whether notices arrive now."""

    def start(self) -> None:
        if self._engine.dialect.name == "postgresql":
            self._thread = threading.Thread(target=self._run, name="notices", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """May be called twice."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def pause_s(self, otherwise: float) -> float:
        """Seconds between two looks: few where nothing is heard."""
        return max(RELAXED_S, otherwise) if self.alive else otherwise

    def _run(self) -> None:
        import psycopg

        while not self._stop.is_set():
            try:
                with contextlib.closing(self._connect()) as connection:
                    connection.execute(f"LISTEN {CHANNEL}")
                    self.alive = True
                    self._missed()
                    while not self._stop.is_set():
                        for notice in connection.notifies(timeout=PATIENCE_S):
                            self._take(notice.payload)
                            if self._stop.is_set():
                                break
            except (psycopg.Error, OSError) as error:
                if self.alive:
                    log.warning("not_listening", error=" ".join(str(error).split())[:300])
                self.alive = False
                self._stop.wait(PATIENCE_S)
        self.alive = False

    def _connect(self) -> Any:
        dialect = self._engine.dialect
        words, options = dialect.create_connect_args(self._engine.url)
        connection: Any = dialect.loaded_dbapi.connect(*words, **options)
        connection.autocommit = True
        return connection

    def _take(self, payload: str) -> None:
        topic, _, identifier = payload.partition(" ")
        if topic == "task":
            self._heard("task", identifier)
        elif topic == "board":
            self._heard("board", identifier)
