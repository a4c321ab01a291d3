"""``asic-reservoir observe BOARD``: hold a board at an operating point, and say what it did."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from asic_reservoir.remote import Server

HERE = "twin://s9?seed=1"


def register(app: typer.Typer) -> None:
    app.command("observe")(observe)


def observe(
    board: Annotated[str, typer.Argument(metavar="BOARD", help="URI; with --server a name of its shelf.")] = HERE,
    steps: Annotated[int, typer.Option(help="Number of steps.")] = 30,
    step_seconds: Annotated[float, typer.Option(help="Board time of a step in s.")] = 1.0,
    frequency_mhz: Annotated[float | None, typer.Option(help="Clock of the cores; as it is where left out.")] = None,
    voltage_mv: Annotated[float | None, typer.Option(help="Supply; as it is where left out.")] = None,
    difficulty: Annotated[int | None, typer.Option(help="Share filter; as it is where left out.")] = None,
    raster: Annotated[bool, typer.Option("--raster", help="Keep the times and chips of the first nonces.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the result here ('-': print it).")] = None,
    server: Server = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no summary.")] = False,
) -> None:
    """Counts and their spread, error rate, temperature and power of a board at one operating point."""
    import json
    import tempfile

    from asic_reservoir.kinds import TaskContext, task_kind
    from asic_reservoir.remote import board_name, run_remote
    from asic_reservoir.report.files import check_folder, write_atomic

    if json_file is not None and str(json_file) != "-":
        check_folder(json_file)
    params = {
        "n_steps": steps,
        "step_seconds": step_seconds,
        "frequency_mhz": frequency_mhz,
        "voltage_mv": voltage_mv,
        "difficulty": difficulty,
        "raster": raster,
    }
    if server is not None:
        run_remote(server, "observe", board_name(board, "s9", HERE), params, json_file=json_file, quiet=quiet)
        return
    kind = task_kind("observe")
    with tempfile.TemporaryDirectory() as folder:
        outcome = kind.run(kind.parse(params), TaskContext(board, Path(folder)))
    document = json.dumps(dict(outcome.data), indent=1, allow_nan=False)
    if json_file is not None and str(json_file) != "-":
        write_atomic(json_file, document.encode())
    if json_file is not None and str(json_file) == "-":
        typer.echo(document)
    elif not quiet:
        shown = {"board": board, "origin": outcome.origin.value, "summary": dict(outcome.summary)}
        typer.echo(json.dumps(shown, indent=1))
