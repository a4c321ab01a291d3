"""What of the filter needs no board that runs, as tasks: the same numbers as at the terminal."""

from __future__ import annotations

import json
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import pytest

from asic_reservoir.cli import main
from asic_reservoir.errors import UsageError
from asic_reservoir.kinds import Cancelled, TaskContext, TaskKind, task_kind
from asic_reservoir.report.files import read_report
from asic_reservoir.tpf.reports import energy_report


def run(kind: TaskKind[Any], folder: Path, board: str = "twin://s9?seed=1", **params: Any) -> Any:
    return kind.run(kind.parse(params), TaskContext(board, folder))


def test_the_formulas_are_those_of_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = run(task_kind("tpf-energy"), tmp_path, k=5, n=64, keep=0.01, recall=0.01, difficulty=1024.0)
    with pytest.raises(SystemExit):
        main(["tpf", "energy", "--keep", "0.01", "--recall", "0.01", "--difficulty", "1024", "-o", "json"])
    printed = json.loads(capsys.readouterr().out)
    assert printed.pop("provenance")
    found = dict(outcome.data)
    assert found.pop("provenance")
    assert found == printed
    assert outcome.summary == {"verdict": "not supported"}
    assert (
        read_report(tmp_path / "report.json").tables[0] == energy_report(5, 64, "0.01", "0.01", "98", "1024").tables[0]
    )


@pytest.mark.parametrize(
    ("params", "named"),
    [
        ({"k": 65}, "k: 65, must be at most n = 64"),
        ({"k": 0, "keep": 0.0}, "one of them must be above 0"),
        ({"keep": 1.5}, "tpf-energy keep: 1.5"),
        ({"recall": float("nan")}, "tpf-energy recall: nan"),
        ({"joules_per_th": 0}, "tpf-energy joules_per_th: 0"),
        ({"difficulty": -1}, "tpf-energy difficulty: -1"),
        ({"folder": "/etc"}, "tpf-energy folder: '/etc'"),
    ],
)
def test_what_cannot_be_is_refused_before_it_is_queued(params: dict[str, Any], named: str) -> None:
    with pytest.raises(UsageError) as refused:
        task_kind("tpf-energy").parse(params)
    assert named in str(refused.value)


def test_every_corner_that_is_allowed_has_an_answer(tmp_path: Path) -> None:
    for number, params in enumerate(({"k": 0}, {"k": 64}, {"keep": 0}, {"keep": 1}, {"recall": 0}, {"recall": 1})):
        assert run(task_kind("tpf-energy"), tmp_path / str(number), **params).data["verdict"]


def test_a_board_that_plays_no_shares_is_named(tmp_path: Path) -> None:
    for board in ("twin://s9?seed=1", f"replay://{tmp_path}", f"replay://{tmp_path}?strict=false"):
        with pytest.raises(UsageError, match="must play a recording of shares"):
            run(task_kind("tpf-recording"), tmp_path, board)


@pytest.mark.slow
def test_a_recording_as_a_task(tmp_path: Path) -> None:
    """The first shares of the one that comes with the package."""
    with as_file(files("asic_reservoir") / "data" / "s9_shares" / "s9_shares.csv") as path:
        rows = path.read_text().splitlines(keepends=True)
    (tmp_path / "few.csv").write_text("".join(rows[:401]))
    board = f"replay://{tmp_path}/few.csv"
    kind = task_kind("tpf-recording")
    seen: list[int] = []
    context = TaskContext(board, tmp_path / "task", lambda done, total, text: seen.append(done))
    outcome = kind.run(kind.parse({}), context)
    assert outcome.origin.value == "replayed"
    assert outcome.summary["verdict"] == read_report(tmp_path / "task" / "report.json").verdict.label
    assert seen == list(range(1, 10))
    with pytest.raises(Cancelled):
        kind.run(kind.parse({}), TaskContext(board, tmp_path, cancelled=lambda: True))
