"""The catalogue of a run: which segments are sealed, in SQL, beside them in the folder."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import sqlalchemy as sa

from asic_reservoir.errors import NotFoundError
from asic_reservoir.store.errors import DamageError, StoreWriteError
from asic_reservoir.store.events.files import replacing
from asic_reservoir.store.events.kinds import Kind
from asic_reservoir.store.events.segment import Segment
from asic_reservoir.store.facts.engine import open_engine
from asic_reservoir.store.facts.schema import segments

_checks = sa.Table(
    "checks",
    sa.MetaData(),
    sa.Column("kind", sa.String(24), primary_key=True),
    sa.Column("first_row", sa.BigInteger, primary_key=True),
    sa.Column("crc", sa.BigInteger, nullable=False),
    sa.Column("footer", sa.LargeBinary),
    sa.Column("footer_crc", sa.BigInteger),
)
"""For every segment a CRC-32 of its row, and a copy of its footer: a file that lost its own is still readable."""


class Catalogue:
    """Segments of one run. Every change is one transaction, on the disk when the call returns.

    Raises:
        DamageError: the file is no catalogue any more.
        StoreWriteError: disk full.
    """

    def __init__(self, path: Path, run_id: str, create: bool = False) -> None:
        self.path, self.run_id = path, run_id
        if not path.exists():
            if not create:
                raise NotFoundError(f"{path}: no catalogue; 'store recover' makes it anew from the segments")
            with replacing(path) as temporary, self._guarded():
                _create(temporary)
        # a rollback journal: a folder on a read-only disk stays readable, and there is one file to copy
        self._engine = open_engine(f"sqlite:///{path}", "FULL", journal="DELETE")
        self._reader: sa.Connection | None = None
        self._version: object = None
        self._rows: list[Segment] = []

    def segments(self) -> list[Segment]:
        """Every row, by kind and first row. Asks the file whether it changed, and reads it only if so."""
        with self._guarded():
            reader = self._connected()
            # past SQLAlchemy: this is asked before every query, and is most of what a small one would cost
            version = reader.connection.execute("PRAGMA data_version").fetchone()
            if version != self._version:
                joined = segments.outerjoin(
                    _checks, (segments.c.kind == _checks.c.kind) & (segments.c.first_row == _checks.c.first_row)
                )
                query = (
                    sa.select(segments, _checks.c.crc)
                    .select_from(joined)
                    .where(segments.c.run_id == self.run_id)
                    .order_by(segments.c.kind, segments.c.first_row)
                )
                self._rows = [self._segment(row) for row in reader.execute(query)]
                self._version = version
        return self._rows

    def footer(self, file: str) -> bytes | None:
        """The footer that ``file`` had when it was sealed; ``None`` where it is not known."""
        known = next((segment for segment in self.segments() if segment.file == file), None)
        if known is None:
            return None
        query = sa.select(_checks).where(_checks.c.kind == known.kind.word, _checks.c.first_row == known.first_row)
        with self._guarded():
            row = self._connected().execute(query).one()
            if row.footer is None or zlib.crc32(row.footer) != row.footer_crc:
                return None
            return bytes(row.footer)

    def replace(self, old: Sequence[Segment], new: Sequence[tuple[Segment, bytes | None]]) -> None:
        """Take ``old`` out and ``new`` in, at once. ``new``: segments with their footers."""
        with self._guarded(), self._engine.execution_options(write=True).begin() as connection:
            for segment in old:
                for table in (segments, _checks):
                    key = (table.c.kind == segment.kind.word) & (table.c.first_row == segment.first_row)
                    connection.execute(table.delete().where(key))
            for segment, footer in new:
                row = self.row(segment)
                check = {"kind": row["kind"], "first_row": row["first_row"], "crc": _crc(row), "footer": footer}
                check["footer_crc"] = None if footer is None else zlib.crc32(footer)
                connection.execute(segments.insert(), row)
                connection.execute(_checks.insert(), check)

    def row(self, segment: Segment) -> dict[str, Any]:
        """A segment as a row of the table, here and in the facts."""
        names = ("first_row", "end_row", "file", "bytes", "sha256", "begin_ns", "end_ns", "schema_version",
                 "created_utc_ns")  # fmt: skip
        return {"run_id": self.run_id, "kind": segment.kind.word} | {name: getattr(segment, name) for name in names}

    def _segment(self, row: sa.Row[Any]) -> Segment:
        segment = Segment(
            Kind.of(row.kind), row.first_row, row.end_row, row.file, row.bytes, row.sha256, row.begin_ns, row.end_ns,
            row.schema_version, row.created_utc_ns,
        )  # fmt: skip
        if _crc(self.row(segment)) != row.crc:
            raise ValueError(f"row of {row.kind} {row.first_row} does not have its CRC-32")
        return segment

    def check(self) -> str | None:
        """What the database says about itself; ``None`` where it is sound."""
        with self._guarded(), self._engine.connect() as connection:
            answer = connection.exec_driver_sql("PRAGMA integrity_check").scalars().all()
        return None if answer == ["ok"] else "; ".join(map(str, answer[:3]))

    def close(self) -> None:
        """May be called twice."""
        if self._reader is not None:
            self._reader.close()
            self._reader, self._version = None, None
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _connected(self) -> sa.Connection:
        """The connection that reads, kept for the next question."""
        if self._reader is None:
            self._reader = self._engine.connect().execution_options(autocommit=True)
        return self._reader

    def _guarded(self) -> _Guard:
        return _Guard(self.path)


def _create(path: Path) -> None:
    """An empty catalogue. It gets its name when it is whole: a reader may look at any moment."""
    path.unlink(missing_ok=True)
    engine = open_engine(f"sqlite:///{path}", "FULL", journal="DELETE")
    try:
        with engine.execution_options(write=True).begin() as connection:
            segments.create(connection)
            _checks.create(connection)
    finally:
        engine.dispose()


class _Guard:
    """Turns errors of the database into ours."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, (sa.exc.DatabaseError, sqlite3.DatabaseError)):
            reason = str(error.orig if isinstance(error, sa.exc.DatabaseError) else error)
            if "full" in reason or "disk I/O" in reason:
                raise StoreWriteError(f"{self._path}: {reason}, nothing was changed") from None
            raise DamageError(f"{self._path}: {reason}; 'store recover' makes it anew from the segments") from None
        if isinstance(error, (ValueError, KeyError, TypeError)):
            raise DamageError(f"{self._path}: {error}; 'store recover' makes it anew from the segments") from None


def _crc(row: dict[str, Any]) -> int:
    return zlib.crc32(repr(sorted(row.items())).encode())
