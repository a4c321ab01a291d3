"""The filter as tasks of the service."""

from __future__ import annotations

from pathlib import Path

import pytest

from asic_reservoir.claim_verdicts import of_leak
from asic_reservoir.kinds import Cancelled, TaskContext, task_kind
from asic_reservoir.report.files import read_report


def test_a_boards_timing_as_a_task(tmp_path: Path) -> None:
    kind = task_kind("tpf-windows")
    params = kind.parse({"windows": 120, "window_seconds": 0.8})
    outcome = kind.run(params, TaskContext("twin://bm1366?seed=1&share_bits=4", tmp_path))
    assert outcome.origin.value == "simulated"
    assert outcome.summary["verdict"] in ("supported", "not supported", "undecided")
    assert (tmp_path / "report.html").exists()
    with pytest.raises(Cancelled):
        kind.run(params, TaskContext("twin://bm1366?seed=2&share_bits=4", tmp_path / "b", cancelled=lambda: True))


@pytest.mark.slow
def test_the_leakage_curve_as_a_task(tmp_path: Path) -> None:
    kind = task_kind("tpf-leak")
    seen = []
    context = TaskContext("twin://s9?seed=1", tmp_path, progress=lambda done, total, text: seen.append(text))
    outcome = kind.run(kind.parse(kind.example), context)
    assert outcome.data["task"]
    assert "headers" in seen
    (claim,) = outcome.facts
    assert (claim.claim, claim.verdict) == ("tpf-rounds", outcome.summary["verdict"])
    bare = read_report(tmp_path / "report.json").model_copy(update={"controls": False})
    assert of_leak(bare) is None  # no verdict without a control


@pytest.mark.slow
def test_a_filter_as_a_task(tmp_path: Path) -> None:
    kind = task_kind("tpf-filter")
    outcome = kind.run(kind.parse({"jobs": 16, "miner_jobs": 2}), TaskContext("twin://s9?seed=1", tmp_path))
    assert outcome.summary["verdict"] in ("supported", "not supported", "undecided")
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"filter.json", "report.html", "report.json", "training.html", "training.json"}
