"""The loop as its user meets it: one seed one result, killed and resumed, refused in one line."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from asic_reservoir.drive import Interrupted
from asic_reservoir.errors import UsageError
from asic_reservoir.experiment import run_experiment
from asic_reservoir.observables import Record
from asic_reservoir.report.model import ReportData
from asic_reservoir.run_settings import RunSettings

SHORT = RunSettings(board="twin://s9?seed=1", seeds=2, steps=600, curve=False)
CONTRACT = {
    "poisson_same_drive",
    "constant",
    "input",
    "host_lags_10",
    "host_lags_20",
    "host_lags_50",
    "host_nvar",
    "poisson_twin",
    "esn_same_noise",
    "decoupled",
    "shuffled",
    "silicon",
    "silicon_present_only",
    "host_silicon",
    "difference",
}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-c", "from asic_reservoir.cli import main; main()", *arguments]


def plain(report: ReportData) -> str:
    data = report.to_dict()
    data.pop("provenance")
    return json.dumps(data, sort_keys=True)


@pytest.fixture(scope="module")
def report() -> ReportData:
    return run_experiment(SHORT, workers=1)


@pytest.mark.slow
def test_the_json_has_what_other_programs_rely_on(report: ReportData) -> None:
    data = json.loads(report.to_json())
    assert {"schema", "origin", "board", "task", "rows", "verdict", "provenance"} <= data.keys()
    assert {row["name"] for row in data["rows"]} == CONTRACT
    assert all({"mean", "low", "high"} == row["nrmse"].keys() and row["n_seeds"] == 2 for row in data["rows"])
    assert data["origin"] == "simulated"
    assert data["verdict"]["label"] == "undecided"  # two seeds decide nothing
    assert "sentence" in data["verdict"]
    assert report.row("decoupled").nrmse.mean > 0.97  # type: ignore[union-attr]
    ids = [figure["id"] for figure in data["figures"]]
    assert ids == ["prediction", "capacity", "lag-error", "telemetry", "raster"]


@pytest.mark.slow
def test_a_run_with_processes_is_the_same_to_the_last_digit(report: ReportData) -> None:
    assert plain(run_experiment(SHORT, workers=2)) == plain(report)


@pytest.mark.slow
def test_a_run_that_is_stopped_goes_on_from_what_it_recorded(report: ReportData, tmp_path: Path) -> None:
    asked = 0

    def cancelled() -> bool:
        nonlocal asked
        asked += 1
        return asked > 900

    with pytest.raises(Interrupted):
        run_experiment(SHORT, folder=tmp_path, cancelled=cancelled, workers=1)
    parts = sorted(tmp_path.glob("records/*/*.npz"))
    assert parts
    kept = [path.read_bytes() for path in parts]
    assert plain(run_experiment(SHORT, folder=tmp_path, workers=1)) == plain(report)
    assert [path.read_bytes() for path in parts] == kept
    with pytest.raises(UsageError, match="holds a run of other settings"):
        run_experiment(SHORT.model_copy(update={"seeds": 3}), folder=tmp_path, workers=1)


def wait_for_a_record(folder: Path, process: subprocess.Popen[str]) -> None:
    """Until the run in that folder has recorded its first part."""
    deadline = time.monotonic() + 200
    while not list(folder.glob("records/*/*.npz")) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.02)


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_same_bytes(report: ReportData, tmp_path: Path) -> None:
    arguments = ["run", "narma10", "--seeds", "2", "--steps", "600", "--no-curve", "--quiet", "--out", str(tmp_path)]
    for _ in range(5):  # where this process had to wait while the run did not, the run was over: kill another one
        shutil.rmtree(tmp_path)
        tmp_path.mkdir()
        process = subprocess.Popen(command(*arguments), start_new_session=True)
        wait_for_a_record(tmp_path, process)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert list(tmp_path.glob("records/*/*.npz"))
        if not (tmp_path / "report.json").exists():
            break
    assert not (tmp_path / "report.json").exists()
    again = subprocess.run(command(*arguments), capture_output=True, text=True, timeout=120, check=False)
    assert again.returncode == 2
    assert "add --resume" in again.stderr
    subprocess.run(command(*arguments, "--resume"), check=True, timeout=240)
    assert plain(ReportData.from_json((tmp_path / "report.json").read_text())) == plain(report)


@pytest.mark.slow
def test_ctrl_c_ends_cleanly_and_keeps_what_was_recorded(tmp_path: Path) -> None:
    arguments = ["run", "narma10", "--seeds", "4", "--steps", "3000", "--no-curve", "--quiet", "--out", str(tmp_path)]
    process = subprocess.Popen(command(*arguments), stderr=subprocess.PIPE, text=True, start_new_session=True)
    wait_for_a_record(tmp_path, process)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the whole group
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "go on with --resume" in errors
    assert "Traceback" not in errors
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.slow
def test_the_published_setting_carries_nothing_and_the_verdict_says_so() -> None:
    found = run_experiment(RunSettings(preset="published", seeds=5, steps=1500), workers=1)
    assert found.verdict.label == "not supported"
    assert "0.8661" in found.verdict.sentence
    assert "0.8673" in found.verdict.sentence
    assert found.row("silicon").nrmse.mean > 0.97  # type: ignore[union-attr]
    assert found.row("silicon_monologue") is not None


def test_without_controls_the_report_is_marked() -> None:
    found = run_experiment(SHORT.model_copy(update={"controls": False, "seeds": 1}), workers=1)
    assert not found.controls
    assert found.verdict.label == "undecided"
    assert found.row("decoupled") is None


@pytest.mark.slow
def test_a_users_own_series(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    u = rng.uniform(-3, 5, 500)
    y = np.convolve(u, [0.5, 0.3, 0.2])[:500]
    path = tmp_path / "mine.csv"
    path.write_text("input,target\n" + "\n".join(f"{a},{b}" for a, b in zip(u, y, strict=True)))
    found = run_experiment(SHORT.model_copy(update={"task": str(path), "steps": 500}), workers=1)
    assert found.row("silicon").nrmse.mean < 0.9  # type: ignore[union-attr]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("run", "narma11"), 3, "did you mean 'narma1"),
        (("run", "narma10", "--board", "twin://s11"), 3, "no twin 's11', must be one of"),
        (("run", "narma10", "--board", "twin://s9?colour=red"), 2, "unknown option 'colour'"),
        (("run", "narma10", "--encoding", "smell"), 2, "--encoding: 'smell'"),
        (("run", "narma10", "--seeds", "0"), 2, "--seeds: 0"),
        (("run", "narma10", "--observables", "mood"), 2, "must be one of counts"),
        (("run", "narma10", "--board", "twin://lv06?seed=1", "--encoding", "chip-frequency"), 2, "use 'frequency'"),
        (("run", "narma10", "--resume"), 2, "needs --out"),
        (("run", "narma10", "--json", "/nowhere/at/all.json"), 3, "no folder '/nowhere/at'"),
        (("run", "series.csv"), 3, "series.csv: no such file"),
        (("run", "narma10", "--board", "replay://s9-shares", "--steps", "300"), 2, "cannot be driven"),
    ],
)
def test_bad_input_is_one_line_with_its_exit_code(arguments: tuple[str, ...], code: int, message: str) -> None:
    done = subprocess.run(command(*arguments), capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_series_with_nan_is_refused_before_anything_runs(tmp_path: Path) -> None:
    path = tmp_path / "holes.csv"
    path.write_text("input,target\n" + "1,2\n" * 300 + "nan,3\n")
    done = subprocess.run(command("run", str(path)), capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 8
    assert "column 'input', row 301" in done.stderr


@pytest.mark.slow
def test_a_full_disk_is_named_and_nothing_is_half_written(tmp_path: Path) -> None:
    """A small tmpfs of its own; needs the right to mount, which CI has."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small tmpfs needs root")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(tmp_path)], check=True)
    try:
        arguments = [
            "run",
            "narma10",
            "--seeds",
            "1",
            "--steps",
            "1200",
            "--no-curve",
            "--quiet",
            "--out",
            str(tmp_path),
        ]
        done = subprocess.run(command(*arguments), capture_output=True, text=True, timeout=240, check=False)
        assert done.returncode == 8, done.stderr
        assert "No space left on device" in done.stderr
        assert "Traceback" not in done.stderr
        assert not (tmp_path / "report.json").exists()
        for path in tmp_path.glob("records/*/*.npz"):
            with np.load(path, allow_pickle=False) as archive:
                assert archive["valid"].ndim == 3
    finally:
        subprocess.run(["umount", "-l", str(tmp_path)], check=True)


def test_energy_and_time_are_those_of_the_record() -> None:
    one = np.ones((3, 2, 1), np.int64)
    begin = np.array([[0, 5], [10, 15], [20, 25]], np.int64) * 1_000_000_000
    record = Record(
        one, one, np.zeros((3, 2, 3), np.int64), begin, begin + 5_000_000_000, np.zeros((3, 1)), np.full(3, 100.0)
    )
    assert record.seconds == pytest.approx(30.0)
    assert record.joules == pytest.approx(3000.0)
