"""``asic-reservoir serve``: the service on one machine, boards and all."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from api.commands.layers import Layered, Settings, ShowSettings, said_in, settings_table, without_secrets


def register(app: typer.Typer) -> None:
    app.command("serve", cls=Layered)(serve)


SWITCH_S = 0.0005
"""The event loop and the thread that writes take turns: at Python's 5 ms a commit waits for the loop longer than for
the disk."""
DEFAULT_BOARDS = ["s9=twin://s9?seed=1", "lv06=twin://lv06?seed=1"]
"""What stands on the shelf of somebody who has no hardware."""


def serve(
    ctx: typer.Context,
    board: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=URI", help="A board for the shelf; may be given often. [default: twins s9 and lv06]"
        ),
    ] = None,
    data: Annotated[Path, typer.Option(metavar="FOLDER", help="Where everything is kept.")] = Path(
        "asic-reservoir-data"
    ),
    db: Annotated[str | None, typer.Option(metavar="URL", help="Database. [default: SQLite in the folder]")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8337,
    workers: Annotated[
        bool, typer.Option("--workers/--no-workers", help="Drive the boards from here, or leave it to `worker`.")
    ] = True,
    anonymous: Annotated[
        bool, typer.Option("--anonymous/--no-anonymous", help="Let people on this machine work without a key.")
    ] = True,
    cores: Annotated[int, typer.Option(min=1, max=1024, help="Processes that a task on a twin may compute with.")] = 1,
    bus: Annotated[
        str | None, typer.Option(metavar="URL", help="NATS server that tells other sites, and what they say.")
    ] = None,
    site: Annotated[str | None, typer.Option(help="Name of this site on the bus. [default: the host's]")] = None,
    tls_cert: Annotated[Path | None, typer.Option(metavar="FILE", help="Certificate chain, PEM.")] = None,
    tls_key: Annotated[Path | None, typer.Option(metavar="FILE", help="Private key, PEM.")] = None,
    retention_days: Annotated[
        float, typer.Option(min=0.0, max=36_500.0, help="Ended tasks are kept for so long.")
    ] = 90.0,
    upload_mib: Annotated[
        int, typer.Option(min=1, max=1 << 20, help="MiB (2^20 bytes) of an uploaded recording, at most.")
    ] = 1024,
    body_mib: Annotated[int, typer.Option(min=1, max=1024, help="MiB (2^20 bytes) of any other body, at most.")] = 8,
    requests_per_minute: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="Of a key that has no limit of its own, at most.")
    ] = 6000,
    tasks_waiting: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="At once, of a key that has no limit of its own, at most.")
    ] = 20_000,
    settings: Settings = None,
    show_settings: ShowSettings = False,
) -> None:
    """Serve tasks over REST, and the page at /, on this machine.

    On another address than loopback every request needs a key (`asic-reservoir keys create`); send it over TLS.
    """
    import structlog
    import uvicorn

    from api.announce import AnnouncingServer
    from api.app import create_app
    from api.bus import BusSettings
    from api.describe import describe_each
    from api.http_guard import GuardedProtocol
    from api.logs import to_stderr
    from api.settings import ServiceSettings
    from api.shelf import is_on_shelf, put_on_shelf
    from asic_reservoir.errors import AsicReservoirError, UsageError

    if (tls_cert is None) != (tls_key is None):
        raise UsageError("--tls-cert and --tls-key: one of them is missing, must be given together")
    wanted = [parse_board(text, said_in(ctx, "board", settings)) for text in (board or DEFAULT_BOARDS)]
    database = db or f"sqlite:///{data.resolve()}/facts.db"
    settings_of_bus = None if bus is None else BusSettings(bus, site or default_site())
    if show_settings:
        typer.echo(settings_table(ctx, settings, {"board": DEFAULT_BOARDS, "db": database, "site": default_site()}))
        return
    sys.setswitchinterval(SWITCH_S)
    to_stderr()
    if settings is not None:
        structlog.get_logger("serve").info("settings", file=str(settings))
    data.mkdir(parents=True, exist_ok=True)
    application = create_app(
        ServiceSettings(
            database=database,
            data=data.resolve(),
            workers=workers,
            anonymous=anonymous,
            retention_days=retention_days,
            upload_limit=upload_mib << 20,
            body_limit=body_mib << 20,
            requests_per_minute=requests_per_minute,
            tasks_waiting=tasks_waiting,
            cores=cores,
            bus=settings_of_bus,
        )
    )
    writer = application.state.service.writer
    for (name, uri), seen in zip(wanted, describe_each([uri for _, uri in wanted]), strict=True):
        if not isinstance(seen, AsicReservoirError):
            put_on_shelf(writer, name, uri, seen=seen)
        elif isinstance(seen, UsageError) or not writer.run(partial(is_on_shelf, name=name, uri=uri)):
            raise seen
        else:  # one board that is away must not keep the others from their work
            structlog.get_logger("serve").warning("board_away", board=name, reason=str(seen))
    config = uvicorn.Config(
        application,
        http=GuardedProtocol,
        host=host,
        port=port,
        access_log=False,
        log_level="warning",
        server_header=False,
        proxy_headers=False,  # who is on this machine is decided by the address of the peer
        ssl_certfile=tls_cert,
        ssl_keyfile=tls_key,
        timeout_graceful_shutdown=5,
        ws_max_size=1 << 16,
    )
    AnnouncingServer(config, "https" if tls_cert else "http").run()


def default_site() -> str:
    """The name of this host, in the letters that a site may have."""
    import re
    import socket

    return re.sub(r"[^A-Za-z0-9_-]", "_", socket.gethostname())[:64] or "site"


def parse_board(text: str, where: str = "--board") -> tuple[str, str]:
    """``s9=twin://s9?seed=1`` as its two parts.

    Args:
        text: as it was given.
        where: it was given, for who gave it.

    Raises:
        UsageError: another form, or a name that cannot be in a path.

    >>> parse_board("s9=twin://s9?seed=1")
    ('s9', 'twin://s9?seed=1')
    """
    import re

    from api.schemas import NAME_PATTERN
    from asic_reservoir.errors import UsageError

    name, equals, uri = text.partition("=")
    if not equals or "://" not in uri or not re.match(NAME_PATTERN, name):
        shown = without_secrets(text)
        raise UsageError(f"{where} {shown!r}: must be NAME=URI, as in s9=twin://s9?seed=1 (a-z, 0-9, '.', '_', '-')")
    return name, uri
