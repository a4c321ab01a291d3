"""A rhythm that is there is found; what is not one is not."""

from __future__ import annotations

import numpy as np
import pytest
from boards_with_effects import BeatingBoard
from hypothesis import given, settings
from hypothesis import strategies as st

from asic_reservoir.board import ChipCounts, NonceBatch, NonceFlag, Origin
from asic_reservoir.claim_trials import rhythm
from asic_reservoir.errors import DataError
from asic_reservoir.inspection import Stream, watch
from asic_reservoir.registry import open_board


def stream_of(times_s: np.ndarray) -> Stream:
    times = np.sort(np.round(times_s * 1e9).astype(np.int64))
    batch = NonceBatch.from_columns(time_ns=times, flags=np.full(times.size, int(NonceFlag.VALID), np.uint8))
    duration = float(times[-1]) * 1e-9
    return Stream(Origin.SIMULATED, "test", "sha256d", batch, duration, 1, 1, ChipCounts.of(batch, 1))


def poisson(n: int, seconds: float, seed: int = 1) -> np.ndarray:
    return np.sort(np.random.default_rng(seed).uniform(0, seconds, n))


@pytest.mark.slow
def test_a_board_that_beats_supports_the_claim_and_its_twin_does_not() -> None:
    with open_board("twin://bm1366?seed=1") as board:
        quiet = rhythm.judge(watch(board, 40.0))
    with BeatingBoard(open_board("twin://bm1366?seed=1")) as board:
        beating = rhythm.judge(watch(board, 40.0))
    assert quiet.label == "not supported", quiet.sentence
    assert beating.label == "supported", beating.sentence
    assert "2.40 Hz" in beating.sentence
    assert beating.effect is not None
    assert beating.effect.low < 0.5 < beating.effect.high
    kept = beating.kept()
    assert kept.claim == "heartbeat"
    assert all(control["passed"] for control in kept.measured["control"].values())


def test_a_link_that_batches_decides_nothing() -> None:
    times = np.ceil(poisson(4000, 40.0) / 0.2) * 0.2
    found = rhythm.judge(stream_of(times))
    assert found.label == "undecided"
    assert "batches" in found.sentence
    slow = np.ceil(poisson(300, 600.0) / 0.2) * 0.2  # hardly two in one read: seen by the grid of the stamps
    assert rhythm.batched(np.unique(slow))


def test_gaps_with_dead_time_are_no_rhythm_and_no_refutation() -> None:
    gaps = 0.02 + np.random.default_rng(3).exponential(0.05, 1500)
    found = rhythm.judge(stream_of(np.cumsum(gaps)))
    assert found.label == "undecided"
    assert "depart" in found.sentence


def test_too_few_arrivals_say_how_long_to_watch() -> None:
    found = rhythm.judge(stream_of(poisson(50, 30.0)))
    assert found.label == "undecided"
    assert "watch for" in found.sentence
    with pytest.raises(DataError, match="one by one"):
        rhythm.judge(stream_of(poisson(2, 1.0)).__class__(Origin.SIMULATED, "b", "sha256d", NonceBatch.empty(), 1, 1, 1,
                     ChipCounts.of(NonceBatch.empty(), 1)))  # fmt: skip


@settings(max_examples=25)
@given(st.floats(0.1, 0.9), st.floats(0.6, 9.0), st.integers(0, 100))
def test_the_planted_depth_lies_in_its_interval(depth: float, frequency: float, seed: int) -> None:
    """The interval has 95 %: five standard deviations of the estimate are far beyond it, and hold for every draw."""
    times = rhythm.plant_line(poisson(4_000, 100.0, seed), frequency, depth, seed)
    effect = rhythm.depth_at(times, frequency, 1.0)
    assert effect.low <= effect.value <= effect.high
    assert abs(effect.value - depth) < 5 * np.sqrt(2 / times.size) + 0.01


def test_independent_shifts_hide_the_grain_of_a_usb_link() -> None:
    found = rhythm.judge(stream_of(np.ceil(poisson(4000, 40.0) / 1e-3) * 1e-3))
    assert found.label == "not supported", found.sentence
