"""A store on one machine, and its command."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from asic_reservoir import cli
from asic_reservoir.board import Detail, OperatingPoint, Origin, Step
from asic_reservoir.errors import BusyError, NotFoundError, UsageError
from asic_reservoir.recording import shipped
from asic_reservoir.registry import open_board
from asic_reservoir.store.events import LogOptions, RetentionPolicy, RunReader
from asic_reservoir.store.facts import boards, new_id, results, runs, segments
from asic_reservoir.store.library import Library
from asic_reservoir.store.player import open_run

SHARES = Path(__file__).parents[2] / "asic_reservoir" / "data" / "s9_shares" / "s9_shares.csv"


def record_twin(library: Library, n: int = 3, **options: Any) -> str:
    with library.record(open_board("twin://s9?seed=1"), {"seed": 1}, **options) as recorder:
        for _ in range(n):
            recorder.step(Step(OperatingPoint(), 100_000_000, detail=Detail.NONCES))
        return recorder.record.run_id


def test_a_recorded_run_has_its_facts(empty_url: str, tmp_path: Path) -> None:
    """On both databases: board, run, and a copy of the catalogue that says what the folder says."""
    with Library(tmp_path, empty_url) as library:
        first, second = record_twin(library), record_twin(library)
        with library.engine.connect() as connection:
            assert connection.execute(sa.select(sa.func.count()).select_from(boards)).scalar_one() == 1
            found = connection.execute(sa.select(runs).order_by(runs.c.id)).all()
            files = connection.execute(sa.select(segments.c.file).where(segments.c.run_id == first)).scalars().all()
        assert [(run.id, run.origin, run.state, run.provenance) for run in found] == [
            (first, "simulated", "finished", {"seed": 1}),
            (second, "simulated", "finished", {"seed": 1}),
        ]
        assert set(files) == {path.name for path in library.find(first).path.glob("*.parquet")}
        assert [run.run_id for run in library.summaries()] == [first, second]
        assert library.find(first[:20] if first[:20] != second[:20] else first).path.name == first
        with pytest.raises(NotFoundError, match="run 'x'"):
            library.find("x")
        with pytest.raises(UsageError, match="2 runs begin so"):
            library.find("0")


def test_a_kept_result_holds_its_run(tmp_path: Path) -> None:
    with Library(tmp_path) as library:
        held, free = record_twin(library), record_twin(library)
        row = {
            "id": new_id(), "run_id": held, "origin": "simulated", "report": {}, "kept": True, "created_utc_ns": 0,
        }  # fmt: skip
        library.writer.run(lambda connection: connection.execute(results.insert(), row))
        report, busy = library.prune(RetentionPolicy(delete_after_s=1e-9))
        assert busy == []
        assert {action.folder.path.name for action in report.actions} == {free}
        assert {action.folder.path.name for action in report.held} == {held}
        with library.engine.connect() as connection:
            states = {run.id: run.state for run in connection.execute(sa.select(runs.c.id, runs.c.state))}
        assert states == {held: "finished", free: "deleted"}
        with open_run(library.find(held).path) as replay:
            assert len(list(replay.play())) == 3


def test_a_run_in_use_is_passed_over(tmp_path: Path) -> None:
    with Library(tmp_path) as library:
        recorder = library.record(open_board("twin://s9?seed=1"))
        recorder.step(Step(OperatingPoint(), 1_000_000))
        report, busy = library.prune(RetentionPolicy(delete_after_s=1e-9))
        assert report.actions == []
        assert ["another process writes to this run" in reason for reason in busy] == [True]
        with pytest.raises(BusyError):
            library.compact(library.find(recorder.record.run_id))
        recorder.close()


def test_the_published_csv_becomes_a_run(tmp_path: Path) -> None:
    """Every share of it, as the reader of recordings gives them; and it stays replayed."""
    with Library(tmp_path) as library:
        folder = library.take_in(SHARES)
        with RunReader(folder.path) as reader:
            assert reader.nonces().equals(shipped().nonces)
        assert folder.record().origin is Origin.REPLAYED
        assert library.summaries()[0].origin == "replayed"
    (tmp_path / "broken.csv").write_text("a,b\n1,2\n")
    assert run("import", tmp_path / "broken.csv", store=tmp_path)[0] == 8


def run(*words: object, store: Path, capsys: pytest.CaptureFixture[str] | None = None) -> tuple[int, str]:
    with pytest.raises(SystemExit) as ended:
        cli.main(["store", str(words[0]), *map(str, words[1:]), "--store", str(store)])
    code = ended.value.code
    assert isinstance(code, int)
    return code, capsys.readouterr().out if capsys else ""


def test_the_command_from_recording_to_pruning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store, other = tmp_path / "store", tmp_path / "other"
    with Library(store) as library:
        run_id = record_twin(library, 8, options=LogOptions(segment_rows=400))
    folder = store / "runs" / run_id
    code, out = run("ls", "--json", store=store, capsys=capsys)
    (listed,) = json.loads(out)
    assert (code, listed["run"], listed["origin"], listed["state"]) == (0, run_id, "simulated", "sealed")
    assert run("ls", store=store, capsys=capsys)[0] == 0
    assert run("verify", store=store, capsys=capsys)[0] == 0
    code, out = run("compact", store=store, capsys=capsys)
    assert code == 0
    assert "-> nonces-000000000000-" in out
    assert run("export", run_id, tmp_path / "run.zip", store=store)[0] == 0
    assert run("export", run_id, tmp_path / "run.zip", store=store)[0] == 4
    code, out = run("import", tmp_path / "run.zip", store=other, capsys=capsys)
    assert (code, Path(out.strip()).name) == (0, run_id)
    assert run("import", tmp_path / "run.zip", store=other)[0] == 4
    assert run("verify", other / "runs" / run_id, store=tmp_path / "nothing", capsys=capsys)[0] == 0
    assert not (tmp_path / "nothing").exists()

    path = next(folder.glob("nonces-*.parquet"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    code, out = run("verify", run_id, store=store, capsys=capsys)
    assert code == 8
    assert f"DAMAGED {path.name}, bytes " in out
    data[len(data) // 2] ^= 1
    path.write_bytes(data)

    assert run("recover", store=store, capsys=capsys) == (0, f"{folder}: in order\n")
    code, out = run("prune", "--thin-after-days", "1e-12", "--dry-run", store=store, capsys=capsys)
    assert code == 0
    assert "would be thinned" in out
    assert run("verify", store=store)[0] == 0
    capsys.readouterr()
    code, out = run("prune", "--thin-after-days", "1e-12", store=store, capsys=capsys)
    assert "\nfreed " in out
    assert not list(folder.glob("nonces-*"))
    assert run("export", run_id, tmp_path / "thin.zip", store=store)[0] == 8
    assert run("export", run_id, tmp_path / "thin.zip", "--partial", store=store)[0] == 0
    assert run("prune", "--delete-after-days", "-1", store=store)[0] == 2
    assert run("verify", "nobody", store=store)[0] == 3
    assert run("ls", store=tmp_path / "nowhere")[0] == 3
    assert not (tmp_path / "nowhere").exists()


def test_recover_after_a_crash(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Library(tmp_path) as library:
        recorder = library.record(open_board("twin://s9?seed=1"))
        recorder.step(Step(OperatingPoint(), 100_000_000, detail=Detail.NONCES))
        recorder._log._lock.release()  # what the system does for a process that is gone
        (path,) = recorder.folder.logs()
        with path.open("ab") as file:
            file.write(b"ARF1half a frame")
        assert run("ls", "--json", store=tmp_path, capsys=capsys)[1].count('"open"') == 1
        code, out = run("recover", store=tmp_path, capsys=capsys)
    assert code == 0
    assert "cut off: 00000001.open, bytes" in out
    assert "sealed: 00000001.wal" in out
    assert run("verify", store=tmp_path, capsys=capsys)[0] == 0
    assert json.loads(run("ls", "--json", store=tmp_path, capsys=capsys)[1])[0]["state"] == "sealed"


def test_a_root_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert run("ls", store=tmp_path / "file")[0] == UsageError.exit_code
    if os.geteuid() != 0:
        (tmp_path / "locked").mkdir(mode=0o500)
        assert run("ls", store=tmp_path / "locked" / "store")[0] == UsageError.exit_code


def test_a_board_is_recorded_at_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is asked for is what is played again; a refused point is kept as a decision; nonsense makes no run."""
    words = ["record", "twin://s9?seed=1", "--seconds", "0.25", "--step-seconds", "0.1", "--frequency-mhz", "600"]
    code, out = run(*words, store=tmp_path, capsys=capsys)
    path = Path(out.partition(": ")[0])
    assert code == 0
    assert out.endswith("nonces in 0.3 s (simulated)\n")
    with open_run(path) as replay:
        played = list(replay.play())
    assert [step.duration_ns for step, _ in played] == [100_000_000] * 3
    assert {step.operating_point.frequency_mhz for step, _ in played} == {600.0}
    assert f"{sum(len(observation.nonces) for _, observation in played):,} nonces" in out
    code, out = run("ls", store=tmp_path, capsys=capsys)
    assert path.name[:13] in out
    assert run(*words[:-1], "99999", store=tmp_path, capsys=capsys)[0] == 5
    with Library(tmp_path) as library:
        assert [summary.rows > 0 for summary in library.summaries()] == [True, False]
    assert run("record", "twin://nobody", store=tmp_path / "new")[0] == 3
    assert run("record", "twin://s9", "--seconds", "nan", store=tmp_path / "new")[0] == 2
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--max-gigabytes", "nan"],
        ["--max-gigabytes", "inf"],
        ["--thin-after-days", "0"],
        ["--thin-after-days", "1", "--summary-seconds", "inf"],
        ["--thin-after-days", "2", "--delete-after-days", "1"],
    ],
)
def test_a_rule_that_is_none_is_refused(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("prune", *words, store=tmp_path)[0] == 2
    assert capsys.readouterr().err.count("\n") == 1
