"""The command line with --server: everything as a task of a service, files saved here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from api.app import create_app
from api.settings import ServiceSettings
from api.shelf import put_on_shelf
from asic_reservoir.board import Detail, OperatingPoint, Step
from asic_reservoir.registry import open_board
from asic_reservoir.store.library import Library

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
SMALL = ("--seeds", "1", "--steps", "400", "--no-curve", "--no-controls", "--lags", "3", "--step-seconds", "2")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, serve: Any) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("remote")
    app = create_app(ServiceSettings(f"sqlite:///{folder}/facts.db", folder))
    put_on_shelf(app.state.service.writer, "s9", "twin://bm1366?seed=1")
    put_on_shelf(app.state.service.writer, "easy", "twin://bm1366?seed=1&share_bits=4")
    with serve(app) as url:
        yield url


def asic(folder: Path, *arguments: str, code: int = 0) -> str:
    """Run the command in ``folder``; what it printed."""
    program = [sys.executable, "-c", "from asic_reservoir.cli import main; main()", *arguments]
    done = subprocess.run(
        program, cwd=folder, capture_output=True, text=True, timeout=180, env=os.environ | {"COLUMNS": "200"}
    )
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return done.stdout if code == 0 else done.stderr


def test_run_models_and_predict(server: str, tmp_path: Path) -> None:
    asic(tmp_path, "run", "narma10", *SMALL, "--server", server, "--out", "here", "--json", "r.json", "-q")
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["origin"] == "simulated"
    assert {path.name for path in (tmp_path / "here").iterdir()} == {"model.npz", "report.html", "report.json"}
    line = asic(tmp_path, "models", "ls", "--server", server).split()
    assert line[1] == "narma10-s9"
    about = json.loads(asic(tmp_path, "models", "show", line[0], "--server", server))
    asic(tmp_path, "models", "get", line[0], "--server", server)
    np.save(tmp_path / "states.npy", np.ones((2, about["n_states"])))
    there = asic(tmp_path, "models", "predict", line[0], "states.npy", "--server", server)
    here = asic(tmp_path, "models", "predict", "narma10-s9-1.npz", "states.npy")
    np.testing.assert_allclose(np.loadtxt(there.split()), np.loadtxt(here.split()), rtol=1e-12)
    rows = "".join(f"{k % 7},{(k + 6) % 7}\n" for k in range(300))
    (tmp_path / "mine.csv").write_text("input,target\n" + rows)
    shown = asic(tmp_path, "run", "mine.csv", "--seeds", "1", "--no-curve", "--no-controls", "--server", server)
    assert json.loads(shown)["kind"] == "series"


def test_boards_are_asked(server: str, tmp_path: Path) -> None:
    seen = json.loads(asic(tmp_path, "observe", "s9", "--steps", "3", "--json", "-", "--server", server, "-q"))
    here = json.loads(asic(tmp_path, "observe", "twin://bm1366?seed=1", "--steps", "3", "--json", "-", "-q"))
    assert seen["per_step"] == here["per_step"]
    asic(tmp_path, "calibrate", "s9", "--sections", "mask", "--out", "c.json", "--server", server, "-q")
    assert json.loads((tmp_path / "c.json").read_text())["mask"]["measured"] >= 1
    found = json.loads(asic(tmp_path, "inspect", "s9", "--seconds", "5", "--json", "--server", server))
    assert found["shares"]["total"] > 100
    window = ("--windows", "100", "--window-s", "0.2", "-q")
    asic(tmp_path, "tpf", "evaluate", "easy", *window, "--run", "there", "--server", server)
    asic(tmp_path, "tpf", "evaluate", "twin://bm1366?seed=1&share_bits=4", *window, "--run", "here")
    there, here = (json.loads((tmp_path / name / "report.json").read_text()) for name in ("there", "here"))
    for part in ("verdict", "summary", "tables", "settings"):
        assert there[part] == here[part]
    assert len(here["verdict"]["checks"]) == 2  # with its controls, here as there
    assert "reservoir: not tested" in asic(tmp_path, "claims", "--server", server)


def test_recordings_go_and_come(server: str, tmp_path: Path) -> None:
    with Library(tmp_path / "store") as library:
        with library.record(open_board("twin://bm1366?seed=9")) as board:
            board.step(Step(OperatingPoint(), 1_000_000_000, detail=Detail.NONCES))
        (run,) = library.summaries()
    asic(tmp_path, "store", "export", run.run_id, "run.zip", "--store", "store")
    there = asic(tmp_path, "store", "import", "run.zip", "--board", "recorded", "--server", server).strip()
    assert there == run.run_id
    assert "plays as recorded" in asic(tmp_path, "store", "ls", "--server", server)
    asic(tmp_path, "store", "export", run.run_id, "back.zip", "--server", server)
    assert (tmp_path / "back.zip").read_bytes() == (tmp_path / "run.zip").read_bytes()
    (tmp_path / "bad.zip").write_bytes(b"PK\x03\x04nothing")
    assert "bad.zip" in asic(tmp_path, "store", "import", "bad.zip", "--server", server, code=2)


def test_a_board_is_recorded_elsewhere(server: str, tmp_path: Path) -> None:
    """As here, bit by bit; and looked at there by its identifier."""
    words = ("--steps", "3", "--step-seconds", "0.5", "--frequency-mhz", "400")
    there = json.loads(asic(tmp_path, "store", "record", "s9", *words, "--server", server))["summary"]
    here = asic(tmp_path, "store", "record", "twin://bm1366?seed=1", *words, "--store", "store")
    assert f"{there['nonces']:,} nonces in 1.5 s (simulated)" in here
    listed = asic(tmp_path, "store", "ls", "--server", server).splitlines()
    (line,) = [line for line in listed if line.startswith(there["recording"])]
    assert line.split()[3:5] == ["finished", f"{there['nonces']:,}"]
    seen = asic(tmp_path, "inspect", "s9", "--recording", there["recording"], "--json", "--server", server)
    assert json.loads(seen)["shares"]["total"] == there["nonces"]


def test_what_means_nothing_elsewhere_is_refused(server: str, tmp_path: Path) -> None:
    for words, said in (
        (("run", "narma10", "--resume"), "--resume"),
        (("run", "narma10", "--workers", "2"), "--workers"),
        (("run", "narma10", "--board", "twin://s9"), "must be a name"),
        (("run", "narma10", "--board", "nowhere"), "not on the shelf"),
        (("calibrate", "s9", "--dry-run"), "--dry-run"),
        (("tpf", "leak", "--zero-bits", "4"), "--zero-bits"),
        (("tpf", "evaluate"), "'tpf train --server' makes a filter and mines"),
        (("tpf", "evaluate", "s9", "--jobs", "4"), "--jobs"),
        (("inspect", "s9", "--html", "x.html"), "--html"),
        (("store", "record", "s9", "--store", "x"), "--store"),
        (("store", "record", "s9", "--point", "here"), "--point 'here'"),
    ):
        code = 3 if said == "not on the shelf" else 2
        assert said in asic(tmp_path, *words, "--server", server, code=code)


def test_inputs_from_a_pipe_are_streamed(server: str, tmp_path: Path) -> None:
    (tmp_path / "u.txt").write_text("0.1\n0.2\n\n0.3\n")
    drive = '{"lags": 2, "step_seconds": 0.5}'
    arguments = ("task", "stream", "s9", "--drive", drive, "--states", "--server", server)
    program = [sys.executable, "-c", "from asic_reservoir.cli import main; main()", *arguments]
    with (tmp_path / "u.txt").open() as file:
        done = subprocess.run(program, stdin=file, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["sequence"] for line in lines] == [0, 1, 2]
    assert all(len(line["states"]) == 4 for line in lines)
    done = subprocess.run(program, input="0.1\nmany\n", capture_output=True, text=True, timeout=120)
    assert done.returncode == 8
    assert "line 2: 'many', must be a number" in done.stderr
