"""The Thermodynamic Probability Filter at a desk, as kinds of tasks: its formulas, and a recording of shares."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from asic_reservoir.kinds import TaskContext, TaskKind, TaskOutcome
from asic_reservoir.report.files import write_report
from asic_reservoir.report.model import ReportData
from asic_reservoir.tpf.energy import PUBLISHED_K, PUBLISHED_N


class EnergyParams(BaseModel):
    """Settings of the formulas. A number means the decimal that it prints as, and what follows from it is exact."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    k: int = Field(default=PUBLISHED_K, ge=0, le=4096, description="Rounds before the decision, at most n.")
    n: int = Field(default=PUBLISHED_N, ge=1, le=4096, description="Rounds of a hash: 128 for mining, 64 as published.")
    keep: float = Field(default=0.05, ge=0, le=1, description="Continue probability.")
    recall: float = Field(default=0.05, ge=0, le=1, description="Share of the shares that go on.")
    joules_per_th: float = Field(
        default=98.0, gt=1e-12, le=1e12, description="Joules a 10^12 whole hashes; 98 is an Antminer S9."
    )
    difficulty: float = Field(default=256.0, gt=1e-12, le=1e18, description="Difficulty of a share.")

    @model_validator(mode="after")
    def _possible(self) -> EnergyParams:
        if self.k > self.n:
            raise ValueError(f"k: {self.k}, must be at most n = {self.n}")
        if self.k == 0 and self.keep == 0:
            raise ValueError("k: 0 with keep 0 spends nothing and finds nothing, one of them must be above 0")
        return self


class RecordingParams(BaseModel):
    """Settings of the evaluation of a recording."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    seed: int = Field(default=1, ge=0, le=2**31, description="Seed of the models.")


def energy(params: EnergyParams, context: TaskContext) -> TaskOutcome:
    """What a filter saves and what it brings, exactly; the board is not touched."""
    from asic_reservoir.tpf.reports import energy_report

    numbers = (params.keep, params.recall, params.joules_per_th, params.difficulty)
    report = energy_report(params.k, params.n, *(decimal_of(number) for number in numbers))
    context.progress(1, 1, "computed")
    return _outcome(report, context)


def recording(params: RecordingParams, context: TaskContext) -> TaskOutcome:
    """What the timing in a recording tells of a share's quality.

    Raises:
        UsageError: the board is none that plays a recording of shares.
        DataError: too few shares, or all on one side of the difficulty.
    """
    from asic_reservoir.tpf.board_reports import recorded_report
    from asic_reservoir.tpf.recorded import evaluate_recording, recording_of

    def progress(what: str, done: int, total: int) -> None:
        context.stop_if_cancelled()
        context.progress(done, total, what)

    shares = recording_of(context.board)
    found = evaluate_recording(shares, seed=params.seed, progress=progress)
    return _outcome(recorded_report(found, params.seed), context)


def decimal_of(number: float) -> str:
    """The decimal that a number prints as.

    >>> decimal_of(256.0), decimal_of(0.05)
    ('256', '0.05')
    """
    return str(number).removesuffix(".0")


def _outcome(report: ReportData, context: TaskContext) -> TaskOutcome:
    write_report(report, context.folder)
    return TaskOutcome(report.origin, report.to_dict(), {"verdict": report.verdict.label})


def kinds() -> list[TaskKind[Any]]:
    """The kinds, for the entry point."""
    return [
        TaskKind(
            name="tpf-energy",
            title="What a filter saves and brings",
            description="Rounds and shares a joule from k, n, keep rate and recall, exactly; the board is not asked.",
            params=EnergyParams,
            run=energy,
            example={"k": 5, "n": 64, "keep": 0.05, "recall": 0.05},
        ),
        TaskKind(
            name="tpf-recording",
            title="Does a recording's timing tell its shares?",
            description="On a board that plays a recording of shares, as replay://s9-shares: timing against quality.",
            params=RecordingParams,
            run=recording,
            example={"seed": 1},
        ),
    ]
