"""Thresholds and their promises, the miner that aborts, the account; no found share is ever withheld."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asic_reservoir.errors import AsicReservoirError, DataError, NotFoundError, UsageError
from asic_reservoir.tpf import energy
from asic_reservoir.tpf.accounting import BlockCounts, account
from asic_reservoir.tpf.compression import Job
from asic_reservoir.tpf.energy import Architecture, EnergyModel
from asic_reservoir.tpf.miner import mine
from asic_reservoir.tpf.policy import (
    CONTINUE_ALL,
    FilterPolicy,
    Rule,
    conformal_threshold,
    keep_rate_threshold,
    neyman_pearson_threshold,
)
from asic_reservoir.tpf.scoring import ScoreKind
from asic_reservoir.tpf.sha256 import trace_of, word7_of, zero_bits
from asic_reservoir.tpf.training import Trained, TrainSettings, field_test, train

SEQUENTIAL = EnergyModel(Architecture.SEQUENTIAL)


@pytest.fixture(scope="module")
def deciding() -> Trained:
    """A filter after round 61 of the second hash."""
    return train(TrainSettings(jobs=32, kind=ScoreKind.BYTES, bound=0.02))


@pytest.fixture(scope="module")
def early() -> Trained:
    """A filter after round 5 of the first hash, as published."""
    return train(TrainSettings(compression=0, round=5, jobs=32, kind=ScoreKind.BYTES, rule=Rule.KEEP_RATE, bound=0.1))


def test_conformal_promise_holds_on_average() -> None:
    rng = np.random.default_rng(0)
    missed = []
    for _ in range(800):
        scores = rng.normal(size=60)
        missed.append(scores[-1] < conformal_threshold(scores[:-1], 0.1))
    assert np.mean(missed) <= 0.1 + 3 * np.sqrt(0.09 / 800)


def test_neyman_pearson_promise_holds_with_its_confidence() -> None:
    """Scores uniform, so the miss rate is the threshold itself."""
    rng = np.random.default_rng(1)
    thresholds = [neyman_pearson_threshold(rng.random(200), 0.1, risk=0.1) for _ in range(800)]
    assert np.mean(np.array(thresholds) > 0.1) <= 0.1 + 3 * np.sqrt(0.09 / 800)
    assert np.mean(thresholds) > 0.04  # not so careful that it keeps everything


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=80), st.floats(0.01, 0.99))
def test_thresholds_are_scores_or_none(scores: list[float], miss: float) -> None:
    for threshold in (conformal_threshold(scores, miss), neyman_pearson_threshold(scores, miss)):
        assert threshold in scores or threshold == float("-inf")
    assert neyman_pearson_threshold(scores, miss) <= conformal_threshold(scores, miss) or miss > 0.5
    kept = np.mean(np.array(scores) >= keep_rate_threshold(scores, miss))
    assert kept >= miss - 1 / len(scores)


def test_rounds_are_counted_not_derived(deciding: Trained, early: Trained) -> None:
    job = Job.random(np.random.default_rng(3))
    for trained in (deciding, early):
        done = mine(job, np.arange(5000), 6, trained.policy)
        k = trained.policy.k
        assert done.rounds == k * done.n + (128 - k) * done.n_continued
        states = trace_of(job, np.arange(5000)).state(trained.policy.compression, trained.policy.round)
        assert np.array_equal(done.continued, trained.policy.keeps(states))


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**31), st.integers(1, 10), st.integers(-20000, 20000))
def test_no_found_share_is_withheld(deciding: Trained, seed: int, share_bits: int, threshold: int) -> None:
    """Found and missed are all shares there are; whatever was completed and good is found."""
    job = Job.random(np.random.default_rng(seed))
    nonces = np.arange(300, dtype=np.uint32)
    done = mine(job, nonces, share_bits, replace(deciding.policy, threshold=threshold))
    shares = nonces[zero_bits(word7_of(job, nonces)) >= share_bits]
    assert np.array_equal(np.sort(np.concatenate([done.found, done.missed])), shares)
    assert np.array_equal(done.found, shares[np.isin(shares, nonces[done.continued])])


def test_without_a_policy_everything_is_hashed() -> None:
    done = mine(Job.of(bytes(80)), np.arange(1000), 5)
    assert (done.rounds, done.n_continued, done.missed.size) == (128_000, 1000, 0)


def test_the_deciding_round_pays_and_an_early_one_does_not(deciding: Trained, early: Trained) -> None:
    blocks = field_test(deciding.policy, 12, 8)
    paid = account(blocks, deciding.policy.k, SEQUENTIAL)
    assert paid.gain.low > 1
    assert paid.gain.high < 128 / 125
    blocks = field_test(early.policy, 12, 8)
    lost = account(blocks, early.policy.k, SEQUENTIAL)
    assert lost.gain.low <= 1
    assert lost.gain.value < 1
    assert lost.savings > 0.7  # what would be published


def test_account_is_the_formula() -> None:
    blocks = [BlockCounts(1000, 50, 9, 11, 0)] * 10
    found = account(blocks, 5, SEQUENTIAL, 64)
    assert found.gain.value == pytest.approx(float(energy.gain(5, 64, "0.05", "0.45")))
    assert found.rounds_per_found.value == pytest.approx(float(energy.rounds_per_found(5, 64, "0.05", "0.45")))
    assert found.savings == pytest.approx(float(energy.savings(5, 64, "0.05")))
    assert found.break_even_recall == pytest.approx(float(energy.break_even_recall(5, 64, "0.05")))
    assert found.gain.low == found.gain.high  # equal blocks: nothing varies


def test_bootstrap_interval_covers() -> None:
    """Uninformative filter, gain 0.4025 by the formula; 200 accounts of 40 blocks."""
    rng = np.random.default_rng(2)
    truth = float(energy.gain(5, 64, "0.05", "0.05"))
    hits = 0
    for seed in range(200):
        blocks = []
        for _ in range(40):
            shares = rng.poisson(40)
            found = int(rng.binomial(shares, 0.05))
            blocks.append(BlockCounts(10_000, int(rng.binomial(10_000, 0.05)), found, shares - found, 0))
        gain = account(blocks, 5, SEQUENTIAL, 64, n_bootstrap=400, seed=seed).gain
        hits += gain.low <= truth <= gain.high
    assert 176 <= hits <= 200


def test_a_filter_is_saved_and_read_again(deciding: Trained, tmp_path: Path) -> None:
    deciding.policy.save(tmp_path)
    read = FilterPolicy.load(tmp_path)
    assert np.array_equal(read.score.table, deciding.policy.score.table)
    assert (read.score.low, read.score.shift) == (deciding.policy.score.low, deciding.policy.score.shift)
    one, other = (replace(policy, score=read.score) for policy in (read, deciding.policy))
    assert [getattr(one, f.name) for f in fields(one)] == [getattr(other, f.name) for f in fields(other)]


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_a_damaged_filter_is_a_typed_error_or_a_filter(
    deciding: Trained, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("filter")
    deciding.policy.save(folder)
    victim = folder / "filter.json"
    content = bytearray(victim.read_bytes())
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content)))]
    for _ in range(data.draw(st.integers(1, 4))):
        if content:
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    victim.write_bytes(bytes(content))
    with suppress(AsicReservoirError):
        assert FilterPolicy.load(folder).k <= 128


def test_no_filter_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no filter\.json, make one with"):
        FilterPolicy.load(tmp_path)


def test_too_few_shares_for_a_promise_keep_everything() -> None:
    assert neyman_pearson_threshold([1.0, 2.0], 0.01) == float("-inf")
    assert CONTINUE_ALL < -(2**30)


@pytest.mark.parametrize(
    ("call", "error", "named"),
    [
        (lambda: conformal_threshold([], 0.1), DataError, "share_scores: empty"),
        (lambda: conformal_threshold([float("nan")], 0.1), DataError, "share_scores: empty or not finite"),
        (lambda: conformal_threshold([1.0], 0.0), UsageError, "miss: 0.0"),
        (lambda: neyman_pearson_threshold([1.0], 0.1, 1.0), UsageError, "risk: 1.0"),
        (lambda: keep_rate_threshold([1.0], 0.0), UsageError, "keep_rate: 0.0"),
        (lambda: mine(Job.of(bytes(80)), [0], 0), UsageError, "share_bits: 0"),
        (lambda: TrainSettings(round=0), UsageError, "round: 0"),
        (lambda: TrainSettings(compression=2), UsageError, "compression: 2"),
        (lambda: TrainSettings(zero_bits=20), UsageError, "zero_bits: 20"),
        (lambda: train(TrainSettings(jobs=8, zero_bits=16)), DataError, "learn part: "),
        (lambda: account([], 5, SEQUENTIAL), DataError, "blocks: none"),
        (lambda: account([BlockCounts(10, 1, 0, 0, 0)], 5, SEQUENTIAL), DataError, "blocks: 0 shares in 10"),
        (lambda: BlockCounts(1, 2, 0, 0, 0), DataError, "block BlockCounts"),
    ],
)
def test_bad_input_is_named(call: object, error: type[Exception], named: str) -> None:
    with pytest.raises(error, match=f"^{named}"):
        call()  # type: ignore[operator]
