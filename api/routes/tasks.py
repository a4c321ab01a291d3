"""Tasks: submit, list, look, cancel, result, events, files."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, Header, Path, Query, Request
from starlette.responses import Response, StreamingResponse

from api import schemas
from api.middleware import REPORT_CSP
from api.problems import ProblemError
from api.queue import Draft, TaskState, request_cancel, submit
from api.routes.common import Cursor, Limit, TaskId, json_response, page_response, service_of
from api.security import Reader, Runner
from api.service import Service
from api.strict import parse_params
from api.views import read_queue
from asic_reservoir.store.facts import attempts, now_ns, results, shelf, task_events, task_files, tasks

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
_COLUMNS = (
    tasks.c.id, tasks.c.kind, tasks.c.state, tasks.c.request, tasks.c.priority, tasks.c.attempts, tasks.c.max_attempts,
    tasks.c.error, tasks.c.created_utc_ns, tasks.c.started_utc_ns, tasks.c.finished_utc_ns, tasks.c.deadline_utc_ns,
    tasks.c.last_event, tasks.c.board_id, shelf.c.name.label("board"),
)  # fmt: skip
_SELECT = sa.select(*_COLUMNS).outerjoin(shelf, shelf.c.board_id == tasks.c.board_id)
_ONE = _SELECT.where(tasks.c.id == sa.bindparam("task_id"))


def task_document(row: Any, position: int | None = None, start_utc_ns: int | None = None) -> dict[str, Any]:
    """A row of ``_SELECT`` as :class:`api.schemas.Task`."""
    return {
        "id": row.id,
        "kind": row.kind,
        "board": row.board or "",
        "state": row.state,
        "params": row.request.get("params", {}),
        "priority": row.priority,
        "attempts": row.attempts,
        "max_attempts": row.max_attempts,
        "error": row.error,
        "created": schemas.time_of(row.created_utc_ns),
        "started": schemas.time_of(row.started_utc_ns),
        "finished": schemas.time_of(row.finished_utc_ns),
        "deadline": schemas.time_of(row.deadline_utc_ns),
        "last_event": row.last_event,
        "queue_position": position,
        "estimated_start": schemas.time_of(start_utc_ns),
    }


def find_task(connection: sa.Connection, task_id: str) -> Any:
    """Raises ProblemError ``not-found``."""
    row = connection.execute(_ONE, {"task_id": task_id}).one_or_none()
    if row is None:
        raise ProblemError("not-found", f"task {task_id}: unknown")
    return row


def whole_task(connection: sa.Connection, task_id: str) -> dict[str, Any]:
    """A task with its place in the queue and an estimate of its start."""
    row = find_task(connection, task_id)
    if row.state != TaskState.QUEUED:
        return task_document(row)
    position = place(connection, row.board_id, row.priority, row.id)
    return task_document(row, position, read_queue(connection, row.board_id).start(position))


def place(connection: sa.Connection, board_id: str, priority: int, task_id: str) -> int:
    """Tasks of the board that go before, by priority and age."""
    waiting = sa.and_(tasks.c.board_id == board_id, tasks.c.state == TaskState.QUEUED.value)
    higher = sa.select(sa.func.count()).where(waiting, tasks.c.priority > priority)
    older = sa.select(sa.func.count()).where(waiting, tasks.c.priority == priority, tasks.c.id < task_id)
    return int(connection.execute(higher).scalar_one() + connection.execute(older).scalar_one())


def etag_of(document: dict[str, Any]) -> str:
    return f'"{document["state"]}-{document["attempts"]}-{document["last_event"]}"'


@router.post(
    "",
    status_code=202,
    response_model=schemas.Task,
    responses={
        202: {
            "headers": {
                "Location": {"schema": {"type": "string"}, "description": "Of the task."},
                "Retry-After": {"schema": {"type": "integer"}, "description": "Seconds until it is worth a look."},
                "Idempotent-Replay": {"schema": {"type": "string"}, "description": "`true`: it was there already."},
            }
        },
        404: {},
    },
)
async def submit_task(
    wanted: schemas.TaskRequest,
    request: Request,
    key: Runner,
    idempotency_key: Annotated[
        str | None,
        Header(
            min_length=1,
            max_length=255,
            pattern=r"^[\x21-\x7e]+$",
            description="A name of yours for this submission: sent twice, it is done once.",
        ),
    ] = None,
) -> Response:
    """Queue a task. Answers as soon as it is on the disk; follow `Location`."""
    service = service_of(request)
    kind, params = parse_params(wanted.kind, wanted.params)
    board_id = await board_of(service, wanted.board)
    content = wanted.model_dump(mode="json") | {"params": params}
    deadline = None
    if wanted.deadline_seconds is not None:
        deadline = now_ns() + int(wanted.deadline_seconds * 1e9)
    draft = Draft(
        kind=kind.name,
        request={"params": params},
        board_id=board_id,
        owner=key.id,
        priority=wanted.priority,
        deadline_utc_ns=deadline,
        max_attempts=wanted.max_attempts,
        idempotency_key=idempotency_key,
        fingerprint=hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest(),
    )
    most = int(key.limits.get("tasks_waiting", service.settings.tasks_waiting)) if key.id else None
    task_id, new = await service.write(lambda connection: submit(connection, draft, most))
    if new:
        service.nudge(board_id)
        position, start = await service.views.join(board_id, wanted.priority)
        document = _fresh(task_id, wanted, params, deadline, position, start)
    else:
        document = await service.read(lambda connection: whole_task(connection, task_id))
    headers = {"Location": f"/api/v1/tasks/{task_id}", "Retry-After": "1", "ETag": etag_of(document)}
    if not new:
        headers["Idempotent-Replay"] = "true"
    return json_response(document, 202, headers)


def _fresh(
    task_id: str,
    wanted: schemas.TaskRequest,
    params: dict[str, Any],
    deadline: int | None,
    position: int,
    start: int | None,
) -> dict[str, Any]:
    """A task that was queued a moment ago, as it was then: nothing is read for it."""
    return {
        "id": task_id,
        "kind": wanted.kind,
        "board": wanted.board,
        "state": TaskState.QUEUED.value,
        "params": params,
        "priority": wanted.priority,
        "attempts": 0,
        "max_attempts": wanted.max_attempts,
        "error": None,
        "created": schemas.time_of((int(task_id[:8] + task_id[9:13], 16)) * 1_000_000),  # UUID of version 7
        "started": None,
        "finished": None,
        "deadline": schemas.time_of(deadline),
        "last_event": 0,
        "queue_position": position,
        "estimated_start": schemas.time_of(start),
    }


async def board_of(service: Service, name: str) -> str:
    """Identifier of a board on the shelf; raises ProblemError with the pointer of the field."""
    shown = await service.views.shelf()
    for document in shown:
        if document["name"] == name:
            return str(document["id"])
    names = ", ".join(document["name"] for document in shown[:20])
    detail = f"board {name!r}: not on the shelf, must be one of {names}"
    raise ProblemError("not-found", detail, [("/board", detail)])


@router.get("", response_model=schemas.TaskPage)
async def list_tasks(
    request: Request,
    key: Reader,
    state: Annotated[schemas.State | None, Query()] = None,
    kind: Annotated[str | None, Query(max_length=64, pattern=r"^[a-z0-9-]+$")] = None,
    board: Annotated[str | None, Query(max_length=64, pattern=schemas.NAME_PATTERN)] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """Tasks, newest first."""
    statement = _SELECT.order_by(tasks.c.id.desc()).limit(limit + 1)
    if state is not None:
        statement = statement.where(tasks.c.state == state)
    if kind is not None:
        statement = statement.where(tasks.c.kind == kind)
    if board is not None:
        statement = statement.where(shelf.c.name == board)
    if cursor is not None:
        statement = statement.where(tasks.c.id < cursor)
    rows = await service_of(request).read(lambda connection: connection.execute(statement).all())
    return page_response([task_document(row) for row in rows], request, limit)


def newest_tasks(connection: sa.Connection, limit: int) -> list[dict[str, Any]]:
    """For the page."""
    rows = connection.execute(_SELECT.order_by(tasks.c.id.desc()).limit(limit)).all()
    return [task_document(row) for row in rows]


@router.get("/{task_id}", response_model=schemas.Task, responses={304: {"description": "As you have it."}, 404: {}})
async def get_task(
    task_id: TaskId, request: Request, key: Reader, if_none_match: Annotated[str | None, Header(max_length=200)] = None
) -> Response:
    """Where a task is."""
    document = await service_of(request).read(lambda connection: whole_task(connection, task_id))
    etag = etag_of(document)
    if if_none_match == etag and document["queue_position"] is None:
        return Response(status_code=304, headers={"ETag": etag})
    return json_response(document, headers={"ETag": etag})


@router.post("/{task_id}/cancel", status_code=202, response_model=schemas.Task, responses={404: {}, 409: {}})
async def cancel_task(task_id: TaskId, request: Request, key: Runner) -> Response:
    """Ask for a task to be cancelled. A running step is interrupted within a second; look until it says `cancelled`.

    A key may cancel its own tasks; with the scope `operate`, everybody's.
    """
    service = service_of(request)

    def cancel(connection: sa.Connection) -> tuple[str, TaskState]:
        row = connection.execute(sa.select(tasks.c.owner, tasks.c.board_id).where(tasks.c.id == task_id)).one_or_none()
        if row is None:
            raise ProblemError("not-found", f"task {task_id}: unknown")
        if row.owner != key.id and "operate" not in key.scopes:
            raise ProblemError("no-right", f"task {task_id} is another's; that needs the scope 'operate'")
        return row.board_id, request_cancel(connection, task_id)

    board_id, state = await service.write(cancel)
    service.nudge(board_id)
    service.news.changed(task_id)
    if state not in (TaskState.CANCELLED, TaskState.CANCELLING):
        raise ProblemError("not-ready", f"task {task_id}: {state.value} already, must be queued or running")
    return json_response(await service.read(lambda connection: whole_task(connection, task_id)), 202)


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
