"""A door that stays in front of a service that comes and goes: a port that the kernel chose once."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable


class Door:
    """A port that stays, in front of a service that comes and goes. Answers can get lost in it."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self.behind: tuple[str, int] | None = None
        self._gate = threading.Lock()
        self._lose = 0
        self.lost = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def lose_answers(self, number: int) -> None:
        """The next so many answers are not delivered: the request is done, and who asked does not know."""
        with self._gate:
            self._lose = number

    def close(self) -> None:
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            assert self.behind is not None
            service = socket.create_connection(self.behind, timeout=10)
        except (OSError, AssertionError):
            client.close()
            return
        service.settimeout(None)
        threading.Thread(target=_pump, args=(client, service, lambda: False), daemon=True).start()
        _pump(service, client, self._drop)

    def _drop(self) -> bool:
        with self._gate:
            if self._lose == 0:
                return False
            self._lose -= 1
            self.lost += 1
            return True


def _pump(source: socket.socket, sink: socket.socket, drop: Callable[[], bool]) -> None:
    try:
        while chunk := source.recv(1 << 16):
            if drop():
                break
            sink.sendall(chunk)
    except OSError:
        pass
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()
