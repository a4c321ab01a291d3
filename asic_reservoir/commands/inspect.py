"""``asic-reservoir inspect URI``: what the arrivals of a recording, a run or a board say."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asic_reservoir.errors import UsageError
from asic_reservoir.remote import Server

if TYPE_CHECKING:
    from rich.table import Table as Grid

    from asic_reservoir.report.model import Table

DEFAULT_SECONDS = 60.0


def register(app: typer.Typer) -> None:
    app.command("inspect")(inspect)


def inspect(
    uri: Annotated[
        str,
        typer.Argument(
            metavar="URI", help="replay://s9-shares, replay:///path/to/shares.csv, or any board: twin://s9?seed=1."
        ),
    ],
    json_output: Annotated[bool, typer.Option("--json", help="Print JSON instead of words.")] = False,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write a self-contained page with the map.")
    ] = None,
    seconds: Annotated[
        float,
        typer.Option(help="How long to watch a board that does not end by itself, in its own time.", min=1, max=86_400),
    ] = DEFAULT_SECONDS,
    recording: Annotated[
        str | None,
        typer.Option(metavar="ID", help="With --server: this recording of it; URI is a board of the machine it is on."),
    ] = None,
    server: Server = None,
) -> None:
    """Check and describe the nonces of a recording, a run or a board.

    Every share of a recording is checked against its own rebuilt header and traced to chip and core. Shown are valid,
    duplicate and late shares, the rate with dead time taken out, the hashrate with its interval, and what the
    coefficient of variation of the gaps does and does not mean.
    """
    import json

    from rich.console import Console
    from rich.progress import Progress

    from asic_reservoir.inspection import inspect as inspect_stream
    from asic_reservoir.inspection import watch
    from asic_reservoir.registry import open_board
    from asic_reservoir.report.files import check_folder, write_atomic
    from asic_reservoir.report.inspection_page import explain, render_inspection, tables

    if html is not None:
        check_folder(html)
    if server is not None:
        from asic_reservoir.remote import board_name, only_here, run_remote

        only_here(server, html=(html, None))
        place = Path("-") if json_output else None
        params = {"seconds": seconds, "recording": recording}
        run_remote(server, "inspect", board_name(uri, uri, ""), params, json_file=place)
        return
    if recording is not None:
        raise UsageError(f"--recording: {recording}, must come with --server; here URI is replay:///path/to/run")
    with open_board(uri) as board, Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("watching", total=1.0)
        stream = watch(board, seconds, lambda part: progress.update(task, completed=part))
    found = inspect_stream(stream)
    if html is not None:
        write_atomic(html, render_inspection(found).encode())
    if json_output:
        typer.echo(json.dumps(found.to_dict(), ensure_ascii=False, allow_nan=False))
        return
    console = Console(highlight=False)
    console.print(f"[bold]{stream.board}[/bold]  ({stream.origin.value})")
    for heading, text in explain(found):
        console.print(f"\n[bold]{heading}[/bold]\n{text}", soft_wrap=False)
    for table in tables(found):
        console.print(_terminal_table(table))
    if html is not None:
        console.print(f"Page: {html}")


def _terminal_table(table: Table) -> Grid:
    from rich.table import Table as Grid

    from asic_reservoir.report.page import cell

    grid = Grid(title=table.title, title_justify="left")
    for index, column in enumerate(table.columns):
        grid.add_column(column, justify="left" if index == 0 else "right")
    for row in table.rows:
        grid.add_row(*(cell(value) for value in row))
    return grid
