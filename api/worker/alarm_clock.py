"""How a thread sleeps that others may wake."""

from __future__ import annotations

import contextlib
import select
import socket


class AlarmClock:
    """Of one thread. Its socket is readable when it rang, and can be waited for together with others.

    >>> clock = AlarmClock()
    >>> clock.ring()
    >>> clock.sleep(60.0)
    """

    def __init__(self) -> None:
        self.socket, self._bell = socket.socketpair()
        self.socket.setblocking(False)

    def ring(self) -> None:
        """From any thread."""
        with contextlib.suppress(BlockingIOError):  # it is ringing already
            self._bell.send(b".", socket.MSG_DONTWAIT)

    def sleep(self, seconds: float) -> None:
        """Until the time is over or it rings."""
        if select.select([self.socket], [], [], seconds)[0]:
            self.quiet()

    def quiet(self) -> None:
        """It was heard."""
        with contextlib.suppress(BlockingIOError):
            while self.socket.recv(4096):
                pass
