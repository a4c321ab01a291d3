"""A server that says where it listens, once it does: a port of 0 takes a free one."""

from __future__ import annotations

import socket

import uvicorn


class AnnouncingServer(uvicorn.Server):
    """Prints one line with its address on standard output."""

    def __init__(self, config: uvicorn.Config, scheme: str) -> None:
        super().__init__(config)
        self._scheme = scheme

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for server in getattr(self, "servers", []):
            for listening in server.sockets:
                address, port = listening.getsockname()[:2]
                shown = f"[{address}]" if ":" in address else address
                print(f"{self._scheme}://{shown}:{port}/", flush=True)
