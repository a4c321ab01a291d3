"""A worker process that is seen: a row in the database, renewed while it lives."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

import sqlalchemy as sa
import structlog

from asic_reservoir.errors import AsicReservoirError
from asic_reservoir.store.facts import Writer, now_ns, workers

SEEN_S = 10.0
"""Between two renewals."""
LATELY_S = 60.0
"""Who was not seen for so long is not discovered any more."""
FORGOTTEN_S = 86_400.0

log = structlog.get_logger("worker")


class Presence:
    """Renews the row of one process in a thread, and deletes it when the process leaves.

    Args:
        writer: to the database.
        name: of the worker.
        metrics: ``host:port`` where Prometheus finds it, or None.
    """

    def __init__(self, writer: Writer, name: str, metrics: str | None) -> None:
        self._writer = writer
        self._row = {"name": name[:255], "host": socket.gethostname()[:255], "metrics": metrics}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="presence", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()
        self._try(lambda connection: connection.execute(workers.delete().where(self._mine)))

    @property
    def _mine(self) -> sa.ColumnElement[bool]:
        return workers.c.name == self._row["name"]

    def _run(self) -> None:
        while True:
            self._try(self._renew)
            if self._stop.wait(SEEN_S):
                return

    def _renew(self, connection: sa.Connection) -> None:
        now = now_ns()
        if connection.execute(workers.update().where(self._mine).values(seen_utc_ns=now)).rowcount == 0:
            old = workers.c.seen_utc_ns < now - int(FORGOTTEN_S * 1e9)
            connection.execute(workers.delete().where(old))
            connection.execute(workers.insert(), self._row | {"started_utc_ns": now, "seen_utc_ns": now})

    def _try(self, unit: Callable[[sa.Connection], object]) -> None:
        try:
            self._writer.run(unit)
        except (sa.exc.SQLAlchemyError, AsicReservoirError) as error:
            log.warning("not_seen", error=" ".join(str(error).split())[:300])


def seen_lately(connection: sa.Connection) -> list[sa.Row[tuple[str, str, str | None, int, int]]]:
    """Rows of the workers that live, by name."""
    lately = workers.c.seen_utc_ns > now_ns() - int(LATELY_S * 1e9)
    return list(connection.execute(sa.select(workers).where(lately).order_by(workers.c.name)))
