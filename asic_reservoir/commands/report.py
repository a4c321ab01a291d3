"""``asic-reservoir report RUN_JSON``: a report's JSON as its page, again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    app.command("report")(report)


def report(
    run_json: Annotated[Path, typer.Argument(metavar="RUN_JSON", help="What `run --json` wrote.")],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="The page; beside the JSON where left out.")
    ] = None,
) -> None:
    """Render the page of a run from its JSON. The same JSON gives the same bytes."""
    from asic_reservoir.report.files import read_report, write_atomic
    from asic_reservoir.report.page import render_html

    target = out if out is not None else run_json.with_suffix(".html")
    write_atomic(target, render_html(read_report(run_json)).encode())
    typer.echo(str(target))
