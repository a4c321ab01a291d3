"""The kernel begins to stamp what it receives a moment after the first socket asked for it: tests wait for that."""

from __future__ import annotations

import socket
import time

from asic_reservoir.board import TimestampSource
from firmware_bridge.tcp import LineSocket, ask_for_stamps


def wait_for_stamps(within_s: float = 60.0) -> None:
    """Until a line that comes has the kernel's stamp. While another socket asks for stamps, it stays so."""
    deadline = time.monotonic() + within_s
    while True:
        with socket.socket() as listener:
            ask_for_stamps(listener)
            listener.bind(("127.0.0.1", 0))
            listener.listen(1)
            other = socket.create_connection(listener.getsockname())
            lines = LineSocket(listener.accept()[0])
        other.sendall(b"now\n")
        line = lines.read(10)
        lines.close()
        other.close()
        if line is not None and line.source is TimestampSource.KERNEL:
            return
        assert time.monotonic() < deadline, "the kernel stamps nothing"
        time.sleep(0.01)
