"""Where a setting comes from: its flag, else its variable, else ``asic-reservoir.toml``, else its default.

What a whole installation shares stands at the top of the file, the rest in a table of the command::

    db = "postgresql://asic@rack-0/asic"
    data = "/var/lib/asic-reservoir"

    [serve]
    board = ["s9=s9://192.168.1.20", "lv06=lv06://192.168.1.21"]
    retention_days = 30

    [worker]
    metrics_port = 9464

A name in the file is that of the flag, with ``_`` for ``-``; a switch is ``true`` or ``false``. A relative path is one
from the working directory, as in a flag. A variable that is empty is one that is not set; in one that may say several
things they stand with spaces between.
"""

from __future__ import annotations

import os
import re
import tomllib
import types
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, TypeGuard, Union, get_args, get_origin, get_type_hints

import typer
from typer.core import TyperCommand, TyperOption

from asic_reservoir.errors import NotFoundError, UsageError

FILE = Path("asic-reservoir.toml")
"""Read where it lies in the working directory and no other file is named."""
SHARED = ("db", "data", "bus", "site")
"""At the top of the file: commands that did not agree about them would work past each other."""
TABLES = ("serve", "worker")
LONGEST = 1 << 20
"""Bytes of a settings file, at most."""
ASIDE = ("settings", "show_settings", "help")
"""Options that are no settings."""
VARIABLES = {name: f"ASIC_RESERVOIR_LISTEN_{name.upper()}" for name in ("host", "port", "metrics_host", "metrics_port")}
"""Those that are not called as their flag: wherever a service has our name, Kubernetes sets ASIC_RESERVOIR_PORT to a
URL."""


class Layered(TyperCommand):
    """A command whose settings have a variable each, ``ASIC_RESERVOIR_`` and the name: every option of ``serve`` and
    ``worker``, of other commands those that all share.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.epilog = "What no flag says, a variable does, as ASIC_RESERVOIR_DATA for --data, or asic-reservoir.toml."
        for option in self.params:
            if _is_setting(option, self.name):
                option.envvar = VARIABLES.get(option.name, f"ASIC_RESERVOIR_{option.name.upper()}")
                option.show_envvar = option.name in VARIABLES

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter as error:
            option = error.param
            if option is None or _origin(ctx, option) != "ENVIRONMENT" or not isinstance(option.envvar, str):
                raise
            value = without_secrets(os.environ.get(option.envvar, ""))
            raise UsageError(f"{option.envvar}: {value!r}, {_must(error)}") from None


def read_file(ctx: typer.Context, settings: Path | None) -> Path | None:
    """Take what the file says as the defaults of this command. Called before other options are looked at.

    Raises:
        NotFoundError: the file that was named is not there.
        UsageError: what the file says of this command cannot be; names file, field, value and what is right.
    """
    if settings is None and not FILE.is_file():
        return None
    path = settings or FILE
    content = _content(path)
    options: dict[str, Any] = {
        str(option.name): option for option in ctx.command.params if _is_setting(option, ctx.info_name)
    }
    forms = {name: _form(hint) for name, hint in get_type_hints(ctx.command.callback).items() if name in options}
    table = ctx.info_name if ctx.info_name in TABLES else None
    found: dict[str, Any] = {}
    for field, value, name in _fields(path, content, table, options):
        _check_form(field, value, *forms[name])
        try:
            options[name].process_value(ctx, value)
        except typer.BadParameter as error:
            raise UsageError(f"{field}: {value!r}, {_must(error)}") from None
        found[name] = value
    ctx.default_map = found
    return path


Settings = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        envvar="ASIC_RESERVOIR_SETTINGS",
        is_eager=True,
        callback=read_file,
        help="What flags and variables leave open. [default: asic-reservoir.toml, where there is one]",
    ),
]
ShowSettings = Annotated[bool, typer.Option("--show-settings", help="Print every setting and whose it is, and stop.")]


def settings_table(ctx: typer.Context, settings: Path | None, defaults: Mapping[str, Any]) -> str:
    """Every setting of a command, one a line: name, value without passwords, origin.

    Args:
        ctx: of the command.
        settings: the file that was read.
        defaults: what holds where an option says nothing.
    """
    rows = []
    for option in ctx.command.params:
        if not _is_setting(option, ctx.info_name):
            continue
        name = str(option.name)
        value = ctx.params.get(name)
        if value is None or value in ([], ()):
            value = defaults.get(name)
        rows.append((name, _shown(value), said_in(ctx, name, settings)))
    wide, long = (max(len(row[column]) for row in rows) for column in (0, 1))
    return "\n".join(f"{name:{wide}}  {value:{long}}  {origin}" for name, value, origin in rows)


def said_in(ctx: typer.Context, name: str, settings: Path | None) -> str:
    """Where a person has to look for a setting: flag, variable, field of the file, or ``default``."""
    option = next(option for option in ctx.command.params if option.name == name)
    field = name if name in SHARED else f"[{ctx.info_name}] {name}"
    places = {"COMMANDLINE": option.opts[0], "ENVIRONMENT": str(option.envvar), "DEFAULT_MAP": f"{settings}: {field}"}
    return places.get(_origin(ctx, option), "default")


def without_secrets(text: str) -> str:
    """A URL, or a board with its URI, without its passwords; rather too much is hidden than too little.

    >>> without_secrets("postgresql://asic:secret@rack-0/asic")
    'postgresql://asic:***@rack-0/asic'
    >>> without_secrets("s9=s9://10.0.0.1?user=root&password=secret")
    's9=s9://10.0.0.1?user=root&password=***'
    >>> without_secrets("nats://token@rack-0:4222")
    'nats://***@rack-0:4222'
    """
    text = re.sub(r"(?s)((?:nats|tls)://)[^:]*@", r"\1***@", text)
    text = re.sub(r"(?s)(://[^:]*?:).*@", r"\1***@", text)
    return re.sub(r"(?i)([?&][^=&]*(?:pass|secret|token|key)[^=&]*=)[^&]*", r"\1***", text)


def _is_setting(option: Any, command: str | None) -> TypeGuard[TyperOption]:
    if not isinstance(option, TyperOption) or option.name in ASIDE:
        return False
    return command in TABLES or option.name in SHARED


def _origin(ctx: typer.Context, option: Any) -> str:
    """By whom an option was said: COMMANDLINE, ENVIRONMENT, DEFAULT_MAP (the file), DEFAULT."""
    source = ctx.get_parameter_source(str(option.name))
    return "" if source is None else source.name


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return " ".join(_shown(item) for item in value)
    return without_secrets(str(value))


def _content(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            raw = file.read(LONGEST + 1)
    except FileNotFoundError:
        raise NotFoundError(f"settings file {str(path)!r}: no such file") from None
    except OSError as error:
        raise UsageError(f"settings file {str(path)!r}: {error.strerror}, must be a file that can be read") from None
    if len(raw) > LONGEST:
        raise UsageError(f"settings file {str(path)!r}: more than {LONGEST:,} bytes, must be a settings file")
    try:
        return tomllib.loads(raw.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(f"{path}: must be TOML: {' '.join(str(error).split()) or 'nested too deeply'}") from None


def _fields(
    path: Path, content: Mapping[str, Any], table: str | None, options: Mapping[str, Any]
) -> list[tuple[str, Any, str]]:
    """What the file says to this command: the field as it is named to people, its value, and the option."""
    found = []
    for name, value in content.items():
        if name in TABLES:
            if not isinstance(value, dict):
                raise UsageError(f"{path}: {name}: {value!r}, must be a table [{name}]")
            continue
        if name not in SHARED:
            beside = "; settings of one command stand in its table, [serve] or [worker]"
            raise UsageError(f"{path}: {name}: unknown, {_meant(name, [*SHARED, *TABLES])}{beside}")
        if name in options:  # `keys` has no bus
            found.append((f"{path}: {name}", value, name))
    mine = [name for name in options if name not in SHARED]
    for name, value in content.get(table, {}).items() if table else ():
        if name in SHARED:
            raise UsageError(f"{path}: [{table}] {name}: must stand at the top, since other commands need it too")
        if name not in mine:
            raise UsageError(f"{path}: [{table}] {name}: unknown, {_meant(name, mine)}")
        found.append((f"{path}: [{table}] {name}", value, name))
    return found


def _must(error: typer.BadParameter) -> str:
    return error.message.replace("Input should", "must", 1)


def _meant(name: str, known: list[str]) -> str:
    close = get_close_matches(name, known, 1)
    return f"did you mean {close[0]}?" if close else f"must be one of {', '.join(sorted(known))}"


_FORMS: Mapping[Any, tuple[Callable[[Any], bool], str]] = {
    bool: (lambda value: isinstance(value, bool), "true or false"),
    int: (lambda value: isinstance(value, int) and not isinstance(value, bool), "a whole number"),
    float: (lambda value: isinstance(value, int | float) and not isinstance(value, bool), "a number"),
    str: (lambda value: isinstance(value, str) and value != "", "text in quotes, not empty"),
    list: (
        lambda value: isinstance(value, list) and value != [] and all(isinstance(item, str) for item in value),
        'a list as ["…", "…"]',
    ),
}


def _form(hint: Any) -> tuple[Callable[[Any], bool], str]:
    """How a value of an option is written in TOML, by the type of the option."""
    if get_origin(hint) in (Union, types.UnionType):
        hint = next(part for part in get_args(hint) if part is not type(None))
    return _FORMS[str if hint is Path else get_origin(hint) or hint]


def _check_form(field: str, value: Any, right: Callable[[Any], bool], words: str) -> None:
    if not right(value):
        raise UsageError(f"{field}: {without_secrets(repr(value))}, must be {words}")
