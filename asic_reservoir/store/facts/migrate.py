"""Migrations: one linear history, run from the installed package, each step in one transaction.

A process that is killed in the middle leaves the database at the revision it had; the next start goes on from there.
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from asic_reservoir.errors import BusyError, DataError, UsageError
from asic_reservoir.store.facts.engine import open_engine

HISTORY = Path(__file__).with_name("migrations")

_LOCK = 0x61736963
"""Key of the advisory lock that keeps two processes from migrating one PostgreSQL database («asic»)."""


def upgrade(database: sa.Engine | str, revision: str = "head") -> None:
    """Bring a database to ``revision``, from nothing or from any revision before it.

    Args:
        database: an engine of :func:`open_engine`, or its URL.
        revision: name of a revision, or ``head``.

    Raises:
        UsageError: there is no such revision.
        DataError: the database was written by a newer version of this program.
        BusyError: another process holds the database.
    """
    _run(database, command.upgrade, revision)


def downgrade(database: sa.Engine | str, revision: str) -> None:
    """Take a database back to ``revision`` (``base``: empty). Tables that the newer revisions made are dropped.

    Raises:
        UsageError, DataError, BusyError: as :func:`upgrade`.
    """
    _run(database, command.downgrade, revision)


def current(database: sa.Engine | str) -> str | None:
    """The revision of a database; ``None`` for an empty one."""
    engine = open_engine(database) if isinstance(database, str) else database
    try:
        with engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision()
    finally:
        if isinstance(database, str):
            engine.dispose()


def _config(connection: sa.Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(HISTORY))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def _run(database: sa.Engine | str, action: object, revision: str) -> None:
    engine = open_engine(database) if isinstance(database, str) else database
    sqlite = engine.dialect.name == "sqlite"
    try:
        with engine.connect().execution_options(write=True) as connection:
            if sqlite:
                # rebuilding a table drops it: with foreign keys on, that would empty its children
                connection.connection.cursor().execute("PRAGMA foreign_keys=OFF")
            try:
                with connection.begin():
                    _migrate(connection, action, revision)
                    if sqlite and (broken := connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall()):
                        raise DataError(
                            f"migration to {revision}: {len(broken)} rows of {broken[0][0]} lost their parent"
                        )
            finally:
                if sqlite:
                    connection.connection.cursor().execute("PRAGMA foreign_keys=ON")
    except sa.exc.OperationalError as error:
        if "locked" in str(error.orig):
            raise BusyError(f"database {engine.url!r}: another process holds it") from None
        raise DataError(f"database {engine.url!r}: {error.orig}") from None
    except sa.exc.DatabaseError as error:
        raise DataError(f"database {engine.url!r}: {error.orig}") from None
    finally:
        if isinstance(database, str):
            engine.dispose()


def _migrate(connection: sa.Connection, action: object, revision: str) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    config = _config(connection)
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    found = MigrationContext.configure(connection).get_current_revision()
    if found is not None and found not in known:
        raise DataError(
            f"database {connection.engine.url!r}: revision {found!r} was written by a newer version of this program"
        )
    assert callable(action)
    try:
        action(config, revision)
    except CommandError as error:
        raise UsageError(f"revision {revision!r}: {error}") from None
