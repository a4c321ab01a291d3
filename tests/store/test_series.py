"""Series for plots say what a loop over every reading says, whatever the blocks are that they are read in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from asic_reservoir.board import NonceBatch, NonceFlag, Origin, Telemetry
from asic_reservoir.errors import DataError, UsageError
from asic_reservoir.store.events import (
    EventLog,
    Kind,
    LogOptions,
    RunFolder,
    RunReader,
    RunRecord,
    compact,
    count_series,
    sensor_series,
    verify,
)
from asic_reservoir.store.observations import telemetry_rows

N, CHIPS = 900, 3


@pytest.fixture(scope="module")
def samples() -> Telemetry:
    chance = np.random.default_rng(5)
    readings = chance.normal(50, 5, (N, CHIPS))
    readings[chance.random((N, CHIPS)) < 0.2] = np.nan
    power = chance.normal(1300, 20, N)
    time_ns = np.sort(chance.integers(0, 10_000, N))
    return Telemetry(time_ns, readings, readings[:, :1] - 10, readings[:, :2] * 100, power, np.full(N, np.nan))


@pytest.fixture(scope="module")
def run(samples: Telemetry, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """Sealed in nine segments."""
    folder = RunFolder.create(tmp_path_factory.mktemp("series") / "run", RunRecord.new(Origin.SIMULATED, {}))
    with EventLog(folder, LogOptions(segment_rows=100)) as log:
        for begin in range(0, N, 50):
            part = slice(begin, begin + 50)
            columns = (getattr(samples, name)[part] for name in Telemetry.__dataclass_fields__)
            log.append(Kind.TELEMETRY, telemetry_rows(Telemetry(*columns)))
    return folder


@pytest.mark.parametrize(
    ("sensor", "index"),
    [("chip_temperature_c", None), ("chip_temperature_c", 2), ("voltage_mv", 1), ("power_w", None), ("fan_rpm", None)],
)
def test_a_sensor_is_what_a_loop_says(sensor: str, index: int | None, run: RunFolder, samples: Telemetry) -> None:
    begin, end, bins = 1003, 9001, 37
    with RunReader(run.path) as reader:
        series = sensor_series(reader, sensor, begin, end, bins, index)
    values = getattr(samples, sensor).reshape(N, -1)
    values = values if index is None else values[:, [index]]
    assert series.edges_ns.tolist() == [begin + (end - begin) * i // bins for i in range(bins + 1)]
    for at in range(bins):
        inside = (samples.time_ns >= series.edges_ns[at]) & (samples.time_ns < series.edges_ns[at + 1])
        expected = values[inside][~np.isnan(values[inside])]
        found = (series.low[at], series.mean[at], series.high[at])
        if expected.size:
            assert found == pytest.approx((expected.min(), expected.mean(), expected.max()), rel=1e-12)
        else:
            assert np.isnan(found).all()


def test_a_sensor_that_there_is_not_is_named(run: RunFolder) -> None:
    with RunReader(run.path) as reader:
        with pytest.raises(UsageError, match="sensor 'hum': unknown, must be one of chip_temperature_c"):
            sensor_series(reader, "hum", 0, 10, 1)
        with pytest.raises(DataError, match="sensor voltage_mv 2: not recorded, must be below 2"):
            sensor_series(reader, "voltage_mv", 0, 10_000, 1, 2)
        with pytest.raises(UsageError, match="window: ends at 5 ns"):
            sensor_series(reader, "power_w", 5, 5, 1)
        with pytest.raises(UsageError, match="series: 0 intervals, must be 1 to 100000"):
            count_series(reader, 0, 10, 0)
        assert np.isnan(sensor_series(reader, "power_w", 10**9, 10**9 + 1, 1).mean).all()


def test_counts_are_what_a_loop_says(tmp_path: Path) -> None:
    chance = np.random.default_rng(6)
    batch = NonceBatch.from_columns(
        time_ns=chance.integers(0, 1000, 4000),  # in no order
        chip=chance.integers(0, 5, 4000),
        flags=chance.choice(np.array([0, 1, 2, 3, 4, 5, 7], np.uint8), 4000),
    )
    folder = RunFolder.create(tmp_path / "run", RunRecord.new(Origin.SIMULATED, {}))
    with EventLog(folder, LogOptions(segment_rows=700)) as log:
        for begin in range(0, 4000, 250):
            log.append(Kind.NONCES, batch.select(slice(begin, begin + 250)))
    with RunReader(folder.path) as reader:
        series = count_series(reader, 100, 900, 7, chip=3)
    duplicate, stale = batch.has(NonceFlag.DUPLICATE), batch.has(NonceFlag.STALE) & ~batch.has(NonceFlag.DUPLICATE)
    valid = batch.has(NonceFlag.VALID)
    for at in range(7):
        low, high = series.edges_ns[at : at + 2]
        inside = (batch.time_ns >= low) & (batch.time_ns < high) & (batch.chip == 3)
        assert series.duplicate[at] == np.sum(inside & duplicate)
        assert series.stale[at] == np.sum(inside & stale)
        assert series.valid[at] == np.sum(inside & valid & ~duplicate & ~stale)
        assert series.invalid[at] == np.sum(inside & ~valid & ~duplicate & ~stale)


def test_wide_rows_are_merged_by_their_bytes(run: RunFolder, samples: Telemetry) -> None:
    """Samples of many sensors would make segments of gigabytes by their number alone."""
    sizes = [path.stat().st_size for *_, path in run.segment_files()]
    lock = run.lock()
    report = compact(run, target_bytes=3 * max(sizes))
    lock.release()
    assert len(report.merged) > 1
    assert max(len(names) for names, _ in report.merged) <= 5
    assert verify(run).damages == []
    with RunReader(run.path) as reader:
        assert reader.table(Kind.TELEMETRY).column("time_ns").to_numpy().tolist() == samples.time_ns.tolist()
        blocks = list(reader.tables(Kind.TELEMETRY, 200, 5000, ("power_w",)))
    assert {tuple(block.column_names) for block in blocks} == {("power_w",)}
    inside = (samples.time_ns >= 200) & (samples.time_ns < 5000)
    assert np.array_equal(pa.concat_tables(blocks).column("power_w").to_numpy(), samples.power_w[inside])
