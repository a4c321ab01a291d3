"""Engines: SQLite set up for many readers and one writer, PostgreSQL by URL."""

from __future__ import annotations

import importlib.util
import sqlite3
from typing import Literal

import sqlalchemy as sa
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import ConnectionPoolEntry

from asic_reservoir.errors import UsageError

Synchronous = Literal["NORMAL", "FULL"]
Journal = Literal["WAL", "DELETE"]

BUSY_TIMEOUT_MS = 10_000
"""How long a writer waits for another process before «database is locked»."""


def open_engine(url: str, synchronous: Synchronous = "FULL", journal: Journal = "WAL") -> sa.Engine:
    """An engine for ``sqlite:///path`` or ``postgresql://user@host/name``.

    On SQLite every transaction begins as ``BEGIN IMMEDIATE`` where the connection has the execution option
    ``write=True`` (:class:`Writer` and :func:`upgrade` set it), so that a transaction that will write waits for the
    other writer at its start, where nothing can be half done yet. With ``autocommit=True`` there is no transaction.

    Args:
        url: SQLAlchemy URL; ``postgresql://`` means psycopg.
        synchronous: SQLite only. ``FULL``: a commit has reached the disk. ``NORMAL``: the last commits may be lost
            when the power fails, never when the process is killed.
        journal: SQLite only. ``WAL``: readers and the writer do not wait for each other. ``DELETE``: one file, that
            can be read where nothing may be written.

    Raises:
        UsageError: the URL is malformed, or names another database.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise UsageError(
            f"database {url!r}: not a URL, must look like 'sqlite:///facts.db' or 'postgresql://host/name'"
        ) from None
    shown = parsed.render_as_string(hide_password=True)
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        if parsed.host or parsed.username or parsed.port or parsed.query or "\0" in (parsed.database or ""):
            raise UsageError(f"database {shown!r}: more than a path, must look like 'sqlite:///facts.db'")
        if parsed.database in (None, "", ":memory:"):
            raise UsageError(f"database {shown!r}: in memory, must name a file, as in 'sqlite:///facts.db'")
        engine = sa.create_engine(parsed, connect_args={"timeout": BUSY_TIMEOUT_MS / 1000})
        _set_up_sqlite(engine, synchronous, journal)
        return engine
    if backend == "postgresql":
        if importlib.util.find_spec("psycopg") is None:
            raise UsageError(f"database {shown!r}: psycopg is not installed, install 'asic-reservoir[postgres]'")
        return sa.create_engine(parsed.set(drivername="postgresql+psycopg"), pool_pre_ping=True)
    raise UsageError(f"database {shown!r}: {backend!r} is not supported, must be sqlite or postgresql")


def _set_up_sqlite(engine: sa.Engine, synchronous: Synchronous, journal: Journal) -> None:
    @sa.event.listens_for(engine, "connect")
    def connect(connection: sqlite3.Connection, record: ConnectionPoolEntry) -> None:
        # the driver's own transaction control leaves DDL outside of transactions; ours has it inside
        connection.isolation_level = None
        connection.execute(f"PRAGMA journal_mode={journal}")
        connection.execute(f"PRAGMA synchronous={synchronous}")
        connection.execute("PRAGMA foreign_keys=ON")

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        options = connection.get_execution_options()
        if not options.get("autocommit", False):
            connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get("write", False) else "BEGIN")
