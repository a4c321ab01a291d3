"""A command with ``--server``: the same settings as a task of a service, and what it leaves saved here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from asic_reservoir.errors import UsageError

Server = Annotated[
    str | None,
    typer.Option(
        "--server",
        metavar="URL",
        help="Do it on the board of that name of a service; its key in ASIC_RESERVOIR_KEY.",
        rich_help_panel="Elsewhere",
    ),
]


def only_here(server: str | None, **options: tuple[object, object]) -> None:
    """Refuse options that mean something on this machine only.

    Args:
        server: as given; None refuses nothing.
        options: by name, the value that was given and the default.

    Raises:
        UsageError: names the first that was given together with ``--server``.
    """
    for name, (value, default) in options.items():
        if server is not None and value != default:
            flag = "--" + name.strip("_").replace("_", "-")
            raise UsageError(f"{flag}: {value}, must be left out with --server: a service has its own")


def board_name(board: str, default: str, here: str) -> str:
    """The name on the shelf: what was given, or ``default`` where the option was left at its URI ``here``.

    Raises:
        UsageError: a URI; a service knows its boards by name.
    """
    if board == here:
        return default
    if "://" in board:
        raise UsageError(f"board {board!r}: must be a name of the service's shelf with --server, see 'task shelf'")
    return board


def run_remote(
    server: str,
    kind: str,
    board: str,
    params: dict[str, Any],
    *,
    out: Path | None = None,
    json_file: Path | None = None,
    series: Path | None = None,
    quiet: bool = False,
) -> dict[str, Any]:
    """Submit a task, follow it, save what it left; its result.

    Ctrl-C cancels the task.

    Args:
        server: URL.
        kind: of the task.
        board: name on the shelf.
        params: settings; those that are None are left to the service.
        out: folder for the files of the task.
        json_file: file for the result; ``-`` prints it.
        series: uploaded first, and given as the setting ``file``.
        quiet: say nothing of the progress, and do not print the summary.

    Raises:
        TaskFailedError: it ended without a result.
    """
    from asic_reservoir.client import Client
    from asic_reservoir.report.files import write_atomic

    given = {name: value for name, value in params.items() if value is not None}
    with Client(server) as client:
        if series is not None:
            given["file"] = client.upload_series(series)["id"]
        task = client.submit(kind, board, **given)
        if not quiet:
            typer.echo(f"task {task.id}", err=True)
        try:
            result = client.wait(task.id, None if quiet else follow)
        except KeyboardInterrupt:
            client.cancel(task.id)
            raise
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
            for file in result.files:
                client.download(task.id, file["name"], out)
    document = json.dumps(result.data, indent=1, allow_nan=False)
    if json_file is not None and str(json_file) != "-":
        write_atomic(json_file, document.encode())
    if json_file is not None and str(json_file) == "-":
        typer.echo(document)
    elif not quiet:
        shown = {"kind": kind, "board": board, "origin": result.origin, "summary": result.summary, "cost": result.cost}
        typer.echo(json.dumps(shown, indent=1))
        if out is not None:
            typer.echo(f"Files: {out}")
    return result.data


def follow(event: Any) -> None:
    """One event on stderr: a line that is rewritten at a terminal, states only in a log."""
    import sys

    if event.kind != "progress":
        typer.echo(event.kind, err=True)
    elif sys.stderr.isatty():
        words = f"\r{event.data['done']} of {event.data['total']} {event.data['text']}\033[K"
        typer.echo(words, nl=False, err=True)
