"""``asic-reservoir wires``: the same run through every driver, one table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from drivers.wires_job import Job, Table


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("wires")(wires)


def wires(
    only: Annotated[str, typer.Option(help="Comma-separated emulated devices; all if left out.")] = "",
    board: Annotated[
        list[str] | None, typer.Option(help="URI of a board of yours, repeated; then no emulated ones but --only.")
    ] = None,
    seeds: Annotated[int, typer.Option(help="Independent draws of input and mask.")] = 3,
    steps: Annotated[int, typer.Option(help="Steps of a draw.")] = 400,
    step_seconds: Annotated[float, typer.Option(help="Board time of one input step in s.")] = 1.0,
    encoding: Annotated[
        str, typer.Option(help="difficulty, which every path can set; also frequency, voltage, work, auto.")
    ] = "difficulty",
    controls: Annotated[bool, typer.Option(help="Run the controls, without which no verdict is reached.")] = False,
    rate_nonces: Annotated[int, typer.Option(help="Nonces counted at the set point.", min=50, max=1_000_000)] = 1000,
    jobs: Annotated[int, typer.Option(help="Boards driven side by side.", min=1, max=64)] = 2,
    seed: Annotated[int, typer.Option(help="Which specimen the emulated devices are.", min=0)] = 1,
    out: Annotated[Path | None, typer.Option(help="New folder for the reports and wires.json.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the table as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Run NARMA-10 through every driver, each against its emulated device in a process of its own; print one table.

    With --board the same for your boards. A board that fails has its reason in its row and gives the exit code; the
    others go on. Ctrl-C leaves every board safe and ends the emulated devices.
    """
    from drivers.wires_job import jobs_of

    work = jobs_of(
        only=only,
        boards=tuple(board or ()),
        seed=seed,
        rate_nonces=rate_nonces,
        out=out,
        settings={
            "seeds": seeds,
            "steps": steps,
            "step_seconds": step_seconds,
            "encoding": encoding,
            "controls": controls,
            "curve": False,
            "slots": 1,
        },
    )
    table = _drive(work, jobs, quiet)
    _deliver(table, out, json)
    if table.stopped:
        raise KeyboardInterrupt
    if table.failure is not None:
        failed = [row.name for row in table.rows if row.error]
        raise type(table.failure)(
            f"{len(failed)} of {len(table.rows)} boards failed ({', '.join(failed)}); first: {table.failure}"
        )


def _drive(work: list[Job], jobs: int, quiet: bool) -> Table:
    """Run the jobs with a line of progress each on stderr; Ctrl-C ends them cleanly, twice at once."""
    import os
    import signal
    from types import FrameType

    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

    from drivers.wires_job import run_jobs

    stopping = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal stopping
        if stopping:  # the guards of the boards make them safe, and the kernel ends the emulated devices
            os._exit(130)
        stopping = True

    before = signal.signal(signal.SIGINT, stop), signal.signal(signal.SIGTERM, stop)
    columns = (TextColumn("{task.fields[row]}"), BarColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    try:
        with Progress(*columns, console=Console(stderr=True), disable=quiet) as bars:
            lines: dict[str, TaskID] = {
                job.name: bars.add_task("waiting", total=None, start=False, row=job.name) for job in work
            }

            def progress(name: str, done: int, total: int, text: str) -> None:
                bars.start_task(lines[name])
                said = f"stopping: {text}" if stopping else text
                bars.update(lines[name], completed=done, total=total if done else None, description=said)

            return run_jobs(work, jobs, progress, lambda: stopping)
    finally:
        signal.signal(signal.SIGINT, before[0])
        signal.signal(signal.SIGTERM, before[1])


def _deliver(table: Table, out: Path | None, json: bool) -> None:
    from json import dumps

    from asic_reservoir.report.files import write_atomic

    text = dumps({"rows": [row.to_dict() for row in table.rows], "stopped": table.stopped}, indent=1) + "\n"
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        write_atomic(out / "wires.json", text.encode())
    if json:
        typer.echo(text, nl=False)
        return
    from rich.console import Console

    from drivers.wires_table import COMFORTABLE, render

    console = Console()
    if not console.is_terminal:
        console = Console(width=COMFORTABLE)
    console.print(render(table.rows))
