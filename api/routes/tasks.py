"""Tasks: submit, list, look, cancel."""

from __future__ import annotations

from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response

from api import schemas
from api.problems import ProblemError
from api.queue import TaskState, request_cancel
from api.routes.common import Cursor, Limit, TaskId, json_response, newest_page, service_of
from api.security import Reader, Runner
from api.views import estimated_start, mean_duration_ns
from asic_reservoir.store.facts import shelf, tasks

router = APIRouter(prefix="/tasks", tags=["tasks"])

_COLUMNS = (
    tasks.c.id, tasks.c.kind, tasks.c.state, tasks.c.request, tasks.c.priority, tasks.c.attempts, tasks.c.max_attempts,
    tasks.c.error, tasks.c.created_utc_ns, tasks.c.started_utc_ns, tasks.c.finished_utc_ns, tasks.c.deadline_utc_ns,
    tasks.c.last_event, tasks.c.board_id, shelf.c.name.label("board"),
    shelf.c.enabled, shelf.c.stopped,
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
        raise ProblemError("not-found", f"task {task_id}: unknown, or its retention is over")
    return row


def whole_task(connection: sa.Connection, task_id: str) -> dict[str, Any]:
    """A task with its place in the queue and an estimate of its start."""
    row = find_task(connection, task_id)
    if row.state != TaskState.QUEUED:
        return task_document(row)
    position = place(connection, row.board_id, row.priority, row.id)
    took_ns = mean_duration_ns(connection, row.board_id) if row.enabled and not row.stopped else None
    return task_document(row, position, estimated_start(position, took_ns))


def place(connection: sa.Connection, board_id: str, priority: int, task_id: str) -> int:
    """Tasks of the board that go before, by priority and age."""
    waiting = sa.and_(tasks.c.board_id == board_id, tasks.c.state == TaskState.QUEUED.value)
    higher = sa.select(sa.func.count()).where(waiting, tasks.c.priority > priority)
    older = sa.select(sa.func.count()).where(waiting, tasks.c.priority == priority, tasks.c.id < task_id)
    return int(connection.execute(higher).scalar_one() + connection.execute(older).scalar_one())


def etag_of(document: dict[str, Any]) -> str:
    return f'"{document["state"]}-{document["attempts"]}-{document["last_event"]}"'


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
