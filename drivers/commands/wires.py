"""``asic-reservoir wires``: the same run through every driver, one table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from drivers.wires_job import Job
    from drivers.wires_row import WireRow


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
    step_seconds: Annotated[float, typer.Option(help="Board time of one input step in s.")] = 2.0,
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
    from drivers.wires_job import jobs_of, run_jobs

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
    rows, stopped, failure = _watch(work, jobs, quiet or json, run_jobs)
    _deliver(rows, out, json)
    if stopped:
        raise KeyboardInterrupt
    if failure is not None:
        failed = [row.name for row in rows if row.error]
        raise type(failure)(f"{len(failed)} of {len(rows)} boards failed ({', '.join(failed)}); first: {failure}")


def _watch(work: list[Job], jobs: int, quiet: bool, run_jobs: object) -> object:
    raise NotImplementedError
