"""What every request passes: a number, a limit, a stopwatch, headers that browsers obey. Plain ASGI, for speed."""

from __future__ import annotations

import itertools
import secrets
import time

import structlog
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.metrics import Metrics

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
REPORT_CSP = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; sandbox"
)
"""For files that a task made: a page among them may show, and may not act."""
_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"content-security-policy", CSP.encode()),
    (b"cache-control", b"no-store"),
]
"""Of every answer that does not say another."""
_NAMES = frozenset(name for name, _ in _HEADERS)
UPLOADS = "/api/v1/recordings"
"""Where bodies go to the disk as they come, and may be larger."""
_START, _COUNT = secrets.token_hex(4), itertools.count()
"""A request is named by the process and its number: nothing that must not be guessed, and no call of the system."""
_QUIET = ("/livez", "/readyz", "/metrics")

log = structlog.get_logger("access")


class Squeeze(GZipMiddleware):
    """gzip for who asks for it; the others' answers pass by."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        wanted = scope["type"] == "http" and any(
            name == b"accept-encoding" and b"gzip" in value for name, value in scope["headers"]
        )
        await (super().__call__ if wanted else self.app)(scope, receive, send)


class Front:
    """The outermost layer of the application."""

    def __init__(self, app: ASGIApp, metrics: Metrics, body_limit: int, upload_limit: int) -> None:
        self._app, self._metrics, self._limit, self._upload_limit = app, metrics, body_limit, upload_limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        scope["request_id"] = request_id = f"{_START}{next(_COUNT):08x}"
        status = 500

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = list(message.get("headers", []))
                said = {name for name, _ in headers} & _NAMES
                headers += [header for header in _HEADERS if header[0] not in said] if said else _HEADERS
                headers.append((b"x-request-id", request_id.encode()))
                message = {**message, "headers": headers}
            await send(message)

        try:
            limit = self._upload_limit if scope["path"] == UPLOADS else self._limit
            if (declared := _declared_length(scope)) is not None and declared > limit:
                scope["too_large"] = True
            await self._app(scope, _Bounded(receive, limit, scope).receive, answer)
        finally:
            template = _template(scope)
            seconds = time.perf_counter() - began
            self._metrics.request(scope["method"], template, status, seconds)
            if template not in _QUIET and status >= 400:
                log.info(
                    "request", request_id=request_id, method=scope["method"], route=template, status=status,
                    milliseconds=round(seconds * 1e3, 2),
                )  # fmt: skip


def _template(scope: Scope) -> str:
    """The path with the names of its parameters in their places, so that metrics have few labels."""
    if "route" not in scope:
        return "unmatched"
    path: str = scope["path"]
    if not (named := scope.get("path_params")):
        return path
    parts = path.split("/")
    for name, value in named.items():
        parts = [f"{{{name}}}" if part == str(value) else part for part in parts]
    return "/".join(parts)


def _declared_length(scope: Scope) -> int | None:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return None


class _Bounded:
    """Counts the body while it comes."""

    def __init__(self, receive: Receive, limit: int, scope: Scope) -> None:
        self._receive, self._limit, self._scope = receive, limit, scope
        self._seen = 0

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._seen += len(message.get("body", b""))
            if self._seen > self._limit or self._scope.get("too_large"):
                raise HTTPException(413, f"body larger than {self._limit:,} bytes, must be smaller")
        return message
