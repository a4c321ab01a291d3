"""What every trial of a claim gives: an effect with its interval, controls, a verdict, and the report of all that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from asic_reservoir.board import BoardInfo
from asic_reservoir.kept import KeptClaim
from asic_reservoir.kinds import TaskContext, TaskOutcome
from asic_reservoir.provenance import collect
from asic_reservoir.report.files import write_report
from asic_reservoir.report.model import Check, Figure, ReportData, Scalar, Table, Verdict

Label = Literal["supported", "not supported", "undecided"]
LEVEL = 0.05
"""Error probability of every test of a trial, corrected for the places that it looks at."""
QUIET_DRAWS, MOST_LOUD = 20, 1
"""Draws of the null that go through the same test, and how many of them may show the effect."""


@dataclass(frozen=True, slots=True)
class Effect:
    """What was measured, with its 95 % interval, beside what it is where the claim does not hold."""

    name: str
    value: float
    low: float
    high: float
    null: float


@dataclass(frozen=True, slots=True)
class Finding:
    """What a trial says of a claim."""

    claim: str
    label: Label
    sentence: str
    effect: Effect | None
    """None: there was too little to measure it."""
    checks: tuple[Check, ...]
    """The controls. One that failed leaves the verdict undecided."""
    title: str
    summary: str
    figures: Sequence[Figure] = ()
    tables: Sequence[Table] = ()
    notes: Sequence[str] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Further numbers, kept with the claim."""

    def kept(self) -> KeptClaim:
        """As it is looked up later."""
        effect = self.effect and {
            "name": self.effect.name,
            "value": self.effect.value,
            "low": self.effect.low,
            "high": self.effect.high,
            "null": self.effect.null,
        }
        control = {check.name: {"passed": check.passed, "sentence": check.sentence} for check in self.checks}
        measured = {"sentence": self.sentence, "effect": effect, "control": control, **self.facts}
        return KeptClaim(claim=self.claim, measured=measured, verdict=self.label)


def label_of(*, controls: bool, shown: bool, excluded: bool) -> Label:
    """The rule of every trial.

    Args:
        controls: the planted effect was found, draws of the null showed none, nothing on the way explains it.
        shown: the effect was found, and found again in data that had no part in finding it.
        excluded: the effect was not found by a test that would have found it.

    >>> label_of(controls=False, shown=True, excluded=False)
    'undecided'
    """
    if not controls or shown == excluded:
        return "undecided"
    return "supported" if shown else "not supported"


def outcome_of(
    finding: Finding, info: BoardInfo, kind: str, settings: Mapping[str, Scalar], seed: int, context: TaskContext
) -> TaskOutcome:
    """The finding as the outcome of a task, its report written into the folder of the task."""
    flat = dict(settings)
    report = ReportData(
        origin=info.origin,
        board=info.uri,
        task=kind,
        title=finding.title,
        summary=finding.summary,
        rows=[],
        verdict=Verdict(label=finding.label, sentence=finding.sentence, checks=list(finding.checks)),
        settings=flat,
        figures=list(finding.figures),
        tables=list(finding.tables),
        notes=list(finding.notes),
        provenance=collect(seeds=[seed], settings=flat),
    )
    write_report(report, context.folder)
    summary: dict[str, float | int | str] = {"verdict": finding.label}
    if finding.effect is not None:
        summary[finding.effect.name] = finding.effect.value
    return TaskOutcome(info.origin, report.to_dict(), summary, (finding.kept(),))
