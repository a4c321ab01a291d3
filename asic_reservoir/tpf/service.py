"""The Thermodynamic Probability Filter as kinds of tasks: the leakage curve, and the timing of a board."""

from __future__ import annotations

from typing import Any, Literal

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
    controls: bool = Field(default=True, description="Judge the claim: planted leak, labels shifted in time.")
    seed: int = Field(default=1, ge=0, le=2**31, description="Seed of the models.")


class FilterParams(BaseModel):
    """Settings of a filter that is made, and then mines."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    compression: int = Field(default=1, ge=0, le=1, description="0: second block of the first hash, 1: second hash.")
    round: int = Field(default=61, ge=1, le=64, description="Round after which the filter decides.")
    zero_bits: int = Field(default=8, ge=1, le=16, description="Leading zero bits of a share.")
    score: Literal["linear", "bytes"] = Field(default="linear", description="Score of the filter.")
    rule: Literal["keep-rate", "conformal", "neyman-pearson"] = Field(
        default="neyman-pearson", description="Choice of the threshold."
    )
    bound: float = Field(default=0.01, gt=0, lt=1, description="Largest share of missed shares, or the keep rate.")
    jobs: int = Field(default=64, ge=8, le=4096, description="Jobs of 65,536 headers to learn from.")
    miner_jobs: int = Field(default=32, ge=1, le=4096, description="Jobs of 65,536 headers to mine with it.")
    seed: int = Field(default=1, ge=0, le=2**31, description="Seed of the jobs.")


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
    from asic_reservoir.tpf.board_reports import windows_outcome
    from asic_reservoir.tpf.board_windows import WindowSettings, collect, window_for

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
    if params.controls:
        context.progress(params.windows, params.windows, "controls")
    report, claim = windows_outcome(seen, settings, params.controls)
    return _outcome(report, context, () if claim is None else (claim,))


def make_filter(params: FilterParams, context: TaskContext) -> TaskOutcome:
    """Make a filter, and mine with it; the board is not touched.

    Raises:
        DataError: too few shares to learn from.
    """
    from asic_reservoir.report.files import write_atomic
    from asic_reservoir.report.page import render_html
    from asic_reservoir.tpf.policy import Rule
    from asic_reservoir.tpf.reports import miner_report, train_report
    from asic_reservoir.tpf.scoring import ScoreKind
    from asic_reservoir.tpf.training import TrainSettings, field_test, train

    def progress(what: str, done: int, total: int) -> None:
        context.stop_if_cancelled()
        context.progress(done, total, what)

    settings = TrainSettings(
        compression=params.compression,
        round=params.round,
        zero_bits=params.zero_bits,
        kind=ScoreKind(params.score),
        jobs=params.jobs,
        rule=Rule(params.rule),
        bound=params.bound,
        seed=params.seed,
    )
    trained = train(settings, progress)
    trained.policy.save(context.folder)
    training = train_report(trained, settings)
    write_atomic(context.folder / "training.json", training.to_json().encode())
    write_atomic(context.folder / "training.html", render_html(training).encode())
    blocks = field_test(trained.policy, params.miner_jobs, params.zero_bits, params.seed, progress=progress)
    return _outcome(miner_report(trained.policy, blocks, params.zero_bits, params.seed), context)


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
        TaskKind(
            name="tpf-filter",
            title="Make a filter, and mine with it",
            description="Learn a score for one round, choose its threshold, count shares a joule in a software miner.",
            params=FilterParams,
            run=make_filter,
            example={"jobs": 16, "miner_jobs": 4},
        ),
    ]
