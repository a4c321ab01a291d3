"""A stream for programs with an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, suppress
from types import TracebackType
from typing import Any, Self

from asic_reservoir.client._live import AGAIN, LARGEST, Exchange, Output, error_of_close, refused, socket_url
from asic_reservoir.client._requests import FIRST_WAIT_S, TRIES


class AsyncLiveStream:
    """As :class:`asic_reservoir.client.LiveStream`; its methods are awaited."""

    def __init__(self, server: str, headers: dict[str, str], task_id: str) -> None:
        self.task_id = task_id
        self._server, self._headers = server, headers
        self._exchange = Exchange()
        self._socket: Any = None
        self._hold = AsyncExitStack()
        self._ended = self._over = False

    async def step(self, u: float) -> Output:
        """One input, its output."""
        outputs = [output async for output in self.run([u])]
        return outputs[0]

    async def run(self, inputs: Iterable[float]) -> AsyncIterator[Output]:
        """Outputs of inputs, in order; as many inputs are under way as the service takes."""
        source, more = iter(inputs), True
        while more or self._exchange.under_way:
            await self._connected()
            fresh = self._exchange.following
            while more and self._exchange.under_way < self._exchange.window:
                try:
                    self._exchange.add(next(source))
                except StopIteration:
                    more = False
            output = await self._talk(self._exchange.frames(fresh))
            if output is not None:
                yield output

    async def end(self) -> None:
        """Say that no more inputs follow, and wait until the task has ended."""
        if self._ended:
            return
        self._ended = True
        while not self._over:
            await self._connected()
            await self._talk(['{"end": true}'])
            while self._socket is not None:
                await self._talk([])

    async def _connected(self) -> None:
        from websockets.asyncio.client import connect
        from websockets.exceptions import ConnectionClosed, InvalidHandshake, WebSocketException

        fails = 0
        while self._socket is None:
            url = socket_url(self._server, self.task_id, self._exchange.received)
            try:
                way = connect(url, additional_headers=self._headers, max_size=LARGEST, open_timeout=10, proxy=None)
                self._socket = await self._hold.enter_async_context(way)
                self._exchange.hear(await asyncio.wait_for(self._socket.recv(), 30))
            except (OSError, TimeoutError, WebSocketException) as error:
                await self.aclose()
                fails += 1
                if fails >= TRIES or isinstance(error, InvalidHandshake):
                    raise refused(error, self._server) from None
                await asyncio.sleep(min(10.0, FIRST_WAIT_S * 2.0**fails))
                continue
            with suppress(ConnectionClosed):  # cut again: whoever listens next is told so
                await self._send(self._exchange.frames(0))

    async def _send(self, frames: Sequence[str]) -> None:
        for frame in frames:
            await self._socket.send(frame)

    async def _talk(self, frames: Sequence[str]) -> Output | None:
        from websockets.exceptions import ConnectionClosed

        try:
            await self._send(frames)
            return self._exchange.hear(await self._socket.recv())
        except ConnectionClosed as error:
            await self.aclose()
            code = error.rcvd.code if error.rcvd is not None else 1006
            self._over = code == 1000 and self._ended
            if self._over or code in AGAIN:
                return None
            raise error_of_close(code, error.rcvd.reason if error.rcvd is not None else "") from None

    async def aclose(self) -> None:
        """Hang up; the stream goes on for its idle time, and can be opened again."""
        self._socket = None
        await self._hold.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
