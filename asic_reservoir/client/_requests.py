"""What both clients share: requests as data, and which of them may be sent again."""

from __future__ import annotations

import os
import ssl
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2

from asic_reservoir.client._types import error_of
from asic_reservoir.errors import DataError, ServerError, TimeoutExpiredError, UsageError
from asic_reservoir.report.files import write_atomic

PIECE = 1 << 18
"""Bytes of a file that are in memory at once."""
TRIES = 5
FIRST_WAIT_S = 0.25
AGAIN = frozenset({429, 502, 503, 504})
"""Answers after which it is worth another try; only where sending twice does no harm."""
TIMEOUT = httpx2.Timeout(30.0, connect=5.0)
UPLOAD_TIMEOUT = httpx2.Timeout(30.0, connect=5.0, read=930.0)
"""The service checks a whole recording before it answers, for a quarter of an hour at most."""
STREAM_TIMEOUT = httpx2.Timeout(30.0, connect=5.0, read=60.0)
"""The service says something every 15 s on a stream."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request to be made."""

    method: str
    path: str
    body: Any = None
    params: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    file: Path | None = None
    """Sent as the body, instead of ``body``."""
    again: bool = False
    """A POST that changes nothing."""

    @property
    def repeatable(self) -> bool:
        """Whether sending it twice is as sending it once."""
        harmless = self.method in ("GET", "DELETE") or self.again or self.path.endswith("/cancel")
        return harmless or "Idempotency-Key" in self.headers

    @property
    def timeout(self) -> httpx2.Timeout:
        """How long the service may take."""
        return TIMEOUT if self.file is None else UPLOAD_TIMEOUT

    def content(self) -> Iterator[bytes] | None:
        """The file in pieces, None without one."""
        return None if self.file is None else _pieces(self.file)


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            yield piece


def submission(kind: str, board: str, params: dict[str, Any], options: dict[str, Any]) -> Call:
    """A submission with a name of its own, so that a repetition after a lost answer is the same task."""
    body = {"kind": kind, "board": board, "params": params, **options}
    return Call("POST", "/api/v1/tasks", body, headers={"Idempotency-Key": uuid.uuid4().hex})


def options_of(server: str, key: str | None) -> dict[str, Any]:
    """Arguments for an httpx client.

    Raises:
        UsageError: the URL is none, or a key would go over an open wire to another machine.
    """
    parts = urlsplit(server)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"server {server!r}: must be a URL as http://127.0.0.1:8337")
    key = key if key is not None else os.environ.get("ASIC_RESERVOIR_KEY")
    if key and parts.scheme == "http" and parts.hostname not in ("127.0.0.1", "localhost", "::1"):
        raise UsageError(f"server {server!r}: a key must not go over plain http, use https")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    # a proxy would make this machine look like another one
    local = parts.hostname in ("127.0.0.1", "localhost", "::1")
    options = {"base_url": server.rstrip("/"), "headers": headers, "timeout": TIMEOUT, "trust_env": not local}
    if local and parts.scheme == "https":  # SSL_CERT_FILE counts here as everywhere
        options["verify"] = ssl.create_default_context()
    return options


def wait_before(attempt: int, response: httpx2.Response | None) -> float:
    """Seconds until the next try."""
    said = response.headers.get("Retry-After", "") if response is not None else ""
    return min(30.0, float(said)) if said.isdecimal() else min(10.0, FIRST_WAIT_S * 2.0**attempt)


def checked(response: httpx2.Response) -> httpx2.Response:
    """The response, or the error that it stands for."""
    if response.is_success:
        return response
    try:
        problem = response.json()
    except ValueError:
        problem = {}
    raise error_of(response.status_code, problem if isinstance(problem, dict) else {}, response.text)


def document(response: httpx2.Response) -> dict[str, Any]:
    """JSON of a good response; raises DataError where it is none."""
    try:
        content = checked(response).json()
    except ValueError:
        raise DataError(f"{response.url}: not JSON, must be this service") from None
    if not isinstance(content, dict):
        raise DataError(f"{response.url}: {type(content).__name__}, must be an object")
    return content


def save_as(response: httpx2.Response, folder: Path, name: str) -> Path:
    """Keep a body under the name that the service gives it, whole or not at all."""
    said = response.headers.get("Content-Disposition", "")
    _, _, given = said.partition('filename="')
    chosen = Path(given.rstrip('"')).name or name
    write_atomic(folder / chosen, response.content)
    return folder / chosen


def key_header(headers: httpx2.Headers) -> dict[str, str]:
    """The key of a client, for a connection of another kind."""
    return {"Authorization": headers["Authorization"]} if "Authorization" in headers else {}


def lost(error: httpx2.TransportError, server: str) -> TimeoutExpiredError | ServerError:
    """The error of our tree for a connection that failed."""
    words = str(error) or type(error).__name__
    if isinstance(error, httpx2.TimeoutException):
        return TimeoutExpiredError(f"server {server}: no answer in time ({words})")
    return ServerError(f"server {server}: {words}")
