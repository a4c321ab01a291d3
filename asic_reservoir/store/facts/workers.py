"""The table of worker processes: where their metrics are, and when they were seen last."""

from __future__ import annotations

import sqlalchemy as sa

from asic_reservoir.store.facts.schema import metadata

workers = sa.Table(
    "workers",
    metadata,
    sa.Column("name", sa.String(255), primary_key=True),
    sa.Column("host", sa.String(255), nullable=False),
    sa.Column("metrics", sa.String(255), doc="host:port that Prometheus may ask; NULL: none"),
    sa.Column("started_utc_ns", sa.BigInteger, nullable=False),
    sa.Column("seen_utc_ns", sa.BigInteger, nullable=False, doc="for people and discovery; no decision hangs on it"),
)
"""Worker processes, seen lately. What they may do is in the table of leases."""
