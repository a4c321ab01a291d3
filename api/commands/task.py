"""``asic-reservoir task``: everything that a service does, from the terminal."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from asic_reservoir.client import Client, Event

Server = Annotated[
    str,
    typer.Option(metavar="URL", envvar="ASIC_RESERVOIR_SERVER", help="The service; its key in ASIC_RESERVOIR_KEY."),
]
_HERE = "http://127.0.0.1:8337"
TaskId = Annotated[str, typer.Argument(metavar="TASK", help="Identifier of the task.")]


def register(app: typer.Typer) -> None:
    tasks = typer.Typer(help="Tasks of a service, on this machine or another.", no_args_is_help=True)
    for command in (submit, wait, cancel, show, stream):
        tasks.command()(command)
    tasks.command("list")(list_)
    tasks.command("kinds")(kinds)
    tasks.command("shelf")(shelf)
    app.add_typer(tasks, name="task")


def submit(
    kind: Annotated[str, typer.Argument(help="As `task kinds` lists them.")],
    board: Annotated[str, typer.Option(help="Name on the shelf.")],
    setting: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A setting; the value as JSON, or text.")
    ] = None,
    params: Annotated[Path | None, typer.Option(metavar="FILE", help="Settings as a JSON file.")] = None,
    priority: Annotated[int, typer.Option(min=-10, max=10, help="Higher goes first.")] = 0,
    follow: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for the result and print it.")] = False,
    out: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Save the files of the task here.")] = None,
    server: Server = _HERE,
) -> None:
    """Submit a task; prints its identifier, or with --wait its result."""
    from asic_reservoir.client import Client

    settings = _settings(params, setting or [])
    with Client(server) as client:
        task = client.submit(kind, board, options={"priority": priority}, **settings)
        if follow or out is not None:
            _finish(client, task.id, out)
        else:
            typer.echo(task.id)


def wait(
    task: TaskId, out: Annotated[Path | None, typer.Option(metavar="FOLDER")] = None, server: Server = _HERE
) -> None:
    """Wait for a task and print its result."""
    from asic_reservoir.client import Client

    with Client(server) as client:
        _finish(client, task, out)


def cancel(task: TaskId, server: Server = _HERE) -> None:
    """Cancel a task."""
    from asic_reservoir.client import Client

    with Client(server) as client:
        typer.echo(client.cancel(task).state)


def show(task: TaskId, server: Server = _HERE) -> None:
    """Print where a task is, as JSON."""
    from asic_reservoir.client import Client

    with Client(server) as client:
        typer.echo(json.dumps(client.task(task).raw, indent=1))


def stream(
    board: Annotated[str, typer.Argument(metavar="BOARD", help="Name on the shelf; it is yours meanwhile.")],
    model: Annotated[
        str | None, typer.Option(metavar="MODEL", help="Gives y; without it there are states only.")
    ] = None,
    drive: Annotated[
        str, typer.Option(metavar="JSON", help="How inputs drive the board, where no model says it.")
    ] = "",
    states: Annotated[bool, typer.Option("--states", help="Print the states too.")] = False,
    seconds: Annotated[float, typer.Option(min=1, max=86_400, help="Hold the board for so long at most.")] = 3600.0,
    server: Server = _HERE,
) -> None:
    """Read inputs from stdin, a number a line; print what the board answers, a JSON object a line."""
    import sys

    from asic_reservoir.client import Client

    params: dict[str, Any] = {"model": model, "states": states} if model else {}
    if drive:
        params["drive"] = _object(drive, "--drive")
    with Client(server) as client:
        session = client.open_session(board, seconds, "asic-reservoir task stream")
        try:
            task = client.submit("stream", board, **params)
            with client.stream(task.id) as live:
                for output in live.run(_numbers(sys.stdin)):
                    shown: dict[str, Any] = {"sequence": output.sequence, "y": output.y}
                    if states:
                        shown["states"] = output.states
                    typer.echo(json.dumps(shown | {"begin_ns": output.begin_ns, "end_ns": output.end_ns}))
                live.end()
        finally:
            client.end_session(session["id"])


def list_(
    state: Annotated[str | None, typer.Option(help="Only tasks in this state.")] = None,
    most: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50,
    server: Server = _HERE,
) -> None:
    """List tasks, newest first."""
    from itertools import islice

    from asic_reservoir.client import Client

    with Client(server) as client:
        for task in islice(client.tasks(state=state), most):
            typer.echo(f"{task.id}  {task.state:10}  {task.board:12}  {task.kind:12}  {task.error or ''}")


def kinds(server: Server = _HERE) -> None:
    """List the kinds of tasks that the service has."""
    from asic_reservoir.client import Client

    with Client(server) as client:
        for kind in client.kinds():
            typer.echo(f"{kind['name']:14}  {kind['title']}\n{'':16}{json.dumps(kind['example'])[:200]}")


def shelf(server: Server = _HERE) -> None:
    """List the boards of the service."""
    from asic_reservoir.client import Client

    with Client(server) as client:
        for board in client.boards():
            holder = (board["lease"] or {}).get("holder") or "nobody"
            words = f"{board['name']:12}  {board['state']:10}  {board['origin']:9}  {board['queue_depth']:5} waiting"
            typer.echo(f"{words}  held by {holder}")


def _numbers(lines: Iterable[str]) -> Iterator[float]:
    """Numbers of lines, empty ones left out. Raises DataError."""
    from asic_reservoir.errors import DataError

    for number, line in enumerate(lines, start=1):
        if text := line.strip():
            try:
                yield float(text)
            except ValueError:
                raise DataError(f"line {number}: {text[:40]!r}, must be a number") from None


def _object(text: str, flag: str) -> dict[str, Any]:
    from asic_reservoir.errors import UsageError

    try:
        value = json.loads(text)
    except ValueError as error:
        raise UsageError(f"{flag} {text[:60]!r}: {error}, must be a JSON object") from None
    if not isinstance(value, dict):
        raise UsageError(f"{flag} {text[:60]!r}: {type(value).__name__}, must be a JSON object")
    return value


def _settings(file: Path | None, pairs: list[str]) -> dict[str, Any]:
    from asic_reservoir.errors import DataError, UsageError

    settings: dict[str, Any] = {}
    if file is not None:
        try:
            settings = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DataError(f"--params {str(file)!r}: {error}, must be a JSON file") from None
        if not isinstance(settings, dict):
            raise DataError(f"--params {str(file)!r}: {type(settings).__name__}, must be an object")
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise UsageError(f"--set {pair!r}: must be NAME=VALUE")
        try:
            settings[name] = json.loads(text)
        except ValueError:
            settings[name] = text
    return settings


def _finish(client: Client, task_id: str, out: Path | None) -> None:
    import sys

    terminal = sys.stderr.isatty()

    def say(event: Event) -> None:
        if event.kind == "progress" and terminal:
            typer.echo(
                f"\r{event.data['done']} of {event.data['total']} {event.data['text']}\033[K", nl=False, err=True
            )
        elif event.kind != "progress":
            typer.echo(f"{task_id}: {event.kind}", err=True)

    result = client.wait(task_id, say)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        for file in result.files:
            typer.echo(str(client.download(task_id, file["name"], out)), err=True)
    shown = {"kind": result.kind, "board": result.board, "origin": result.origin, "summary": result.summary}
    typer.echo(json.dumps(shown | {"cost": result.cost}, indent=1))
