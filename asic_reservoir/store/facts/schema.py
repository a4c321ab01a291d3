"""The tables of facts.

Times are int64 nanoseconds: ``*_utc_ns`` the time of day, ``begin_ns`` and ``end_ns`` the board's own time line.
Identifiers are UUIDs of version 7 as text, so that sorting by identifier sorts by age on every database. Whoever adds
tables declares them on :data:`metadata` and adds a revision behind the last one in ``migrations/versions``.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

metadata = sa.MetaData(
    # Alembic rebuilds SQLite tables to alter them, and finds constraints by name only
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Json = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")
"""A JSON document; on PostgreSQL one that can be indexed."""

_ID = sa.String(36)
_ORIGINS = ("simulated", "replayed", "measured")


def one_of(column: str, *words: str) -> sa.CheckConstraint:
    """A column that takes these words only."""
    listed = ", ".join(f"'{word}'" for word in words)
    return sa.CheckConstraint(f"{column} IN ({listed})", name=column)


def partial(name: str, rows: str, *columns: str) -> sa.Index:
    """An index of some rows. A statement finds it where it says the same condition as a literal."""
    return sa.Index(name, *columns, sqlite_where=sa.text(rows), postgresql_where=sa.text(rows))


boards = sa.Table(
    "boards",
    metadata,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("uri", sa.Text, nullable=False, unique=True),
    sa.Column("family", sa.Text, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("origin", sa.String(16), nullable=False),
    sa.Column("info", Json, nullable=False, doc="BoardInfo as a document"),
    sa.Column("created_utc_ns", sa.BigInteger, nullable=False),
    sa.Column("seen_utc_ns", sa.BigInteger),
    one_of("origin", *_ORIGINS),
)
"""Every board that was ever opened."""

calibrations = sa.Table(
    "calibrations",
    metadata,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("board_id", _ID, sa.ForeignKey("boards.id"), nullable=False, index=True),
    sa.Column("origin", sa.String(16), nullable=False),
    sa.Column("content", Json, nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False, doc="of the content as canonical JSON: it never changes"),
    sa.Column("created_utc_ns", sa.BigInteger, nullable=False),
    sa.Column("valid_until_utc_ns", sa.BigInteger),
    sa.UniqueConstraint("board_id", "sha256"),
    one_of("origin", *_ORIGINS),
)
"""Calibrations: written once, pinned by what was computed with them."""

tasks = sa.Table(
    "tasks",
    metadata,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("request", Json, nullable=False),
    sa.Column("state", sa.String(16), nullable=False, index=True),
    sa.Column("key_id", _ID, sa.ForeignKey("keys.id"), index=True),
    sa.Column("created_utc_ns", sa.BigInteger, nullable=False, index=True),
    sa.Column("finished_utc_ns", sa.BigInteger),
    sa.Column("error", sa.Text),
    sa.Column("board_id", _ID, sa.ForeignKey("boards.id")),
    sa.Column("priority", sa.Integer, nullable=False, server_default="0"),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("max_attempts", sa.Integer, nullable=False, server_default="3"),
    sa.Column("deadline_utc_ns", sa.BigInteger),
    sa.Column("started_utc_ns", sa.BigInteger),
    sa.Column("last_event", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("owner", _ID, nullable=False, server_default="", doc="key_id, or empty: what fair share counts by"),
    sa.Index("ix_tasks_board_id_state_priority_owner_id", "board_id", "state", "priority", "owner", "id"),
    sa.Index("ix_tasks_owner_state", "owner", "state"),
    partial("ix_tasks_board_id_id_succeeded", "state = 'succeeded'", "board_id", "id"),
    partial(
        "ix_tasks_board_id_deadline_utc_ns_queued",
        "state = 'queued' AND deadline_utc_ns IS NOT NULL",
        "board_id",
        "deadline_utc_ns",
    ),
)
"""What was asked for. The words of ``state`` belong to whoever runs the queue."""

runs = sa.Table(
    "runs",
    metadata,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("board_id", _ID, sa.ForeignKey("boards.id"), nullable=False, index=True),
    sa.Column("calibration_id", _ID, sa.ForeignKey("calibrations.id"), index=True),
    sa.Column("task_id", _ID, sa.ForeignKey("tasks.id"), index=True),
    sa.Column("origin", sa.String(16), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("host", sa.Text, nullable=False, doc="the machine that has the folder"),
    sa.Column("folder", sa.Text, nullable=False),
    sa.Column("provenance", Json, nullable=False, doc="seed, settings, code and library versions"),
    sa.Column("begin_ns", sa.BigInteger),
    sa.Column("end_ns", sa.BigInteger),
    sa.Column("created_utc_ns", sa.BigInteger, nullable=False, index=True),
    one_of("origin", *_ORIGINS),
    one_of("state", "recording", "finished", "imported", "deleted"),
)
"""Every recorded run: its events lie in a folder of their own."""

results = sa.Table(
    "results",
    metadata,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("task_id", _ID, sa.ForeignKey("tasks.id"), unique=True),
    sa.Column("run_id", _ID, sa.ForeignKey("runs.id"), index=True),
    sa.Column("origin", sa.String(16), nullable=False),
    sa.Column("report", Json, nullable=False),
    sa.Column("kept", sa.Boolean, nullable=False, doc="retention leaves alone what a kept result refers to"),
    sa.Column("begin_ns", sa.BigInteger, doc="window of the run that it refers to; NULL: the whole run"),
    sa.Column("end_ns", sa.BigInteger),
    sa.Column("created_utc_ns", sa.BigInteger, nullable=False, index=True),
    one_of("origin", *_ORIGINS),
)
"""What came out: at most one for a task."""

models = sa.Table(
    "models",
    metadata,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("run_id", _ID, sa.ForeignKey("runs.id"), index=True),
    sa.Column("result_id", _ID, sa.ForeignKey("results.id"), index=True),
    sa.Column("origin", sa.String(16), nullable=False),
    sa.Column("format", sa.Text, nullable=False),
    sa.Column("content", sa.LargeBinary, nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("created_utc_ns", sa.BigInteger, nullable=False),
    sa.UniqueConstraint("name", "version"),
    one_of("origin", *_ORIGINS),
)
"""Trained readouts."""

keys = sa.Table(
    "keys",
    metadata,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("hash", sa.String(64), nullable=False, unique=True, doc="SHA-256 of the secret; the secret is gone"),
    sa.Column("scopes", Json, nullable=False),
    sa.Column("created_utc_ns", sa.BigInteger, nullable=False),
    sa.Column("expires_utc_ns", sa.BigInteger),
    sa.Column("revoked_utc_ns", sa.BigInteger),
    sa.Column("prefix", sa.String(16), index=True, doc="first characters of the secret, to find a key by"),
    sa.Column("limits", Json, doc="requests a minute, tasks waiting at once"),
)
"""Keys of users of the service."""

claims = sa.Table(
    "claims",
    metadata,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("claim", sa.Text, nullable=False, doc="number or name in the ledger"),
    sa.Column("board_id", _ID, sa.ForeignKey("boards.id"), nullable=False, index=True),
    sa.Column("result_id", _ID, sa.ForeignKey("results.id"), index=True),
    sa.Column("origin", sa.String(16), nullable=False),
    sa.Column("published", sa.Text, nullable=False),
    sa.Column("measured", Json, nullable=False, doc="value, interval, control"),
    sa.Column("verdict", sa.String(16), nullable=False),
    sa.Column("created_utc_ns", sa.BigInteger, nullable=False, index=True),
    one_of("origin", *_ORIGINS),
    one_of("verdict", "supported", "not supported", "undecided"),
)
"""The ledger: a claim, tried on a board."""

segments = sa.Table(
    "segments",
    metadata,
    sa.Column("run_id", _ID, primary_key=True),
    sa.Column("kind", sa.String(24), primary_key=True),
    sa.Column("first_row", sa.BigInteger, primary_key=True, doc="of the run, counted from 0 for each kind"),
    sa.Column("end_row", sa.BigInteger, nullable=False, doc="one past the last"),
    sa.Column("file", sa.Text, doc="name in the folder of the run; NULL: pruned"),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("begin_ns", sa.BigInteger, nullable=False, doc="smallest time in it"),
    sa.Column("end_ns", sa.BigInteger, nullable=False, doc="largest time in it"),
    sa.Column("schema_version", sa.Integer, nullable=False),
    sa.Column("created_utc_ns", sa.BigInteger, nullable=False),
    sa.CheckConstraint("end_row > first_row", name="rows"),
    sa.CheckConstraint("end_ns >= begin_ns", name="times"),
    sa.Index("ix_segments_run_id_kind_begin_ns", "run_id", "kind", "begin_ns"),
)
"""The catalogue of sealed segments. Each run folder has its own, in SQLite; the facts have a copy of all of them."""
