"""Make a filter for one round, and judge it by a miner that really aborts.

Jobs are used in order: the first half to learn, the next quarter to choose the threshold, the last to compare
predictors. The miner then runs on jobs of a stream of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asic_reservoir.errors import DataError, UsageError
from asic_reservoir.tpf.accounting import BlockCounts
from asic_reservoir.tpf.compression import check_round
from asic_reservoir.tpf.detectors import Dataset, Split
from asic_reservoir.tpf.information import Auc, auc, histogram_of
from asic_reservoir.tpf.leak_scores import job_of, keep
from asic_reservoir.tpf.miner import mine
from asic_reservoir.tpf.policy import (
    CONTINUE_ALL,
    FilterPolicy,
    Rule,
    conformal_threshold,
    keep_rate_threshold,
    neyman_pearson_threshold,
)
from asic_reservoir.tpf.predictors import Evaluation, PredictorName, evaluate, make_predictor
from asic_reservoir.tpf.scoring import Background, ScoreKind, bits_of
from asic_reservoir.tpf.sha256 import Kernel, trace_of

_TRAIN_STREAM, _MINE_STREAM = 10, 11
HEADERS_PER_JOB = 1 << 16
_STRIDE = 64
_ROWS_PER_CLASS = 3000
"""Rows of a class that the general predictors get in each part; they take minutes where a table takes none."""

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """What filter to make."""

    compression: int = 1
    round: int = 61
    zero_bits: int = 8
    kind: ScoreKind = ScoreKind.LINEAR
    jobs: int = 64
    rule: Rule = Rule.NEYMAN_PEARSON
    bound: float = 0.01
    predictors: tuple[PredictorName, ...] = ()
    """General predictors to compare with, on the bits of the same states."""
    seed: int = 1

    def __post_init__(self) -> None:
        check_round(self.compression, self.round)
        if self.round == 0:
            raise UsageError("round: 0, must be from 1 to 64: nothing has been computed before the first")
        if not 1 <= self.zero_bits <= 16:
            raise UsageError(
                f"zero_bits: {self.zero_bits}, must be from 1 to 16: rarer shares are too few to learn from"
            )
        if not 8 <= self.jobs <= 1 << 16:
            raise UsageError(f"jobs: {self.jobs}, must be from 8 to {1 << 16}")
        if not 0 < self.bound < 1:
            raise UsageError(f"bound: {self.bound}, must be between 0 and 1")


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """A filter, and what the last quarter of the jobs says of it and of other predictors."""

    policy: FilterPolicy
    auc: Auc
    keep_rate: float
    recall: float
    others: tuple[Evaluation, ...]
    n_headers: int


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    states: NDArray[np.uint32]
    positive: NDArray[np.bool_]
    job: NDArray[np.int64]

    def part(self, rows: NDArray[np.bool_]) -> _Rows:
        return _Rows(self.states[rows], self.positive[rows], self.job[rows])


def train(settings: TrainSettings, progress: Progress = lambda what, done, total: None) -> Trained:
    """Learn a score, choose its threshold, compare predictors.

    Raises:
        DataError: too few shares in a part.
    """
    rows = _collect(settings, progress)
    learn = rows.part(rows.job < settings.jobs // 2)
    choose = rows.part((rows.job >= settings.jobs // 2) & (rows.job < 3 * settings.jobs // 4))
    test = rows.part(rows.job >= 3 * settings.jobs // 4)
    for name, part in (("learn", learn), ("choose", choose), ("test", test)):
        if part.positive.sum() < 10:
            raise DataError(
                f"{name} part: {int(part.positive.sum())} shares, must be at least 10: more jobs or fewer bits"
            )
    score = Background(learn.states[~learn.positive]).score(settings.kind, learn.states[learn.positive])
    sums = score.sums(choose.states)
    if settings.rule is Rule.KEEP_RATE:
        threshold = keep_rate_threshold(sums[~choose.positive], settings.bound)
    elif settings.rule is Rule.CONFORMAL:
        threshold = conformal_threshold(sums[choose.positive], settings.bound)
    else:
        threshold = neyman_pearson_threshold(sums[choose.positive], settings.bound)
    policy = FilterPolicy(
        score,
        settings.kind,
        settings.compression,
        settings.round,
        int(threshold) if np.isfinite(threshold) else CONTINUE_ALL,
        settings.rule,
        settings.bound,
        settings.zero_bits,
    )
    kept = policy.keeps(test.states)
    return Trained(
        policy,
        auc(histogram_of(score.sums(test.states), test.positive)),
        float(kept[~test.positive].mean()),
        float(kept[test.positive].mean()),
        tuple(_compare(settings, learn, test, progress)),
        settings.jobs * HEADERS_PER_JOB,
    )


def _collect(settings: TrainSettings, progress: Progress) -> _Rows:
    nonces = np.arange(HEADERS_PER_JOB, dtype=np.uint32)
    states, positive, number = [], [], []
    for index in range(settings.jobs):
        job = job_of(settings.seed, _TRAIN_STREAM, index)
        kept = keep(job, nonces, settings.zero_bits, _STRIDE, Kernel.AUTO)
        states.append(trace_of(job, kept.nonces).state(settings.compression, settings.round))
        positive.append(kept.bits >= settings.zero_bits)
        number.append(np.full(kept.nonces.size, index, np.int64))
        progress("train: jobs hashed", index + 1, settings.jobs)
    return _Rows(np.concatenate(states), np.concatenate(positive), np.concatenate(number))


def _compare(settings: TrainSettings, learn: _Rows, test: _Rows, progress: Progress) -> list[Evaluation]:
    if not settings.predictors:
        return []
    parts = [_balanced(learn), _balanced(test)]
    names = [f"{word}{bit}" for word in "abcdefgh" for bit in range(32)]
    job = np.concatenate([part.job for part in parts])
    data = Dataset.of(
        np.concatenate([bits_of(part.states) for part in parts]),
        np.concatenate([part.positive for part in parts]),
        groups=job,
        time=job.astype(np.float64),
        names=names,
    ).varying()
    n_learn = parts[0].job.size
    split = Split(np.arange(n_learn), np.arange(n_learn, len(data)))
    results = []
    for index, name in enumerate(settings.predictors):
        results.append(evaluate(name.value, make_predictor(name, settings.seed), data, split, settings.seed))
        progress("train: predictors", index + 1, len(settings.predictors))
    return results


def _balanced(rows: _Rows) -> _Rows:
    n = min(_ROWS_PER_CLASS, int(rows.positive.sum()), int((~rows.positive).sum()))
    chosen = np.zeros(rows.positive.size, np.bool_)
    for truth in (True, False):
        of_class = np.flatnonzero(rows.positive == truth)
        chosen[of_class[np.linspace(0, of_class.size - 1, n).astype(np.int64)]] = True
    return rows.part(chosen)


def field_test(
    policy: FilterPolicy | None,
    jobs: int,
    share_bits: int,
    seed: int = 1,
    headers_per_job: int = HEADERS_PER_JOB,
    progress: Progress = lambda what, done, total: None,
) -> list[BlockCounts]:
    """Mine ``jobs`` jobs with the filter, one block a job; shares among the aborted are counted by an audit.

    Raises:
        UsageError: no job.
    """
    if jobs < 1:
        raise UsageError(f"jobs: {jobs}, must be at least 1")
    blocks = []
    nonces = np.arange(headers_per_job, dtype=np.uint32)
    for index in range(jobs):
        done = mine(job_of(seed, _MINE_STREAM, index), nonces, share_bits, policy)
        blocks.append(BlockCounts(done.n, done.n_continued, int(done.found.size), int(done.missed.size), done.rounds))
        progress("mine: jobs", index + 1, jobs)
    return blocks
