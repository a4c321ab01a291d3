"""A server that says where it listens, once it does: a port of 0 takes a free one."""

from __future__ import annotations

import gc
import socket

import uvicorn

YOUNG = 20_000
"""Objects that are made before Python looks for cycles among them. At its own 700, every eleventh request or so pays
for a look, and the hundred that wait for a commit are looked through again and again: a sixth of the time."""


class AnnouncingServer(uvicorn.Server):
    """Prints one line with its address on standard output."""

    def __init__(self, config: uvicorn.Config, scheme: str) -> None:
        super().__init__(config)
        self._scheme = scheme

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        gc.collect()
        gc.freeze()  # modules, routes, schemas: they stay, and need not be looked through ever again
        gc.set_threshold(YOUNG, 10, 10)
        for server in getattr(self, "servers", []):
            for listening in server.sockets:
                address, port = listening.getsockname()[:2]
                shown = f"[{address}]" if ":" in address else address
                print(f"{self._scheme}://{shown}:{port}/", flush=True)
