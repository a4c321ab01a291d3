"""Messages between a supervisor and its runner: a JSON object a line over a socket pair."""

from __future__ import annotations

import json
import socket
import threading
from typing import Any

Message = dict[str, Any]


class Wire:
    """One end. ``send`` may be called from several threads."""

    def __init__(self, end: socket.socket) -> None:
        self.socket = end
        self._gate = threading.Lock()
        self._rest = bytearray()

    def send(self, message: Message) -> None:
        """Raises OSError where the other end is gone, ValueError for what JSON cannot say."""
        line = json.dumps(message, allow_nan=False, separators=(",", ":")).encode() + b"\n"
        with self._gate:
            self.socket.sendall(line)

    def receive(self) -> list[Message] | None:
        """What has arrived, whole messages only; waits for the socket's time-out. None: the other end is gone."""
        try:
            chunk = self.socket.recv(1 << 16)
        except (TimeoutError, BlockingIOError):
            return []
        except OSError:
            return None
        if not chunk:
            return None
        self._rest += chunk
        if b"\n" not in chunk:
            return []
        lines, _, rest = bytes(self._rest).rpartition(b"\n")
        self._rest = bytearray(rest)
        return [json.loads(line) for line in lines.split(b"\n")]

    def close(self) -> None:
        self.socket.close()
