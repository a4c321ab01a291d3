"""Submitting a task: the request of which most come, with a way of its own through the house."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, Header, Request
from fastapi.routing import APIRoute
from pydantic import ValidationError
from pydantic_core import to_json
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from api import schemas
from api.keys import Key
from api.problems import ProblemError
from api.queue import Draft, TaskState, submit, submit_all
from api.queue.streams import open_stream
from api.routes.admission import admit
from api.routes.common import json_response, service_of
from api.routes.tasks import etag_of, whole_task
from api.security import Runner, need
from api.service import Service
from api.strict import parse_params
from asic_reservoir.store.facts import now_ns

_NAME = r"^[\x21-\x7e]+$"
_NAME_LENGTH = 255
_check = need("run")


class Express(APIRoute):
    """A submission that is plain and right is taken at once; any other goes FastAPI's way.

    FastAPI resolves a route's parameters anew for every request, which costs twice what queueing a task does. Here
    one call of pydantic reads the body from its bytes. What that does not like is handed on unseen, so that errors
    have one origin and one wording; who asks, and what becomes of the task, is the same code on both ways.
    """

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        plain, name = _look(scope)
        if plain:
            body, receive = await _read(receive)
            try:
                wanted = None if body is None else schemas.TaskRequest.model_validate_json(body)
            except ValidationError:
                wanted = None
            if wanted is not None:
                request = Request(scope, receive, send)
                response = await take(service_of(request), wanted, await _check(request), name)
                await response(scope, receive, send)
                return
        await super().handle(scope, receive, send)


router = APIRouter(prefix="/tasks", tags=["tasks"], route_class=Express)


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
            max_length=_NAME_LENGTH,
            pattern=_NAME,
            description="A name of yours for this submission: sent twice, it is done once.",
        ),
    ] = None,
) -> Response:
    """Queue a task. Answers as soon as it is on the disk; follow `Location`."""
    return await take(service_of(request), wanted, key, idempotency_key)


async def take(service: Service, wanted: schemas.TaskRequest, key: Key, idempotency_key: str | None) -> Response:
    """Queue what is wanted, and answer.

    Raises:
        ProblemError, AsicReservoirError: it cannot be queued; nothing was.
    """
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
        if not board["enabled"] or board["state"] == "stopped":
            start = None  # nobody knows when it will be let on
        document = _fresh(task_id, wanted, params, deadline, position, start)
    else:
        document = await service.read(lambda connection: whole_task(connection, task_id))
    headers = {"Location": f"/api/v1/tasks/{task_id}", "Retry-After": "1", "ETag": etag_of(document)}
    if not new:
        headers["Idempotent-Replay"] = "true"
        return json_response(document, 202, headers)
    return Response(to_json(document), 202, headers, "application/json")


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


def _look(scope: Scope) -> tuple[bool, str | None]:
    """Whether a request is a plain one by its headers, and its idempotency key."""
    plain, name = False, None
    if scope["method"] != "POST":
        return plain, name
    for field, value in scope["headers"]:
        if field == b"content-type":
            plain = value == b"application/json"
        elif field == b"idempotency-key":
            text = value.decode("latin-1")
            if name is not None or len(text) > _NAME_LENGTH or not _is_name(text):
                return False, None
            name = text
    return plain, name


_is_name: Callable[[str], Any] = re.compile(_NAME.removesuffix("$")).fullmatch


async def _read(receive: Receive) -> tuple[bytes | None, Receive]:
    """The body, or None where the client went away; and a way to receive all of it once more."""
    messages: list[Message] = []
    parts: list[bytes] = []
    while True:
        message = await receive()
        messages.append(message)
        if message["type"] != "http.request":
            break
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            break
    gone = messages[-1]["type"] != "http.request"
    messages.reverse()

    async def again() -> Message:
        return messages.pop() if messages else await receive()

    return None if gone else b"".join(parts), again
