"""Kinds of events: their columns, and how each is laid out in Parquet.

Times are int64 nanoseconds on the time line of the board. Rows of a kind are numbered from 0 through the whole run, in
the order in which they came; that order is what counts, not the time stamps, which may step back.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np
import pyarrow as pa

from asic_reservoir.nonces import DTYPES

SCHEMA_VERSION = 1
"""Version of the columns below and of the layout of a run folder. A reader takes its own and all before it."""

ROW_GROUP = 131_072
"""Rows in a Parquet row group: what a query reads at least, and what a flipped bit costs at most."""


WIDE_ROW_GROUP = 16_384
"""The same of the other kinds, whose rows are wide: a sample of an S9 has 189 temperatures, 1.5 kB."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Encoding of a kind in Parquet. ``nonces`` costs 10.4 bytes a row with it, 7 % above the entropy.

    A segment says itself how it is encoded: one of an older layout is read as one of this, and compaction writes this.
    """

    dictionary: tuple[str, ...] = ()
    encodings: dict[str, str] = field(default_factory=dict)
    compression: dict[str, str] | str = "zstd"
    level: dict[str, int] | None = None
    row_group: int = WIDE_ROW_GROUP


class Kind(Enum):
    """Kinds of events; the value is the number in the frames of the log, and never changes."""

    NONCES = 1
    """Nonces, as :class:`asic_reservoir.nonces.NonceBatch` has them."""
    TELEMETRY = 2
    """Samples of sensors."""
    STEPS = 3
    """Steps: what was asked, what counts came back, and which rows of the other kinds belong to it."""
    OPERATING_POINTS = 4
    """Operating points asked for and applied, one row for each change."""
    SAFETY = 5
    """Decisions of whoever guards the board."""
    CLOCK = 6
    """Clock triples: time of the board, monotonic time of the host, UTC, read at one moment."""
    SUMMARIES = 7
    """Counts of a chip in an interval: what is left of nonces that were thinned."""

    @property
    def word(self) -> str:
        """Name in files and tables: ``nonces``, ``operating_points``, …"""
        return self.name.lower()

    @property
    def schema(self) -> pa.Schema:
        """Columns as Arrow has them."""
        return SCHEMAS[self]

    @property
    def is_summary(self) -> bool:
        """Its segments carry the row numbers of the nonces that they stand for."""
        return self is Kind.SUMMARIES

    @classmethod
    def of(cls, word: str) -> Kind:
        """The kind of that name; raises KeyError."""
        return cls[word.upper()]


NUMBERS = {kind.value: kind for kind in Kind}
"""Kinds by the number that frames carry."""


def _schema(**columns: Any) -> pa.Schema:
    """A schema; a type in a list of its own may be null."""
    return pa.schema(
        [
            pa.field(name, kind[0], nullable=True) if isinstance(kind, list) else pa.field(name, kind, nullable=False)
            for name, kind in columns.items()
        ]
    )


_REALS = pa.list_(pa.field("item", pa.float64(), nullable=False))
_COUNTS = pa.list_(pa.field("item", pa.int64(), nullable=False))

SCHEMAS: dict[Kind, pa.Schema] = {
    Kind.NONCES: _schema(**{name: pa.from_numpy_dtype(dtype) for name, dtype in DTYPES.items()}),
    Kind.TELEMETRY: _schema(
        time_ns=pa.int64(),
        chip_temperature_c=_REALS,
        board_temperature_c=_REALS,
        voltage_mv=_REALS,
        power_w=pa.float64(),
        fan_rpm=pa.float64(),
    ),
    Kind.STEPS: _schema(
        time_ns=pa.int64(),
        end_ns=pa.int64(),
        index=pa.int64(),
        board=pa.string(),
        timestamp_source=pa.string(),
        lost=pa.int64(),
        requested=pa.int64(),
        applied=pa.int64(),
        duration_ns=pa.int64(),
        until_nonces=[pa.int64()],
        detail=pa.string(),
        mode=pa.string(),
        clean=pa.bool_(),
        header=[pa.binary()],
        extranonce2=[pa.binary()],
        first_nonce=pa.int64(),
        n_nonces=pa.int64(),
        first_sample=pa.int64(),
        n_samples=pa.int64(),
        valid=_COUNTS,
        invalid=_COUNTS,
        duplicate=_COUNTS,
        stale=_COUNTS,
        digest=pa.int64(),
    ),
    Kind.OPERATING_POINTS: _schema(
        time_ns=pa.int64(),
        role=pa.string(),
        frequency_mhz=[_REALS],
        frequency_is_scalar=pa.bool_(),
        voltage_mv=[_REALS],
        voltage_is_scalar=pa.bool_(),
        difficulty=[pa.int64()],
        fan_percent=[pa.float64()],
    ),
    Kind.SAFETY: _schema(
        time_ns=pa.int64(),
        board=pa.string(),
        rule=pa.string(),
        value=pa.float64(),
        limit=pa.float64(),
        action=pa.string(),
        message=pa.string(),
    ),
    Kind.CLOCK: _schema(
        time_ns=pa.int64(), monotonic_ns=pa.int64(), utc_ns=pa.int64(), error_ns=pa.int64(), boot_id=pa.string()
    ),
    Kind.SUMMARIES: _schema(
        time_ns=pa.int64(),
        duration_ns=pa.int64(),
        chip=pa.int16(),
        valid=pa.int64(),
        invalid=pa.int64(),
        duplicate=pa.int64(),
        stale=pa.int64(),
    ),
}
"""Columns of every kind. ``time_ns`` is always there, and first."""

LAYOUTS: dict[Kind, Layout] = {
    kind: Layout(
        dictionary=tuple(f.name for f in schema if f.type in (pa.string(), pa.int16())),
        encodings={f.name: "DELTA_BINARY_PACKED" for f in schema if f.type == pa.int64()},
    )
    for kind, schema in SCHEMAS.items()
} | {
    Kind.NONCES: Layout(
        dictionary=("core",),
        encodings={
            "time_ns": "DELTA_BINARY_PACKED",
            "job": "DELTA_BINARY_PACKED",
            "nonce": "PLAIN",
            "version": "BYTE_STREAM_SPLIT",
            # as small as a dictionary, written in a third of its time, read in three quarters
            "chip": "BYTE_STREAM_SPLIT",
            "flags": "BYTE_STREAM_SPLIT",
        },
        # time, job and nonce are at their entropy already: compressing them again only costs time
        compression={
            "time_ns": "none",
            "job": "none",
            "nonce": "none",
            "chip": "zstd",
            "core": "zstd",
            "version": "zstd",
            "flags": "zstd",
        },
        level={"chip": 1, "core": 1, "version": 3, "flags": 1},
        row_group=ROW_GROUP,
    ),
}

NONCE_ORDER = ("time_ns", "job", "nonce", "version", "chip", "core", "flags")
"""Order of nonce columns in a frame: widest first, so that each is aligned when the frame is."""

NONCE_BYTES = sum(dtype.itemsize for dtype in DTYPES.values())
"""Bytes of a nonce in a frame: 25."""

assert [np.dtype(DTYPES[name]).itemsize for name in NONCE_ORDER] == sorted(
    (d.itemsize for d in DTYPES.values()), reverse=True
)
