"""Whoever does not bring a request to its end is hung up on, and is not kept in memory meanwhile."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import uvicorn
from fault_rig import until

from api import http_guard
from api.http_guard import GuardedProtocol

WHOLE = b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 2\r\n\r\nab"


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answers with the length of the body."""
    assert scope["type"] == "http"
    seen, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        seen, more = seen + len(message.get("body", b"")), message.get("more_body", False)
    body = str(seen).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture(scope="module")
def address() -> Iterator[tuple[str, int]]:
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical", lifespan="off", http=GuardedProtocol)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started, "the server started")
    yield server.servers[0].sockets[0].getsockname()
    server.should_exit = True
    thread.join(30)


@contextmanager
def bounds(monkeypatch: pytest.MonkeyPatch, **values: float) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setattr(http_guard, "LOOK_S", 0.02)
        for name, value in values.items():
            patch.setattr(http_guard, name, value)
        yield


def answer(connection: socket.socket) -> bytes:
    """All that comes until the other side hangs up, or has nothing more to say."""
    connection.settimeout(60)
    text = b""
    try:
        while chunk := connection.recv(1 << 16):
            text += chunk
    except ConnectionResetError:  # what was sent after the refusal was not read
        pass
    return text


def test_a_head_has_a_size(address: tuple[str, int]) -> None:
    for filling in (b"X-Long: " + b"a" * (1 << 22), b"X-Many: a\r\n" * 400_000):
        with socket.create_connection(address) as connection:
            try:
                connection.sendall(b"GET / HTTP/1.1\r\n" + filling)
            except OSError:
                continue  # it was hung up on before it had said all
            text = answer(connection)
            assert text == b"" or text.startswith(b"HTTP/1.1 431 ")


def test_a_head_and_a_body_have_a_time(address: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    for begun, name, words in (
        (b"", "HEAD_S", b"head: not whole after 0.1 s"),
        (WHOLE[:20], "HEAD_S", b"head: not whole after 0.1 s"),
        (WHOLE[:-1], "STILL_S", b"body: nothing for 0.1 s"),
    ):
        with bounds(monkeypatch, **{name: 0.1}), socket.create_connection(address) as connection:
            connection.sendall(begun)
            text = answer(connection)
            assert text.startswith(b"HTTP/1.1 408 ")
            assert text.endswith(words)


def test_a_slow_request_that_goes_on_is_answered(address: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """And one connection may carry many; each has its own time."""
    with bounds(monkeypatch, HEAD_S=30.0, STILL_S=30.0), socket.create_connection(address) as connection:
        connection.settimeout(60)
        for _ in range(3):
            for place in range(0, len(WHOLE), 9):
                connection.sendall(WHOLE[place : place + 9])
            text = b""
            while not text.endswith(b"\r\n\r\n2"):
                text += connection.recv(1 << 16)
            assert text.startswith(b"HTTP/1.1 200 ")
