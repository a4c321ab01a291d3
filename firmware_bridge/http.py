"""HTTP to a device: one request at a time, bounded, with typed errors and the time of every answer."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import httpx2

from asic_reservoir.errors import ServerError, TimeoutExpiredError
from firmware_bridge.announcement import Announcement, of_headers
from firmware_bridge.clocks import monotonic_raw_ns
from firmware_bridge.fields import shown

MAX_ANSWER = 4 << 20


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """An answer and when it was complete (CLOCK_MONOTONIC_RAW, stamped by this process)."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    time_ns: int


class HttpLink:
    """Requests to one device, in turn; safe to use from several threads.

    Args:
        base: Such as ``http://192.168.1.20``.
        timeout_s: For every request as a whole.
        digest: User and password where the device wants digest authentication.
    """

    def __init__(self, base: str, timeout_s: float = 5.0, digest: tuple[str, str] | None = None) -> None:
        self.base = base.rstrip("/")
        self.timeout_s = timeout_s
        auth = None if digest is None else httpx2.DigestAuth(*digest)
        self._client = httpx2.Client(base_url=self.base, timeout=timeout_s, auth=auth, trust_env=False)
        self._lock = threading.Lock()
        self.announcement: Announcement | None = None
        """What the device announced in any answer so far; None: it looks real."""

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> HttpAnswer:
        """One request, whatever the status of its answer.

        Raises:
            TimeoutExpiredError: no connection, or no complete answer in time.
            DataError: the device announces an emulation in a form that is not understood.
        """
        given = {"Content-Type": "application/json"} if body is not None else {}
        try:
            with self._lock:
                answer = self._client.request(method, path, content=body, headers={**given, **(headers or {})})
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            reason = str(error) or type(error).__name__
            raise TimeoutExpiredError(
                f"{method} {self.base}{path}: {reason}, must answer within {self.timeout_s:g} s"
            ) from None
        seen = of_headers(answer.headers)
        if seen is not None:
            self.announcement = seen
        return HttpAnswer(answer.status_code, answer.headers, answer.content[:MAX_ANSWER], monotonic_raw_ns())

    def fetch(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> HttpAnswer:
        """One request that must succeed.

        Raises:
            ServerError: the status is 400 or above.
        """
        answer = self.request(method, path, body, headers)
        if answer.status >= 400:
            raise ServerError(f"{method} {self.base}{path}: status {answer.status}, {shown(answer.body[:60])}")
        return answer

    def close(self) -> None:
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
