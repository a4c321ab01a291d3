"""The command line ``asic-reservoir``.

Commands are found through the entry-point group ``asic_reservoir.commands``: each entry is a function
``register(app)`` that adds commands to the Typer application. Their modules import what is heavy inside the
command, so that ``--help`` answers at once.

Exit codes: 0 done, 2 usage, 3 not found, 4 busy, 5 safety, 6 time-out, 7 server, 8 data, 130 interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.metadata import entry_points

import typer
from typer._click.exceptions import ClickException  # typer carries its own click and exports no common base

from asic_reservoir import __version__
from asic_reservoir.errors import AsicReservoirError

GROUP = "asic_reservoir.commands"
INTERRUPTED = 130


def build() -> typer.Typer:
    """The application with every command that is installed."""
    app = typer.Typer(
        name="asic-reservoir",
        help="A laboratory for computing with retired Bitcoin mining ASICs.",
        no_args_is_help=True,
        add_completion=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    def print_version(wanted: bool) -> None:
        if wanted:
            typer.echo(f"asic-reservoir {__version__}")
            raise typer.Exit()

    @app.callback()
    def root(
        version: bool = typer.Option(
            False, "--version", is_eager=True, callback=print_version, help="Print the version and stop."
        ),
    ) -> None:
        pass

    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        register: Callable[[typer.Typer], None] = entry.load()
        register(app)
    return app


def main(arguments: list[str] | None = None) -> None:
    """Run a command; every error of ours becomes one line on stderr and its exit code."""
    try:
        code = typer.main.get_command(build()).main(args=arguments, standalone_mode=False)
    except typer.Abort:
        typer.echo("interrupted", err=True)
        code = INTERRUPTED
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        code = INTERRUPTED
    except ClickException as error:
        error.show()
        code = error.exit_code
    except AsicReservoirError as error:
        typer.echo(f"error: {error}", err=True)
        code = error.exit_code
    except BrokenPipeError:
        sys.stderr.close()
        code = 0
    sys.exit(code if isinstance(code, int) else 0)
