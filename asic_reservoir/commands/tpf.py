"""``asic-reservoir tpf leak|train|evaluate|energy``: the Thermodynamic Probability Filter."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asic_reservoir.remote import Server

if TYPE_CHECKING:
    from asic_reservoir.report.model import ReportData, Table

INTERRUPTED = 130
DEFAULT_RUN = Path("runs/tpf-leak")
DEFAULT_FILTER = Path("runs/tpf-filter")


class KernelName(StrEnum):
    """Which code hashes."""

    AUTO = "auto"
    PORTABLE = "portable"
    EXTENSIONS = "extensions"
    GPU = "gpu"


class Output(StrEnum):
    """How a result is printed."""

    TABLE = "table"
    JSON = "json"


def register(app: typer.Typer) -> None:
    """Add the command group."""
    app.add_typer(tpf, name="tpf")


tpf = typer.Typer(
    help="Thermodynamic Probability Filter: does a round, or a board's timing, tell a hash's fate, and does it pay?",
    no_args_is_help=True,
)


@contextmanager
def _stopping() -> Iterator[Callable[[], bool]]:
    """Ctrl-C and SIGTERM ask the run to stop after the job in hand; a second one stops at once."""
    asked = False

    def ask(number: int, frame: object) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _reporter(quiet: bool) -> Callable[[str, int, int], None]:
    """One line on stderr, rewritten at most five times a second at a terminal, every 10 s in a log."""
    import sys

    terminal = sys.stderr.isatty()
    begin = time.monotonic()
    last_what, last_time = "", begin

    def report(what: str, done: int, total: int) -> None:
        nonlocal last_what, last_time
        now = time.monotonic()
        if quiet or (what == last_what and done < total and now - last_time < (0.2 if terminal else 10.0)):
            return
        last_what, last_time = what, now
        line = f"{what}: {done:,} of {total:,} ({100 * done / max(total, 1):.0f} %), {now - begin:.0f} s"
        typer.echo(f"\r\x1b[K{line}" if terminal else line, err=True, nl=not terminal or done == total)

    return report


@tpf.command()
def leak(
    run: Annotated[Path, typer.Option(help="Folder of the run; an interrupted one is resumed.")] = DEFAULT_RUN,
    headers: Annotated[int, typer.Option(help="Headers to evaluate.")] = 10**9,
    zero_bits: str = typer.Option("8,12,16", help="Targets: leading zero bits of a share, separated by commas."),
    score: str = typer.Option("linear,bytes", help="Scores to learn: linear, bytes."),
    negative_stride: Annotated[
        int, typer.Option(help="Tap one header in so many beside the shares; 1 taps all.")
    ] = 128,
    train_jobs: Annotated[int, typer.Option(help="Jobs of 4,194,304 headers that are used for learning only.")] = 16,
    control_headers: Annotated[int, typer.Option(help="Headers of the positive control; 0 leaves it out.")] = 1 << 22,
    seed: Annotated[int, typer.Option(help="Seed of the jobs.")] = 1,
    workers: Annotated[int, typer.Option(help="Threads; 0 takes every core.")] = 0,
    kernel: Annotated[KernelName, typer.Option(help="Which code hashes.")] = KernelName.AUTO,
    max_seconds: Annotated[
        float, typer.Option(help="Stop after about so long, to be resumed; 0 runs to the end.")
    ] = 0.0,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")] = False,
    output: Annotated[Output, typer.Option("--output", "-o", help="What goes to stdout.")] = Output.TABLE,
    server: Server = None,
    board: Annotated[str, typer.Option(help="With --server: the board whose queue it waits in.")] = "s9",
) -> None:
    """Leakage curve: what the state after each of the 128 rounds tells of a hash's fate, with a positive control."""
    import json

    if server is not None:
        from asic_reservoir.remote import only_here

        only_here(
            server,
            zero_bits=(zero_bits, "8,12,16"),
            score=(score, "linear,bytes"),
            negative_stride=(negative_stride, 128),
            workers=(workers, 0),
            kernel=(kernel, KernelName.AUTO),
            max_seconds=(max_seconds, 0.0),
        )
        params = {"headers": headers, "train_jobs": train_jobs, "control_headers": control_headers, "seed": seed}
        _elsewhere(server, "tpf-leak", board, params, run, output, quiet)
        return
    from asic_reservoir.report.files import write_atomic, write_report
    from asic_reservoir.tpf.curve import result_of
    from asic_reservoir.tpf.leak_report import leak_json, leak_report
    from asic_reservoir.tpf.leakage import LeakSettings, default_workers, run_leakage
    from asic_reservoir.tpf.parsing import integers, score_kinds
    from asic_reservoir.tpf.sha256 import Kernel

    settings = LeakSettings(
        headers=headers,
        zero_bits=integers("zero-bits", zero_bits),
        kinds=score_kinds("score", score),
        negative_stride=negative_stride,
        train_jobs=train_jobs,
        control_headers=control_headers,
        seed=seed,
    )
    begin = time.monotonic()
    with _stopping() as interrupted:
        counts = run_leakage(
            run,
            settings,
            workers=workers or default_workers(),
            kernel=Kernel(kernel.value),
            progress=_reporter(quiet),
            stop=lambda: interrupted() or bool(max_seconds and time.monotonic() - begin > max_seconds),
        )
        was_interrupted = interrupted()
    if counts.jobs_done == 0:
        typer.echo("stopped before the first job was counted", err=True)
        raise typer.Exit(INTERRUPTED if was_interrupted else 0)
    result = result_of(counts)
    document = leak_json(result, settings)
    json_path, html_path = write_report(leak_report(result, settings), run)
    write_atomic(run / "leak.json", json.dumps(document, indent=1).encode())
    if output is Output.JSON:
        typer.echo(json.dumps(document))
    else:
        typer.echo(f"{result.headers_evaluated:,} of {settings.headers:,} headers in {result.seconds:,.1f} s")
        for criterion in result.verdict.criteria:
            typer.echo(f"{'passed' if criterion.passed else 'FAILED'}  {criterion.name}: {criterion.sentence}")
        typer.echo(result.verdict.sentence)
        typer.echo(f"{html_path}  {json_path}  {run / 'leak.json'}")
    if was_interrupted:
        raise typer.Exit(INTERRUPTED)


@tpf.command()
def train(
    run: Annotated[Path, typer.Option(help="Folder for filter and report.")] = DEFAULT_FILTER,
    compression: Annotated[int, typer.Option(help="0: second block of the first hash, 1: second hash.")] = 1,
    round_: Annotated[int, typer.Option("--round", help="Round after which the filter decides, 1 to 64.")] = 61,
    zero_bits: Annotated[int, typer.Option(help="Leading zero bits of a share.")] = 8,
    score: Annotated[str, typer.Option(help="Score of the filter: linear or bytes.")] = "linear",
    rule: Annotated[
        str, typer.Option(help="Choice of the threshold: neyman-pearson, conformal or keep-rate.")
    ] = "neyman-pearson",
    bound: Annotated[float, typer.Option(help="Largest share of missed shares, or the keep rate.")] = 0.01,
    predictors: Annotated[
        str, typer.Option(help="Compare with: lda, logistic, mlp, boosting; or none.")
    ] = "lda,logistic",
    jobs: Annotated[int, typer.Option(help="Jobs of 65,536 headers.")] = 64,
    seed: Annotated[int, typer.Option(help="Seed of the jobs.")] = 1,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")] = False,
    output: Annotated[Output, typer.Option("--output", "-o", help="What goes to stdout.")] = Output.TABLE,
    server: Server = None,
    board: Annotated[str, typer.Option(help="With --server: the board whose queue it waits in.")] = "s9",
) -> None:
    """Make a filter: learn a score for one round, choose its threshold, compare predictors on later jobs."""
    if server is not None:
        from asic_reservoir.remote import only_here

        only_here(server, predictors=(predictors, "lda,logistic"))
        params = {
            "compression": compression, "round": round_, "zero_bits": zero_bits, "score": score, "rule": rule,
            "bound": bound, "jobs": jobs, "seed": seed,
        }  # fmt: skip
        _elsewhere(server, "tpf-filter", board, params, run, output, quiet)
        return
    from asic_reservoir.tpf.parsing import one_of, predictor_names, score_kinds
    from asic_reservoir.tpf.policy import Rule
    from asic_reservoir.tpf.reports import train_report
    from asic_reservoir.tpf.training import TrainSettings
    from asic_reservoir.tpf.training import train as make

    settings = TrainSettings(
        compression=compression,
        round=round_,
        zero_bits=zero_bits,
        kind=score_kinds("score", score)[0],
        jobs=jobs,
        rule=one_of("rule", rule, Rule),
        bound=bound,
        predictors=predictor_names("predictors", predictors),
        seed=seed,
    )
    trained = make(settings, _reporter(quiet))
    trained.policy.save(run)
    _finish(train_report(trained, settings), run, output)


@tpf.command()
def evaluate(
    target: Annotated[
        str,
        typer.Argument(metavar="TARGET", help="miner, replay://s9-shares, or a board: twin://bm1366?share_bits=4."),
    ] = "miner",
    run: Annotated[Path | None, typer.Option(help="Folder for the report; runs/tpf-<target> without it.")] = None,
    filter_: Annotated[Path, typer.Option("--filter", help="Folder of a filter, for the miner.")] = DEFAULT_FILTER,
    jobs: Annotated[int, typer.Option(help="Jobs of 65,536 headers, for the miner.")] = 32,
    windows: Annotated[int, typer.Option(help="Windows, for a board.")] = 1200,
    window_s: Annotated[float, typer.Option(help="Seconds of a window; 0 fits it to the board's rate.")] = 0.0,
    plant: Annotated[float, typer.Option(help="Plant a leak of this size into what the board answered.")] = 0.0,
    controls: Annotated[
        bool, typer.Option(help="Plant a leak and shift the labels besides, for a board: both decide on the verdict.")
    ] = True,
    seed: Annotated[int, typer.Option(help="Seed of jobs and models.")] = 1,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")] = False,
    output: Annotated[Output, typer.Option("--output", "-o", help="What goes to stdout.")] = Output.TABLE,
    server: Server = None,
) -> None:
    """Put a filter to work: in a software miner that really aborts, on a recording, or as advice on a board."""
    if server is not None:
        _evaluate_elsewhere(server, target, run, filter_, jobs, windows, window_s, plant, controls, seed, output, quiet)
        return
    progress = _reporter(quiet)
    kind = "miner" if target == "miner" else "recording" if target.startswith("replay://") else "windows"
    folder = run or DEFAULT_RUN.with_name(f"tpf-{kind}")
    if kind == "miner":
        from asic_reservoir.tpf.policy import FilterPolicy
        from asic_reservoir.tpf.reports import miner_report
        from asic_reservoir.tpf.training import field_test

        policy = FilterPolicy.load(filter_)
        blocks = field_test(policy, jobs, policy.zero_bits, seed, progress=progress)
        report = miner_report(policy, blocks, policy.zero_bits, seed)
    elif kind == "recording":
        from asic_reservoir.tpf.board_reports import recorded_report
        from asic_reservoir.tpf.recorded import evaluate_recording, recording_of

        report = recorded_report(evaluate_recording(recording_of(target), seed=seed, progress=progress), seed)
    else:
        from asic_reservoir.registry import open_board
        from asic_reservoir.tpf.board_reports import windows_outcome
        from asic_reservoir.tpf.board_windows import WindowSettings, collect, window_for

        with open_board(target) as board:
            length_s = window_s or window_for(board, 5, 64)
            settings = WindowSettings(windows=windows, window_s=length_s, plant=plant, seed=seed)
            with _stopping() as interrupted:
                collected = collect(board, settings, progress, folder, interrupted)
        if collected is None:
            typer.echo(f"stopped; the same command goes on from {folder}", err=True)
            raise typer.Exit(INTERRUPTED)
        report, _ = windows_outcome(collected, settings, controls)
    _finish(report, folder, output)


@tpf.command()
def energy(
    k: Annotated[int, typer.Option(help="Rounds before the decision.")] = 5,
    n: Annotated[int, typer.Option(help="Rounds of a hash: 128 for mining, 64 as published.")] = 64,
    keep: Annotated[str, typer.Option(help="Continue probability, an exact decimal.")] = "0.05",
    recall: Annotated[str, typer.Option(help="Share of the shares that go on, an exact decimal.")] = "0.05",
    joules_per_th: Annotated[str, typer.Option(help="Joules a 10^12 whole hashes; 98 is an Antminer S9.")] = "98",
    difficulty: Annotated[str, typer.Option(help="Difficulty of a share.")] = "256",
    run: Annotated[Path | None, typer.Option(help="Folder for a report; none is written without it.")] = None,
    output: Annotated[Output, typer.Option("--output", "-o", help="What goes to stdout.")] = Output.TABLE,
    server: Server = None,
    board: Annotated[str, typer.Option(help="With --server: the board whose queue it waits in.")] = "s9",
) -> None:
    """What a filter saves and what it brings: rounds and shares a joule from k, n, keep rate and recall, exactly."""
    if server is not None:
        texts = {"keep": keep, "recall": recall, "joules_per_th": joules_per_th, "difficulty": difficulty}
        params = {"k": k, "n": n} | {name: _number(name, text) for name, text in texts.items()}
        _elsewhere(server, "tpf-energy", board, params, run, output, quiet=output is Output.JSON)
        return
    from asic_reservoir.tpf.reports import energy_report

    _finish(energy_report(k, n, keep, recall, joules_per_th, difficulty), run, output)


def _evaluate_elsewhere(
    server: str,
    target: str,
    run: Path | None,
    filter_: Path,
    jobs: int,
    windows: int,
    window_s: float,
    plant: float,
    controls: bool,
    seed: int,
    output: Output,
    quiet: bool,
) -> None:
    """On a board of a service: its timing, or what it plays where it is a recording."""
    from asic_reservoir.client import Client
    from asic_reservoir.errors import UsageError
    from asic_reservoir.remote import board_name, only_here

    if target == "miner":
        raise UsageError("TARGET 'miner': must be a board with --server; 'tpf train --server' makes a filter and mines")
    only_here(server, jobs=(jobs, 32), _filter=(filter_, DEFAULT_FILTER))
    place = board_name(target, "", "")
    with Client(server) as client:
        uri = next((board["uri"] for board in client.boards() if board["name"] == place), "")
    params: dict[str, object] = {"seed": seed}
    if uri.startswith("replay://"):
        only_here(
            server, windows=(windows, 1200), window_s=(window_s, 0.0), plant=(plant, 0.0), controls=(controls, True)
        )
        kind = "tpf-recording"
    else:
        kind = "tpf-windows"
        params |= {"windows": windows, "window_seconds": window_s or None, "plant": plant, "controls": controls}
    _elsewhere(server, kind, place, params, run or DEFAULT_RUN.with_name(kind), output, quiet)


def _number(name: str, text: str) -> float:
    """An exact decimal as a number that prints as it; raises UsageError where there is none."""
    from asic_reservoir.errors import UsageError
    from asic_reservoir.tpf.energy import exact

    value = exact(name, text)
    number = float(value)
    if exact(name, number) != value:
        flag = "--" + name.replace("_", "-")
        raise UsageError(f"{flag}: {text!r}, must have at most 15 digits with --server")
    return number


def _elsewhere(
    server: str, kind: str, board: str, params: Mapping[str, object], folder: Path | None, output: Output, quiet: bool
) -> None:
    """The same as a task of a service; its report comes into the folder, where there is one."""
    from asic_reservoir.remote import run_remote

    place = Path("-") if output is Output.JSON else None
    run_remote(server, kind, board, dict(params), out=folder, json_file=place, quiet=quiet)


def _finish(report: ReportData, folder: Path | None, output: Output) -> None:
    """Write the report, print it."""
    from asic_reservoir.report.files import write_report

    paths = write_report(report, folder) if folder is not None else ()
    if output is Output.JSON:
        typer.echo(report.to_json(), nl=False)
        return
    typer.echo(report.verdict.sentence)
    for check in report.verdict.checks:
        typer.echo(f"{'passed' if check.passed else 'FAILED'}  {check.name}: {check.sentence}")
    for table in report.tables:
        _print_table(table)
    for path in paths:
        typer.echo(str(path))


def _print_table(table: Table) -> None:
    from rich.console import Console
    from rich.table import Table as Grid

    from asic_reservoir.report.page import cell

    grid = Grid(title=table.title, caption=table.caption or None, title_justify="left", caption_justify="left")
    for index, column in enumerate(table.columns):
        grid.add_column(column, justify="left" if index == 0 else "right")
    for row in table.rows:
        grid.add_row(*(cell(value) for value in row))
    Console(highlight=False).print(grid)
