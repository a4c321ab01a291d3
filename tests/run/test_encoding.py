"""No drive leaves the limits; what a chip sees is what the mask says; edges are where they are."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asic_reservoir.board import Limits, OperatingPoint, Range, Step, WorkMode
from asic_reservoir.edges import EdgeMap, decoupled, domains_of, find_edges, fit_edges
from asic_reservoir.encoding import Encoder, EncodingSettings, reach_of
from asic_reservoir.errors import DataError, UsageError
from asic_reservoir.masks import Mask
from asic_reservoir.registry import open_board
from asic_reservoir.twin import SPECS, TwinBoard


@cache
def found(uri: str, name: str) -> tuple[TwinBoard, EdgeMap]:
    board = open_board(uri)
    assert isinstance(board, TwinBoard)
    return board, find_edges(board, reach_of(EncodingSettings(name=name)))  # type: ignore[arg-type]


CASES = [
    ("twin://s9?seed=1", "chip-frequency"),
    ("twin://s9?seed=1", "frequency"),
    ("twin://s9?seed=1", "voltage"),
    ("twin://bm1366?seed=1", "frequency"),
    ("twin://lv06?seed=2", "frequency"),
    ("twin://lb-box?seed=1", "frequency"),
]


@pytest.mark.parametrize(("uri", "name"), CASES)
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_no_input_in_its_range_leaves_the_limits(uri: str, name: str, data: st.DataObject) -> None:
    board, edges = found(uri, name)
    values = data.draw(st.lists(st.floats(-1, 1), min_size=1, max_size=20))
    mode = data.draw(st.sampled_from(["constant", "monologue"]))
    lags, slots, seed = data.draw(st.tuples(st.integers(1, 30), st.integers(1, 3), st.integers(0, 100)))
    chosen = EncodingSettings(name=name, mode=mode, n_lags=lags, n_slots=slots)  # type: ignore[arg-type]
    encoder = Encoder(chosen, board.info, edges, np.array(values), mask_seed=seed)
    for t in range(len(values)):
        for step in encoder.steps(t, ()):
            board.info.limits.check(step.operating_point)


def test_in_dialogue_the_answer_changes_the_next_step_and_stays_in_the_limits() -> None:
    board, edges = found("twin://s9?seed=1", "chip-frequency")
    encoder = Encoder(EncodingSettings(mode="dialogue"), board.info, edges, np.array([0.3, -0.9, 1.0, -1.0]), 0)
    alone = Encoder(EncodingSettings(), board.info, edges, np.array([0.3, -0.9, 1.0, -1.0]), 0)
    before: list[object] = []
    for t in range(4):
        steps = encoder.steps(t, before)  # type: ignore[arg-type]
        board.info.limits.check(steps[0].operating_point)
        if t:
            fed = np.asarray(steps[0].operating_point.frequency_mhz)
            assert not np.allclose(fed, np.asarray(alone.steps(t, ())[0].operating_point.frequency_mhz))
        before = [board.step(step) for step in steps]


def test_edges_are_found_where_the_twin_hides_them() -> None:
    board, edges = found("twin://s9?seed=1", "chip-frequency")
    fresh = open_board("twin://s9?seed=1")
    point = OperatingPoint(edges.edge_mhz, edges.voltage_mv)
    for _ in range(5):
        seen = fresh.step(Step(point, 60_000_000_000))
    share = seen.counts.invalid / seen.counts.total
    assert abs(share.mean() - 0.5) < 0.03
    assert share.std() < 0.12
    assert 0.4 < edges.coupling < 0.9
    assert board.info.limits.voltage_mv.contains(edges.voltage_mv)


def test_a_board_that_never_errs_is_named() -> None:
    slow = replace(SPECS["s9"], limits=Limits(Range(200, 450), Range(8800, 9400), 110.0))
    slow = replace(slow, nominal=OperatingPoint(400.0, 8800.0, 1, 80.0))
    with pytest.raises(DataError, match="no edge within its limits"):
        find_edges(TwinBoard(slow, 1), 0.1)


@given(st.integers(0, 1000), st.floats(0.02, 0.06))
@settings(max_examples=20, deadline=None)
def test_a_logistic_edge_is_recovered(seed: int, width: float) -> None:
    rng = np.random.default_rng(seed)
    edge = 6.5 + rng.uniform(-0.05, 0.05, 7)
    x = np.linspace(6.35, 6.65, 13)[:, None] + np.zeros(7)
    p = 1 / (1 + np.exp(-(x - edge) / width))
    wrong = rng.binomial(3000, p).astype(float)
    middle, slope = fit_edges(x, wrong, np.full_like(wrong, 3000.0))
    assert np.abs(middle - edge).max() < 0.01
    assert np.abs(slope / width - 1).max() < 0.25


def test_decoupling_undoes_the_pull_of_the_domain() -> None:
    info = open_board("twin://s9?seed=1").info
    wanted = np.random.default_rng(0).normal(size=189)
    c = 0.6
    change = decoupled(info, c, wanted)
    total = np.bincount(domains_of(info), weights=change)[domains_of(info)]
    assert np.allclose(change + c * total, wanted)


def test_masks_use_every_pair_of_lags_about_equally_and_know_no_future() -> None:
    mask = Mask.pairs(np.random.default_rng(1), 190, 20)
    pairs = {tuple(np.flatnonzero(row)) for row in mask.weights}
    assert len(pairs) == 190
    u = np.random.default_rng(2).uniform(-1, 1, 100)
    changed = u.copy()
    changed[60:] = 0.0
    assert np.array_equal(mask.drive(u)[:60], mask.drive(changed)[:60])
    assert np.abs(mask.drive(u)).max() <= mask.reach == 2.0
    assert Mask.pairs(np.random.default_rng(1), 9, 1).drive(u).shape == (100, 9)


def test_the_published_encoding_leaves_the_board_alone() -> None:
    info = open_board("twin://s9?seed=1").info
    encoder = Encoder(EncodingSettings(name="work", n_lags=1), info, None, np.array([-1.0, 0.0, 1.0]), 0)
    steps = [encoder.steps(t, ())[0] for t in range(3)]
    assert all(step.operating_point.frequency_mhz is None for step in steps)
    assert all(step.work.mode is WorkMode.HANDSHAKE for step in steps)
    assert len({step.work.extranonce2 for step in steps}) == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "frequncy"}, "must be one of chip-frequency"),
        ({"mode": "soliloquy"}, "must be one of constant"),
        ({"n_lags": 0}, "n_lags: 0, must be 1 to 1000"),
        ({"step_s": float("nan")}, "step seconds: nan"),
    ],
)
def test_a_wrong_encoding_is_named(change: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        EncodingSettings(**change)  # type: ignore[arg-type]


def test_a_board_with_one_clock_refuses_a_clock_a_chip() -> None:
    info = open_board("twin://lv06?seed=1").info
    with pytest.raises(UsageError, match="one clock or one counter for all chips; use 'frequency'"):
        Encoder(EncodingSettings(), info, None, np.zeros(1), 0)
    assert SPECS["lv06"].ticket_mask == 256
