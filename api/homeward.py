"""Results of another thread, brought back into the loop: one wake-up for all that are done together."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


class Homeward:
    """Turns futures of a thread into the loop's.

    ``asyncio.wrap_future`` wakes the loop for every future: a write to its pipe, at which the two threads change
    places. A group of 64 commits at once, and one wake-up is enough for it.

    >>> async def fetch() -> int:
    ...     future: Future[int] = Future()
    ...     waiting = Homeward(asyncio.get_running_loop()).bring(future)
    ...     future.set_result(3)
    ...     return await waiting
    >>> asyncio.run(fetch())
    3
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._done: deque[tuple[Future[Any], asyncio.Future[Any]]] = deque()
        self._called = False

    def bring(self, future: Future[T]) -> asyncio.Future[T]:
        """A future of the loop that ends as ``future`` does. Who stops waiting for it does not stop the work."""
        home: asyncio.Future[T] = self.loop.create_future()
        future.add_done_callback(lambda done: self._arrived(done, home))
        return home

    def _arrived(self, done: Future[Any], home: asyncio.Future[Any]) -> None:
        self._done.append((done, home))
        if not self._called:
            self._called = True
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self.loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        self._called = False  # before the first look: what arrives after the last one calls again
        while self._done:
            done, home = self._done.popleft()
            if home.cancelled():
                continue
            error = done.exception()
            if error is None:
                home.set_result(done.result())
            else:
                home.set_exception(error)
