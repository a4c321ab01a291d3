"""Sessions: a board that is yours for a while."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from fastapi import APIRouter, Request
from starlette.responses import Response

from api import schemas
from api.keys import Key
from api.problems import ProblemError
from api.queue.streams import end_streams_of
from api.routes.common import SomeId, json_response, service_of
from api.routes.submission import board_of
from api.security import Reader, Runner
from asic_reservoir.store.facts import leases, new_id, now_ns, reservations, shelf

router = APIRouter(prefix="/sessions", tags=["sessions"])

_SELECT = sa.select(reservations, shelf.c.name.label("board")).join(shelf, shelf.c.board_id == reservations.c.board_id)


def session_document(row: Any, key: Key) -> dict[str, Any]:
    ended = row.ended_utc_ns if row.ended_utc_ns is not None or row.expires_utc_ns > now_ns() else row.expires_utc_ns
    return {
        "id": row.id,
        "board": row.board,
        "purpose": row.purpose,
        "created": schemas.time_of(row.created_utc_ns),
        "expires": schemas.time_of(row.expires_utc_ns),
        "ended": schemas.time_of(ended),
        "mine": row.owner == key.id,
    }


@router.post("", status_code=201, response_model=schemas.Session, responses={404: {}, 409: {}})
async def open_session(wanted: schemas.SessionRequest, request: Request, key: Runner) -> Response:
    """Reserve a board: until it ends, only your tasks begin on it. What runs on it now, it ends first."""
    service = service_of(request)
    board_id = (await board_of(service, wanted.board))["id"]
    now = now_ns()
    row = {
        "id": new_id(now),
        "board_id": board_id,
        "owner": key.id,
        "purpose": wanted.purpose,
        "created_utc_ns": now,
        "expires_utc_ns": now + int(wanted.seconds * 1e9),
    }

    def write(connection: sa.Connection) -> None:
        # one at a time: on PostgreSQL two could look before either has written
        connection.execute(sa.select(shelf.c.board_id).where(shelf.c.board_id == board_id).with_for_update())
        other = connection.execute(
            sa.select(reservations.c.expires_utc_ns).where(
                reservations.c.board_id == board_id,
                reservations.c.ended_utc_ns.is_(None),
                reservations.c.expires_utc_ns > now,
            )
        ).scalar()
        if other is not None:
            until = schemas.time_of(other)
            raise ProblemError("not-ready", f"board {wanted.board!r}: reserved until {until}, must be free")
        connection.execute(reservations.insert(), row)

    await service.write(write)
    service.views.forget()
    document = await _session(request, str(row["id"]), key)
    return json_response(document, 201, {"Location": f"/api/v1/sessions/{row['id']}"})


@router.get("", response_model=schemas.SessionList)
async def list_sessions(request: Request, key: Reader) -> Response:
    """Sessions, newest first."""
    statement = _SELECT.order_by(reservations.c.id.desc()).limit(200)
    rows = await service_of(request).read(lambda connection: connection.execute(statement).all())
    return json_response({"items": [session_document(row, key) for row in rows]})


@router.get("/{session_id}", response_model=schemas.Session, responses={404: {}})
async def get_session(session_id: SomeId, request: Request, key: Reader) -> Response:
    """One session."""
    return json_response(await _session(request, session_id, key))


@router.delete("/{session_id}", status_code=204, response_class=Response, responses={404: {}})
async def end_session(session_id: SomeId, request: Request, key: Runner) -> Response:
    """Give the board back. Yours; with the scope `operate`, everybody's. A stream of the session ends with it."""

    def write(connection: sa.Connection) -> str:
        row = connection.execute(
            sa.select(reservations.c.owner, reservations.c.board_id).where(reservations.c.id == session_id)
        ).one_or_none()
        if row is None:
            raise ProblemError("not-found", f"session {session_id}: unknown")
        if row.owner != key.id and "operate" not in key.scopes:
            raise ProblemError("no-right", f"session {session_id} is another's; that needs the scope 'operate'")
        connection.execute(
            reservations.update()
            .where(reservations.c.id == session_id, reservations.c.ended_utc_ns.is_(None))
            .values(ended_utc_ns=now_ns())
        )
        end_streams_of(connection, session_id)
        return str(row.board_id)

    service = service_of(request)
    service.nudge(await service.write(write))
    service.views.forget()
    return Response(status_code=204)


async def _session(request: Request, session_id: str, key: Key) -> dict[str, Any]:
    row = await service_of(request).read(
        lambda c: c.execute(_SELECT.where(reservations.c.id == session_id)).one_or_none()
    )
    if row is None:
        raise ProblemError("not-found", f"session {session_id}: unknown")
    return session_document(row, key)


def held_now(connection: sa.Connection) -> int:
    """Boards that some worker renewed its lease of a moment ago."""
    fresh = now_ns() - 15 * 10**9
    statement = (
        sa.select(sa.func.count())
        .select_from(leases)
        .join(shelf, shelf.c.board_id == leases.c.board_id)
        .where(leases.c.holder.is_not(None), leases.c.renewed_utc_ns > fresh)
    )
    return int(connection.execute(statement).scalar_one())
