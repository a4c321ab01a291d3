"""The user's own series: columns ``input`` and ``target`` of a CSV, NPY or Parquet file."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asic_reservoir.errors import DataError, NotFoundError
from asic_reservoir.tasks._task import FloatArray, Series, check_draw

COLUMNS = ("input", "target")
SUFFIXES = (".csv", ".npy", ".parquet")
MOST_ROWS = 10_000_000


@dataclass(frozen=True, slots=True)
class FileTask:
    """A series from a file, already aligned: row t holds the input of step t and the target that is asked for after it.

    Every seed gives the same rows; a seed then only moves the board. Make one with :func:`load_series`.
    """

    name: str
    input: FloatArray
    target: FloatArray

    def generate(self, seed: int, n_steps: int) -> Series:
        """The first ``n_steps`` rows. Raises DataError when the file has fewer."""
        check_draw(self.name, seed, n_steps)
        if n_steps > len(self.input):
            raise DataError(
                f"{self.name}: {len(self.input)} rows, must be at least the {n_steps} steps that were asked for"
            )
        u = self.input[:n_steps].copy()
        return Series(u, self.target[:n_steps].copy(), 0, f"file {self.name}", (float(u.min()), float(u.max())))


def load_series(path: str | Path) -> FileTask:
    """Read a series from ``.csv`` (with a header line), ``.npy`` or ``.parquet``.

    An NPY file holds either a structured array with fields ``input`` and ``target`` or a plain one of shape
    (n_steps, 2) in that order. Pickled objects are refused.

    Raises:
        NotFoundError: no such file.
        DataError: another kind of file, a column missing, not numeric, NaN, infinite, fewer than two rows; names file,
            column and row (first row of data = 1).
    """
    path = Path(path)
    if not path.is_file():
        raise NotFoundError(f"{path}: no such file")
    readers = {".csv": _read_csv, ".npy": _read_npy, ".parquet": _read_parquet}
    if path.suffix.lower() not in readers:
        raise DataError(f"{path}: suffix {path.suffix!r}, must be one of {', '.join(SUFFIXES)}")
    columns = readers[path.suffix.lower()](path)
    u, y = (_checked(path, name, column) for name, column in zip(COLUMNS, columns, strict=True))
    if len(u) < 2:
        raise DataError(f"{path}: {len(u)} rows, must have at least 2")
    if len(u) > MOST_ROWS:
        raise DataError(f"{path}: {len(u)} rows, must be at most {MOST_ROWS}")
    return FileTask(str(path), u, y)


def _checked(path: Path, name: str, column: FloatArray) -> FloatArray:
    bad = np.flatnonzero(~np.isfinite(column))
    if bad.size:
        raise DataError(f"{path}: column {name!r}, row {bad[0] + 1}: {column[bad[0]]}, must be a finite number")
    return np.ascontiguousarray(column, dtype=np.float64)


def _missing(path: Path, name: str, found: list[str]) -> DataError:
    return DataError(
        f"{path}: no column {name!r}, must have columns 'input' and 'target', found {', '.join(found)[:200] or 'none'}"
    )


def _read_csv(path: Path) -> tuple[FloatArray, FloatArray]:
    values: tuple[list[float], list[float]] = ([], [])
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.reader(file)
            header = [field.strip() for field in next(rows, [])]
            places = []
            for name in COLUMNS:
                if name not in header:
                    raise _missing(path, name, header)
                places.append(header.index(name))
            for number, row in enumerate((row for row in rows if row), start=1):
                for name, place, column in zip(COLUMNS, places, values, strict=True):
                    if len(row) != len(header):
                        raise DataError(
                            f"{path}: row {number}: {len(row)} fields, must be {len(header)} as in the header"
                        )
                    column.append(_number(path, name, number, row[place]))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not a CSV text in UTF-8: {error}") from None
    return np.asarray(values[0], dtype=np.float64), np.asarray(values[1], dtype=np.float64)


def _number(path: Path, name: str, row: int, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise DataError(f"{path}: column {name!r}, row {row}: {text[:40]!r}, must be a finite number") from None


def _read_npy(path: Path) -> tuple[FloatArray, FloatArray]:
    try:
        # mapped, so that a header that claims more than the file holds is refused before memory is taken for it
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # the header is read with Python's own tokenizer, which raises what it likes
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{path}: not an NPY file of numbers: {reason[:160]}") from None
    if not isinstance(array, np.ndarray):
        raise DataError(f"{path}: an archive of arrays, must be one array")
    if array.dtype.names is not None:
        for name in COLUMNS:
            if name not in array.dtype.names:
                raise _missing(path, name, list(array.dtype.names))
        columns = [array[name] for name in COLUMNS]
    else:
        if array.ndim != 2 or array.shape[1] != 2:
            raise DataError(f"{path}: shape {array.shape}, must be (n_steps, 2): input, target")
        columns = [array[:, 0], array[:, 1]]
    for name, column in zip(COLUMNS, columns, strict=True):
        if column.ndim != 1:
            raise DataError(f"{path}: column {name!r}: shape {column.shape}, must be (n_steps,)")
        if column.dtype.kind not in "iuf":
            raise DataError(f"{path}: column {name!r}: dtype {column.dtype}, must be an integer or a float")
    return columns[0].astype(np.float64), columns[1].astype(np.float64)


def _read_parquet(path: Path) -> tuple[FloatArray, FloatArray]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            found = file.schema_arrow.names
            for name in COLUMNS:
                if name not in found:
                    raise _missing(path, name, found)
            table = file.read(columns=list(COLUMNS))
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:  # names of a damaged schema may be any bytes
        raise DataError(f"{path}: not a Parquet file: {str(error).splitlines()[0][:160]}") from None
    columns = []
    for name in COLUMNS:
        column = table[name]
        if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
            raise DataError(f"{path}: column {name!r}: type {column.type}, must be an integer or a float")
        columns.append(np.asarray(column.cast(pa.float64(), safe=False).to_numpy(), dtype=np.float64))
    return columns[0], columns[1]
