"""The catalogue of a run: which segments are sealed, in SQL, beside them in the folder."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import sqlalchemy as sa

from asic_reservoir.errors import NotFoundError
from asic_reservoir.store.errors import DamageError, StoreWriteError
from asic_reservoir.store.events.kinds import Kind
from asic_reservoir.store.events.segment import Segment
from asic_reservoir.store.facts.engine import open_engine
from asic_reservoir.store.facts.schema import segments

_footers = sa.Table(
    "footers",
    sa.MetaData(),
    sa.Column("file", sa.Text, primary_key=True),
    sa.Column("content", sa.LargeBinary, nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False),
)
"""A copy of the footer of every segment: a file that lost its own is still readable."""


class Catalogue:
    """Segments of one run. Every change is one transaction, on the disk when the call returns.

    Raises:
        DamageError: the file is no catalogue any more.
        StoreWriteError: disk full.
    """

    def __init__(self, path: Path, run_id: str, create: bool = False) -> None:
        self.path, self.run_id = path, run_id
        if not create and not path.exists():
            raise NotFoundError(f"{path}: no catalogue; 'store recover' makes it anew from the segments")
        # a rollback journal: a folder on a read-only disk stays readable, and there is one file to copy
        self._engine = open_engine(f"sqlite:///{path}", "FULL", journal="DELETE")
        self._reader: sa.Connection | None = None
        self._version: object = None
        self._rows: list[Segment] = []
        if create:
            with self._guarded(), self._engine.execution_options(write=True).begin() as connection:
                segments.create(connection, checkfirst=True)
                _footers.create(connection, checkfirst=True)

    def segments(self) -> list[Segment]:
        """Every row, by kind and first row. Asks the file whether it changed, and reads it only if so."""
        with self._guarded():
            if self._reader is None:
                self._reader = self._engine.connect().execution_options(autocommit=True)
            version = self._reader.exec_driver_sql("PRAGMA data_version").scalar_one()
            if version != self._version:
                query = (
                    sa.select(segments)
                    .where(segments.c.run_id == self.run_id)
                    .order_by(segments.c.kind, segments.c.first_row)
                )
                self._rows = [_segment(row) for row in self._reader.execute(query)]
                self._version = version
        return self._rows

    def footer(self, file: str) -> bytes | None:
        """The footer that ``file`` had when it was sealed; ``None`` where it is not known."""
        with self._guarded(), self._engine.connect() as connection:
            row = connection.execute(sa.select(_footers).where(_footers.c.file == file)).one_or_none()
        if row is None or hashlib.sha256(row.content).hexdigest() != row.sha256:
            return None
        return bytes(row.content)

    def replace(self, old: Sequence[Segment], new: Sequence[tuple[Segment, bytes | None]]) -> None:
        """Take ``old`` out and ``new`` in, at once. ``new``: segments with their footers."""
        with self._guarded(), self._engine.execution_options(write=True).begin() as connection:
            for segment in old:
                connection.execute(
                    segments.delete().where(
                        segments.c.run_id == self.run_id,
                        segments.c.kind == segment.kind.word,
                        segments.c.first_row == segment.first_row,
                    )
                )
                connection.execute(_footers.delete().where(_footers.c.file == segment.file))
            for segment, footer in new:
                connection.execute(segments.insert(), self.row(segment))
                if footer is not None:
                    digest = hashlib.sha256(footer).hexdigest()
                    connection.execute(_footers.insert(), {"file": segment.file, "content": footer, "sha256": digest})

    def row(self, segment: Segment) -> dict[str, Any]:
        """A segment as a row of the table, here and in the facts."""
        names = ("first_row", "end_row", "file", "bytes", "sha256", "begin_ns", "end_ns", "schema_version",
                 "created_utc_ns")  # fmt: skip
        return {"run_id": self.run_id, "kind": segment.kind.word} | {name: getattr(segment, name) for name in names}

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

    def _guarded(self) -> _Guard:
        return _Guard(self.path)


class _Guard:
    """Turns errors of the database into ours."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, sa.exc.DatabaseError):
            reason = str(error.orig)
            if "full" in reason or "disk I/O" in reason:
                raise StoreWriteError(f"{self._path}: {reason}, nothing was changed") from None
            raise DamageError(f"{self._path}: {reason}; 'store recover' makes it anew from the segments") from None
        if isinstance(error, (ValueError, KeyError, TypeError)):
            raise DamageError(f"{self._path}: {error}; 'store recover' makes it anew from the segments") from None


def _segment(row: sa.Row[Any]) -> Segment:
    return Segment(
        Kind.of(row.kind), row.first_row, row.end_row, row.file, row.bytes, row.sha256, row.begin_ns, row.end_ns,
        row.schema_version, row.created_utc_ns,
    )  # fmt: skip
