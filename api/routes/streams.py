"""Streams: inputs and outputs of a running task, over a WebSocket."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, Query, Request, WebSocket
from starlette.responses import Response
from starlette.websockets import WebSocketDisconnect, WebSocketState

from api import problems, schemas
from api.frames import KEY_PROTOCOL, PROTOCOL, Close, FrameError, parse_frame
from api.keys import Key
from api.problems import ProblemError
from api.queue.states import FINAL, TaskState
from api.queue.streams import (
    SequenceError,
    SessionOverError,
    StreamState,
    TakenOverError,
    end_stream,
    put_inputs,
    read_outputs,
    session_over,
    stream_state,
)
from api.routes.common import TaskId, json_response, service_of
from api.security import Reader
from api.service import Service
from api.worker.streaming import WINDOW
from asic_reservoir.store.facts import results, shelf, stream_steps, tasks

router = APIRouter(prefix="/tasks", tags=["streams"])

After = Annotated[int | None, Query(ge=-1, lt=2**53)]
ALIVE_S = 15.0
"""A word to a client that hears nothing else: it finds out whether there still is one."""
LOOK_S, RELAXED_S = 0.05, 0.5
"""Between two looks at a worker in another process: with inputs that are not answered, and without."""
AT_ONCE = 32
"""Outputs read in one go."""

_TASK = (
    sa.select(tasks.c.state, tasks.c.error, tasks.c.owner, tasks.c.request, shelf.c.name.label("board"))
    .outerjoin(shelf, shelf.c.board_id == tasks.c.board_id)
    .where(tasks.c.id == sa.bindparam("task_id"))
)


@router.get("/{task_id}/stream", response_model=schemas.Stream, responses={404: {}})
async def get_stream(task_id: TaskId, request: Request, key: Reader) -> Response:
    """Where a stream is. The same path as a WebSocket (`ws://…`) takes inputs and gives outputs.

    A handshake needs the key in `Authorization: Bearer …`, or, from a browser, the subprotocols `asic-reservoir` and
    `key.` with the key behind it; it must be the key that submitted the task. `?after=N` resumes after output N;
    without it only outputs of inputs that come from now on are sent.

    Send `{"seq": 0, "u": 0.25}` (or several: `"u": [...]`), and `{"end": true}` at the end. What comes: `hello` with
    the next sequence, `output` for every input (`seq`, `y`, `begin_ns`, `end_ns`, `states`), `alive`, `end`. At most
    `window` inputs are under way; beyond it the socket is not read until the board has answered. An input sent again
    with the same value does no harm. A newer connection takes over from an older one.

    Codes of the close: 1000 ended and all sent; 1003 binary frame; 1007 not such a frame; 1009 too big; 1012 the
    service stops, connect again; 4400 an input out of range or of sequence; 4401 taken over; 4408 idle for too long;
    4409 the session is over; 4410 the task was cancelled or failed. The board goes to its safe state when the task
    ends, and it ends `idle_seconds` after the last input, connected or not.
    """
    service = service_of(request)
    row, state = await _find(service, task_id)
    answered = await service.read(
        lambda c: c.execute(
            sa.select(sa.func.count()).where(stream_steps.c.task_id == task_id, stream_steps.c.output.is_not(None))
        ).scalar_one()
    )
    return json_response(
        {
            "task": task_id,
            "board": row.board or "",
            "state": row.state,
            "next": state.next_input,
            "answered": answered,
            "ended": state.ended,
            "low": state.low,
            "high": state.high,
            "window": WINDOW,
            "idle_seconds": row.request["params"]["idle_seconds"],
            "connected": task_id in _connections(request),
        }
    )


@router.websocket("/{task_id}/stream")
async def stream(
    websocket: WebSocket, task_id: TaskId, after: Annotated[int | None, Query(ge=-1, lt=2**53)] = None
) -> None:
    """See :func:`get_stream`."""
    service: Service = websocket.app.state.service
    try:
        key = await _key(websocket)
        row, state = await _find(service, task_id)
        if row.owner != key.id:
            raise ProblemError("no-right", f"task {task_id} is another's, must be submitted with this key")
        if after is not None and after >= state.next_input:
            raise ProblemError("invalid", f"after: {after}, must be below {state.next_input}")
    except ProblemError as error:
        await websocket.send_denial_response(problems.document(websocket, error))
        return
    offered = websocket.scope.get("subprotocols", [])
    await websocket.accept(subprotocol=PROTOCOL if PROTOCOL in offered else None)
    following = state.next_input if after is None else after + 1
    connection = Connection(websocket, service, task_id, state, row.request["params"]["idle_seconds"], following)
    known = _connections(websocket)
    if (other := known.get(task_id)) is not None:
        other.leave(Close.TAKEN_OVER, "opened over another connection")
    known[task_id] = connection
    try:
        await connection.run()
    finally:
        if known.get(task_id) is connection:
            del known[task_id]


def _connections(connection: Request | WebSocket) -> dict[str, Connection]:
    known: dict[str, Connection] = connection.app.state.streams
    return known


async def _key(websocket: WebSocket) -> Key:
    """Raises ProblemError."""
    secret = next(
        (
            name[len(KEY_PROTOCOL) :]
            for name in websocket.scope.get("subprotocols", [])
            if name.startswith(KEY_PROTOCOL)
        ),
        None,
    )
    key: Key = await websocket.app.state.gate.who(websocket, secret)
    if "run" not in key.scopes:
        raise ProblemError("no-right", f"key {key.name!r} lacks the scope 'run'")
    return key


async def _find(service: Service, task_id: str) -> tuple[Any, StreamState]:
    """Raises ProblemError ``not-found``."""
    row = await service.read(lambda c: c.execute(_TASK, {"task_id": task_id}).one_or_none())
    state = await service.read(lambda c: stream_state(c, task_id))
    if row is None or state is None:
        raise ProblemError("not-found", f"task {task_id}: no stream of that name")
    return row, state


@dataclass(slots=True)
class Connection:
    """One client of one stream."""

    websocket: WebSocket
    service: Service
    task_id: str
    state: StreamState
    idle_seconds: float
    following: int
    """Sequence of the output that is sent next."""
    taken: int = 0
    """Inputs that the stream has."""
    room: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    why: tuple[Close, str] | None = None
    said_end: bool = False
    """Whether this client said that no more inputs follow."""

    def leave(self, code: Close, reason: str) -> None:
        """Close soon; the first reason counts."""
        if self.why is None:
            self.why = (code, reason)
            self.left.set()

    async def run(self) -> None:
        """Until the stream is over, or the client is gone."""
        self.taken = self.state.next_input
        await self._send(
            type="hello",
            next=self.taken,
            window=WINDOW,
            low=self.state.low,
            high=self.state.high,
            idle_seconds=self.idle_seconds,
        )
        with self.service.news.watched(self.task_id) as news:
            parts = [asyncio.create_task(part) for part in (self._inputs(), self._outputs(news), self.left.wait())]
            try:
                done, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for part in parts:
                    part.cancel()
                await asyncio.gather(*parts, return_exceptions=True)
        for part in done:
            error = part.exception()
            if isinstance(error, WebSocketDisconnect):
                return  # gone: the board waits for its idle time, and another connection may go on
            if error is not None and self.why is None:
                raise error
        code, reason = self.why or (Close.DONE, "")
        if self.websocket.client_state is WebSocketState.CONNECTED:
            with contextlib.suppress(RuntimeError, WebSocketDisconnect):
                await self.websocket.close(code, reason.encode()[:120].decode(errors="ignore"))

    async def _inputs(self) -> None:
        """Frames to the database; none is read while the window is full."""
        while True:
            while self.taken - self.following >= WINDOW:
                self.room.clear()
                await self.room.wait()
            message = await self.websocket.receive()
            if message["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(message.get("code", 1006))
            try:
                if message.get("text") is None:
                    raise FrameError(Close.NOT_TEXT, "frame: binary, must be text")
                inputs = parse_frame(message["text"], self.state.low, self.state.high)
                if inputs is None:
                    self.said_end = True
                    await self.service.write(lambda c: end_stream(c, self.task_id))
                else:
                    put = partial(put_inputs, task_id=self.task_id, first=inputs.first, values=inputs.values)
                    self.taken = await self.service.write(put)
            except FrameError as error:
                return self.leave(error.code, error.reason)
            except SequenceError as error:
                return self.leave(Close.REFUSED, str(error))
            except TakenOverError as error:
                return self.leave(Close.TAKEN_OVER, str(error))
            except SessionOverError as error:
                return self.leave(Close.SESSION_OVER, str(error))
            self.service.nudge_task(self.task_id)

    async def _outputs(self, news: asyncio.Event) -> None:
        """Outputs to the client as the board gives them, and the end of the task when it comes."""
        said = time.monotonic()
        while True:
            news.clear()
            over = await self._over()  # asked first: what is over has given all its outputs
            outputs = await self.service.read(lambda c: read_outputs(c, self.task_id, self.following, AT_ONCE))
            for sequence, output in outputs:
                await self._send(type="output", seq=sequence, **output)
                self.following = sequence + 1
                self.room.set()
            if outputs:
                said = time.monotonic()
                continue
            if over is not None:
                return await self._end(*over)
            if await self.service.read(lambda c: session_over(c, self.task_id)):
                await self.service.write(lambda c: end_stream(c, self.task_id))
                self.service.nudge_task(self.task_id)
                return self.leave(Close.SESSION_OVER, "the session that holds the board is over")
            if time.monotonic() - said > ALIVE_S:
                said = time.monotonic()
                await self._send(type="alive", next=self.taken)
            pause = LOOK_S if self.taken > self.following else RELAXED_S
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(news.wait(), pause)

    async def _over(self) -> tuple[str, str] | None:
        row = await self.service.read(lambda c: c.execute(_TASK, {"task_id": self.task_id}).one_or_none())
        if row is None:
            return "deleted", "the task was deleted"
        return (row.state, row.error or "") if row.state in FINAL else None

    async def _end(self, state: str, reason: str) -> None:
        report = await self.service.read(
            lambda c: c.execute(sa.select(results.c.report).where(results.c.task_id == self.task_id)).scalar()
        )
        ended = report["data"]["ended"] if report else reason
        await self._send(type="end", state=state, ended=ended)
        if state != TaskState.SUCCEEDED:
            self.leave(Close.TASK_OVER, f"{state}: {reason}" if reason else state)
        elif ended == "idle":
            self.leave(Close.IDLE, "no input came for too long")
        elif not self.said_end and await self.service.read(lambda c: session_over(c, self.task_id)):
            self.leave(Close.SESSION_OVER, "the session that holds the board is over")
        else:
            self.leave(Close.DONE, "")

    async def _send(self, **frame: Any) -> None:
        await self.websocket.send_text(json.dumps(frame, allow_nan=False, separators=(",", ":")))
