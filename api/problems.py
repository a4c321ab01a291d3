"""Errors as RFC 9457 problem documents.

``type`` is stable and is a page of this service that says what to do. ``errors`` names what is wrong by JSON pointer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import sqlalchemy as sa
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, Response

from api.keys import NameTakenError
from api.queue import IdempotencyError, QueueFullError
from api.shelf import VersionError
from asic_reservoir.errors import (
    AsicReservoirError,
    BusyError,
    DataError,
    LimitError,
    NotFoundError,
    SafetyError,
    TimeoutExpiredError,
    UsageError,
)

log = structlog.get_logger("service")

MEDIA_TYPE = "application/problem+json"


class FieldError(BaseModel):
    """One thing that is wrong in a request."""

    pointer: str = Field(description="JSON pointer into the body, or `#query/name`, `#path/name`, `#header/name`.")
    detail: str


class Problem(BaseModel):
    """What went wrong, after RFC 9457."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "type": "/problems/not-found",
                "title": "There is no such thing",
                "status": 404,
                "detail": "task 0199d6b0-0000-7000-8000-000000000000: unknown",
                "instance": "/api/v1/tasks/0199d6b0-0000-7000-8000-000000000000",
                "request_id": "5f0c7a1e2b3d4f60",
                "errors": [],
            }
        }
    )

    type: str = Field(description="Stable; a page of this service that explains it.")
    title: str
    status: int
    detail: str = Field(description="This case, in one line.")
    instance: str
    request_id: str = Field(description="As in the header X-Request-Id and in the log.")
    errors: list[FieldError]


@dataclass(frozen=True, slots=True)
class ProblemKind:
    """A kind of problem: its page says what to do."""

    status: int
    title: str
    advice: str


KINDS: dict[str, ProblemKind] = {
    "malformed": ProblemKind(400, "The request cannot be read", "Send JSON with Content-Type: application/json."),
    "no-key": ProblemKind(401, "A key is needed", "Send Authorization: Bearer ar_…; `asic-reservoir keys create`."),
    "no-right": ProblemKind(403, "The key does not allow this", "Ask for a key with the scope that is named."),
    "not-found": ProblemKind(404, "There is no such thing", "List what there is, and take a name from there."),
    "method": ProblemKind(405, "Not possible here", "See the header Allow."),
    "not-ready": ProblemKind(409, "Not now", "Read the state and try again when it allows this."),
    "gone": ProblemKind(410, "It is gone", "It was there, and was deleted; nothing brings it back."),
    "stale": ProblemKind(412, "It was changed in the meantime", "Read it again, and send the new ETag in If-Match."),
    "media-type": ProblemKind(415, "Another form is needed", "Send one of the media types that are named."),
    "too-large": ProblemKind(413, "Too large", "Send less; the limit is named."),
    "invalid": ProblemKind(422, "Something in the request is wrong", "`errors` names each part and what is right."),
    "outside-limits": ProblemKind(422, "Outside the limits of the board", "`GET /boards/{name}` has the limits."),
    "key-reused": ProblemKind(422, "Idempotency key used twice", "Take a new key for a new request."),
    "no-if-match": ProblemKind(428, "If-Match is needed", "Read it, and send its ETag in If-Match."),
    "too-many": ProblemKind(429, "Too many", "Wait for the time in Retry-After."),
    "fault": ProblemKind(500, "A fault of this program", "Report it with the request_id."),
    "unavailable": ProblemKind(503, "Not available now", "Wait for the time in Retry-After."),
}


@dataclass(slots=True)
class ProblemError(Exception):
    """Raised by routes; becomes a document."""

    kind: str
    detail: str
    errors: Sequence[tuple[str, str]] = ()
    headers: Mapping[str, str] = field(default_factory=dict)


def document(request: HTTPConnection, error: ProblemError, status: int | None = None) -> Response:
    """The document of an error."""
    kind = KINDS[error.kind]
    content = Problem(
        type=f"/problems/{error.kind}",
        title=kind.title,
        status=status or kind.status,
        detail=error.detail,
        instance=request.url.path,
        request_id=request.scope.get("request_id", ""),
        errors=[FieldError(pointer=pointer, detail=detail) for pointer, detail in error.errors],
    )
    # ASCII only: what a request smuggled into a message (lone surrogates) can be written this way
    body = json.dumps(content.model_dump(), ensure_ascii=True).encode()
    return Response(body, status or kind.status, dict(error.headers), MEDIA_TYPE)


def of_ours(error: AsicReservoirError) -> ProblemError:
    """The problem that one of our errors is at the edge."""
    words = " ".join(str(error).split())
    for kinds, name in (
        (IdempotencyError, "key-reused"),
        (VersionError, "stale"),
        (NameTakenError, "not-ready"),
        (QueueFullError, "too-many"),
        (LimitError, "outside-limits"),
        (NotFoundError, "not-found"),
        (SafetyError, "not-ready"),
        (BusyError, "unavailable"),
        (TimeoutExpiredError, "unavailable"),
        (DataError, "invalid"),
        (UsageError, "invalid"),
    ):
        if isinstance(error, kinds):
            return ProblemError(name, words, headers=_retry(name))
    return ProblemError("fault", words)


def of_validation(error: RequestValidationError) -> ProblemError:
    """Pydantic's list as pointers."""
    if any(one["type"] == "json_invalid" for one in error.errors()):
        return ProblemError("malformed", "body: not JSON")
    errors = [(pointer(one["loc"]), _NO_OBJECT.get(one["type"], one["msg"])) for one in error.errors()]
    first = errors[0] if errors else ("", "invalid")
    return ProblemError("invalid", f"{first[0] or 'body'}: {first[1]}", errors)


_NO_OBJECT = dict.fromkeys(
    ("model_attributes_type", "model_type", "dict_type"),
    "must be a JSON object, sent with Content-Type: application/json",
)
"""Also of what is one and was sent as something else."""


def pointer(location: Sequence[Any]) -> str:
    """``("body", "params", 0)`` as ``/params/0``; other places as ``#query/limit``."""
    parts = [str(part).replace("~", "~0").replace("/", "~1") for part in location]
    if parts and parts[0] == "body":
        return "".join(f"/{part}" for part in parts[1:])
    return "#" + "/".join(parts)


def _retry(name: str) -> dict[str, str]:
    return {"Retry-After": "2"} if name in ("too-many", "unavailable") else {}


_BY_STATUS = {400: "malformed", 401: "no-key", 403: "no-right", 404: "not-found", 405: "method", 413: "too-large"}


def install(app: FastAPI) -> None:
    """Every error of the application leaves as a problem document."""

    @app.exception_handler(ProblemError)
    async def ours(request: Request, error: ProblemError) -> Response:
        return document(request, error)

    @app.exception_handler(AsicReservoirError)
    async def tree(request: Request, error: AsicReservoirError) -> Response:
        return document(request, of_ours(error))

    @app.exception_handler(RequestValidationError)
    async def validation(request: Request, error: RequestValidationError) -> Response:
        return document(request, of_validation(error))

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        name = _BY_STATUS.get(error.status_code, "fault" if error.status_code >= 500 else "malformed")
        detail = error.detail if error.detail != HTTPStatus(error.status_code).phrase else KINDS[name].title
        headers = dict(error.headers or {})
        if error.status_code == 405:
            headers["Allow"] = ", ".join(sorted(allowed_methods(app, request.url.path)))
        return document(
            request, ProblemError(name, f"{request.url.path}: {detail}", headers=headers), error.status_code
        )

    @app.exception_handler(Exception)
    async def fault(request: Request, error: Exception) -> Response:
        log.error("fault", request_id=request.scope.get("request_id"), exc_info=error)
        return document(request, ProblemError("fault", "see the log of the service for this request_id"))

    @app.exception_handler(sa.exc.SQLAlchemyError)
    async def database(request: Request, error: sa.exc.SQLAlchemyError) -> Response:
        away = isinstance(error, sa.exc.OperationalError | sa.exc.InterfaceError)
        reason = " ".join(str(getattr(error, "orig", None) or error).split())[:200]
        name = "unavailable" if away else "fault"
        return document(request, ProblemError(name, f"database: {reason}", headers=_retry(name)))


def allowed_methods(app: FastAPI, path: str) -> set[str]:
    """Every method that some route takes at this path; Starlette names those of the first route only."""
    from starlette.routing import Match

    methods: set[str] = set()
    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"):
        scope: dict[str, Any] = {"type": "http", "path": path, "method": method, "root_path": "", "headers": []}
        if any(route.matches(scope)[0] is Match.FULL for route in app.routes):
            methods.add(method)
    return methods


def page(name: str) -> JSONResponse | None:
    """What a type means; None for a type that does not exist."""
    kind = KINDS.get(name)
    if kind is None:
        return None
    return JSONResponse(
        {"type": f"/problems/{name}", "title": kind.title, "status": kind.status, "advice": kind.advice}
    )
