"""The client that waits."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
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
from asic_reservoir.report.files import write_atomic


class Client:
    """A connection to a service.

    Args:
        server: URL, for instance ``http://127.0.0.1:8337``.
        key: ``ar_…``; the variable ASIC_RESERVOIR_KEY where left out. On the same machine none is needed.

    Raises:
        UsageError: the URL is none, or would carry the key in the clear.
    """

    def __init__(self, server: str = "http://127.0.0.1:8337", key: str | None = None) -> None:
        self.server = server
        self._http = httpx2.Client(**options_of(server, key))

    def boards(self) -> list[dict[str, Any]]:
        """The shelf."""
        return list(document(self._send(Call("GET", "/api/v1/boards")))["items"])

    def kinds(self) -> list[dict[str, Any]]:
        """Kinds of tasks, with the JSON Schema of their settings."""
        return list(document(self._send(Call("GET", "/api/v1/kinds")))["items"])

    def submit(self, kind: str, board: str, *, options: dict[str, Any] | None = None, **params: Any) -> Task:
        """Queue a task. Sent again after a lost answer, it is still one task.

        Args:
            kind: a name of :meth:`kinds`.
            board: a name of :meth:`boards`.
            options: ``priority``, ``deadline_seconds``, ``max_attempts``.
            params: settings of the kind.

        Raises:
            UsageError, NotFoundError: a setting, kind or board that is wrong; names it.
        """
        return Task.of(document(self._send(submission(kind, board, params, options or {}))))

    def task(self, task_id: str) -> Task:
        """Where a task is. Raises NotFoundError."""
        return Task.of(document(self._send(Call("GET", f"/api/v1/tasks/{task_id}"))))

    def tasks(self, **filters: Any) -> Iterator[Task]:
        """All tasks, newest first, page by page; ``state``, ``kind``, ``board`` choose."""
        cursor: str | None = None
        while True:
            params = {name: value for name, value in {**filters, "cursor": cursor}.items() if value is not None}
            page = document(self._send(Call("GET", "/api/v1/tasks", params=params)))
            yield from map(Task.of, page["items"])
            cursor = page["next"]
            if cursor is None:
                return

    def cancel(self, task_id: str) -> Task:
        """Ask for a task to be cancelled."""
        return Task.of(document(self._send(Call("POST", f"/api/v1/tasks/{task_id}/cancel"))))

    def events(self, task_id: str, after: int = 0) -> Iterator[Event]:
        """Events as they happen, until the task is over. A broken connection is resumed where it broke."""
        fails = 0
        while True:
            parser = EventParser()
            headers = {"Last-Event-ID": str(after)} if after else {}
            path = f"/api/v1/tasks/{task_id}/events"
            try:
                with self._http.stream("GET", path, headers=headers, timeout=STREAM_TIMEOUT) as stream:
                    if not stream.is_success:
                        stream.read()
                        checked(stream)
                    for line in stream.iter_lines():
                        for event in parser.feed(line):
                            after, fails = event.sequence, 0
                            yield event
            except httpx2.TransportError as error:
                fails += 1
                if fails >= TRIES:
                    raise lost(error, self.server) from None
                time.sleep(wait_before(fails, None))
            if parser.over:
                return

    def wait(self, task_id: str, progress: Callable[[Event], None] | None = None) -> Result:
        """Wait for the end of a task; its result.

        Raises:
            TaskFailedError: it ended without one; says why.
        """
        for event in self.events(task_id):
            if progress is not None:
                progress(event)
        task = self.task(task_id)
        if task.state != "succeeded":
            raise TaskFailedError(f"task {task_id}: {task.state}" + (f", {task.error}" if task.error else ""))
        return self.result(task_id)

    def result(self, task_id: str) -> Result:
        """The result of a task. Raises BusyError while there is none."""
        return Result.of(task_id, document(self._send(Call("GET", f"/api/v1/tasks/{task_id}/result"))))

    def download(self, task_id: str, name: str, folder: Path) -> Path:
        """Save a file of a task, whole or not at all; its path."""
        content = checked(self._send(Call("GET", f"/api/v1/tasks/{task_id}/files/{name}"))).content
        write_atomic(folder / Path(name).name, content)
        return folder / Path(name).name

    def _send(self, call: Call) -> httpx2.Response:
        for attempt in range(TRIES):
            last = attempt == TRIES - 1 or not call.repeatable
            try:
                response = self._http.request(
                    call.method, call.path, json=call.body, params=call.params, headers=call.headers
                )
            except httpx2.TransportError as error:
                if last:
                    raise lost(error, self.server) from None
                response = None
            if response is not None and (last or response.status_code not in AGAIN):
                return response
            time.sleep(wait_before(attempt, response))
        raise AssertionError("the last try returns or raises")

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
