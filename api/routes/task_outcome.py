"""What becomes of a task: result, events as they happen, attempts, files."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, Header, Path, Query, Request
from starlette.responses import Response, StreamingResponse

from api import schemas
from api.middleware import REPORT_CSP
from api.problems import ProblemError
from api.routes.common import TaskId, json_response, service_of
from api.routes.tasks import find_task
from api.security import Reader
from api.service import Service
from asic_reservoir.store.facts import attempts, results, task_events, task_files

router = APIRouter(prefix="/tasks", tags=["tasks"])

EVENT_SCHEMA = {
    "type": "object",
    "required": ["event", "data"],
    "properties": {
        "id": {"type": "string", "description": "Sequence; send the last one as Last-Event-ID to resume."},
        "event": {"type": "string", "description": "A state, `progress`, or `end` when nothing follows."},
        "data": {"type": "string", "description": "JSON: sequence, kind, created_utc_ns, data."},
    },
}
HEARTBEAT_S = 15.0
"""A comment on a silent stream, so that proxies keep it open."""


@router.get("/{task_id}/result", response_model=schemas.Result, responses={404: {}, 409: {}})
async def get_result(task_id: TaskId, request: Request, key: Reader) -> Response:
    """What the task found. 409 while it is not there (yet): `GET /tasks/{task_id}` says why."""
    service = service_of(request)
    report = await service.read(
        lambda c: c.execute(sa.select(results.c.report).where(results.c.task_id == task_id)).scalar()
    )
    if report is None:
        row = await service.read(lambda connection: find_task(connection, task_id))
        reason = f": {row.error}" if row.error else ""
        raise ProblemError("not-ready", f"task {task_id}: {row.state}{reason}, has no result")
    return json_response(report)


@router.get("/{task_id}/history", response_model=schemas.EventList, responses={404: {}})
async def get_history(
    task_id: TaskId, request: Request, key: Reader, after: Annotated[int, Query(ge=0, le=2**31)] = 0
) -> Response:
    """Events of the task so far, at most 1,000 after `after`."""

    def ask(connection: sa.Connection) -> list[dict[str, Any]]:
        find_task(connection, task_id)
        rows = connection.execute(
            sa.select(task_events)
            .where(task_events.c.task_id == task_id, task_events.c.sequence > after)
            .order_by(task_events.c.sequence)
            .limit(1000)
        )
        return [
            {"sequence": row.sequence, "kind": row.kind, "created_utc_ns": row.created_utc_ns, "data": row.data}
            for row in rows
        ]

    return json_response({"items": await service_of(request).read(ask)})


@router.get(
    "/{task_id}/events",
    response_class=StreamingResponse,
    responses={
        200: {"content": {"text/event-stream": {"schema": EVENT_SCHEMA}}, "description": "Server-sent events."},
        404: {},
    },
)
async def follow_events(
    task_id: TaskId,
    request: Request,
    key: Reader,
    last_event_id: Annotated[str | None, Header(pattern=r"^[0-9]{1,10}$", description="Resume after this.")] = None,
) -> Response:
    """Events of the task as they happen. Ends with the task; resume with `Last-Event-ID`."""
    service = service_of(request)
    await service.read(lambda connection: find_task(connection, task_id))
    seen = int(last_event_id) if last_event_id is not None else 0
    return StreamingResponse(
        _stream(service, task_id, seen), headers={"X-Accel-Buffering": "no"}, media_type="text/event-stream"
    )


async def _stream(service: Service, task_id: str, seen: int) -> AsyncIterator[bytes]:
    channel = await service.news.open(task_id)
    try:
        yield b"retry: 1000\n\n"
        while True:
            more = channel.more
            if seen < len(channel.messages):
                yield b"".join(channel.messages[seen:])
                seen = len(channel.messages)
                continue
            if channel.over:
                yield b"event: end\ndata: {}\n\n"
                return
            try:
                await asyncio.wait_for(more.wait(), HEARTBEAT_S)
            except TimeoutError:
                yield b": still here\n\n"
    finally:
        service.news.close(task_id)


@router.get("/{task_id}/attempts", response_model=schemas.AttemptList, responses={404: {}})
async def get_attempts(task_id: TaskId, request: Request, key: Reader) -> Response:
    """Every time that the task was begun."""

    def ask(connection: sa.Connection) -> list[dict[str, Any]]:
        find_task(connection, task_id)
        rows = connection.execute(sa.select(attempts).where(attempts.c.task_id == task_id).order_by(attempts.c.number))
        return [
            {
                "number": row.number,
                "worker": row.holder,
                "token": row.token,
                "started": schemas.time_of(row.started_utc_ns),
                "finished": schemas.time_of(row.finished_utc_ns),
                "outcome": row.outcome,
            }
            for row in rows
        ]

    return json_response({"items": await service_of(request).read(ask)})


@router.get("/{task_id}/files", response_model=schemas.FileList, responses={404: {}})
async def list_files(task_id: TaskId, request: Request, key: Reader) -> Response:
    """Files that the task left."""
    columns = (task_files.c.name, task_files.c.bytes, task_files.c.sha256, task_files.c.media_type)

    def ask(connection: sa.Connection) -> list[dict[str, Any]]:
        find_task(connection, task_id)
        rows = connection.execute(
            sa.select(*columns).where(task_files.c.task_id == task_id).order_by(task_files.c.name)
        )
        return [dict(row._mapping) for row in rows]

    return json_response({"items": await service_of(request).read(ask)})


@router.get(
    "/{task_id}/files/{name}",
    response_class=Response,
    responses={
        200: {"content": {"*/*": {}}, "description": "The file."},
        304: {"description": "As you have it."},
        404: {},
    },
)
async def get_file(
    task_id: TaskId,
    name: Annotated[str, Path(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$")],
    request: Request,
    key: Reader,
    if_none_match: Annotated[str | None, Header(max_length=200)] = None,
) -> Response:
    """One file. It never changes: its ETag is its SHA-256."""
    row = await service_of(request).read(
        lambda c: c.execute(
            sa.select(task_files.c.content, task_files.c.media_type, task_files.c.sha256).where(
                task_files.c.task_id == task_id, task_files.c.name == name
            )
        ).one_or_none()
    )
    if row is None:
        raise ProblemError("not-found", f"task {task_id} file {name!r}: unknown")
    headers = {
        "ETag": f'"{row.sha256}"',
        "Cache-Control": "private, max-age=31536000, immutable",
        "Content-Security-Policy": REPORT_CSP,
    }
    if if_none_match == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    return Response(row.content, headers=headers, media_type=row.media_type)
