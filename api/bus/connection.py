"""A connection to NATS that comes back: the same for who publishes and who listens."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import threading
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import structlog

from api.bus.messages import ROOT, STREAM
from asic_reservoir.errors import UsageError

RETRY_S = 0.5
"""Before another try to connect."""
REMEMBERS_S = 3600
"""A message that is sent again within so long is known by its Nats-Msg-Id."""
MAX_BYTES = 1 << 30
MAX_AGE_S = 7 * 86_400

log = structlog.get_logger("bus")


def checked_url(url: str) -> str:
    """The URL of a server.

    Raises:
        UsageError: it is none, or nats-py is not installed.
    """
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("nats", "tls") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        good = False
    if not good:
        raise UsageError(f"--bus {url!r}: must be a URL as nats://127.0.0.1:4222 or tls://host:4222")
    if importlib.util.find_spec("nats") is None:
        raise UsageError("--bus: nats-py is not installed, install 'asic-reservoir[nats]'")
    return url


async def ensure_stream(stream: Any) -> None:
    """The one stream of all sites, made by whoever comes first."""
    from nats.js.api import RetentionPolicy, StorageType, StreamConfig
    from nats.js.errors import NotFoundError

    config = StreamConfig(
        name=STREAM,
        subjects=[f"{ROOT}.>"],
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        max_bytes=MAX_BYTES,
        max_age=MAX_AGE_S,
        duplicate_window=REMEMBERS_S,
    )
    try:
        await stream.stream_info(STREAM)  # as an operator has set it
    except NotFoundError:
        await stream.add_stream(config)


class Link:
    """A thread with an event loop that stays connected, and does one thing while it is.

    Args:
        url: ``nats://host:port``; may carry user and password.
        name: for the people who look at the server.
        work: called with the connection and its JetStream context; the connection is given up when it raises.
    """

    def __init__(self, url: str, name: str, work: Callable[[Any, Any], Awaitable[None]]) -> None:
        self._url, self._name, self._work = checked_url(url), name, work
        self._thread = threading.Thread(target=self._run, name=f"bus-{name}", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._ended = False
        self.connected = False

    def start(self) -> None:
        self._thread.start()

    def call(self, something: Callable[[], object]) -> None:
        """From any thread: have it done in the loop."""
        loop = self._loop
        if loop is not None and not loop.is_closed():
            with contextlib.suppress(RuntimeError):  # it was closed a moment ago
                loop.call_soon_threadsafe(something)

    def stop(self) -> None:
        """May be called twice."""
        self._ended = True
        self.call(lambda: self._task is not None and self._task.cancel())
        if self._thread.is_alive():
            self._thread.join(10)

    def _run(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            asyncio.run(self._stay())

    async def _stay(self) -> None:
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        told = False
        while not self._ended:
            try:
                await self._once()
            except asyncio.CancelledError:
                raise
            except Exception as error:  # whatever it was: the bus may be away for as long as it likes
                if not told:
                    log.warning("bus_away", error=" ".join(f"{type(error).__name__} {error}".split())[:300])
                told = not self.connected
            finally:
                self.connected = False
            await asyncio.sleep(RETRY_S)

    async def _once(self) -> None:
        from nats.aio.client import Client

        gone = asyncio.Event()

        async def lost() -> None:
            gone.set()

        async def quiet(error: Exception) -> None:
            log.debug("bus_error", error=str(error)[:300])

        connection = Client()
        try:
            await connection.connect(
                self._url,
                name=f"asic-reservoir {self._name}",
                allow_reconnect=False,
                connect_timeout=5,
                ping_interval=5,
                max_outstanding_pings=2,
                error_cb=quiet,
                disconnected_cb=lost,
                closed_cb=lost,
            )
            stream = connection.jetstream(timeout=5.0)
            await ensure_stream(stream)
            self.connected = True
            log.info("bus_there", as_=self._name)
            working = asyncio.ensure_future(self._work(connection, stream))
            leaving = asyncio.ensure_future(gone.wait())
            try:
                await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
                if working.done():
                    working.result()
            finally:
                for one in (working, leaving):
                    one.cancel()
                await asyncio.gather(working, leaving, return_exceptions=True)
        finally:
            await _closed(connection)


async def _closed(connection: Any) -> None:
    """Close it, one that was not made whole too: it has a socket. Who is told to leave meanwhile, closes it first."""
    owner = asyncio.current_task()

    async def close() -> None:
        with contextlib.suppress(Exception):
            await connection.close()
        # where the server went away a task of the connection is closing it already, and is not waited for above
        if rest := asyncio.all_tasks() - {asyncio.current_task(), owner}:
            await asyncio.wait(rest, timeout=1.0)

    closing = asyncio.ensure_future(close())
    try:
        await asyncio.wait({closing})
    except asyncio.CancelledError:
        await asyncio.wait({closing})
        raise
