"""Series for plots: a window of any length in as many points as a screen has.

>>> import tempfile
>>> from pathlib import Path
>>> from asic_reservoir.board import NonceBatch, Origin
>>> from asic_reservoir.store.events import EventLog, RunFolder, RunRecord
>>> folder = tempfile.TemporaryDirectory()
>>> run = RunFolder.create(Path(folder.name) / "run", RunRecord.new(Origin.SIMULATED, {}))
>>> with EventLog(run) as log:
...     log.append(Kind.NONCES, NonceBatch.from_columns(time_ns=[5, 10, 12, 29], chip=[0, 1, 1, 1], flags=[1, 1, 0, 1]))
0
>>> with RunReader(run.path) as reader:
...     series = count_series(reader, 0, 30, bins=3)
...     series.edges_ns.tolist(), series.valid.tolist(), series.invalid.tolist()
...     count_series(reader, 0, 30, bins=3, chip=1).valid.tolist()
([0, 10, 20, 30], [1, 1, 1], [0, 1, 0])
[0, 1, 1]
>>> folder.cleanup()
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from asic_reservoir.errors import DataError, UsageError
from asic_reservoir.nonces import NonceFlag
from asic_reservoir.store.events.kinds import Kind
from asic_reservoir.store.events.reader import RunReader, Where

MAX_BINS = 100_000
_COUNTS = ("valid", "invalid", "duplicate", "stale")
_SINGLE = ("power_w", "fan_rpm")
"""Sensors that a board has one of; the others come as a list with a reading for each."""
_SENSORS = ("chip_temperature_c", "board_temperature_c", "voltage_mv", "power_w", "fan_rpm")


@dataclass(frozen=True, slots=True, eq=False)
class CountSeries:
    """Nonces in intervals of equal length, n of them."""

    edges_ns: NDArray[np.int64]
    """Shape (n + 1,)."""
    valid: NDArray[np.int64]
    """Shape (n,), as all that follow."""
    invalid: NDArray[np.int64]
    duplicate: NDArray[np.int64]
    stale: NDArray[np.int64]
    summarized: NDArray[np.bool_]
    """Intervals that have counts of thinned nonces in them: those are placed by the middle of their own interval."""


@dataclass(frozen=True, slots=True, eq=False)
class SensorSeries:
    """A sensor in intervals of equal length, n of them; NaN where there is no sample."""

    edges_ns: NDArray[np.int64]
    """Shape (n + 1,)."""
    low: NDArray[np.float64]
    """Shape (n,), in the unit of the sensor, as all that follow."""
    mean: NDArray[np.float64]
    high: NDArray[np.float64]


def count_series(reader: RunReader, begin_ns: int, end_ns: int, bins: int, chip: int | None = None) -> CountSeries:
    """Counts of a window, of one chip or of all. Reads in blocks: memory does not grow with the window.

    Damaged rows are left out; :meth:`RunReader.missing` names them. Thinned nonces count with their summaries. A
    nonce that is a duplicate counts as that only, one that is stale as that only, whether valid or not.

    Args:
        reader: of the run.
        begin_ns: of the window, on the time line of the board.
        end_ns: one past it.
        bins: intervals of the window, at most 100,000.
        chip: of which chip; without it of all.

    Raises:
        UsageError: no window, or too many intervals.
    """
    edges = _edges(begin_ns, end_ns, bins)
    counts = {name: np.zeros(bins, np.int64) for name in _COUNTS}
    stream = reader.stream(begin_ns, end_ns, Where(chip=chip), ("time_ns", "flags"), partial=True)
    for block in stream:
        where, flags = _bins(edges, block["time_ns"]), block["flags"]
        duplicate, stale = (flags & NonceFlag.DUPLICATE) != 0, (flags & NonceFlag.STALE) != 0
        fresh, valid = ~(duplicate | stale), (flags & NonceFlag.VALID) != 0
        for name, rows in (
            ("valid", fresh & valid), ("invalid", fresh & ~valid), ("duplicate", duplicate),
            ("stale", stale & ~duplicate),
        ):  # fmt: skip
            counts[name] += np.bincount(where[rows], minlength=bins)
    summarized = np.zeros(bins, bool)
    table = reader.table(Kind.SUMMARIES, partial=True)
    columns = {name: table.column(name).to_numpy() for name in ("time_ns", "duration_ns", "chip", *_COUNTS)}
    middle = columns["time_ns"] + columns["duration_ns"] // 2
    inside = (middle >= begin_ns) & (middle < end_ns)
    if chip is not None:
        inside &= columns["chip"] == chip
    where = _bins(edges, middle[inside])
    summarized[where] = True
    for name in _COUNTS:
        np.add.at(counts[name], where, columns[name][inside])
    return CountSeries(edges, **counts, summarized=summarized)


def sensor_series(
    reader: RunReader, sensor: str, begin_ns: int, end_ns: int, bins: int, index: int | None = None
) -> SensorSeries:
    """Smallest, mean and largest reading in each interval; of one of several sensors, or of all together.

    Reads in blocks, as :func:`count_series`; damaged samples are left out.

    Args:
        reader: of the run.
        sensor: ``chip_temperature_c``, ``board_temperature_c``, ``voltage_mv``, ``power_w`` or ``fan_rpm``.
        begin_ns: of the window, on the time line of the board.
        end_ns: one past it.
        bins: intervals of the window, at most 100,000.
        index: which of several sensors, from 0; without it all of them count.

    Raises:
        UsageError: no such sensor, no window, or too many intervals.
        DataError: there is no sensor of that index.
    """
    if sensor not in _SENSORS:
        raise UsageError(f"sensor {sensor!r}: unknown, must be one of {', '.join(_SENSORS)}")
    edges = _edges(begin_ns, end_ns, bins)
    low, high = np.full(bins, np.inf), np.full(bins, -np.inf)
    number, total = np.zeros(bins, np.int64), np.zeros(bins)
    for table in reader.tables(Kind.TELEMETRY, begin_ns, end_ns, ("time_ns", sensor), partial=True):
        where, readings = _readings(table, sensor, index, edges)
        np.minimum.at(low, where, readings)
        np.maximum.at(high, where, readings)
        number += np.bincount(where, minlength=bins)
        total += np.bincount(where, readings, bins)
    empty = number == 0
    low[empty] = high[empty] = np.nan
    mean = np.divide(total, number, out=np.full(bins, np.nan), where=~empty)
    return SensorSeries(edges, low, mean, high)


def _readings(
    table: pa.Table, sensor: str, index: int | None, edges: NDArray[np.int64]
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Interval and value of every reading that is one, both of shape (k,)."""
    times = table.column("time_ns").to_numpy()
    column = table.column(sensor).combine_chunks()
    flat = column if sensor in _SINGLE else column.flatten()
    values = flat.to_numpy(zero_copy_only=False).reshape(len(times), len(flat) // max(1, len(times)))
    if index is not None:
        if len(times) and not 0 <= index < values.shape[1]:
            raise DataError(f"sensor {sensor} {index}: not recorded, must be below {values.shape[1]}")
        values = values[:, index : index + 1]
    where, readings = np.repeat(_bins(edges, times), values.shape[1]), values.ravel()
    known = ~np.isnan(readings)
    return where[known], readings[known]


def _edges(begin_ns: int, end_ns: int, bins: int) -> NDArray[np.int64]:
    if end_ns <= begin_ns:
        raise UsageError(f"window: ends at {end_ns} ns, must end after it begins at {begin_ns} ns")
    if not 1 <= bins <= MAX_BINS:
        raise UsageError(f"series: {bins} intervals, must be 1 to {MAX_BINS}")
    # in whole nanoseconds: a float does not hold the time of day to the nanosecond
    span = end_ns - begin_ns
    return np.array([begin_ns + span * i // bins for i in range(bins + 1)], np.int64)


def _bins(edges: NDArray[np.int64], times: NDArray[np.int64]) -> NDArray[np.intp]:
    return np.searchsorted(edges, times, side="right") - 1
