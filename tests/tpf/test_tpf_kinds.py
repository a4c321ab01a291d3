"""The filter as tasks of the service."""

from __future__ import annotations

from pathlib import Path

import pytest

from asic_reservoir.kinds import Cancelled, TaskContext, task_kind


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
