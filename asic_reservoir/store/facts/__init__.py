"""Facts in SQL: SQLite (WAL) by default, PostgreSQL by URL; SQLAlchemy Core, Alembic migrations.

>>> from asic_reservoir.store.facts import open_engine, upgrade, Writer, boards
>>> import sqlalchemy as sa, tempfile
>>> folder = tempfile.TemporaryDirectory()
>>> engine = open_engine(f"sqlite:///{folder.name}/facts.db")
>>> upgrade(engine)
>>> with engine.connect() as connection:
...     connection.execute(sa.select(sa.func.count()).select_from(boards)).scalar_one()
0
>>> engine.dispose(); folder.cleanup()
"""

from asic_reservoir.store.facts.engine import open_engine
from asic_reservoir.store.facts.identifiers import new_id, now_ns
from asic_reservoir.store.facts.migrate import current, downgrade, upgrade
from asic_reservoir.store.facts.queue import (
    attempts,
    audit,
    idempotency,
    leases,
    reservations,
    shares,
    shelf,
    task_events,
    task_files,
)
from asic_reservoir.store.facts.schema import (
    boards,
    calibrations,
    claims,
    keys,
    metadata,
    models,
    results,
    runs,
    segments,
    tasks,
)
from asic_reservoir.store.facts.streams import stream_steps, streams, uploads
from asic_reservoir.store.facts.workers import workers
from asic_reservoir.store.facts.writer import Item, Together, Writer

__all__ = [
    "Item",
    "Together",
    "Writer",
    "attempts",
    "audit",
    "boards",
    "calibrations",
    "claims",
    "current",
    "downgrade",
    "idempotency",
    "keys",
    "leases",
    "metadata",
    "models",
    "new_id",
    "now_ns",
    "open_engine",
    "reservations",
    "results",
    "runs",
    "segments",
    "shares",
    "shelf",
    "stream_steps",
    "streams",
    "task_events",
    "task_files",
    "tasks",
    "upgrade",
    "uploads",
    "workers",
]
