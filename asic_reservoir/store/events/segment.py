"""Sealed segments: Parquet, written once, checked on reading."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from asic_reservoir.store.errors import DamageError
from asic_reservoir.store.events.files import replacing, sha256
from asic_reservoir.store.events.kinds import LAYOUTS, SCHEMA_VERSION, Kind

MAX_GROUP_ROWS = 1 << 20
"""Rows in a row group that are read; we write an eighth of it."""
MAX_GROUP_VALUES = 1 << 26
"""Values in a column of a row group that are read: a list has several a row."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A row of the catalogue."""

    kind: Kind
    first_row: int
    end_row: int
    file: str | None
    """Name in the folder; ``None`` where retention took the file away."""
    bytes: int
    sha256: str
    begin_ns: int
    """Smallest time in it."""
    end_ns: int
    """Largest time in it."""
    schema_version: int
    created_utc_ns: int

    @property
    def rows(self) -> int:
        return self.end_row - self.first_row


def write_segment(
    path: Path,
    kind: Kind,
    first_row: int,
    run_id: str,
    tables: Iterable[pa.Table],
    created_utc_ns: int,
    end_row: int | None = None,
) -> tuple[Segment, bytes]:
    """Write ``tables`` as one segment; gives its catalogue row and its footer.

    The file appears under its name when it is whole and on the disk. Every page has a CRC-32, which reading checks.
    ``end_row`` is given for summaries only: they carry the numbers of the nonces that they stand for.

    Raises:
        StoreWriteError: disk full; there is no file then.
    """
    with replacing(path) as temporary:
        with parquet_writer(temporary, kind, first_row, run_id) as writer:
            rows, low, high = write_groups(writer, kind, tables)
        digest, size, footer = sha256(temporary), temporary.stat().st_size, read_footer(temporary)
    end = first_row + rows if end_row is None else end_row
    segment = Segment(kind, first_row, end, path.name, size, digest, low, high, SCHEMA_VERSION, created_utc_ns)
    return segment, footer


def parquet_writer(target: Any, kind: Kind, first_row: int, run_id: str) -> pq.ParquetWriter:
    """A Parquet writer for rows of a kind, into a path or a file, with everything that reading relies on."""
    layout = LAYOUTS[kind]
    about = {
        "asic_reservoir.run": run_id,
        "asic_reservoir.first_row": str(first_row),
        "asic_reservoir.schema_version": str(SCHEMA_VERSION),
    }
    writer = pq.ParquetWriter(
        target,
        kind.schema,
        use_dictionary=list(layout.dictionary),
        column_encoding=layout.encodings or None,
        compression=layout.compression,
        compression_level=layout.level,
        write_statistics=["time_ns"],
        write_page_checksum=True,
        store_schema=False,
    )
    writer.add_key_value_metadata(about)
    return writer


def write_groups(writer: pq.ParquetWriter, kind: Kind, tables: Iterable[pa.Table]) -> tuple[int, int, int]:
    """Write tables, at least one row in all; gives the number of rows, the smallest and the largest time.

    Row groups are filled whatever the tables are: a thousand frames of a hundred rows make one.
    """
    size = LAYOUTS[kind].row_group
    rows, low, high = 0, list[int](), list[int]()
    held, held_rows = list[pa.Table](), 0

    def write(least: int) -> None:
        nonlocal held, held_rows
        whole = pa.concat_tables(held)
        at = 0
        while held_rows - at >= least and held_rows > at:
            writer.write_table(whole.slice(at, size).combine_chunks(), row_group_size=size)
            at += size
        held = [whole.slice(at)]
        held_rows = held[0].num_rows

    for table in tables:
        times = table.column("time_ns").combine_chunks().to_numpy()
        low.append(int(times.min()))
        high.append(int(times.max()))
        rows += table.num_rows
        held.append(table.cast(writer.schema))
        held_rows += table.num_rows
        if held_rows >= size:
            write(size)
    if held_rows:
        write(1)
    return rows, min(low), max(high)


def read_footer(path: Path) -> bytes:
    """The footer of a Parquet file, from its metadata to its end."""
    with path.open("rb") as file:
        size = file.seek(0, io.SEEK_END)
        file.seek(size - 8)
        length = int.from_bytes(file.read(4), "little")
        file.seek(size - 8 - length)
        return file.read()


def parse_footer(footer: bytes) -> pq.FileMetaData:
    """What :func:`read_footer` read. Raises DamageError."""
    try:
        return pq.read_metadata(io.BytesIO(b"PAR1" + footer))
    except (pa.ArrowException, OSError) as error:
        raise DamageError(f"footer: {error}") from None


class SegmentFile:
    """Reads one segment by row group. Its footer comes from the catalogue: the file may have lost its own.

    :meth:`read` may be called from several threads at once: each has an Arrow reader to itself, over one open file.

    Args:
        source: path, or a file of Python's to read from.
        name: what to call it in messages.
        kind: of its rows.
        first_row: number of its first row in the run.
        metadata: its footer; without it that of the file is read.

    Raises:
        DamageError: where a page is not what was written; the message names file and rows.
    """

    def __init__(self, source: Any, name: str, kind: Kind, first_row: int, metadata: pq.FileMetaData | None) -> None:
        self.name, self.kind, self.first_row = name, kind, first_row
        # never closed by hand: who still reads from it keeps it open, and the number is not given to another file
        self._source = pa.OSFile(str(source)) if isinstance(source, Path) else pa.PythonFile(source, mode="r")
        self._metadata: Any = metadata
        first = self._open()
        self._metadata = metadata = first.metadata
        _check_shape(first, kind)
        self._idle: deque[pq.ParquetFile] | None = deque([first])
        groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
        self.starts = np.cumsum([0] + [group.num_rows for group in groups])
        """First row of each row group within the segment, and the number of rows, shape (n_groups + 1,)."""
        times = [group.column(0).statistics for group in groups]
        self.low = np.array([t.min for t in times], np.int64)
        """Smallest time of each row group."""
        self.high = np.array([t.max for t in times], np.int64)
        """Largest time of each row group."""

    def read(self, group: int, columns: tuple[str, ...] | None = None) -> pa.Table:
        """One row group; ``columns`` in the order given, or all."""
        idle = self._idle
        try:
            file = self._take()
            table = file.read_row_group(group, columns=None if columns is None else list(columns))
            if table.num_rows != self.starts[group + 1] - self.starts[group]:
                raise OSError(f"{table.num_rows} rows instead of {self.starts[group + 1] - self.starts[group]}")
        except (pa.ArrowException, OSError, ValueError) as error:
            rows = self.rows(group)
            reason = str(error).splitlines()[0]
            raise DamageError(f"{self.name}: rows {rows[0]} to {rows[1] - 1} are damaged: {reason}") from None
        if idle is not None:
            idle.append(file)
        return table if columns is None else table.select(list(columns))

    def rows(self, group: int) -> tuple[int, int]:
        """First row of a row group in the run, and one past its last."""
        return self.first_row + int(self.starts[group]), self.first_row + int(self.starts[group + 1])

    def byte_range(self, group: int) -> tuple[int, int]:
        """Where a row group lies in the file."""
        meta = self._metadata.row_group(group)
        begins = [_begin(meta.column(i)) for i in range(meta.num_columns)]
        ends = [b + meta.column(i).total_compressed_size for i, b in enumerate(begins)]
        return min(begins), max(ends)

    def groups(self, begin_ns: int, end_ns: int) -> np.ndarray[Any, np.dtype[np.intp]]:
        """Row groups that may have rows with begin_ns <= time < end_ns."""
        return np.flatnonzero((self.high >= begin_ns) & (self.low < end_ns))

    @property
    def n_groups(self) -> int:
        return len(self.starts) - 1

    def close(self) -> None:
        """Let go of the file. A reading that is under way comes to its end."""
        self._idle = None

    def _take(self) -> pq.ParquetFile:
        """A reader that nobody reads with."""
        try:
            return self._idle.pop() if self._idle is not None else self._open()
        except IndexError:
            return self._open()

    def _open(self) -> pq.ParquetFile:
        return pq.ParquetFile(
            self._source, metadata=self._metadata, page_checksum_verification=True, arrow_extensions_enabled=False
        )


def _check_shape(file: pq.ParquetFile, kind: Kind) -> None:
    """Raises ValueError for columns that are not those of the kind, or for more in a row group than we write.

    A file of a stranger may say so much of so little that reading it would take all memory.
    """
    found = file.schema_arrow
    if [_column(field) for field in found] != [_column(field) for field in kind.schema]:
        raise ValueError(f"columns {', '.join(map(str, found))}, must be those of {kind.word}")
    for number in range(file.metadata.num_row_groups):
        group = file.metadata.row_group(number)
        times = group.column(0).statistics
        if times is None or not times.has_min_max:
            raise ValueError(f"row group {number}: does not say its smallest and largest time")
        values = max(group.column(i).num_values for i in range(group.num_columns))
        if not 0 < group.num_rows <= MAX_GROUP_ROWS or values > MAX_GROUP_VALUES:
            raise ValueError(
                f"row group {number}: {group.num_rows} rows, {values} values, must be at most {MAX_GROUP_ROWS} rows"
            )


def _column(field: pa.Field) -> tuple[str, str, bool]:
    """What must agree: Parquet does not keep the name of what is in a list."""
    kind = f"list of {field.type.value_type}" if pa.types.is_list(field.type) else str(field.type)
    return field.name, kind, field.nullable


def _begin(column: Any) -> int:
    start = column.data_page_offset
    if column.has_dictionary_page and column.dictionary_page_offset is not None:
        start = min(start, column.dictionary_page_offset)
    return int(start)
