"""``asic-reservoir scan``."""

from __future__ import annotations

from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("scan")(scan)


def scan(
    network: Annotated[str | None, typer.Argument(help="Network to look through, such as 192.168.1.0/24.")] = None,
    usb: Annotated[bool, typer.Option("--usb", help="Look for bitaxe-raw boards on USB as well.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Find boards on a network and on USB, with the URI that opens each."""
    from asic_reservoir.errors import UsageError
    from drivers.scan import scan_network, scan_usb

    if network is None and not usb:
        raise UsageError("scan: nothing to look at, give a network such as 192.168.1.0/24, or --usb")
    found = ([] if network is None else scan_network(network)) + (scan_usb() if usb else [])
    if json:
        from dataclasses import asdict
        from json import dumps

        for board in found:
            typer.echo(dumps(asdict(board)))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("where", "make", "model", "firmware", "origin", "URI")
    for board in found:
        origin = "simulated" if board.simulated else "real"
        table.add_row(board.where, board.make, board.model, board.firmware, origin, board.uri or "no driver")
    Console().print(table if found else "no boards found")
