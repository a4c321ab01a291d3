"""``asic-reservoir keys``: make, list and revoke keys, beside the database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.commands.layers import Layered, Settings

if TYPE_CHECKING:
    from asic_reservoir.store.facts import Writer

Data = Annotated[Path, typer.Option(metavar="FOLDER", help="Folder of the service.")]
Db = Annotated[str | None, typer.Option(metavar="URL", help="Database. [default: SQLite in the folder]")]
_DATA = Path("asic-reservoir-data")


def register(app: typer.Typer) -> None:
    keys = typer.Typer(help="Keys of the service: made here, beside the database.", no_args_is_help=True)
    keys.command("create", cls=Layered)(create)
    keys.command("list", cls=Layered)(list_)
    keys.command("revoke", cls=Layered)(revoke)
    app.add_typer(keys, name="keys")


def create(
    name: Annotated[str, typer.Argument(help="Who or what it is for.")],
    scope: Annotated[list[str], typer.Option(help="read, run, operate, admin; may be given often.")] = ["read", "run"],  # noqa: B006
    days: Annotated[float | None, typer.Option(min=0.01, help="It ends after so many days.")] = None,
    data: Data = _DATA,
    db: Db = None,
    settings: Settings = None,
) -> None:
    """Make a key. It is printed this once; only a digest is kept."""
    from api.keys import create_key
    from asic_reservoir.store.facts import now_ns

    expires = None if days is None else now_ns() + int(days * 86_400e9)
    with _writer(data, db) as writer:
        _, secret = writer.run(lambda c: create_key(c, name, scope, expires_utc_ns=expires, by="command line"))
    typer.echo(secret)


def list_(data: Data = _DATA, db: Db = None, settings: Settings = None) -> None:
    """List keys, without their secrets."""
    import sqlalchemy as sa

    from api.schemas import time_of
    from asic_reservoir.store.facts import keys

    with _writer(data, db) as writer:
        rows = writer.run(lambda connection: connection.execute(sa.select(keys).order_by(keys.c.id)).all())
    for row in rows:
        state = "revoked" if row.revoked_utc_ns else f"until {time_of(row.expires_utc_ns) or 'revoked'}"
        typer.echo(f"{row.id}  ar_{row.prefix}_…  {','.join(row.scopes):24}  {state:32}  {row.name}")


def revoke(
    key_id: Annotated[str, typer.Argument(help="Identifier, as `keys list` shows it.")],
    data: Data = _DATA,
    db: Db = None,
    settings: Settings = None,
) -> None:
    """End a key; a service that runs refuses it within seconds."""
    from api.keys import revoke_key

    with _writer(data, db) as writer:
        writer.run(lambda connection: revoke_key(connection, key_id, "command line"))


@contextmanager
def _writer(data: Path, db: str | None) -> Iterator[Writer]:
    from asic_reservoir.store.facts import Writer, open_engine, upgrade

    if db is None:
        data.mkdir(parents=True, exist_ok=True)
    engine = open_engine(db or f"sqlite:///{data.resolve()}/facts.db")
    upgrade(engine)
    with Writer(engine) as writer:
        yield writer
    engine.dispose()
