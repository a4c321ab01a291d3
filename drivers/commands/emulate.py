"""``asic-reservoir emulate BOARD``: a board behind its real wire, for whoever has none.

Boards come through the entry-point group ``asic_reservoir.emulators``: each entry is a function that adds one command
to the sub-application.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points

import typer

GROUP = "asic_reservoir.emulators"


def register(app: typer.Typer) -> None:
    """Add ``emulate`` with a command for every board that can be emulated."""
    emulate = typer.Typer(
        help="A board behind its real wire: sockets or ptys that drivers and other programs cannot tell from hardware.",
        no_args_is_help=True,
    )

    @emulate.callback()
    def boards() -> None:
        pass

    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        add: Callable[[typer.Typer], None] = entry.load()
        add(emulate)
    app.add_typer(emulate, name="emulate")
