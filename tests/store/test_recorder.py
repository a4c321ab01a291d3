"""A run that was recorded is played again bit by bit, and says what it is."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asic_reservoir.arms import Plan, run_seed
from asic_reservoir.board import (
    Board,
    BoardInfo,
    ChipCounts,
    Detail,
    Limits,
    NonceBatch,
    Observation,
    OperatingPoint,
    Origin,
    Range,
    Step,
    Telemetry,
    TimestampSource,
    Work,
    WorkMode,
)
from asic_reservoir.drive import Hooks
from asic_reservoir.edges import find_edges
from asic_reservoir.encoding import EncodingSettings, reach_of
from asic_reservoir.errors import AsicReservoirError, BusyError, DataError, NotFoundError, SafetyError
from asic_reservoir.registry import open_board
from asic_reservoir.run_report import build_report
from asic_reservoir.run_settings import RunSettings
from asic_reservoir.store.documents import board_document, parse_board
from asic_reservoir.store.errors import DamageError, StoreWriteError
from asic_reservoir.store.events import (
    EventLog,
    Kind,
    LogOptions,
    RunFolder,
    RunReader,
    RunRecord,
    sensor_series,
    verify,
)
from asic_reservoir.store.player import open_run
from asic_reservoir.store.recorder import Recorder, SafetyDecision, record
from asic_reservoir.store.transfer import export_run, import_run
from asic_reservoir.tasks import open_task

CHIPS = 3
FIRST_LAYOUT = Path(__file__).parent / "data" / "first_layout"


class Bench:
    """A measured board that answers anything: odd shapes, NaN, no nonces, extreme numbers."""

    def __init__(self, seed: int = 0, origin: Origin = Origin.MEASURED) -> None:
        self._chance = np.random.default_rng(seed)
        self._now, self._index = 10**18, 0
        self.closed = 0
        self.info = BoardInfo(
            uri="bench://1", family="bm1366", model="bench", chip="BM1366", algorithm="sha256d", origin=origin,
            timestamp_source=TimestampSource.KERNEL, n_chips=CHIPS, n_counters=CHIPS, cores_per_chip=4, n_hashboards=2,
            n_domains=1, hashes_per_clock=894, ticket_mask=256, ticket_mask_settable=True, per_chip_frequency=True,
            limits=Limits(Range(50, float("inf")), Range(1000, 1300), 75.0, None), firmware="é",
            nominal=OperatingPoint(np.array([400.0, 410.0, 420.0]), 1200.0), physical={"path": "/dev/null"},
        )  # fmt: skip

    def step(self, step: Step) -> Observation:
        chance = self._chance
        if step.duration_ns == 13:
            raise SafetyError("chip_temperature_c: 99 C, must be below 75 C")
        n, k = int(chance.integers(0, 50)), int(chance.integers(0, 4))
        begin = self._now - int(chance.integers(0, 100))
        nonces = NonceBatch(
            time_ns=begin + chance.integers(-50, 1000, n),
            chip=chance.integers(-1, CHIPS, n).astype(np.int16),
            core=chance.integers(-1, 4, n).astype(np.int16),
            job=chance.integers(-(2**31), 2**31, n).astype(np.int32),
            nonce=chance.integers(0, 2**32, n, dtype=np.uint32),
            version=chance.integers(0, 2**32, n, dtype=np.uint32),
            flags=chance.integers(0, 32, n).astype(np.uint8),
        )
        if step.detail is Detail.COUNTS:
            nonces = NonceBatch.empty()
        readings = chance.normal(size=(k, CHIPS))
        readings[chance.random((k, CHIPS)) < 0.3] = np.nan
        self._now += step.duration_ns
        self._index += 1
        return Observation(
            origin=self.info.origin,
            board=self.info.uri,
            index=self._index - 1,
            begin_ns=begin,
            end_ns=self._now,
            applied=OperatingPoint(chance.normal(size=CHIPS) if k else 500.0, np.array([1200.0, -0.0]), None, 1e-300),
            counts=ChipCounts(*chance.integers(0, 2**62, (4, CHIPS))),
            nonces=nonces,
            telemetry=Telemetry(
                begin + np.arange(k),
                readings,
                chance.normal(size=(k, 2)),
                chance.normal(size=(k, 2)),
                chance.normal(size=k),
                np.full(k, np.nan),
            ),
            timestamp_source=TimestampSource.KERNEL,
            lost=int(chance.integers(0, 5)),
        )

    def close(self) -> None:
        self.closed += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def steps(n: int, seed: int = 0) -> list[Step]:
    chance = random.Random(seed)
    point = OperatingPoint()
    made = []
    for _ in range(n):
        if chance.random() < 0.6:
            point = chance.choice(
                [
                    OperatingPoint(frequency_mhz=chance.uniform(500, 600)),
                    OperatingPoint(np.array([500.0, 510.0, 0.1 + 0.2]), 1200, 2**40, 50),
                    OperatingPoint(),
                ]
            )
        made.append(
            Step(
                point,
                chance.randint(100, 10**9),
                Work(chance.choice(list(WorkMode)), chance.random() < 0.5, chance.choice([None, bytes(80)]), b"\0\xff"),
                chance.choice(list(Detail)),
                chance.choice([None, 7]),
            )
        )
    return made


def bits(value: Any) -> Any:
    """Anything in an observation as plain values that compare bit by bit, NaN and minus zero included."""
    if isinstance(value, np.ndarray):
        return str(value.dtype), value.shape, value.tobytes()
    if isinstance(value, float):
        return np.float64(value).tobytes()
    if hasattr(value, "__dataclass_fields__"):
        return tuple((name, bits(getattr(value, name))) for name in value.__dataclass_fields__)
    return value


def recorded(board: Board, folder: Path, asked: list[Step], **options: Any) -> list[Observation]:
    with record(board, folder, **options) as recorder:
        return [recorder.step(step) for step in asked]


@pytest.fixture(scope="module")
def bench_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Step], list[Observation]]:
    path = tmp_path_factory.mktemp("bench") / "run"
    asked = steps(120)
    return path, asked, recorded(Bench(), path, asked, options=LogOptions(segment_rows=300))


@pytest.mark.parametrize("how", ["folder", "file", "imported", "unsealed"])
def test_played_again_bit_by_bit(
    how: str, bench_run: tuple[Path, list[Step], list[Observation]], tmp_path: Path
) -> None:
    path, asked, observed = bench_run
    if how in ("file", "imported"):
        path = export_run(path, tmp_path / "run.zip")
    if how == "imported":
        path = import_run(path, tmp_path / "run").path
        assert verify(RunFolder.at(path)).damages == []
    if how == "unsealed":
        path = tmp_path / "unsealed"
        recorder = Recorder(Bench(), path)
        observed = [recorder.step(step) for step in asked]
    with open_run(path) as replay:
        assert isinstance(replay, Board)
        assert replay.info.origin is Origin.REPLAYED
        for step, was in zip(asked, observed, strict=True):
            now = replay.step(step)
            assert now.origin is Origin.REPLAYED
            assert bits(replace(now, origin=was.origin)) == bits(was)
        with pytest.raises(DataError, match="the run ends after 120 steps"):
            replay.step(asked[0])
    if how == "unsealed":
        recorder.close()


def test_simulated_stays_simulated_and_replayed_stays_replayed(tmp_path: Path) -> None:
    for origin, played in (
        (Origin.SIMULATED, Origin.SIMULATED),
        (Origin.REPLAYED, Origin.REPLAYED),
        (Origin.MEASURED, Origin.REPLAYED),
    ):
        path = tmp_path / origin.value
        recorded(Bench(origin=origin), path, steps(2))
        with open_run(path) as replay:
            assert replay.info.origin is played
            # and the recording of a replay says no more than the replay
            again = recorded(replay, tmp_path / f"{origin.value} again", steps(2))
        assert {observation.origin for observation in again} == {played}
        with open_run(tmp_path / f"{origin.value} again") as replay:
            assert replay.info.origin is played


def test_a_twin_and_its_recording_say_the_same(tmp_path: Path) -> None:
    asked = [Step(OperatingPoint(frequency_mhz=f), 50_000_000, detail=Detail.NONCES) for f in (600.0, 650.0, 650.0)]
    observed = recorded(open_board("twin://s9?seed=3"), tmp_path / "run", asked)
    with open_run(tmp_path / "run") as replay, open_board("twin://s9?seed=3") as twin:
        assert bits(replay.info) == bits(twin.info)
        assert [bits(replay.step(step)) for step in asked] == [bits(observation) for observation in observed]


def test_another_step_is_refused_by_name(bench_run: tuple[Path, list[Step], list[Observation]]) -> None:
    path, asked, _ = bench_run
    for field, value in (("duration_ns", 77), ("until_nonces", 99), ("detail", None), ("work", Work(header=b"x"))):
        if field == "detail":
            value = Detail.COUNTS if asked[0].detail is Detail.NONCES else Detail.NONCES
        with open_run(path) as replay, pytest.raises(DataError, match=f"replay step 0: {field} .*, must be"):
            replay.step(replace(asked[0], **{field: value}))
    with open_run(path) as replay, pytest.raises(DataError, match="operating point differs"):
        replay.step(replace(asked[0], operating_point=OperatingPoint(frequency_mhz=1.0)))
    with open_run(path, strict=False) as replay:
        assert replay.step(replace(asked[0], duration_ns=77)).index == 0


def test_a_killed_run_of_a_resumable_board_goes_on(tmp_path: Path) -> None:
    """Steps that come again are not kept twice; one that comes differently is refused."""
    asked = [Step(OperatingPoint(frequency_mhz=500.0 + i), 10_000_000, detail=Detail.NONCES) for i in range(12)]
    whole = recorded(open_board("twin://s9?seed=5"), tmp_path / "whole", asked)
    killed = record(open_board("twin://s9?seed=5"), tmp_path / "run")
    for step in asked[:5]:
        killed.step(step)
    state = killed.snapshot()  # type: ignore[attr-defined]
    for step in asked[5:9]:
        killed.step(step)
    # the process is gone here: nothing is closed, the lock is given back by the system
    killed._log._lock.release()
    with record(open_board("twin://s9?seed=5"), tmp_path / "run") as again:
        assert not again.recovery.clean
        again.restore(state)  # type: ignore[attr-defined]
        for step in asked[5:]:
            again.step(step)
    with open_run(tmp_path / "run") as replay:
        assert [bits(replay.step(step)) for step in asked] == [bits(observation) for observation in whole]
    with RunReader(tmp_path / "run") as reader:
        assert len(reader.nonces()) == sum(len(observation.nonces) for observation in whole)
    with (
        record(open_board("twin://s9?seed=5"), tmp_path / "run") as other,
        pytest.raises(DataError, match="step 0 differs from the one that was recorded"),
    ):
        other.step(replace(asked[0], duration_ns=11_000_000))
    with pytest.raises(DataError, match="has a run of the board with uri 'twin"):
        Recorder(Bench(), tmp_path / "run")


def test_safety_decisions_and_clock_are_kept(tmp_path: Path) -> None:
    bench = Bench()
    with Recorder(bench, tmp_path / "run") as recorder:
        recorder.step(steps(1)[0])
        with pytest.raises(SafetyError):
            recorder.step(Step(OperatingPoint(), 13))
        recorder.safety(SafetyDecision(5, "power_w", "cut-off", "too much", 1500.0, 1400.0))
    assert bench.closed == 1
    with RunReader(tmp_path / "run") as reader:
        decisions = reader.table(Kind.SAFETY).to_pylist()
        clock = reader.table(Kind.CLOCK)
        utc = reader.utc_ns(clock.column("time_ns").to_numpy())
        series = sensor_series(reader, "chip_temperature_c", 10**18 - 100, 10**18 + 100, 4)
    assert [row["rule"] for row in decisions] == ["SafetyError", "power_w"]
    assert decisions[0]["message"] == "chip_temperature_c: 99 C, must be below 75 C"
    assert decisions[1]["value"] == 1500.0
    assert utc[-1] == clock.column("utc_ns").to_pylist()[-1]
    assert series.low.shape == (4,)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_a_board_as_a_document_is_the_same_board(seed: int) -> None:
    info = Bench(seed).info
    text = json.dumps(board_document(info), allow_nan=False)
    assert bits(parse_board(json.loads(text), "test")) == bits(info)


@pytest.mark.slow
def test_the_export_is_read_by_others(bench_run: tuple[Path, list[Step], list[Observation]], tmp_path: Path) -> None:
    path, _, observed = bench_run
    target = export_run(path, tmp_path / "run.zip")
    assert export_run(path, tmp_path / "again.zip").read_bytes() == target.read_bytes()
    with zipfile.ZipFile(target) as archive:
        archive.extractall(tmp_path / "out")
        manifest = json.loads(archive.read("manifest.json"))
    (nonces,) = (tmp_path / "out").glob("nonces-*.parquet")
    expected = NonceBatch.concatenate([observation.nonces for observation in observed])
    sums = {name: int(column.astype(object).sum()) for name, column in expected.columns()}
    rows = {entry["name"]: entry["end_row"] - entry["first_row"] for entry in manifest["files"] if "kind" in entry}
    for program in (
        "import pandas; read = pandas.read_parquet",
        "import polars; read = lambda f: polars.read_parquet(f).to_pandas()",
        "import duckdb; read = lambda f: duckdb.sql(f\"select * from '{f}'\").df()",
    ):
        check = f"""{program}
import glob, json, os
t = read({str(nonces)!r})
files = glob.glob({str(tmp_path / "out" / "*.parquet")!r})
sums = {{name: int(t[name].astype(object).sum()) for name in t}}
print(json.dumps([sums, {{os.path.basename(f): len(read(f)) for f in files}}]))
"""
        answer = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=False, timeout=120)
        assert answer.returncode == 0, answer.stderr
        assert json.loads(answer.stdout) == [sums, rows], program
    assert {entry["name"].split("-")[0] for entry in manifest["files"]} == {
        "run.json", "nonces", "telemetry", "steps", "operating_points", "clock",
    }  # fmt: skip
    with pytest.raises(BusyError, match="exists already"):
        export_run(path, target)
    with pytest.raises(NotFoundError):
        open_run(tmp_path / "nothing")


@pytest.mark.parametrize("how", ["file", "imported", "log"])
def test_what_the_first_layout_wrote_is_played_for_ever(how: str, tmp_path: Path) -> None:
    """Segments and a log of three steps of a twin, committed as they were: every step has its digest."""
    path = FIRST_LAYOUT / "run.zip"
    if how == "imported":
        path = import_run(path, tmp_path / "run").path
        assert verify(RunFolder.at(path)).damages == []
    if how == "log":
        path = tmp_path / "run"
        path.mkdir()
        for name in ("run.json", "00000001.open"):
            (path / name).write_bytes((FIRST_LAYOUT / name).read_bytes())
    with open_run(path) as replay:
        played = [observation for _, observation in replay.play()]
        assert [len(observation.nonces) for observation in played] == [157, 153, 181]
        assert replay.info.origin is Origin.SIMULATED
    if how == "file":
        return
    again = export_run(path, tmp_path / "again.zip")  # in the layout of today
    with open_run(again) as replay:
        assert [bits(now) for _, now in replay.play()] == [bits(was) for was in played]


@pytest.fixture(scope="module")
def export_bytes(bench_run: tuple[Path, list[Step], list[Observation]], tmp_path_factory: Any) -> bytes:
    target = tmp_path_factory.mktemp("export") / "run.zip"
    return export_run(bench_run[0], target).read_bytes()


def damaged(content: bytes, chance: random.Random) -> bytes:
    data = bytearray(content)
    if chance.random() < 0.3:
        return bytes(data[: chance.randrange(len(data))])
    for _ in range(chance.choice([1, 1, 5])):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return bytes(data)


@pytest.mark.parametrize("seed", range(15))
def test_a_damaged_export_is_refused_and_nothing_is_left(seed: int, export_bytes: bytes, tmp_path: Path) -> None:
    path = tmp_path / "run.zip"
    path.write_bytes(damaged(export_bytes, random.Random(seed)))
    try:
        folder = import_run(path, tmp_path / "in")
    except AsicReservoirError as error:
        assert "\n" not in str(error)  # noqa: PT017
        assert not list(tmp_path.glob("in*"))
    else:  # a bit that nobody reads, as the date of a member
        assert verify(folder).damages == []
    try:
        with open_run(path) as replay:
            for _ in replay.play():
                pass
    except AsicReservoirError as error:
        assert "\n" not in str(error)  # noqa: PT017


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=25)
@given(
    st.binary(max_size=200)
    | st.recursive(
        st.none() | st.integers() | st.text(),
        lambda x: st.lists(x) | st.dictionaries(st.sampled_from(["format", "files", "schema_version", "name"]), x),
        max_leaves=8,
    )
)
def test_any_manifest_is_a_run_or_a_typed_error(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "any.zip"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("manifest.json", json.dumps(content))
    with pytest.raises(DataError):
        open_run(path)


def test_a_step_with_damaged_rows_is_refused(tmp_path: Path) -> None:
    asked = steps(60, 3)
    recorded(Bench(3), tmp_path / "run", asked)
    (path,) = (tmp_path / "run").glob("telemetry-*")
    data = bytearray(path.read_bytes())
    data[200] ^= 16
    path.write_bytes(data)
    with open_run(tmp_path / "run") as replay, pytest.raises(DamageError, match="telemetry-"):
        list(replay.play())


def test_an_observation_that_could_not_be_kept_leaves_no_hole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full for one step: that step is not handed on, and the ones after it refer to rows that are there."""
    asked = steps(6)
    kept = []
    whole = os.writev

    def full(descriptor: int, buffers: list[memoryview]) -> int:
        raise OSError(28, "No space left on device")

    with record(Bench(), tmp_path / "run") as recorder:
        for number, step in enumerate(asked):
            if number == 2:
                monkeypatch.setattr(os, "writev", full)
                with pytest.raises(StoreWriteError, match="No space left"):
                    recorder.step(step)
                monkeypatch.setattr(os, "writev", whole)
            else:
                kept.append(recorder.step(step))
    with open_run(tmp_path / "run") as replay:
        played = [observation for _, observation in replay.play()]
    assert [bits(replace(now, origin=was.origin)) for now, was in zip(played, kept, strict=True)] == [*map(bits, kept)]


def test_an_interrupt_closes_the_board(tmp_path: Path) -> None:
    bench = Bench()

    def interrupted() -> Iterator[None]:
        with Recorder(bench, tmp_path / "run") as recorder:
            recorder.step(steps(1)[0])
            raise KeyboardInterrupt
        yield

    with pytest.raises(KeyboardInterrupt):
        next(interrupted())
    assert bench.closed == 1
    with open_run(tmp_path / "run") as replay:
        assert len(list(replay.play())) == 1


@pytest.mark.slow
def test_a_run_and_its_replay_give_the_same_report_to_the_last_digit(tmp_path: Path) -> None:
    """Edges, three arms, readout, controls, figures: everything that a report says, from a twin and from its record."""
    settings = RunSettings(board="twin://s9?seed=2", seeds=1, steps=240, encoding="frequency", curve=False, lags=3)
    series = open_task(settings.task).generate(0, settings.steps)

    def report(board: Board) -> dict[str, Any]:
        encoding = EncodingSettings(
            name="frequency", mode="monologue", n_lags=3, n_slots=1, step_s=1.0, difficulty=None
        )
        edges = find_edges(board, reach_of(encoding))
        plan = Plan(settings, encoding, board.info, edges, None, None)
        result = run_seed(plan, 0, board, Hooks())
        made: dict[str, Any] = build_report(plan, series, [result], [], board).model_dump(mode="json")
        made["provenance"].pop("created")
        return made

    with record(open_board(settings.board), tmp_path / "run") as recorder:
        first = report(recorder)
    with open_board(f"replay://{tmp_path}/run") as replay:
        assert json.dumps(report(replay), sort_keys=True) == json.dumps(first, sort_keys=True)
    export_run(tmp_path / "run", tmp_path / "run.zip")
    with open_board(f"replay://{tmp_path}/run.zip") as replay:
        assert json.dumps(report(replay), sort_keys=True) == json.dumps(first, sort_keys=True)


def test_an_export_does_not_show_how_the_run_was_written(tmp_path: Path) -> None:
    """From a log of many small frames, from many segments, from one: the same bytes, in full row groups."""
    batch = NonceBatch.concatenate([Bench(seed).step(step).nonces for seed in range(3) for step in steps(40)])
    record_ = RunRecord.new(Origin.SIMULATED, {})
    made = []
    for name, rows in (("log", 1 << 30), ("many", 100), ("one", 1 << 30)):
        folder = RunFolder.create(tmp_path / name, record_)
        log = EventLog(folder, LogOptions(segment_rows=rows))
        for begin in range(0, len(batch), 70):
            log.append(Kind.NONCES, batch.select(slice(begin, begin + 70)))
        if name != "log":
            log.close()
        made.append(export_run(folder.path, tmp_path / f"{name}.zip").read_bytes())
        log.close()
    assert made[0] == made[1] == made[2]
