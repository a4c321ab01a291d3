"""A small HTTP/1.1 server with web sockets, for emulated devices.

It does what those devices' own little servers do, and can be made to fail as they fail: connections dropped in the
middle, the port closed for a while. Not meant for anything that faces a network one does not trust.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import unquote

from websockets.exceptions import WebSocketException
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol

MAX_HEAD = 16_384
MAX_BODY = 1 << 20


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request as it came."""

    method: str
    target: str
    """Path and query as on the wire."""
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes
    peer: str

    @property
    def path(self) -> str:
        return unquote(self.target.partition("?")[0])

    @property
    def query(self) -> str:
        return self.target.partition("?")[2]


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """What to answer."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


class WebSocket:
    """The server's end of one web socket."""

    def __init__(self, protocol: ServerProtocol, writer: asyncio.StreamWriter) -> None:
        self._protocol, self._writer = protocol, writer

    def send(self, text: str) -> None:
        """Queue a text frame; does nothing on a socket that is closing."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_text(text.encode())
            self._flush()

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                self._writer.write(data)

    async def drain(self, reader: asyncio.StreamReader) -> None:
        """Answer pings and wait for the end of the connection."""
        while data := await reader.read(4096):
            self._protocol.receive_data(data)
            for event in self._protocol.events_received():
                if isinstance(event, Frame) and event.opcode is Opcode.CLOSE:
                    self._flush()
                    return
            self._flush()


Handler = Callable[[HttpRequest], Awaitable[HttpResponse | None]]
"""Gives the answer; None drops the connection without one."""


class HttpServer:
    """Serves one address until it is stopped, and can be started again.

    Args:
        handler: Called for every request.
        web_sockets: Paths that are web sockets; every connected one gets what :meth:`broadcast` is given.
        max_web_sockets: More get status 429.
    """

    def __init__(
        self, handler: Handler, *, web_sockets: tuple[str, ...] = (), max_web_sockets: int = 10, server: str = ""
    ) -> None:
        self._handler, self._paths, self._max = handler, web_sockets, max_web_sockets
        self._name = server
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._sockets: dict[str, set[WebSocket]] = {path: set() for path in web_sockets}
        self._tasks: set[asyncio.Task[None]] = set()
        self.on_connect: Callable[[str, WebSocket], None] | None = None
        """Called with the path of a web socket that opened."""
        self.extra_headers: Mapping[str, str] = {}
        """Sent with every answer."""

    async def start(self, host: str, port: int) -> int:
        """Listen; the port, which the system chose where ``port`` is 0."""
        self._server = await asyncio.start_server(self._serve, host, port, limit=MAX_HEAD)
        bound = self._server.sockets[0].getsockname()
        return int(bound[1])

    async def stop(self) -> None:
        """Close the port and drop every connection, as a device does that loses power."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._writers):
            writer.transport.abort()
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def broadcast(self, path: str, text: str) -> None:
        """Send a text to everyone on a web socket path."""
        for socket in list(self._sockets[path]):
            socket.send(text)

    def listeners(self, path: str) -> int:
        """Number of web sockets that are open on ``path``."""
        return len(self._sockets[path])

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        peer = str((writer.get_extra_info("peername") or ("",))[0])
        try:
            while await self._one(reader, writer, peer):
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.CancelledError, ValueError):
            pass
        finally:
            self._tasks.discard(task)
            self._writers.discard(writer)
            with contextlib.suppress(OSError, RuntimeError):
                writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, peer: str) -> bool:
        """One request; whether the connection stays open."""
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        parts = lines[0].split(" ")
        if len(parts) != 3 or not parts[2].startswith("HTTP/1."):
            self._write(writer, HttpResponse(400, b"bad request", "text/plain"), close=True)
            return False
        headers: dict[str, str] = {}
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            if colon:
                headers[name.strip().lower()] = value.strip()
        path = parts[1].partition("?")[0]
        if path in self._paths and headers.get("upgrade", "").lower() == "websocket":
            await self._upgrade(path, head, reader, writer)
            return False
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > MAX_BODY or "transfer-encoding" in headers:
            self._write(writer, HttpResponse(413, b"body too long", "text/plain"), close=True)
            return False
        body = await reader.readexactly(int(length))
        response = await self._handler(HttpRequest(parts[0], parts[1], headers, body, peer))
        if response is None:
            writer.transport.abort()
            return False
        close = headers.get("connection", "").lower() == "close" or parts[2] == "HTTP/1.0"
        self._write(writer, response, close=close, bodyless=parts[0] == "HEAD")
        await writer.drain()
        return not close

    def _write(
        self, writer: asyncio.StreamWriter, response: HttpResponse, *, close: bool, bodyless: bool = False
    ) -> None:
        try:
            phrase = HTTPStatus(response.status).phrase
        except ValueError:
            phrase = ""
        fields = {
            **({"Server": self._name} if self._name else {}),
            "Content-Type": response.content_type,
            "Content-Length": str(len(response.body)),
            **({"Connection": "close"} if close else {}),
            **self.extra_headers,
            **response.headers,
        }
        head = f"HTTP/1.1 {response.status} {phrase}\r\n" + "".join(f"{k}: {v}\r\n" for k, v in fields.items())
        writer.write(head.encode("latin-1") + b"\r\n" + (b"" if bodyless else response.body))

    async def _upgrade(
        self, path: str, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if len(self._sockets[path]) >= self._max:
            self._write(writer, HttpResponse(429, b"too many", "text/plain"), close=True)
            return
        protocol = ServerProtocol()
        protocol.receive_data(head)
        events = protocol.events_received()
        if not events:
            return
        response = protocol.accept(events[0])  # type: ignore[arg-type]
        for name, value in self.extra_headers.items():
            response.headers[name] = value
        protocol.send_response(response)
        socket = WebSocket(protocol, writer)
        socket._flush()
        if protocol.state is not State.OPEN:
            return
        self._sockets[path].add(socket)
        if self.on_connect is not None:
            self.on_connect(path, socket)
        try:
            with contextlib.suppress(WebSocketException):
                await socket.drain(reader)
        finally:
            self._sockets[path].discard(socket)
