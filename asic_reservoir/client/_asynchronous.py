"""The client for programs with an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import httpx2

from asic_reservoir.client import _catalogue
from asic_reservoir.client._live_async import AsyncLiveStream
from asic_reservoir.client._requests import (
    AGAIN,
    STREAM_TIMEOUT,
    TRIES,
    Call,
    checked,
    document,
    key_header,
    lost,
    options_of,
    save_as,
    submission,
    wait_before,
)
from asic_reservoir.client._types import Event, EventParser, Model, Result, Task, TaskFailedError
from asic_reservoir.store.events.files import replacing


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

    # -- what the service keeps ----------------------------------------------------------------------------------

    async def models(self, name: str | None = None) -> AsyncIterator[Model]:
        """Trained readouts, newest first; ``name`` chooses."""
        async for raw in self._pages("models", name=name):
            yield Model.of(raw)

    async def model(self, model_id: str) -> dict[str, Any]:
        """One readout with the settings that made its states. Raises NotFoundError."""
        return document(await self._send(_catalogue.model(model_id)))

    async def download_model(self, model_id: str, folder: Path, form: Literal["npz", "json"] = "npz") -> Path:
        """Save a readout, whole or not at all; its path. :func:`asic_reservoir.trained.load_readout` reads it."""
        response = checked(await self._send(_catalogue.model_content(model_id, form)))
        return save_as(response, folder, f"{model_id}.{form}")

    async def predict(self, model_id: str, states: Any) -> list[float]:
        """Outputs for states, (n_steps, n_states). Raises UsageError for rows of another width; names the first."""
        return list(document(await self._send(_catalogue.predict(model_id, states)))["outputs"])

    async def claims(self) -> list[dict[str, Any]]:
        """The published claims, with what was found of each."""
        return list(document(await self._send(_catalogue.claims()))["items"])

    async def recordings(self, task: str | None = None) -> AsyncIterator[dict[str, Any]]:
        """Recorded runs, newest first; of one task where it is given."""
        async for raw in self._pages("recordings", task=task):
            yield raw

    async def recording(self, recording_id: str) -> dict[str, Any]:
        """One recorded run. Raises NotFoundError."""
        return document(await self._send(_catalogue.recording(recording_id)))

    async def upload_recording(self, path: Path | str, board: str | None = None) -> dict[str, Any]:
        """Take a file of `store export`, or a CSV of shares, to the service.

        Args:
            path: of the file.
            board: name to play it under, as a board of the shelf; none where left out.
        """
        return document(await self._send(_catalogue.upload("recordings", Path(path), board=board)))

    async def download_recording(self, recording_id: str, folder: Path) -> Path:
        """Save a recorded run as one file, whole or not at all; its path."""
        path = f"/api/v1/recordings/{recording_id}/file"
        async with self._http.stream("GET", path, timeout=STREAM_TIMEOUT) as response:
            if not response.is_success:
                await response.aread()
                checked(response)
            target = folder / f"{recording_id}.zip"
            with replacing(target) as temporary, temporary.open("wb") as file:
                async for piece in response.aiter_bytes():
                    file.write(piece)
        return target

    async def upload_series(self, path: Path | str) -> dict[str, Any]:
        """Take a series (columns input and target of a CSV, NPY or Parquet file) to the service.

        Its ``id`` is the setting ``file`` of a task of kind ``series``.
        """
        return document(await self._send(_catalogue.upload("series", Path(path))))

    # -- streaming -----------------------------------------------------------------------------------------------

    async def open_session(self, board: str, seconds: float = 3600.0, purpose: str = "") -> dict[str, Any]:
        """Reserve a board. Raises BusyError where somebody else has it."""
        return document(await self._send(_catalogue.open_session(board, seconds, purpose)))

    async def end_session(self, session_id: str) -> None:
        """Give a board back."""
        checked(await self._send(_catalogue.end_session(session_id)))

    def stream(self, task_id: str) -> AsyncLiveStream:
        """The stream of a task of kind ``stream``, which needs a session that holds the board."""
        return AsyncLiveStream(self.server, key_header(self._http.headers), task_id)

    async def _pages(self, what: str, **filters: Any) -> AsyncIterator[dict[str, Any]]:
        cursor: str | None = None
        while True:
            page = document(await self._send(_catalogue.page_of(what, cursor=cursor, **filters)))
            for raw in page["items"]:
                yield raw
            cursor = page["next"]
            if cursor is None:
                return

    async def _send(self, call: Call) -> httpx2.Response:
        for attempt in range(TRIES):
            last = attempt == TRIES - 1 or not call.repeatable
            try:
                response = await self._http.request(
                    call.method,
                    call.path,
                    json=call.body,
                    content=_later(call),
                    params=call.params,
                    headers=call.headers,
                    timeout=call.timeout,
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


async def _pieces(call: Call) -> AsyncIterator[bytes]:
    for piece in call.content() or ():
        yield piece


def _later(call: Call) -> AsyncIterator[bytes] | None:
    """The file of a call, for an event loop; None without one."""
    return None if call.file is None else _pieces(call)
