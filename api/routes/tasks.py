"""Tasks: submit, list, look, cancel."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response

from api import schemas
from api.problems import ProblemError
from api.queue import Draft, TaskState, request_cancel, submit, submit_all
from api.queue.streams import open_stream
from api.routes.admission import admit
from api.routes.common import Cursor, Limit, TaskId, json_response, newest_page, service_of
from api.security import Reader, Runner
from api.service import Service
from api.strict import parse_params
from api.views import read_queue
from asic_reservoir.store.facts import now_ns, shelf, tasks

router = APIRouter(prefix="/tasks", tags=["tasks"])

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
    row = connection.execute(_ONE, {"task_id": task_id}).first()
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
        409: {},
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
    board = await board_of(service, wanted.board)
    board_id = board["id"]
    admission = await admit(service, key, kind, params, board)
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
        fingerprint="" if idempotency_key is None else _fingerprint(wanted, params),
        most_waiting=int(key.limits.get("tasks_waiting", service.settings.tasks_waiting)) if key.id else None,
    )

    def queue(connection: sa.Connection) -> tuple[str, bool]:
        task_id, new = submit(connection, draft)
        if new and admission is not None:
            open_stream(connection, task_id, admission.reservation_id, admission.low, admission.high)
        return task_id, new

    if idempotency_key is None and admission is None:
        task_id, new = await service.gather(submit_all, draft), True
    else:
        task_id, new = await service.write(queue)
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


def _fingerprint(wanted: schemas.TaskRequest, params: dict[str, Any]) -> str:
    """What makes two submissions the same."""
    content = wanted.model_dump(mode="json") | {"params": params}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


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


async def board_of(service: Service, name: str) -> dict[str, Any]:
    """Document of a board on the shelf; raises ProblemError with the pointer of the field."""
    shown = await service.views.shelf()
    for document in shown:
        if document["name"] == name:
            return document
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
    statement = _SELECT
    if state is not None:
        statement = statement.where(tasks.c.state == state)
    if kind is not None:
        statement = statement.where(tasks.c.kind == kind)
    if board is not None:
        statement = statement.where(shelf.c.name == board)
    return await newest_page(request, statement, tasks.c.id, task_document, limit, cursor)


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
