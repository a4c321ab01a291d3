"""Leak detectors: each finds what it is for, and clean data pass."""

from __future__ import annotations

import numpy as np
import pytest

from asic_reservoir.errors import DataError
from asic_reservoir.tpf.compression import Job
from asic_reservoir.tpf.detectors import Dataset, Split, detect, split_by_time
from asic_reservoir.tpf.leak_scores import keep
from asic_reservoir.tpf.predictors import (
    PUBLISHED_LAYERS,
    PredictorName,
    StateBits,
    count_parameters,
    evaluate,
    make_predictor,
)
from asic_reservoir.tpf.sha256 import Kernel, trace_of

N = 600


def noise(seed: int = 0, columns: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(N, columns))


def labels(seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).random(N) < 0.3


def found(data: Dataset, split: Split | None = None) -> set[str]:
    return {finding.detector for finding in detect(data, split or split_by_time(data))}


def test_clean_data_pass() -> None:
    assert all(
        not found(Dataset.of(noise(seed), labels(seed + 50), groups=np.arange(N) // 3, blocks=np.arange(N) // 100))
        for seed in range(20)
    )


def test_constant_feature() -> None:
    x = noise()
    x[:, 1] = 7.5
    assert found(Dataset.of(x, labels())) == {"constant feature"}


@pytest.mark.parametrize("kind", ["threshold", "reversed", "interval", "values"])
def test_label_is_a_function_of_a_feature(kind: str) -> None:
    x, y = noise(), labels()
    rng = np.random.default_rng(2)
    if kind == "threshold":
        y = x[:, 1] > 0.2
    elif kind == "reversed":
        y = x[:, 1] < -0.2
    elif kind == "interval":
        y = np.abs(x[:, 1]) < 0.4
    else:
        x[:, 1] = rng.integers(0, 9, N)
        y = np.isin(x[:, 1], (1, 4, 6))
    assert found(Dataset.of(x, y)) == {"label is a function of a feature"}


def test_label_confounded_with_block() -> None:
    blocks = np.arange(N) // 60
    y = (blocks % 2 == 0) ^ (np.random.default_rng(0).random(N) < 0.02)
    assert found(Dataset.of(noise(), y, blocks=blocks)) == {"label confounded with acquisition block"}


def test_group_on_both_sides_and_order_of_time() -> None:
    data = Dataset.of(noise(), labels(), groups=np.arange(N) // 4)
    shuffled = np.random.default_rng(0).permutation(N)
    assert found(data, Split(shuffled[:400], shuffled[400:])) == {"group on both sides", "order of time"}


def test_split_by_time_tears_no_group() -> None:
    data = Dataset.of(noise(), labels(), groups=np.arange(N) // 7)
    split = split_by_time(data)
    assert not np.intersect1d(data.groups[split.train], data.groups[split.test]).size
    assert split.train.max() < split.test.min()


def test_repeated_rows() -> None:
    x = noise()
    x[-5:] = x[:5]
    assert found(Dataset.of(x, labels())) == {"repeated rows"}


@pytest.mark.parametrize("part", ["test", "all"])
def test_standardized_on_test_data(part: str) -> None:
    x = noise()
    data = Dataset.of(x, labels())
    rows = split_by_time(data).test if part == "test" else np.arange(N)
    x[:, 0] = (x[:, 0] - x[rows, 0].mean()) / x[rows, 0].std()
    assert found(Dataset.of(x, labels())) == {"standardized on test data"}


def test_a_score_that_trips_a_detector_is_not_shown() -> None:
    x = noise()
    data = Dataset.of(x, x[:, 0] > 0)
    result = evaluate("lda", make_predictor(PredictorName.LDA), data, split_by_time(data))
    assert result.refused
    assert result.auc is None
    assert "label is a function of a feature" in result.sentence()


def test_parameters_of_the_published_network() -> None:
    assert count_parameters(PUBLISHED_LAYERS) == 246
    assert count_parameters((3, 16, 8, 4, 1)) == 241


@pytest.mark.parametrize(
    "name",
    [
        PredictorName.LDA,
        PredictorName.LOGISTIC,
        pytest.param(PredictorName.BOOSTING, marks=pytest.mark.slow),
        pytest.param(PredictorName.MLP, marks=pytest.mark.slow),
    ],
)
def test_predictors_find_what_is_there(name: PredictorName) -> None:
    """The state after round 61 holds the deciding word; as many shares as others, a job to learn from, one to judge."""
    states, truth = [], []
    for seed in range(2):
        job = Job.random(np.random.default_rng(seed))
        kept = keep(job, np.arange(1 << 18, dtype=np.uint32), 8, 256, Kernel.AUTO)
        states.append(trace_of(job, kept.nonces).state(1, 61))
        truth.append(kept.bits >= 8)
    bits = StateBits().fit_transform(np.concatenate(states))
    groups = np.repeat([0, 1], [truth[0].size, truth[1].size])
    data = Dataset.of(bits, np.concatenate(truth), groups=groups)
    result = evaluate(name.value, make_predictor(name), data, split_by_time(data, truth[1].size / groups.size))
    assert result.auc is not None
    assert result.auc.value > 0.95


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: Dataset.of(noise(), np.ones(N)), "labels: all 1"),
        (lambda: Dataset.of([[np.nan]] * N, labels()), "features: nan in row 0, column 0"),
        (lambda: Dataset.of(noise(), labels(), time=np.zeros(3)), "time: shape"),
        (lambda: Dataset.of(noise(), labels(), time=-np.arange(N)), "time: not finite or running back"),
        (lambda: Dataset.of(noise(), labels(), names=["a"]), "names: 1, must be 3"),
        (lambda: split_by_time(Dataset.of(noise(), np.arange(N) < 5)), "test part: "),
        (lambda: split_by_time(Dataset.of(noise(), labels()), 1.0), "test_share: 1.0"),
        (lambda: StateBits().fit(np.zeros((2, 7), np.uint32)), "states: shape"),
        (lambda: StateBits().fit(np.full((2, 8), -1)), "states: a value"),
    ],
)
def test_bad_data_are_named(call: object, named: str) -> None:
    with pytest.raises(DataError, match=f"^{named}"):
        call()  # type: ignore[operator]
