"""A board is recorded: here into a store of this machine, as a task of a service does it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from asic_reservoir import cli
from asic_reservoir import record as recording
from asic_reservoir.board import Detail, OperatingPoint, Origin, Step
from asic_reservoir.errors import DataError, LimitError, UsageError
from asic_reservoir.kept import KeptRecording
from asic_reservoir.kinds import Cancelled, TaskContext, TaskOutcome, task_kind
from asic_reservoir.registry import open_board
from asic_reservoir.store.errors import StoreWriteError
from asic_reservoir.store.events.kinds import Kind
from asic_reservoir.store.events.reader import RunReader
from asic_reservoir.store.library import Library, RunSummary
from asic_reservoir.store.player import open_run

URI = "twin://bm1366?seed=1"


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    with Library(tmp_path / "store") as library:
        yield library


def run(library: Library | None, uri: str = URI, context: dict[str, Any] | None = None, **params: Any) -> TaskOutcome:
    kind = task_kind("record")
    return kind.run(kind.parse(params), TaskContext(uri, Path(), recordings=library, **(context or {})))


def only(library: Library) -> RunSummary:
    (summary,) = library.summaries()
    return summary


def test_a_recording_is_what_the_board_said(library: Library) -> None:
    """At two points, one after the other; the result counts what is sealed, and says where it lies."""
    said: list[tuple[int, int, str]] = []
    context = {"progress": lambda done, total, text: said.append((done, total, text))}
    points = [{"frequency_mhz": 400.0}, {"frequency_mhz": 450.0, "difficulty": 2}]
    outcome = run(library, context=context, n_steps=3, step_seconds=0.5, points=points)
    summary = only(library)
    with open_board(URI) as board:
        steps = [
            Step(OperatingPoint(400.0 + 50 * k, None, 2 if k else None), 500_000_000, detail=Detail.NONCES)
            for k in (0, 0, 0, 1, 1, 1)
        ]
        expected = [board.step(step) for step in steps]
    with open_run(summary.folder) as replay:
        played = list(replay.play())
    assert all(now.nonces.equals(was.nonces) for (_, now), was in zip(played, expected, strict=True))
    total = sum(len(observation.nonces) for observation in expected)
    assert outcome.data["nonces"] == summary.rows == total
    assert outcome.facts == (KeptRecording(run=summary.run_id),)
    assert (outcome.origin, outcome.data["seconds"], outcome.data["n_steps"]) == (Origin.SIMULATED, 3.0, 6)
    assert Path(outcome.data["folder"]) == summary.folder.resolve()
    assert [row["applied"]["frequency_mhz"] for row in outcome.data["points"]] == [400.0, 450.0]
    counts = ("valid", "invalid", "duplicate", "stale")
    came = sum(int(observation.counts.total.sum()) for observation in expected)
    assert sum(row[name] for row in outcome.data["points"] for name in counts) == came
    assert [done for done, _, _ in said] == [1, 2, 3, 4, 5, 6]
    assert said[-1] == (6, 6, f"recording {summary.run_id}: {total:,} nonces")
    settings = library.find(summary.run_id).record().provenance["settings"]
    assert (settings["n_steps"], '"frequency_mhz": 450.0' in settings["points"]) == (3, True)


def test_time_is_in_whole_steps(library: Library) -> None:
    assert run(library, seconds=2.5, step_seconds=1.0).data["seconds"] == 3.0
    assert run(library, seconds=0.25, step_seconds=1.0).data["seconds"] == 0.25
    assert run(library, seconds=0.3, step_seconds=0.1).data["n_steps"] == 3


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"seconds": 0.0}, "record seconds: 0.0, "),
        ({"seconds": float("nan")}, "record seconds: nan, input should be a finite number"),
        ({"seconds": 5.0, "n_steps": 3}, "n_steps: 3 beside seconds = 5, must be one of them"),
        ({"points": [{"frequency_mhz": 600}], "voltage_mv": 9000}, "points: beside frequency_mhz, .* must stand alone"),
        ({"points": [{"volts": 3}]}, "record points.0.volts: 3, "),
        ({"points": [{}] * 65}, "record points: "),
        ({"max_mb": 0}, "record max_mb: 0, "),
    ],
)
def test_nonsense_is_refused(params: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        task_kind("record").parse(params)


def test_a_recording_of_a_service_is_not_looked_for_here(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["inspect", URI, "--recording", "01a20efc-ac00-7c16-aa1e-a72f7f1bf583"])
    assert ended.value.code == UsageError.exit_code
    assert "must come with --server; here URI is replay:///path/to/run" in capsys.readouterr().err


def test_without_a_store_nothing_is_recorded() -> None:
    with pytest.raises(UsageError, match="no store to record into"):
        run(None)


def test_what_cannot_fit_is_refused_before_the_board_is_driven(library: Library) -> None:
    with pytest.raises(UsageError, match=r"max_mb: 5, must be about \d+ for 100,000 steps of 1 s at 3,261 nonces"):
        run(library, "twin://s9?seed=1", seconds=100_000, max_mb=5)
    assert library.summaries() == []


def test_a_recording_ends_at_its_largest_size(library: Library) -> None:
    """Before it is over it, and at the same step each time; what was recorded stays."""
    for _ in range(2):
        with pytest.raises(DataError, match=r"max_mb: 1, is reached after [\d,]+ nonces in .* what was recorded stays"):
            run(library, n_steps=180, step_seconds=2.0, max_mb=1)
    first, second = library.summaries()
    assert first.rows == second.rows > 0
    with open_run(first.folder) as replay:
        assert 90 < len(list(replay.play())) < 180


def test_a_disk_that_gets_full_ends_it_in_time(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither begun on a disk that is nearly full, nor carried on until it is."""
    free = iter([10**12, 10**12, 10**12, 10**6, 10**6])
    monkeypatch.setattr(recording, "LOOK_S", 0.0)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=next(free)))
    with pytest.raises(StoreWriteError, match=r"1 MB are free, must be 268 at least; .* after \d+ nonces, which stay"):
        run(library, n_steps=10)
    with open_run(only(library).folder) as replay:
        assert len(list(replay.play())) == 2
    with pytest.raises(StoreWriteError, match="must be 268 at least; nothing was recorded"):
        run(library, n_steps=10)
    assert len(library.summaries()) == 1


def test_cancelled_it_keeps_what_there_is(library: Library) -> None:
    asked = iter([False, False, False, True])
    with pytest.raises(Cancelled):
        run(library, context={"cancelled": lambda: next(asked)}, n_steps=10)
    assert only(library).state == "sealed"
    with open_run(only(library).folder) as replay:
        assert len(list(replay.play())) == 3


def test_every_point_is_looked_at_before_the_first_step(library: Library) -> None:
    with pytest.raises(LimitError, match="frequency_mhz: 9000 MHz, must be"):
        run(library, points=[{"frequency_mhz": 400}, {"frequency_mhz": 9000}])
    assert only(library).rows == 0
    with RunReader(only(library).folder) as reader:
        decisions = reader.table(Kind.SAFETY).to_pylist()
    assert [(row["rule"], row["action"]) for row in decisions] == [("LimitError", "refused")]


def test_a_disk_that_others_filled(small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It fails with the reason; everything that was counted is there when there is room again."""
    monkeypatch.setattr(recording, "RESERVE_BYTES", 0)
    ballast = small_disk / "ballast"
    counted: list[int] = []
    with Library(small_disk / "store", f"sqlite:///{tmp_path}/facts.db") as library:
        ballast.write_bytes(bytes(1_000_000))
        said = {"progress": lambda done, total, text: counted.append(done)}
        with pytest.raises(StoreWriteError, match=r"No space left on device|events are safe in the log"):
            run(library, context=said, n_steps=300, step_seconds=2.0)
        assert 0 < counted[-1] < 300
        ballast.unlink()
        folder = library.find(only(library).run_id)
        library.recover(folder)
        with open_run(folder.path) as replay:
            assert len(list(replay.play())) == counted[-1]
