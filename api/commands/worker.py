"""``asic-reservoir worker``: drive boards beside this machine for a service elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    app.command("worker")(worker)


def worker(
    db: Annotated[
        str, typer.Option(metavar="URL", envvar="ASIC_RESERVOIR_DB", help="Database that the service uses too.")
    ],
    data: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder of tasks and locks on this machine.")] = Path(
        "asic-reservoir-data"
    ),
    board: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME[=URI]", help="Board to drive; with a URI it is put on the shelf. [default: all]"),
    ] = None,
    term: Annotated[
        float, typer.Option(min=2.0, max=600.0, help="Seconds after which the lease of a silent worker may be taken.")
    ] = 10.0,
) -> None:
    """Take tasks for boards of this machine until told to stop; then give them back.

    Every worker of a board must be started with the same --term.
    """
    import signal
    import threading

    import structlog

    from api.commands.serve import parse_board
    from api.logs import to_stderr
    from api.shelf import put_on_shelf
    from api.worker import Worker, WorkerSettings
    from asic_reservoir.store.facts import Writer, open_engine, upgrade

    to_stderr()
    names = []
    engine = open_engine(db)
    upgrade(engine)
    done = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: done.set())
    with Writer(engine) as writer:
        for text in board or []:
            name, uri = parse_board(text) if "=" in text else (text, "")
            if uri:
                put_on_shelf(writer, name, uri)
            names.append(name)
        settings = WorkerSettings(data.resolve(), names, term_s=term, margin_s=term / 10, renew_s=term / 5)
        team = Worker(engine, writer, settings)
        team.start()
        structlog.get_logger("worker").info("started", name=settings.name, boards=names or "all")
        done.wait()
        team.stop()
    engine.dispose()
