"""What one family shows is compared with the others."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asic_reservoir.claim_trials.trial import label_of
from asic_reservoir.claim_trials.universality import FAMILIES, Found, judge

LABELS = ("supported", "not supported", "undecided")


def found(claim: str, verdicts: list[str], origin: str = "simulated") -> list[Found]:
    return [
        Found(claim, family, f"my-{family}", origin, verdict, f"task-{family}")
        for family, verdict in zip(FAMILIES, verdicts, strict=False)
    ]


@pytest.mark.parametrize(
    ("verdicts", "label"),
    [
        (["supported"] * 3, "supported"),
        (["not supported"] * 3, "not supported"),
        (["supported", "not supported", "undecided"], "not supported"),
        (["supported", "supported", "undecided"], "undecided"),
        (["not supported", "not supported", "undecided"], "undecided"),
        (["supported", "supported"], "undecided"),
    ],
)
def test_known_cases(verdicts: list[str], label: str) -> None:
    together = judge(found("heartbeat", verdicts))
    assert together is not None
    assert together.label == label
    assert together.measured["tasks"]


def test_nothing_tried_is_no_verdict_and_software_is_no_board() -> None:
    assert judge([]) is None
    assert judge(found("tpf-rounds", ["supported"] * 3)) is None
    assert judge([Found("heartbeat", "bm1366", "b", "measured", "supported", None)]) is None


def test_a_measured_shelf_counts_before_a_simulated_one_and_origins_do_not_mix() -> None:
    both = found("heartbeat", ["supported"] * 3) + found("diffusion", ["not supported"] * 3, "measured")
    together = judge(both)
    assert together is not None
    assert (together.origin, together.label) == ("measured", "not supported")
    mixed = judge([*found("heartbeat", ["supported"] * 3)[:2], *found("heartbeat", ["supported"] * 3, "measured")[2:]])
    assert mixed is not None
    assert mixed.label == "undecided"


@given(st.lists(st.sampled_from(LABELS), min_size=3, max_size=3), st.permutations(range(3)))
def test_the_order_of_the_boards_does_not_matter(verdicts: list[str], order: list[int]) -> None:
    ones = found("heartbeat", verdicts)
    first, other = judge(ones), judge([ones[k] for k in order])
    assert first is not None
    assert other is not None
    assert first.label == other.label


def test_no_verdict_without_controls_and_both_verdicts_can_be_reached() -> None:
    for controls, shown, excluded in product([False, True], repeat=3):
        label = label_of(controls=controls, shown=shown, excluded=excluded)
        assert (label == "undecided") == (not controls or shown == excluded)
    assert label_of(controls=True, shown=True, excluded=False) == "supported"
    assert label_of(controls=True, shown=False, excluded=True) == "not supported"
