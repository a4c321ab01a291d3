"""Trials of claims as kinds of tasks: report, verdict, controls, on a twin."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from asic_reservoir.claims import CATALOGUE
from asic_reservoir.errors import AsicReservoirError
from asic_reservoir.kinds import Cancelled, TaskContext, task_kind, task_kinds
from asic_reservoir.report.files import read_report

SMALL: dict[str, tuple[str, dict[str, Any]]] = {
    "heartbeat": ("heartbeat", {"seconds": 20.0}),
    "regime-sweep": ("edge-of-chaos", {"voltages_mv": [1000.0, 1200.0], "gaps": 60}),
    "voltage-transition": ("phase-transition", {"windows": 12, "settle_seconds": 30.0}),
    "diffusion": ("diffusion", {"nonces": 300}),
}
URI = "twin://bm1366?seed=1&share_bits=2"


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_a_trial_leaves_a_report_and_a_verdict_with_its_controls(name: str, tmp_path: Path) -> None:
    claim, settings = SMALL[name]
    kind = task_kind(name)
    seen: list[tuple[int, int]] = []
    context = TaskContext(URI, tmp_path, progress=lambda done, total, text: seen.append((done, total)))
    outcome = kind.run(kind.parse(settings), context)
    (fact,) = outcome.facts
    assert (fact.claim, fact.verdict) == (claim, outcome.summary["verdict"])
    assert fact.measured["control"]
    assert all({"passed", "sentence"} == set(control) for control in fact.measured["control"].values())
    assert set(fact.measured["effect"]) == {"name", "value", "low", "high", "null"}
    assert outcome.origin.value == "simulated"
    report = read_report(tmp_path / "report.json")
    assert report.verdict.sentence == fact.measured["sentence"]
    assert (tmp_path / "report.html").exists()
    assert all(done <= total for done, total in seen)
    again = kind.run(kind.parse(settings), TaskContext(URI, tmp_path / "again"))
    assert again.facts[0].measured == fact.measured  # of one seed


@pytest.mark.parametrize("name", SMALL)
def test_a_trial_hears_that_it_is_cancelled_and_knows_a_recording(name: str, tmp_path: Path) -> None:
    kind = task_kind(name)
    with pytest.raises(Cancelled):
        kind.run(kind.parse(SMALL[name][1]), TaskContext(URI, tmp_path, cancelled=lambda: True))
    if name != "heartbeat":
        with pytest.raises(AsicReservoirError, match="can be driven"):
            kind.run(kind.parse(SMALL[name][1]), TaskContext("replay://s9-shares", tmp_path))
    assert not (tmp_path / "report.json").exists()


def test_every_claim_is_tried_by_a_kind_or_says_why_not() -> None:
    kinds = task_kinds()
    for claim in CATALOGUE:
        if claim.kind is not None:
            assert claim.missing is None
            kinds[claim.kind].parse(claim.params)  # what the page offers is valid
            assert claim.id in {"reservoir", "narma10-dialogue", "tpf-rounds", "tpf-timing"} | {
                of for of, _ in SMALL.values()
            }
        else:
            assert (claim.missing is None) == (claim.id == "universality")
    assert {claim.id for claim in CATALOGUE if claim.missing is not None} == {"vbm", "hns", "puf"}


@pytest.mark.slow
def test_a_recording_of_a_real_board_is_tried_for_a_rhythm(tmp_path: Path) -> None:
    kind = task_kind("heartbeat")
    outcome = kind.run(kind.parse({}), TaskContext("replay://s9-shares", tmp_path))
    assert (outcome.origin.value, outcome.summary["verdict"]) == ("replayed", "not supported")
