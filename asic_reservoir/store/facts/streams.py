"""The tables of what goes to a task beside its request: inputs and outputs of streams, and uploaded series.

They are in SQL because the worker that needs them may be another process, or on another machine.
"""

from __future__ import annotations

import sqlalchemy as sa

from asic_reservoir.store.facts.schema import Json, metadata

_ID = sa.String(36)

streams = sa.Table(
    "streams",
    metadata,
    sa.Column("task_id", _ID, sa.ForeignKey("tasks.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("reservation_id", _ID, sa.ForeignKey("reservations.id"), nullable=False, index=True),
    sa.Column("next_input", sa.BigInteger, nullable=False, doc="sequence that the next input must have"),
    sa.Column("ended", sa.Boolean, nullable=False, doc="no more inputs follow"),
    sa.Column("low", sa.Double, nullable=False, doc="smallest input that is taken"),
    sa.Column("high", sa.Double, nullable=False, doc="largest input that is taken"),
)
"""Streams: a task each."""

stream_steps = sa.Table(
    "stream_steps",
    metadata,
    sa.Column("task_id", _ID, sa.ForeignKey("tasks.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("sequence", sa.BigInteger, primary_key=True, doc="from 0 without gaps"),
    sa.Column("u", sa.Double, nullable=False),
    sa.Column("output", Json, doc="what the board answered; NULL: not yet"),
)
"""Inputs of streams with their outputs."""

uploads = sa.Table(
    "uploads",
    metadata,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("owner", _ID, nullable=False, doc="identifier of the key; empty for a nameless user on this machine"),
    sa.Column("name", sa.Text, nullable=False, doc="as it was called where it came from"),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("content", sa.LargeBinary, nullable=False, doc="float64 columns input and target, as NPY"),
    sa.Column("created_utc_ns", sa.BigInteger, nullable=False),
)
"""Series with their targets, uploaded by users."""
