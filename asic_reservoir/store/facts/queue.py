"""The tables of the queue: who may drive a board, what waits for it, what became of it.

They stand beside the facts because a claim, a result and a lease must change in one transaction.
"""

from __future__ import annotations

import sqlalchemy as sa

from asic_reservoir.store.facts.schema import Json, metadata

_ID = sa.String(36)

shelf = sa.Table(
    "shelf",
    metadata,
    sa.Column("board_id", _ID, sa.ForeignKey("boards.id"), primary_key=True),
    sa.Column("name", sa.String(64), nullable=False, unique=True, doc="short name for people and metric labels"),
    sa.Column("uri", sa.Text, nullable=False, doc="as it is opened, with every option"),
    sa.Column("enabled", sa.Boolean, nullable=False, doc="whether its worker takes tasks"),
    sa.Column("stopped", sa.Boolean, nullable=False, doc="emergency stop: nothing drives it until it is released"),
    sa.Column("reason", sa.Text, nullable=False, doc="why it is disabled or stopped; empty otherwise"),
    sa.Column("version", sa.BigInteger, nullable=False, doc="counts changes made by people: the ETag"),
    sa.Column("live", Json, doc="what the board said last: counts, temperatures, power"),
    sa.Column("live_utc_ns", sa.BigInteger),
)
"""Boards that the service offers."""

leases = sa.Table(
    "leases",
    metadata,
    sa.Column("board_id", _ID, sa.ForeignKey("boards.id"), primary_key=True),
    sa.Column("token", sa.BigInteger, nullable=False, doc="grows by one with every holder; never goes back"),
    sa.Column("beat", sa.BigInteger, nullable=False, doc="grows by one with every renewal"),
    sa.Column("holder", sa.Text, doc="NULL: free"),
    sa.Column("domain", sa.Text, doc="where the holder's device lock can be seen"),
    sa.Column("renewed_utc_ns", sa.BigInteger, nullable=False, doc="for people; no decision hangs on it"),
)
"""Who drives which board. The token fences: what carries an old one is refused."""

task_events = sa.Table(
    "task_events",
    metadata,
    sa.Column("task_id", _ID, sa.ForeignKey("tasks.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("sequence", sa.BigInteger, primary_key=True, doc="from 1 without gaps"),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("data", Json, nullable=False),
    sa.Column("created_utc_ns", sa.BigInteger, nullable=False),
)
"""What happened to a task, in order."""

attempts = sa.Table(
    "attempts",
    metadata,
    sa.Column("task_id", _ID, sa.ForeignKey("tasks.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, doc="from 1"),
    sa.Column("board_id", _ID, sa.ForeignKey("boards.id"), nullable=False),
    sa.Column("token", sa.BigInteger, nullable=False),
    sa.Column("holder", sa.Text, nullable=False),
    sa.Column("energised", sa.Boolean, nullable=False, doc="whether a real board was driven"),
    sa.Column("started_utc_ns", sa.BigInteger, nullable=False),
    sa.Column("finished_utc_ns", sa.BigInteger),
    sa.Column("outcome", sa.Text, doc="NULL: running"),
)
"""Every time that a task was begun, kept for audit."""

task_files = sa.Table(
    "task_files",
    metadata,
    sa.Column("task_id", _ID, sa.ForeignKey("tasks.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("name", sa.String(128), primary_key=True),
    sa.Column("media_type", sa.Text, nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("content", sa.LargeBinary, nullable=False),
)
"""What a task left beside its result. Written with the result, in its transaction."""

reservations = sa.Table(
    "reservations",
    metadata,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("board_id", _ID, sa.ForeignKey("boards.id"), nullable=False, index=True),
    sa.Column("owner", _ID, nullable=False, doc="identifier of the key; empty for a nameless user on this machine"),
    sa.Column("purpose", sa.Text, nullable=False),
    sa.Column("created_utc_ns", sa.BigInteger, nullable=False),
    sa.Column("expires_utc_ns", sa.BigInteger, nullable=False),
    sa.Column("ended_utc_ns", sa.BigInteger),
)
"""A user's right to a board for a while. It outlives workers; a lease does not."""

idempotency = sa.Table(
    "idempotency",
    metadata,
    sa.Column("owner", _ID, primary_key=True),
    sa.Column("name", sa.String(255), primary_key=True, doc="the header Idempotency-Key"),
    sa.Column("sha256", sa.String(64), nullable=False, doc="of the request"),
    sa.Column("task_id", _ID, sa.ForeignKey("tasks.id", ondelete="CASCADE"), nullable=False),
    sa.Column("created_utc_ns", sa.BigInteger, nullable=False),
)
"""Submissions that came with a name of their own: the same name is the same task."""

shares = sa.Table(
    "shares",
    metadata,
    sa.Column("owner", _ID, primary_key=True),
    sa.Column("served_ns", sa.BigInteger, nullable=False, doc="time that workers spent for it, on the fair clock"),
)
"""Fair share between keys."""

audit = sa.Table(
    "audit",
    metadata,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("created_utc_ns", sa.BigInteger, nullable=False, index=True),
    sa.Column("owner", _ID, nullable=False),
    sa.Column("action", sa.String(40), nullable=False),
    sa.Column("target", sa.Text, nullable=False),
    sa.Column("detail", Json, nullable=False),
)
"""Who changed what, for good."""
