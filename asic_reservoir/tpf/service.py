"""The Thermodynamic Probability Filter as kinds of tasks: the leakage curve, and the timing of a board."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from asic_reservoir.claim_verdicts import of_leak
from asic_reservoir.kept import Kept
from asic_reservoir.kinds import Cancelled, TaskContext, TaskKind, TaskOutcome
from asic_reservoir.report.files import write_report
from asic_reservoir.report.model import ReportData

JOB_HEADERS = 1 << 22


class LeakParams(BaseModel):
    """Settings of a leakage curve."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    headers: int = Field(default=2**25, ge=1, le=10**10, description="Headers to hash, rounded up to whole jobs.")
    train_jobs: int = Field(default=4, ge=1, le=64, description="Jobs of 4,194,304 headers for learning only.")
    control_headers: int = Field(default=2**20, ge=0, le=2**26, description="Headers of the positive control.")
    seed: int = Field(default=1, ge=0, le=2**31, description="Seed of the jobs.")


class WindowParams(BaseModel):
    """Settings of a test of a board's timing."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    windows: int = Field(default=1200, ge=100, le=100_000, description="Windows: jobs of fixed length.")
    window_seconds: float | None = Field(
        default=None, gt=0, le=3600, description="Length of a window in s; fitted to the board's rate if none."
    )
    plant: float = Field(default=0.0, ge=0, lt=1, description="Plant a leak of this size into what was answered.")
    seed: int = Field(default=1, ge=0, le=2**31, description="Seed of the models.")


def leak(params: LeakParams, context: TaskContext) -> TaskOutcome:
    """The leakage curve of SHA-256 with its positive control; the board is not touched."""
    from asic_reservoir.tpf.curve import result_of
    from asic_reservoir.tpf.leak_report import leak_report
    from asic_reservoir.tpf.leakage import LeakSettings, run_leakage

    settings = LeakSettings(
        headers=params.headers,
        headers_per_job=JOB_HEADERS,
        train_jobs=params.train_jobs,
        control_headers=params.control_headers,
        seed=params.seed,
    )
    counts = run_leakage(
        context.folder / "counts",
        settings,
        progress=lambda what, done, total: context.progress(done, total, what),
        stop=context.cancelled,
    )
    context.stop_if_cancelled()
    report = leak_report(result_of(counts), settings)
    claim = of_leak(report)
    return _outcome(report, context, () if claim is None else (claim,))


def windows(params: WindowParams, context: TaskContext) -> TaskOutcome:
    """What the timing of a board tells of the shares to come, and whether acting on it pays.

    Raises:
        DataError: the board gives no nonces of real headers.
    """
    from asic_reservoir.registry import open_board
    from asic_reservoir.tpf.board_windows import WindowSettings, collect, judge, window_for
    from asic_reservoir.tpf.reports import windows_report

    with open_board(context.board) as board:
        length_s = params.window_seconds or window_for(board, 5, 64)
        settings = WindowSettings(windows=params.windows, window_s=length_s, plant=params.plant, seed=params.seed)
        seen = collect(
            board,
            settings,
            lambda what, done, total: context.progress(done, total, what),
            context.folder / "windows",
            context.cancelled,
        )
    if seen is None:
        raise Cancelled
    return _outcome(windows_report(judge(seen, settings)), context)


def _outcome(report: ReportData, context: TaskContext, facts: tuple[Kept, ...] = ()) -> TaskOutcome:
    write_report(report, context.folder)
    return TaskOutcome(report.origin, report.to_dict(), {"verdict": report.verdict.label}, facts)


def kinds() -> list[TaskKind[Any]]:
    """The kinds, for the entry point."""
    return [
        TaskKind(
            name="tpf-leak",
            title="Leakage curve of SHA-256",
            description="What the state after each round tells of a hash's fate, with a positive control.",
            params=LeakParams,
            run=leak,
            example={"headers": JOB_HEADERS, "train_jobs": 1, "control_headers": 2**16},
        ),
        TaskKind(
            name="tpf-windows",
            title="Does a board's timing tell its shares?",
            description="Windows of jobs on the board: timing and temperature against the shares that follow.",
            params=WindowParams,
            run=windows,
            example={"windows": 200},
        ),
    ]
