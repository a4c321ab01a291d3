"""The client for programs with an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Any, Self

import httpx2

from asic_reservoir.client._requests import (
    AGAIN,
    STREAM_TIMEOUT,
    TRIES,
    Call,
    checked,
    document,
    lost,
    options_of,
    submission,
    wait_before,
)
from asic_reservoir.client._types import Event, EventParser, Result, Task, TaskFailedError


class AsyncClient:
    """As :class:`asic_reservoir.client.Client`; its methods are awaited."""

    def __init__(self, server: str = "http://127.0.0.1:8337", key: str | None = None) -> None:
        self.server = server
        self._http = httpx2.AsyncClient(**options_of(server, key))

    async def boards(self) -> list[dict[str, Any]]:
        """The shelf."""
        return list(document(await self._send(Call("GET", "/api/v1/boards")))["items"])

    async def submit(self, kind: str, board: str, *, options: dict[str, Any] | None = None, **params: Any) -> Task:
        """Queue a task. Sent again after a lost answer, it is still one task."""
        return Task.of(document(await self._send(submission(kind, board, params, options or {}))))

    async def task(self, task_id: str) -> Task:
        """Where a task is."""
        return Task.of(document(await self._send(Call("GET", f"/api/v1/tasks/{task_id}"))))

    async def cancel(self, task_id: str) -> Task:
        """Ask for a task to be cancelled."""
        return Task.of(document(await self._send(Call("POST", f"/api/v1/tasks/{task_id}/cancel"))))

    async def events(self, task_id: str, after: int = 0) -> AsyncIterator[Event]:
        """Events as they happen, until the task is over; resumed where a connection broke."""
        fails = 0
        while True:
            parser = EventParser()
            headers = {"Last-Event-ID": str(after)} if after else {}
            path = f"/api/v1/tasks/{task_id}/events"
            try:
                async with self._http.stream("GET", path, headers=headers, timeout=STREAM_TIMEOUT) as stream:
                    if not stream.is_success:
                        await stream.aread()
                        checked(stream)
                    async for line in stream.aiter_lines():
                        for event in parser.feed(line):
                            after, fails = event.sequence, 0
                            yield event
            except httpx2.TransportError as error:
                fails += 1
                if fails >= TRIES:
                    raise lost(error, self.server) from None
                await asyncio.sleep(wait_before(fails, None))
            if parser.over:
                return

    async def wait(self, task_id: str, progress: Callable[[Event], None] | None = None) -> Result:
        """Wait for the end of a task; its result. Raises TaskFailedError."""
        async for event in self.events(task_id):
            if progress is not None:
                progress(event)
        task = await self.task(task_id)
        if task.state != "succeeded":
            raise TaskFailedError(f"task {task_id}: {task.state}" + (f", {task.error}" if task.error else ""))
        return await self.result(task_id)

    async def result(self, task_id: str) -> Result:
        """The result of a task."""
        return Result.of(task_id, document(await self._send(Call("GET", f"/api/v1/tasks/{task_id}/result"))))

    async def _send(self, call: Call) -> httpx2.Response:
        for attempt in range(TRIES):
            last = attempt == TRIES - 1 or not call.repeatable
            try:
                response = await self._http.request(
                    call.method, call.path, json=call.body, params=call.params, headers=call.headers
                )
            except httpx2.TransportError as error:
                if last:
                    raise lost(error, self.server) from None
                response = None
            if response is not None and (last or response.status_code not in AGAIN):
                return response
            await asyncio.sleep(wait_before(attempt, response))
        raise AssertionError("the last try returns or raises")

    async def aclose(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
