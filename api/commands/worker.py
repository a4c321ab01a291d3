"""``asic-reservoir worker``: drive boards beside this machine for a service elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from api.commands.layers import Layered, Settings, ShowSettings, said_in, settings_table


def register(app: typer.Typer) -> None:
    app.command("worker", cls=Layered)(worker)


def worker(
    ctx: typer.Context,
    db: Annotated[str, typer.Option(metavar="URL", help="Database that the service uses too.")],
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
    cores: Annotated[int, typer.Option(min=1, max=1024, help="Processes that a task on a twin may compute with.")] = 1,
    bus: Annotated[
        str | None,
        typer.Option(metavar="URL", help="NATS server that is told of tasks and boards, as nats://host:4222."),
    ] = None,
    site: Annotated[
        str | None, typer.Option(help="Name on the bus: the one of the service. [default: the host's]")
    ] = None,
    metrics_port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Answer Prometheus here, in plain HTTP; 0 takes a free port."),
    ] = None,
    metrics_host: Annotated[
        str, typer.Option(help="Address for --metrics-port; on another than loopback everybody there may read.")
    ] = "127.0.0.1",
    settings: Settings = None,
    show_settings: ShowSettings = False,
) -> None:
    """Take tasks for boards of this machine until told to stop; then give them back.

    Every worker of a board must be started with the same --term. The service names workers with --metrics-port to
    Prometheus at /api/v1/sd/prometheus.
    """
    import signal
    import threading
    from contextlib import ExitStack

    import structlog

    from api.bus import Bus, BusSettings
    from api.commands.serve import default_site, parse_board
    from api.logs import to_stderr
    from api.shelf import put_on_shelf
    from api.worker import Worker, WorkerSettings
    from api.worker.metrics import WorkerMetrics
    from api.worker.presence import Presence
    from asic_reservoir.store.facts import Writer, open_engine, upgrade

    settings_of_bus = None if bus is None else BusSettings(bus, site or default_site())
    if show_settings:
        typer.echo(settings_table(ctx, settings, {"board": ["all"], "site": default_site()}))
        return
    to_stderr()
    names = []
    engine = open_engine(db)
    upgrade(engine)
    done = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: done.set())
    with ExitStack() as stack:
        stack.callback(engine.dispose)
        writer = stack.enter_context(Writer(engine))
        for text in board or []:
            name, uri = parse_board(text, said_in(ctx, "board", settings)) if "=" in text else (text, "")
            if uri:
                put_on_shelf(writer, name, uri)
            names.append(name)
        how = WorkerSettings(data.resolve(), names, term_s=term, margin_s=term / 10, renew_s=term / 5, cores=cores)
        teller = None if settings_of_bus is None else Bus(settings_of_bus, engine)
        metrics: WorkerMetrics | None = None

        def said(name: str, what: str, content: Mapping[str, Any]) -> None:
            if teller is not None:
                teller.board(name, what, content)
            if metrics is not None:
                metrics.board(name, what, content)

        changed = (lambda task_id: None) if teller is None else teller.changed
        team = Worker(engine, writer, how, changed, said)
        address = None
        if metrics_port is not None:
            metrics = WorkerMetrics(team.boards, how.folder, teller)
            address = f"{reachable(metrics_host)}:{metrics.serve(metrics_host, metrics_port)}"
        if teller is not None:
            teller.start()
            stack.callback(teller.stop)
        presence = Presence(writer, how.name, address)
        presence.start()
        stack.callback(presence.stop)
        team.start()
        stack.callback(team.stop)
        log = structlog.get_logger("worker")
        log.info("started", name=how.name, boards=names or "all", metrics=address, settings=settings and str(settings))
        done.wait()


def reachable(host: str) -> str:
    """How others name an address to listen on: the name of this host where it is all of them.

    >>> reachable("127.0.0.1"), reachable("::1")
    ('127.0.0.1', '[::1]')
    """
    import socket

    if host in ("0.0.0.0", "::", ""):
        return socket.gethostname()
    return f"[{host}]" if ":" in host else host
