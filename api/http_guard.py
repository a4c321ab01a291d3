"""What a connection may do before its request is whole: uvicorn sets no bound to the size of a head, nor to the time
that a head or a body takes, so that a stranger without a key could fill the memory or all of the connections.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

MOST_BYTES = 1 << 16
"""Of a head that is not whole yet."""
HEAD_S = 20.0
"""Between the first byte of a request, or the connection, and the end of the head."""
STILL_S = 60.0
"""Without a byte of a body that is not whole yet, while somebody takes it."""
LOOK_S = 5.0
"""Between two looks: nothing is paid for by requests that behave."""


class GuardedProtocol(HttpToolsProtocol):
    """HTTP/1.1 as uvicorn speaks it, within these bounds."""

    def __init__(self, *words: Any, **named: Any) -> None:
        super().__init__(*words, **named)
        self._in_head, self._in_body = True, False
        self._head_bytes = 0
        self._began = self._moved = self.loop.time()
        self._look: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._look = self.loop.call_later(LOOK_S, self._look_after)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._look is not None:
            self._look.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._moved = self.loop.time()
        super().data_received(data)
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MOST_BYTES:
                self._refuse(431, f"head: more than {MOST_BYTES} bytes, must be smaller")

    def on_message_begin(self) -> None:
        self._in_head, self._in_body = True, False
        self._head_bytes, self._began = 0, self._moved
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head, self._in_body = False, True
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_body = False
        super().on_message_complete()

    def handle_websocket_upgrade(self) -> None:
        if self._look is not None:  # from here on the socket is another protocol's
            self._look.cancel()
        super().handle_websocket_upgrade()

    def _look_after(self) -> None:
        now = self.loop.time()
        if self._in_head and now - self._began > HEAD_S:
            self._refuse(408, f"head: not whole after {HEAD_S:g} s")
        elif self._in_body and not self.flow.read_paused and now - self._moved > STILL_S:
            self._refuse(408, f"body: nothing for {STILL_S:g} s")
        else:
            self._look = self.loop.call_later(LOOK_S, self._look_after)

    def _refuse(self, status: int, words: str) -> None:
        """Say why, unless an answer is under way already, and hang up."""
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            text = words.encode()
            head = f"content-type: text/plain\r\ncontent-length: {len(text)}\r\nconnection: close\r\n\r\n"
            self.transport.write(STATUS_LINE[status] + head.encode() + text)
        self.transport.close()
