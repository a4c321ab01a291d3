"""The client that waits."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import httpx2

from asic_reservoir.client import _catalogue
from asic_reservoir.client._live import LiveStream
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
from asic_reservoir.report.files import write_atomic
from asic_reservoir.store.events.files import replacing


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
        yield from map(Task.of, self._pages("tasks", **filters))

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

    # -- what the service keeps ----------------------------------------------------------------------------------

    def models(self, name: str | None = None) -> Iterator[Model]:
        """Trained readouts, newest first; ``name`` chooses."""
        for raw in self._pages("models", name=name):
            yield Model.of(raw)

    def model(self, model_id: str) -> dict[str, Any]:
        """One readout with the settings that made its states. Raises NotFoundError."""
        return document(self._send(_catalogue.model(model_id)))

    def download_model(self, model_id: str, folder: Path, form: Literal["npz", "json"] = "npz") -> Path:
        """Save a readout, whole or not at all; its path. :func:`asic_reservoir.trained.load_readout` reads it."""
        response = checked(self._send(_catalogue.model_content(model_id, form)))
        return save_as(response, folder, f"{model_id}.{form}")

    def predict(self, model_id: str, states: Any) -> list[float]:
        """Outputs for states, (n_steps, n_states). Raises UsageError for rows of another width; names the first."""
        return list(document(self._send(_catalogue.predict(model_id, states)))["outputs"])

    def claims(self) -> list[dict[str, Any]]:
        """The published claims, with what was found of each."""
        return list(document(self._send(_catalogue.claims()))["items"])

    def recordings(self, task: str | None = None) -> Iterator[dict[str, Any]]:
        """Recorded runs, newest first; of one task where it is given."""
        yield from self._pages("recordings", task=task)

    def recording(self, recording_id: str) -> dict[str, Any]:
        """One recorded run. Raises NotFoundError."""
        return document(self._send(_catalogue.recording(recording_id)))

    def upload_recording(self, path: Path | str, board: str | None = None) -> dict[str, Any]:
        """Take a file of `store export`, or a CSV of shares, to the service.

        Args:
            path: of the file.
            board: name to play it under, as a board of the shelf; none where left out.
        """
        return document(self._send(_catalogue.upload("recordings", Path(path), board=board)))

    def download_recording(self, recording_id: str, folder: Path) -> Path:
        """Save a recorded run as one file, whole or not at all; its path."""
        path = f"/api/v1/recordings/{recording_id}/file"
        with self._http.stream("GET", path, timeout=STREAM_TIMEOUT) as response:
            if not response.is_success:
                response.read()
                checked(response)
            target = folder / f"{recording_id}.zip"
            with replacing(target) as temporary, temporary.open("wb") as file:
                for piece in response.iter_bytes():
                    file.write(piece)
        return target

    def upload_series(self, path: Path | str) -> dict[str, Any]:
        """Take a series (columns input and target of a CSV, NPY or Parquet file) to the service.

        Its ``id`` is the setting ``file`` of a task of kind ``series``.
        """
        return document(self._send(_catalogue.upload("series", Path(path))))

    # -- streaming -----------------------------------------------------------------------------------------------

    def open_session(self, board: str, seconds: float = 3600.0, purpose: str = "") -> dict[str, Any]:
        """Reserve a board. Raises BusyError where somebody else has it."""
        return document(self._send(_catalogue.open_session(board, seconds, purpose)))

    def end_session(self, session_id: str) -> None:
        """Give a board back."""
        checked(self._send(_catalogue.end_session(session_id)))

    def stream(self, task_id: str) -> LiveStream:
        """The stream of a task of kind ``stream``, which needs a session that holds the board."""
        return LiveStream(self.server, key_header(self._http.headers), task_id)

    def _pages(self, what: str, **filters: Any) -> Iterator[dict[str, Any]]:
        cursor: str | None = None
        while True:
            page = document(self._send(_catalogue.page_of(what, cursor=cursor, **filters)))
            yield from page["items"]
            cursor = page["next"]
            if cursor is None:
                return

    def _send(self, call: Call) -> httpx2.Response:
        for attempt in range(TRIES):
            last = attempt == TRIES - 1 or not call.repeatable
            try:
                response = self._http.request(
                    call.method,
                    call.path,
                    json=call.body,
                    content=call.content(),
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
