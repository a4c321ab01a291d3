"""From counts to the leakage curve: estimates with intervals, the criteria that were set before, and a verdict."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from asic_reservoir.errors import DataError
from asic_reservoir.tpf.information import (
    Auc,
    GuessingAdvantage,
    Histogram,
    MutualInformation,
    auc,
    guessing_advantage,
    mutual_information,
    smallest_auc_seen,
)
from asic_reservoir.tpf.leak_scores import COMPRESSIONS, CONTROL_ROUNDS, TAPPED_ROUNDS
from asic_reservoir.tpf.leakage import LeakCounts
from asic_reservoir.tpf.scoring import ScoreKind

LAST_BLIND_ROUND = 60
"""Last round of the second hash after which nothing was found; e after the next decides the share."""
TOLERANCE = 0.002
"""Largest |AUC - 0.5| of a blind round, set before the run."""
KNOWN = 0.999
"""Least AUC from round 61 of the second hash on."""
CONTROL_KNOWN = 0.99
N_PERMUTATIONS = 199


class Label(StrEnum):
    """Words of a verdict."""

    SUPPORTED = "supported"
    NOT_SUPPORTED = "not supported"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """One score after one round."""

    zero_bits: int
    kind: ScoreKind
    compression: int
    """0: first hash, second block; 1: second hash."""
    round: int
    auc: Auc
    information: MutualInformation
    """Bits at the true rate of the target, 2^-zero_bits."""
    advantage: GuessingAdvantage | None
    """At even odds; the rule learnt on the jobs of even number, judged on the others. ``None`` with less than two."""

    @property
    def blind(self) -> bool:
        """Whether it lies before the round that decides the share."""
        return self.compression == 0 or self.round <= LAST_BLIND_ROUND


@dataclass(frozen=True, slots=True)
class ControlPoint:
    """The positive control: second hash cut to ``last`` rounds, state after ``round``."""

    last: int
    round: int
    auc: Auc


@dataclass(frozen=True, slots=True)
class Criterion:
    """Something that was asked for before the run, and what came."""

    name: str
    passed: bool
    sentence: str


@dataclass(frozen=True, slots=True)
class LeakVerdict:
    """On the published claim that an early round tells a hash's fate."""

    label: Label
    sentence: str
    criteria: tuple[Criterion, ...]


@dataclass(frozen=True, slots=True)
class LeakResult:
    """The curve, the control and what follows."""

    headers_evaluated: int
    headers_asked: int
    headers_tapped: int
    seconds: float
    cpu_seconds: float
    points: tuple[CurvePoint, ...]
    control: tuple[ControlPoint, ...]
    smallest_auc: dict[int, float]
    """By target: the AUC of one round that this run finds with 80 % power, corrected for the rounds."""
    verdict: LeakVerdict

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


def result_of(counts: LeakCounts) -> LeakResult:
    """Estimate everything from the counts.

    Raises:
        DataError: nothing was counted yet, or a class of a target is empty.
    """
    if counts.jobs_done == 0:
        raise DataError("counts: 0 headers evaluated, must be at least one job")
    points = []
    both = counts.bins.sum(axis=0)
    for index, (zero_bits, kind) in enumerate(counts.configurations):
        for row, (compression, r) in enumerate(zip(COMPRESSIONS, TAPPED_ROUNDS, strict=True)):
            histogram = Histogram(both[index, row, 1], both[index, row, 0])
            advantage = None
            if counts.bins[:, index, row].sum(axis=2).all():
                even, odd = (Histogram(half[index, row, 1], half[index, row, 0]) for half in counts.bins)
                advantage = guessing_advantage(even, odd)
            points.append(
                CurvePoint(
                    zero_bits,
                    kind,
                    int(compression),
                    int(r),
                    auc(histogram),
                    mutual_information(histogram, 2.0**-zero_bits, N_PERMUTATIONS, seed=row),
                    advantage,
                )
            )
    control = _control_points(counts)
    n_blind = sum(point.blind for point in points) // len(counts.configurations)
    smallest = {
        zero_bits: smallest_auc_seen(point.auc.n_positive, point.auc.n_negative, n_blind)
        for zero_bits in counts.settings.zero_bits
        for point in points
        if point.zero_bits == zero_bits
    }
    verdict = _verdict(counts, points, control, smallest)
    return LeakResult(
        counts.headers_evaluated,
        counts.settings.headers,
        counts.headers_tapped,
        round(counts.seconds, 1),
        round(counts.cpu_seconds, 1),
        tuple(points),
        tuple(control),
        smallest,
        verdict,
    )


def _control_points(counts: LeakCounts) -> list[ControlPoint]:
    if counts.control is None:
        return []
    return [
        ControlPoint(last, r, auc(Histogram(counts.control[index, r - 1, 1], counts.control[index, r - 1, 0])))
        for index, last in enumerate(CONTROL_ROUNDS)
        for r in range(1, last + 1)
    ]


def _verdict(
    counts: LeakCounts, points: list[CurvePoint], control: list[ControlPoint], smallest: dict[int, float]
) -> LeakVerdict:
    common = min(counts.settings.zero_bits)
    blind = [point for point in points if point.blind]
    known = [point for point in points if not point.blind]
    criteria = [_blind_criterion(blind, common), _deciding_criterion(counts, known), _chance_criterion(blind)]
    if control:
        criteria += _control_criteria(control)
    done = counts.headers_evaluated >= counts.settings.headers
    trusted = bool(control) and all(criterion.passed for criterion in criteria[3:]) and criteria[1].passed
    headers = f"{counts.headers_evaluated:,} headers"
    if not trusted:
        what = "the positive control was left out" if not control else "the harness did not find what must be there"
        return LeakVerdict(Label.UNDECIDED, f"Undecided: {what}, so not finding a leak means nothing.", tuple(criteria))
    if not criteria[2].passed:
        worst = max(blind, key=lambda point: abs(point.auc.value - 0.5) / max(point.auc.standard_error, 1e-300))
        where = f"round {worst.round} of the {'first' if worst.compression == 0 else 'second'} hash"
        sentence = f"Supported: the state after {where} tells of the hash's fate, AUC {worst.auc.value:.5f}."
        return LeakVerdict(Label.SUPPORTED, sentence, tuple(criteria))
    sentence = (
        f"Not supported: over {headers}{'' if done else ' (the run is not finished)'}, no efficient predictor of this "
        f"family was found before round {LAST_BLIND_ROUND + 1} of the second hash; a single round with AUC "
        f"{smallest[common]:.5f} or more would have been seen with 80 % power. After round {LAST_BLIND_ROUND + 1} the "
        "share is decided, 3 rounds of 128 before the end."
    )
    return LeakVerdict(Label.NOT_SUPPORTED, sentence, tuple(criteria))


def _blind_criterion(blind: list[CurvePoint], common: int) -> Criterion:
    worst = max((p for p in blind if p.zero_bits == common), key=lambda point: abs(point.auc.value - 0.5))
    off = abs(worst.auc.value - 0.5)
    return Criterion(
        "blind rounds",
        off <= TOLERANCE,
        f"|AUC - 0.5| of every round of the first hash and rounds 1 to {LAST_BLIND_ROUND} of the second, target "
        f"{common} zero bits: at most {off:.5f}, asked for at most {TOLERANCE}.",
    )


def _deciding_criterion(counts: LeakCounts, known: list[CurvePoint]) -> Criterion:
    best = {
        (b, r): max(p.auc.value for p in known if p.zero_bits == b and p.round == r)
        for b in counts.settings.zero_bits
        for r in {p.round for p in known}
    }
    least = min(best.values())
    return Criterion(
        "deciding round",
        least >= KNOWN,
        f"AUC of the better score from round {LAST_BLIND_ROUND + 1} of the second hash on: at least {least:.6f} "
        f"for every target, asked for at least {KNOWN}.",
    )


def _chance_criterion(blind: list[CurvePoint]) -> Criterion:
    p_values = [point.auc.p_value() for point in blind]
    corrected = min(1.0, min(p_values) * len(p_values))
    return Criterion(
        "chance",
        corrected >= 0.05,
        f"Smallest p of {len(p_values)} blind scores, corrected for their number: {corrected:.3f}, "
        "nothing found where at least 0.05.",
    )


def _control_criteria(control: list[ControlPoint]) -> list[Criterion]:
    known = min(point.auc.value for point in control if point.round >= point.last - 3)
    before = [point for point in control if point.round < point.last - 3]
    p_value = min(1.0, min(point.auc.p_value() for point in before) * len(before))
    worst = max(abs(point.auc.value - 0.5) for point in before)
    return [
        Criterion(
            "control: predictable from R - 3",
            known >= CONTROL_KNOWN,
            f"Second hash cut to R = {CONTROL_ROUNDS[0]} to {CONTROL_ROUNDS[-1]} rounds: AUC from round R - 3 on "
            f"at least {known:.5f}, asked for at least {CONTROL_KNOWN}.",
        ),
        Criterion(
            "control: blind before R - 3",
            p_value >= 0.001,
            f"Before round R - 3: |AUC - 0.5| at most {worst:.4f}, smallest p corrected for {len(before)} scores "
            f"{p_value:.3f}, asked for at least 0.001.",
        ),
    ]
