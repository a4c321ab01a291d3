"""Who asks, and whether they may."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Annotated

from fastapi import Depends, Request
from starlette.requests import HTTPConnection

from api.keys import Key, find_key
from api.problems import ProblemError
from api.service import Service
from asic_reservoir.store.facts import now_ns

LOCAL = Key("", "somebody on this machine", frozenset({"read", "run", "operate"}))
"""What a person at the machine may do without a key. Keys are made at the command line, never without one."""
CACHE_S = 2.0
"""A key that was revoked by another process is refused after so long."""
LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]", "::1"})


class Gate:
    """Finds keys, with a short memory, and counts requests."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._known: dict[str, tuple[float, Key | None]] = {}
        self._buckets: dict[str, tuple[float, float]] = {}

    def forget(self) -> None:
        """A key was revoked or made here: look anew."""
        self._known.clear()

    async def who(self, connection: HTTPConnection, secret: str | None = None) -> Key:
        """The key of a connection.

        Args:
            connection: of a request or a socket.
            secret: that came another way than in ``Authorization``, as it does with a socket of a browser.

        Raises:
            ProblemError: ``no-key`` or ``too-many``.
        """
        words = next((value for field, value in connection.scope["headers"] if field == b"authorization"), None)
        if words is None and secret is None:
            if self._service.settings.anonymous and is_local(connection):
                return LOCAL
            raise ProblemError("no-key", "no key, must be sent as Authorization: Bearer ar_…", headers=_CHALLENGE)
        if words is not None:
            scheme, _, sent = words.decode("latin-1").partition(" ")
            secret = sent.strip() if scheme.lower() == "bearer" else None
        key = None if secret is None else await self._find(secret)
        if key is None:
            raise ProblemError("no-key", "this key is not valid (any more)", headers=_CHALLENGE)
        self._count(key)
        return key

    async def _find(self, secret: str) -> Key | None:
        now = time.monotonic()
        known = self._known.get(secret)
        if known is not None and now - known[0] < CACHE_S:
            key = known[1]
            return None if key and key.expires_utc_ns is not None and key.expires_utc_ns <= now_ns() else key
        key = await self._service.read(lambda connection: find_key(connection, secret))
        if len(self._known) > 1000:
            self._known.clear()
        self._known[secret] = (now, key)
        return key

    def _count(self, key: Key) -> None:
        """A bucket that holds a minute's worth and fills evenly."""
        size = float(key.limits.get("requests_per_minute", self._service.settings.requests_per_minute))
        now = time.monotonic()
        level, at = self._buckets.get(key.id, (size, now))
        level = min(size, level + (now - at) * size / 60.0)
        if level < 1.0:
            self._buckets[key.id] = (level, now)
            wait = max(1, round((1.0 - level) * 60.0 / size))
            detail = f"more than {size:g} requests a minute with this key"
            raise ProblemError("too-many", detail, headers={"Retry-After": str(wait)})
        self._buckets[key.id] = (level - 1.0, now)


_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="asic-reservoir"'}


def is_local(connection: HTTPConnection) -> bool:
    """Whether it comes from a person or program on this machine, and not through somebody else's page or proxy.

    The peer is loopback; the name in ``Host`` is a loopback name (a page elsewhere that had its own name point here is
    not); nothing was forwarded; and a browser says that it comes from a page of ours.
    """
    if connection.client is None or not _is_loopback(connection.client.host):
        return False
    headers = dict(reversed(connection.scope["headers"]))  # of several of a name the first
    host = headers.get(b"host", b"").decode("latin-1")
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
    if name not in LOCAL_NAMES or not _FORWARDED.isdisjoint(headers):
        return False
    origin = headers.get(b"origin")
    if origin is not None and origin.decode("latin-1") not in (f"http://{host}", f"https://{host}"):
        return False
    return headers.get(b"sec-fetch-site", b"same-origin") in (b"same-origin", b"none")


_FORWARDED = frozenset({b"forwarded", b"x-forwarded-for", b"x-real-ip", b"via"})


@lru_cache(maxsize=1024)
def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def need(scope: str) -> Callable[[Request], Awaitable[Key]]:
    """A dependency: the key of the request, which must have ``scope``."""

    async def check(request: Request) -> Key:
        key = await request.app.state.gate.who(request)
        if scope not in key.scopes:
            raise ProblemError("no-right", f"key {key.name!r} lacks the scope {scope!r}")
        return key  # type: ignore[no-any-return]

    return check


Reader = Annotated[Key, Depends(need("read"))]
Runner = Annotated[Key, Depends(need("run"))]
Operator = Annotated[Key, Depends(need("operate"))]
Admin = Annotated[Key, Depends(need("admin"))]
