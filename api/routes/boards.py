"""Boards: the shelf, one board, stop and release."""

from __future__ import annotations

from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, Header, Request
from starlette.responses import Response

from api import schemas
from api.keys import note
from api.problems import ProblemError
from api.routes.common import BoardName, json_response, service_of
from api.security import Operator, Reader
from api.shelf import change_board
from asic_reservoir.store.facts import calibrations, now_ns, shelf

router = APIRouter(prefix="/boards", tags=["boards"])


@router.get("", response_model=schemas.BoardList)
async def list_boards(request: Request, key: Reader) -> Response:
    """The shelf."""
    documents = await service_of(request).views.shelf()
    items = [{name: value for name, value in document.items() if name != "info"} for document in documents]
    return json_response({"items": items})


@router.get("/{name}", response_model=schemas.BoardDetail, responses={404: {}})
async def get_board(name: BoardName, request: Request, key: Reader) -> Response:
    """One board: what it is, its limits, what it does now. The ETag counts changes made by people."""
    document = await _board(request, name)
    return json_response(document, headers={"ETag": _etag(document["version"])})


@router.get("/{name}/calibration", response_model=schemas.Calibration, responses={404: {}})
async def get_calibration(name: BoardName, request: Request, key: Reader) -> Response:
    """The newest calibration of a board: what it really does, found by asking it."""
    board = await _board(request, name)
    row = await service_of(request).read(
        lambda c: c.execute(
            sa.select(calibrations)
            .where(calibrations.c.board_id == board["id"])
            .order_by(calibrations.c.id.desc())
            .limit(1)
        ).one_or_none()
    )
    if row is None:
        raise ProblemError("not-found", f"board {name!r}: never calibrated; submit a task of kind 'calibrate'")
    document = {
        "id": row.id,
        "board": name,
        "origin": row.origin,
        "created": schemas.time_of(row.created_utc_ns),
        "age_seconds": round((now_ns() - row.created_utc_ns) * 1e-9, 3),
        "sha256": row.sha256,
        "content": row.content,
    }
    return json_response(document)


@router.patch("/{name}", response_model=schemas.BoardDetail, responses={404: {}, 412: {}, 428: {}})
async def patch_board(
    name: BoardName,
    change: schemas.BoardChange,
    request: Request,
    key: Operator,
    if_match: Annotated[str | None, Header(max_length=200, description="ETag of what you saw.")] = None,
) -> Response:
    """Enable or disable a board. What it works on, it ends."""
    if if_match is None:
        raise ProblemError("no-if-match", f"board {name!r}: send If-Match")
    version = if_match.strip('"')
    if not version.isdecimal() or not version.isascii() or len(version) > 15:
        raise ProblemError("stale", f"board {name!r}: If-Match {if_match[:40]!r} is no ETag of it")

    def write(connection: sa.Connection) -> None:
        reason = "" if change.enabled else change.reason
        change_board(connection, name, int(version), enabled=change.enabled, reason=reason)
        note(connection, key.id, "board-enabled" if change.enabled else "board-disabled", name, {"reason": reason})

    return await _changed(request, name, write)


@router.post("/{name}/stop", response_model=schemas.BoardDetail, responses={404: {}})
async def stop_board(name: BoardName, wanted: schemas.Confirmation, request: Request, key: Operator) -> Response:
    """Emergency stop: what runs is ended, the board goes to its safe state, nothing begins until it is released."""
    _confirmed(name, wanted)

    def write(connection: sa.Connection) -> None:
        change_board(connection, name, None, stopped=True, reason=wanted.reason or "stopped by hand")
        note(connection, key.id, "board-stopped", name, {"reason": wanted.reason})

    return await _changed(request, name, write)


@router.post("/{name}/release", response_model=schemas.BoardDetail, responses={404: {}})
async def release_board(name: BoardName, wanted: schemas.Confirmation, request: Request, key: Operator) -> Response:
    """End an emergency stop."""
    _confirmed(name, wanted)

    def write(connection: sa.Connection) -> None:
        change_board(connection, name, None, stopped=False, reason="")
        note(connection, key.id, "board-released", name, {"reason": wanted.reason})

    return await _changed(request, name, write)


def _confirmed(name: str, wanted: schemas.Confirmation) -> None:
    if wanted.confirm != name:
        detail = f"confirm: must be the name of the board, {name!r}"
        raise ProblemError("invalid", detail, [("/confirm", detail)])


async def _changed(request: Request, name: str, write: Any) -> Response:
    service = service_of(request)
    await service.write(write)
    board_id = await service.read(
        lambda c: c.execute(sa.select(shelf.c.board_id).where(shelf.c.name == name)).scalar_one()
    )
    service.nudge(board_id)
    service.views.forget()
    document = await _board(request, name)
    return json_response(document, headers={"ETag": _etag(document["version"])})


async def _board(request: Request, name: str) -> dict[str, Any]:
    for document in await service_of(request).views.shelf():
        if document["name"] == name:
            return document
    raise ProblemError("not-found", f"board {name!r}: not on the shelf")


def _etag(version: int) -> str:
    return f'"{version}"'
