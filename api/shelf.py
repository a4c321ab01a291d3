"""Boards that the service offers: put on the shelf, stopped, released."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from api.describe import Description, describe
from api.queue.notices import notify
from asic_reservoir.errors import NotFoundError, UsageError
from asic_reservoir.store.facts import Writer, boards, new_id, now_ns, shelf


def put_on_shelf(
    writer: Writer, name: str, uri: str, *, identity: str | None = None, seen: Description | None = None
) -> str:
    """Open a board once to see what it is, and offer it under a name; its identifier.

    A name that is on the shelf keeps its state (disabled, stopped) and takes the new URI.

    Args:
        writer: to the facts.
        name: for people.
        uri: as it is opened.
        identity: what tells this board from others, where it is not the URI that the board itself says: a recording
            calls itself by the board that was recorded.
        seen: what it is, where it was opened already.

    Raises:
        UsageError, NotFoundError: as :func:`asic_reservoir.registry.open_board`; or the board is on the shelf already
            under another name.
    """
    info = seen or describe(uri, identity)
    document = info.document

    def put(connection: sa.Connection) -> str:
        now = now_ns()
        board_id: str | None = connection.execute(sa.select(boards.c.id).where(boards.c.uri == info.uri)).scalar()
        if board_id is None:
            board_id = new_id(now)
            row: dict[str, Any] = {"id": board_id, "uri": info.uri, "family": info.family, "model": info.model}
            row |= {"origin": info.origin, "info": document, "created_utc_ns": now, "seen_utc_ns": now}
            connection.execute(boards.insert(), row)
        else:
            connection.execute(boards.update().where(boards.c.id == board_id).values(info=document, seen_utc_ns=now))
        there = connection.execute(sa.select(shelf.c.name).where(shelf.c.board_id == board_id)).scalar()
        if there is not None and there != name:
            raise UsageError(f"board {uri}: is on the shelf as {there!r} already, must be there once")
        holder = connection.execute(sa.select(shelf.c.board_id).where(shelf.c.name == name)).scalar()
        if holder is not None and holder != board_id:
            raise UsageError(f"board name {name!r}: is another board on this shelf, must be a new name")
        if there is None:
            place: dict[str, Any] = {"board_id": board_id, "name": name, "uri": uri, "enabled": True, "stopped": False}
            connection.execute(shelf.insert(), place | {"reason": "", "version": 1})
        else:
            connection.execute(shelf.update().where(shelf.c.board_id == board_id).values(uri=uri))
        return board_id

    return writer.run(put)


def is_on_shelf(connection: sa.Connection, name: str, uri: str) -> bool:
    """Whether a board stands there under this name, opened as this."""
    found = sa.select(shelf.c.board_id).where(shelf.c.name == name, shelf.c.uri == uri)
    return connection.execute(found).first() is not None


def change_board(connection: sa.Connection, name: str, version: int | None, **values: Any) -> int:
    """Change what people may change of a board; the new version.

    Args:
        connection: in a transaction that may write.
        name: on the shelf.
        version: that the caller saw; None: whatever it is.
        values: ``enabled``, ``stopped``, ``reason``.

    Raises:
        NotFoundError: no such board.
        VersionError: the board was changed in the meantime.
    """
    row = connection.execute(
        sa.select(shelf.c.version, shelf.c.board_id).where(shelf.c.name == name).with_for_update()
    ).one_or_none()
    if row is None:
        raise NotFoundError(f"board {name!r}: not on the shelf")
    if version is not None and row.version != version:
        raise VersionError(f"board {name!r}: version {version} is old, must be {row.version}")
    connection.execute(shelf.update().where(shelf.c.name == name).values(version=row.version + 1, **values))
    notify(connection, "board", row.board_id)
    return int(row.version) + 1


class VersionError(UsageError):
    """Something was changed by somebody else since it was read."""
