"""A runner process, seen from its supervisor."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from api.worker.wire import Message, Wire

GRACE_S = 3.0
"""From SIGTERM to SIGKILL: the time to bring a board into its safe state."""
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
"""Boards run side by side; each with all cores for its algebra would only wait for the others."""


@dataclass(slots=True)
class RunnerProcess:
    """The process and the wire to it."""

    process: subprocess.Popen[bytes]
    wire: Wire

    @classmethod
    def start(cls, keep: Sequence[int] = ()) -> RunnerProcess:
        """Start one; it says ``ready`` when it has imported what it needs, and takes messages before that.

        Args:
            keep: open files that it holds too for as long as it lives: the device lock, so that a runner which
                outlives its supervisor for a moment keeps others from the board.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-m", "api.worker.runner", str(theirs.fileno()), str(os.getpid())],
                pass_fds=[theirs.fileno(), *keep],
                stdin=subprocess.DEVNULL,
                env=os.environ | ONE_THREAD,
                start_new_session=True,  # signals of the terminal are the supervisor's
            )
        return cls(process, Wire(ours))

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def send(self, message: Message) -> None:
        """A runner that is gone is found out by reading."""
        with contextlib.suppress(OSError):
            self.wire.send(message)

    def stop(self) -> None:
        """SIGTERM, the time to make the board safe, SIGKILL."""
        if self.alive:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(GRACE_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.wire.close()

    def reap(self) -> str:
        """After it hung up: how it ended, in words."""
        try:
            code = self.process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        self.wire.close()
        if code < 0:
            return f"signal {-code}, {signal.Signals(-code).name}"
        return f"exit status {code}"
