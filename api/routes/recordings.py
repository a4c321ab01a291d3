"""Recordings: runs with every nonce, brought here, looked up, taken along, played as a board."""

from __future__ import annotations

import socket
from pathlib import Path as FilePath
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, Header, Path, Query, Request
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse, Response

from api import schemas
from api.intake import Intake, sweep
from api.keys import note
from api.problems import ProblemError
from api.routes.common import Cursor, Limit, json_response, newest_page, service_of, suffix_of
from api.security import Reader, Runner
from api.service import Service
from api.shelf import put_on_shelf
from asic_reservoir.errors import BusyError
from asic_reservoir.store.errors import StoreWriteError
from asic_reservoir.store.events.kinds import Kind
from asic_reservoir.store.facts import boards, new_id, results, runs, segments, shelf

router = APIRouter(prefix="/recordings", tags=["recordings"])

RecordingId = Annotated[str, Path(pattern=schemas.UUID_PATTERN, description="Identifier of the recording.")]
SUFFIXES = {"application/zip": ".zip", "text/csv": ".csv"}
_player = boards.alias("player")
_there = sa.and_(segments.c.run_id == runs.c.id, segments.c.file.is_not(None))
_nonces = sa.select(sa.func.sum(segments.c.end_row - segments.c.first_row)).where(
    _there, segments.c.kind == Kind.NONCES.word
)
_bytes = sa.select(sa.func.sum(segments.c.bytes)).where(_there)
_SELECT = (
    sa.select(
        runs,
        boards.c.uri,
        shelf.c.name.label("shelf"),
        _nonces.scalar_subquery().label("nonces"),
        _bytes.scalar_subquery().label("bytes"),
        sa.exists(sa.select(results.c.id).where(results.c.run_id == runs.c.id)).label("whole"),
    )
    .join(boards, boards.c.id == runs.c.board_id)
    .outerjoin(_player, _player.c.uri == sa.literal("replay://") + runs.c.folder)
    .outerjoin(shelf, shelf.c.board_id == _player.c.id)
)


def recording_document(row: Any) -> dict[str, Any]:
    """A row of ``_SELECT`` as :class:`api.schemas.Recording`."""
    return {
        "id": row.id,
        "board": row.uri,
        "origin": row.origin,
        "state": row.state,
        "host": row.host,
        "created": schemas.time_of(row.created_utc_ns),
        "begin_ns": row.begin_ns,
        "end_ns": row.end_ns,
        "nonces": int(row.nonces or 0),
        "bytes": int(row.bytes or 0),
        "task": row.task_id,
        "partial": row.task_id is not None and not row.whole,
        "shelf": row.shelf,
    }


@router.get("", response_model=schemas.RecordingPage)
async def list_recordings(
    request: Request,
    key: Reader,
    limit: Limit = 50,
    cursor: Cursor = None,
    task: Annotated[
        str | None, Query(pattern=schemas.UUID_PATTERN, description="Only what this task recorded.")
    ] = None,
) -> Response:
    """Recorded runs, newest first."""
    chosen = _SELECT if task is None else _SELECT.where(runs.c.task_id == task)
    return await newest_page(request, chosen, runs.c.id, recording_document, limit, cursor)


def newest_recordings(connection: sa.Connection, most: int) -> list[dict[str, Any]]:
    """The newest, at most so many."""
    return [recording_document(row) for row in connection.execute(_SELECT.order_by(runs.c.id.desc()).limit(most))]


@router.get("/{recording_id}", response_model=schemas.Recording, responses={404: {}})
async def get_recording(recording_id: RecordingId, request: Request, key: Reader) -> Response:
    """One recording."""
    return json_response(recording_document(await _find(service_of(request), recording_id)))


@router.post(
    "",
    status_code=201,
    response_model=schemas.Recording,
    responses={
        201: {"headers": {"Location": {"schema": {"type": "string"}, "description": "Of the recording."}}},
        409: {},
        415: {},
    },
    openapi_extra={
        "requestBody": {
            "required": True,
            "description": "A file of `asic-reservoir store export`, or a CSV of S9 shares.",
            "content": {
                "application/zip": {"schema": {"type": "string", "format": "binary"}},
                "text/csv": {"schema": {"type": "string", "format": "binary"}},
            },
        }
    },
)
async def upload_recording(
    request: Request,
    key: Runner,
    content_type: Annotated[str | None, Header(max_length=200, include_in_schema=False)] = None,
    name: Annotated[
        str, Query(max_length=128, pattern=r"^[^\x00-\x1f\x7f]+$", description="What you call it, for messages.")
    ] = "upload",
    board: Annotated[
        str | None, Query(pattern=schemas.NAME_PATTERN, description="Play it under this name, as a board of the shelf.")
    ] = None,
    strict: Annotated[
        bool, Query(description="As a board, refuse a step that is not the recorded one; else give the next.")
    ] = True,
) -> Response:
    """Bring a recording. Everything in it is checked before any of it is kept; nothing of it is executed.

    With `board` it stands on the shelf as `replay://…`, and tasks run on it like on any board, in recorded time.
    """
    service = service_of(request)
    suffix = suffix_of(content_type, SUFFIXES)
    if board is not None and any(one["name"] == board for one in await service.views.shelf()):
        detail = f"board {board!r}: is on the shelf already, must be a new name"
        raise ProblemError("not-ready", detail, [("#query/board", detail)])
    intake: Intake = request.app.state.intake
    async with intake.receive(request, suffix) as source:
        root = service.settings.data / "recordings"
        try:
            found = await intake.read("recording", source, root, service.settings.database, name)
        except BusyError as error:
            raise ProblemError("not-ready", str(error)) from None
    await service.write(lambda c: note(c, key.id, "recording-uploaded", found["run_id"], {"name": name}))
    if board is not None:
        identity = f"replay://{found['folder']}"
        uri = identity if strict else f"{identity}?strict=false"
        board_id = await run_in_threadpool(put_on_shelf, service.writer, board, uri, identity=identity)
        service.views.forget()
        if service.worker is not None:
            await run_in_threadpool(service.worker.add, board_id)
    document = recording_document(await _find(service, found["run_id"]))
    return json_response(document, 201, {"Location": f"/api/v1/recordings/{found['run_id']}"})


@router.get(
    "/{recording_id}/file",
    response_class=Response,
    responses={
        200: {"content": {"application/zip": {}}, "description": "Parquet and a manifest, as `store export` writes."},
        404: {},
        409: {},
        410: {},
    },
)
async def get_file(recording_id: RecordingId, request: Request, key: Reader) -> Response:
    """A recording as one file that pandas, Polars and DuckDB read; also that of a run that is being recorded."""
    from asic_reservoir.store.transfer import export_run

    service = service_of(request)
    row = await _find(service, recording_id)
    folder = FilePath(row.folder)
    if row.state == "deleted":
        raise ProblemError("gone", f"recording {recording_id}: its events were deleted")
    if not folder.is_dir():
        where = f"lies on {row.host} in {folder}, not on {socket.gethostname()}"
        raise ProblemError("not-ready", f"recording {recording_id}: {where}; 'store export' there makes the file")
    outgoing = service.settings.data / "outgoing"
    outgoing.mkdir(parents=True, exist_ok=True)
    sweep(outgoing)
    target = outgoing / f"{new_id()}.zip"
    try:
        await run_in_threadpool(export_run, folder, target)
    except StoreWriteError as error:
        raise ProblemError("unavailable", str(error), headers={"Retry-After": "60"}) from None
    return FileResponse(
        target,
        media_type="application/zip",
        filename=f"{recording_id}.zip",
        background=BackgroundTask(target.unlink, missing_ok=True),
    )


async def _find(service: Service, recording_id: str) -> Any:
    row = await service.read(lambda c: c.execute(_SELECT.where(runs.c.id == recording_id)).one_or_none())
    if row is None:
        raise ProblemError("not-found", f"recording {recording_id}: unknown")
    return row
