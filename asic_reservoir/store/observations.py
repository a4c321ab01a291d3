"""Observations as rows of events, and back, bit by bit."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from asic_reservoir.board import (
    BoardInfo,
    ChipCounts,
    Detail,
    FloatOrArray,
    NonceBatch,
    Observation,
    OperatingPoint,
    Origin,
    Step,
    Telemetry,
    TimestampSource,
    Work,
    WorkMode,
)
from asic_reservoir.store.events.kinds import Kind

COUNTS = ("valid", "invalid", "duplicate", "stale")
_SAMPLED = ("chip_temperature_c", "board_temperature_c", "voltage_mv")
"""Columns of telemetry with several sensors a sample."""


def point_rows(time_ns: int, points: list[tuple[str, OperatingPoint]]) -> pa.RecordBatch:
    """Operating points with their roles (``requested``, ``applied``) as rows."""
    return _batch(
        Kind.OPERATING_POINTS,
        time_ns=[time_ns] * len(points),
        role=[role for role, _ in points],
        frequency_mhz=[_listed(point.frequency_mhz) for _, point in points],
        frequency_is_scalar=[np.ndim(point.frequency_mhz) == 0 for _, point in points],  # type: ignore[arg-type]
        voltage_mv=[_listed(point.voltage_mv) for _, point in points],
        voltage_is_scalar=[np.ndim(point.voltage_mv) == 0 for _, point in points],  # type: ignore[arg-type]
        difficulty=[point.difficulty for _, point in points],
        fan_percent=[point.fan_percent for _, point in points],
    )


def parse_point(rows: pa.Table) -> OperatingPoint:
    """The operating point of a table of one row."""
    row = rows.to_pylist()[0]
    return OperatingPoint(
        _unlisted(row["frequency_mhz"], row["frequency_is_scalar"]),
        _unlisted(row["voltage_mv"], row["voltage_is_scalar"]),
        row["difficulty"],
        row["fan_percent"],
    )


def same_point(one: OperatingPoint, other: OperatingPoint) -> bool:
    """Whether two operating points say the same, setting by setting and bit by bit."""
    return (
        one.difficulty == other.difficulty
        and one.fan_percent == other.fan_percent
        and _same(one.frequency_mhz, other.frequency_mhz)
        and _same(one.voltage_mv, other.voltage_mv)
    )


def telemetry_rows(telemetry: Telemetry) -> pa.RecordBatch:
    """Samples as rows."""
    columns: dict[str, Any] = {"time_ns": telemetry.time_ns}
    for name in _SAMPLED:
        columns[name] = _lists(getattr(telemetry, name))
    return _batch(Kind.TELEMETRY, **columns, power_w=telemetry.power_w, fan_rpm=telemetry.fan_rpm)


def parse_telemetry(rows: pa.Table, info: BoardInfo) -> Telemetry:
    """Samples of a table with k rows. The shapes of no samples at all come from ``info``."""
    widths = {"chip_temperature_c": info.n_counters}
    arrays = {}
    for name in _SAMPLED:
        values = rows.column(name).combine_chunks().flatten().to_numpy(zero_copy_only=False)
        width = values.size // rows.num_rows if rows.num_rows else widths.get(name, info.n_hashboards)
        arrays[name] = values.astype(np.float64).reshape(rows.num_rows, width)
    return Telemetry(
        time_ns=_numpy(rows, "time_ns"), power_w=_numpy(rows, "power_w"), fan_rpm=_numpy(rows, "fan_rpm"), **arrays
    )


def step_row(
    step: Step, observation: Observation, requested: int, applied: int, first_nonce: int, first_sample: int
) -> pa.RecordBatch:
    """The row of a step: what was asked, the counts, and where its other rows are."""
    counts = {name: [np.asarray(getattr(observation.counts, name), np.int64)] for name in COUNTS}
    return _batch(
        Kind.STEPS,
        time_ns=[observation.begin_ns],
        end_ns=[observation.end_ns],
        index=[observation.index],
        board=[observation.board],
        timestamp_source=[observation.timestamp_source.value],
        lost=[observation.lost],
        requested=[requested],
        applied=[applied],
        duration_ns=[step.duration_ns],
        until_nonces=[step.until_nonces],
        detail=[step.detail.value],
        mode=[step.work.mode.value],
        clean=[step.work.clean],
        header=[step.work.header],
        extranonce2=[step.work.extranonce2],
        first_nonce=[first_nonce],
        n_nonces=[len(observation.nonces)],
        first_sample=[first_sample],
        n_samples=[len(observation.telemetry.time_ns)],
        digest=[digest(observation)],
        **counts,
    )


def parse_step(row: dict[str, Any], requested: OperatingPoint) -> Step:
    """What was asked, from a row of the steps."""
    work = Work(WorkMode(row["mode"]), row["clean"], row["header"], row["extranonce2"])
    return Step(requested, row["duration_ns"], work, Detail(row["detail"]), row["until_nonces"])


def parse_observation(
    row: dict[str, Any], origin: Origin, applied: OperatingPoint, nonces: NonceBatch, telemetry: Telemetry
) -> Observation:
    """What came back, from a row of the steps and what belongs to it."""
    return Observation(
        origin=origin,
        board=row["board"],
        index=row["index"],
        begin_ns=row["time_ns"],
        end_ns=row["end_ns"],
        applied=applied,
        counts=ChipCounts(*(np.array(row[name], np.int64) for name in COUNTS)),
        nonces=nonces,
        telemetry=telemetry,
        timestamp_source=TimestampSource(row["timestamp_source"]),
        lost=row["lost"],
    )


def digest(observation: Observation) -> int:
    """CRC-32 of everything in an observation but its origin: two that agree are the same bit by bit.

    The origin is left out because a replay says ``replayed`` of what was measured.
    """
    applied = observation.applied
    whole = (observation.index, observation.begin_ns, observation.end_ns, observation.lost, applied.difficulty)
    words = [observation.board, observation.timestamp_source.value]
    words += ["-" if number is None else str(int(number)) for number in whole]
    words.append("-" if applied.fan_percent is None else repr(float(applied.fan_percent)))
    crc = zlib.crc32("\0".join(words).encode())
    for setting in (applied.frequency_mhz, applied.voltage_mv):
        crc = zlib.crc32(b"-" if setting is None else np.asarray(setting, np.float64).tobytes(), crc)
    for name in COUNTS:
        crc = zlib.crc32(np.asarray(getattr(observation.counts, name), np.int64).tobytes(), crc)
    for _, column in observation.nonces.columns():
        crc = zlib.crc32(np.ascontiguousarray(column).data, crc)
    telemetry = observation.telemetry
    crc = zlib.crc32(np.asarray(telemetry.time_ns, np.int64).tobytes(), crc)
    for name in (*_SAMPLED, "power_w", "fan_rpm"):
        crc = zlib.crc32(np.asarray(getattr(telemetry, name), np.float64).tobytes(), crc)
    return crc


def _batch(kind: Kind, **columns: Any) -> pa.RecordBatch:
    arrays = [
        column if isinstance(column, pa.Array) else pa.array(column, field.type)
        for field in kind.schema
        for column in (columns[field.name],)
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=kind.schema)


def _lists(values: NDArray[np.float64]) -> pa.Array:
    flat = np.ascontiguousarray(values, np.float64)
    offsets = np.arange(flat.shape[0] + 1, dtype=np.int32) * np.int32(flat.shape[1])
    return pa.ListArray.from_arrays(offsets, flat.ravel(), type=Kind.TELEMETRY.schema.field("voltage_mv").type)


def _numpy(rows: pa.Table, name: str) -> NDArray[Any]:
    return np.asarray(rows.column(name).to_numpy())


def _listed(value: FloatOrArray | None) -> NDArray[np.float64] | None:
    return None if value is None else np.atleast_1d(np.asarray(value, np.float64))


def _unlisted(values: list[float] | None, scalar: bool) -> FloatOrArray | None:
    if values is None:
        return None
    return values[0] if scalar else np.array(values, np.float64)


def _same(one: FloatOrArray | None, other: FloatOrArray | None) -> bool:
    if one is None or other is None:
        return one is other
    return np.shape(one) == np.shape(other) and bool(np.array_equal(one, other, equal_nan=True))
