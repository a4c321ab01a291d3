"""``asic-reservoir tpf leak|train|evaluate|energy``: the Thermodynamic Probability Filter."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

INTERRUPTED = 130
DEFAULT_RUN = Path("runs/tpf-leak")


class KernelName(StrEnum):
    """Which code hashes."""

    AUTO = "auto"
    PORTABLE = "portable"
    EXTENSIONS = "extensions"


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
) -> None:
    """Leakage curve: what the state after each of the 128 rounds tells of a hash's fate, with a positive control."""
    import json

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
