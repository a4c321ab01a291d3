"""A stream from the client's side: inputs, outputs, and what to send again after a lost connection."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit, urlunsplit

from asic_reservoir.client._requests import FIRST_WAIT_S, TRIES
from asic_reservoir.errors import (
    AsicReservoirError,
    BusyError,
    DataError,
    ServerError,
    TimeoutExpiredError,
    UsageError,
)

AGAIN = frozenset({1001, 1006, 1011, 1012, 1013})
"""Codes of a close after which the same stream can be opened again: the way was cut, not the stream."""
ERRORS: dict[int, type[AsicReservoirError]] = {
    1003: UsageError, 1007: UsageError, 1009: UsageError, 4400: UsageError, 4401: BusyError, 4408: TimeoutExpiredError,
    4409: BusyError, 4410: ServerError,
}  # fmt: skip
LARGEST = 16 << 20
"""Bytes of a frame of the service: states of many chips and slots."""


@dataclass(frozen=True, slots=True)
class Output:
    """What the board answered to one input."""

    sequence: int
    y: float | None
    """None without a model."""
    states: list[float] | None
    """None where they were not asked for."""
    begin_ns: int
    end_ns: int
    """On the board's time line."""


class Exchange:
    """What both clients share: which inputs have no answer yet, and what a frame means. No I/O."""

    def __init__(self) -> None:
        self.following = 0
        """Sequence of the next input."""
        self.received: int | None = None
        """Sequence of the newest output; None before the first word of the service."""
        self.window = 1
        self.hello: dict[str, Any] = {}
        self._open: deque[tuple[int, float]] = deque()

    def add(self, u: float) -> None:
        """An input that is to be sent."""
        self._open.append((self.following, float(u)))
        self.following += 1

    @property
    def under_way(self) -> int:
        return len(self._open)

    def frames(self, first: int) -> list[str]:
        """Inputs from sequence ``first`` on that have no answer, as frames of a size that the service takes."""
        wanted = [(sequence, u) for sequence, u in self._open if sequence >= first]
        parts = [wanted[at : at + 32] for at in range(0, len(wanted), 32)]
        return [json.dumps({"seq": part[0][0], "u": [u for _, u in part]}) for part in parts]

    def hear(self, text: str | bytes) -> Output | None:
        """A frame: an output, or None for what is none. Raises DataError for what no service says."""
        try:
            frame = json.loads(text)
            if frame["type"] == "hello":
                self.hello, self.window = frame, int(frame["window"])
                if self.received is None:  # whoever joins a stream goes on with the next input
                    self.following = int(frame["next"])
                    self.received = self.following - 1
                return None
            if frame["type"] != "output":
                return None
            output = Output(
                int(frame["seq"]), frame["y"], frame.get("states"), int(frame["begin_ns"]), int(frame["end_ns"])
            )
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"stream: {str(text)[:60]!r}, must be a frame of this service ({error})") from None
        self.received = output.sequence
        while self._open and self._open[0][0] <= output.sequence:
            self._open.popleft()
        return output


def socket_url(server: str, task_id: str, after: int | None = None) -> str:
    """``ws://…`` or ``wss://…`` of a stream; ``after`` resumes after that output."""
    parts = urlsplit(server.rstrip("/"))
    path = f"{parts.path}/api/v1/tasks/{task_id}/stream"
    query = "" if after is None else f"after={after}"
    return urlunsplit(("wss" if parts.scheme == "https" else "ws", parts.netloc, path, query, ""))


def error_of_close(code: int | None, reason: str) -> AsicReservoirError:
    """The error of our tree that a code stands for."""
    return ERRORS.get(code or 1006, ServerError)(f"stream closed with {code}: {reason or 'no reason given'}")


class LiveStream:
    """A stream that waits. Made by :meth:`asic_reservoir.client.Client.stream`.

    A connection that breaks is opened again where it broke: inputs without an answer are sent again.
    """

    def __init__(self, server: str, headers: dict[str, str], task_id: str) -> None:
        self.task_id = task_id
        self._server, self._headers = server, headers
        self._exchange = Exchange()
        self._socket: Any = None
        self._hold = ExitStack()
        self._ended = self._over = False

    def step(self, u: float) -> Output:
        """One input, its output.

        Raises:
            UsageError: outside the range of inputs.
            TimeoutExpiredError, BusyError, ServerError: the stream is over; says why.
        """
        (output,) = self.run([u])
        return output

    def run(self, inputs: Iterable[float]) -> Iterator[Output]:
        """Outputs of inputs, in order; as many inputs are under way as the service takes."""
        source, more = iter(inputs), True
        while more or self._exchange.under_way:
            self._connected()
            fresh = self._exchange.following
            while more and self._exchange.under_way < self._exchange.window:
                try:
                    self._exchange.add(next(source))
                except StopIteration:
                    more = False
            output = self._talk(self._exchange.frames(fresh))
            if output is not None:
                yield output

    def end(self) -> None:
        """Say that no more inputs follow, and wait until the task has ended."""
        if self._ended:
            return
        self._ended = True
        while not self._over:
            self._connected()
            self._talk(['{"end": true}'])
            while self._socket is not None:
                self._talk([])

    def _connected(self) -> None:
        """Open the socket where there is none; what has no answer is sent again."""
        from websockets.exceptions import ConnectionClosed, InvalidHandshake, WebSocketException
        from websockets.sync.client import connect

        fails = 0
        while self._socket is None:
            url = socket_url(self._server, self.task_id, self._exchange.received)
            try:
                way = connect(url, additional_headers=self._headers, max_size=LARGEST, open_timeout=10, proxy=None)
                self._socket = self._hold.enter_context(way)
                self._exchange.hear(self._socket.recv(timeout=30))
            except (OSError, TimeoutError, WebSocketException) as error:
                self.close()
                fails += 1
                if fails >= TRIES or isinstance(error, InvalidHandshake):
                    raise refused(error, self._server) from None
                time.sleep(min(10.0, FIRST_WAIT_S * 2.0**fails))
                continue
            with suppress(ConnectionClosed):  # cut again: whoever listens next is told so
                self._send(self._exchange.frames(0))

    def _send(self, frames: Sequence[str]) -> None:
        for frame in frames:
            self._socket.send(frame)

    def _talk(self, frames: Sequence[str]) -> Output | None:
        """Send, and hear one frame. A broken connection leaves no socket."""
        from websockets.exceptions import ConnectionClosed

        try:
            self._send(frames)
            return self._exchange.hear(self._socket.recv())
        except ConnectionClosed as error:
            self.close()
            code = error.rcvd.code if error.rcvd is not None else 1006
            self._over = code == 1000 and self._ended
            if self._over or code in AGAIN:
                return None
            raise error_of_close(code, error.rcvd.reason if error.rcvd is not None else "") from None

    def close(self) -> None:
        """Hang up; the stream goes on for its idle time, and can be opened again."""
        self._socket = None
        self._hold.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def refused(error: Exception, server: str) -> AsicReservoirError:
    """The error of our tree for a handshake that did not come about."""
    from asic_reservoir.client._types import error_of

    response = getattr(error, "response", None)
    if response is not None and response.body:
        try:
            return error_of(response.status_code, json.loads(response.body), "")
        except ValueError:
            pass
    if isinstance(error, TimeoutError):
        return TimeoutExpiredError(f"server {server}: no answer in time")
    return ServerError(f"server {server}: {error}")
