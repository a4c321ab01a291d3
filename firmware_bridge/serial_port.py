"""A serial line with a reader of its own: every piece of bytes comes with the time at which it was read.

The reader is a thread that sleeps in ``select`` and reads what is there; a clock reading follows at once. The port is
held exclusively (flock and TIOCEXCL). Baud rates are set exactly where the adapter can; what it made of them is read
back from the driver.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import struct
import termios
import threading
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import serial

from asic_reservoir.board import TimestampSource
from asic_reservoir.errors import BusyError, NotFoundError, TimeoutExpiredError, UsageError
from firmware_bridge.clocks import monotonic_raw_ns

_TCGETS2 = 0x802C542A
"""ioctl of Linux that reads the line speed as a number (asm-generic/ioctls.h)."""
_TERMIOS2 = struct.Struct("4IB19s2I")
_READ_SIZE = 65_536
BITS_PER_BYTE = 10
"""8N1: one start and one stop bit."""


class LinkError(TimeoutExpiredError):
    """The line is gone: unplugged, reset, or the device behind it ended."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Bytes of one read."""

    data: bytes
    time_ns: int
    """CLOCK_MONOTONIC_RAW right after the read returned."""
    source: TimestampSource = TimestampSource.HOST

    def end_ns(self, end: int, baud: float) -> int:
        """When the byte before position ``end`` ended on the wire: back-dated by the bytes that followed it."""
        return self.time_ns - round((len(self.data) - end) * BITS_PER_BYTE * 1e9 / baud)


def line_speed(fd: int) -> tuple[int, int]:
    """Input and output speed in baud of an open terminal, as its driver has them.

    Raises:
        LinkError: the terminal is gone.
    """
    try:
        answer = fcntl.ioctl(fd, _TCGETS2, bytes(_TERMIOS2.size))
    except OSError as error:
        raise LinkError(f"serial line: {error.strerror}") from None
    *_, input_speed, output_speed = _TERMIOS2.unpack(answer)
    return input_speed, output_speed


class SerialPort:
    """One serial port.

    Args:
        path: device node, or a link to one.
        baud: any rate that the adapter takes.

    Raises:
        NotFoundError: no such device.
        BusyError: another process holds it.
        LinkError: it cannot be opened or set.
    """

    def __init__(self, path: str, baud: int) -> None:
        self.path = path
        if not Path(path).exists():
            raise NotFoundError(f"serial port {path!r}: no such device")
        try:
            self._port = serial.Serial(path, baud, timeout=0, write_timeout=2.0, exclusive=True)
        except serial.SerialException as error:
            if error.errno == 11 or "exclusively lock" in str(error):
                raise BusyError(f"serial port {path!r}: held by another process") from None
            raise LinkError(f"serial port {path!r}: {_reason(error)}") from None
        except (ValueError, OSError) as error:
            raise LinkError(f"serial port {path!r} at {baud} baud: {_reason(error)}") from None
        self._fd = self._port.fileno()
        with contextlib.suppress(OSError):
            fcntl.ioctl(self._fd, termios.TIOCEXCL)
        with contextlib.suppress(OSError, ValueError, NotImplementedError):  # a pty has no UART to tune
            self._port.set_low_latency_mode(True)
        self._chunks: deque[Chunk] = deque()
        self._arrived = threading.Condition()
        self._failure: str | None = None
        self._closed = False
        self._wake_read, self._wake_write = os.pipe()
        self._thread = threading.Thread(target=self._run, name=f"serial {path}", daemon=True)
        self._thread.start()

    @property
    def baud(self) -> int:
        """Rate that was asked for."""
        return int(self._port.baudrate)

    @property
    def actual_baud(self) -> int:
        """Rate that the adapter's driver reports; what was asked for where it reports none."""
        return line_speed(self._fd)[1] or self.baud

    def set_baud(self, baud: int) -> None:
        """Change the rate after everything written has left.

        Raises:
            LinkError: the adapter refuses it, or is gone.
        """
        self.drain()
        try:
            self._port.baudrate = baud
        except (serial.SerialException, ValueError, OSError) as error:
            raise LinkError(f"serial port {self.path!r} at {baud} baud: {_reason(error)}") from None

    def set_modem_line(self, name: str, high: bool) -> None:
        """Level of the adapter's RTS or DTR pin, where a board has its reset on one of them.

        Raises:
            UsageError: another name than ``rts`` and ``dtr``.
            LinkError: the adapter has no such line, or is gone.
        """
        if name not in ("rts", "dtr"):
            raise UsageError(f"modem line: {name!r}, must be 'rts' or 'dtr'")
        self._check()
        try:
            setattr(self._port, name, not high)  # an asserted modem line is low at the pin
        except (serial.SerialException, OSError) as error:
            raise LinkError(f"serial port {self.path!r} {name}: {_reason(error)}") from None

    def write(self, data: bytes) -> None:
        """Write all of ``data``.

        Raises:
            LinkError: the line is gone or takes nothing for two seconds.
        """
        self._check()
        try:
            self._port.write(data)
        except (serial.SerialException, OSError) as error:
            raise LinkError(f"serial port {self.path!r}: {_reason(error)}") from None

    def drain(self) -> None:
        """Wait until everything written has left the host."""
        self._check()
        try:
            termios.tcdrain(self._fd)
        except (termios.error, OSError) as error:
            raise LinkError(f"serial port {self.path!r}: {_reason(error)}") from None

    def read(self, timeout_s: float) -> Chunk | None:
        """The next piece that was read, or None after ``timeout_s`` of silence.

        Raises:
            LinkError: the line is gone and everything read before has been given out.
        """
        with self._arrived:
            if not self._chunks and not self._failure:
                self._arrived.wait_for(lambda: bool(self._chunks) or self._failure is not None, timeout_s)
            if self._chunks:
                return self._chunks.popleft()
        self._check()
        return None

    def discard_input(self) -> int:
        """Throw away what has been read and not given out; returns its size in bytes."""
        with self._arrived:
            size = sum(len(chunk.data) for chunk in self._chunks)
            self._chunks.clear()
        return size

    def close(self) -> None:
        """Give the port back. May be called twice."""
        if self._closed:
            return
        self._closed = True
        os.write(self._wake_write, b"x")
        self._thread.join(timeout=5.0)
        os.close(self._wake_read)
        os.close(self._wake_write)
        with contextlib.suppress(serial.SerialException, OSError):
            self._port.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _check(self) -> None:
        if self._closed:
            raise LinkError(f"serial port {self.path!r}: closed")
        if self._failure:
            raise LinkError(f"serial port {self.path!r}: {self._failure}")

    def _run(self) -> None:
        """The reader: sleep, read, stamp, hand over."""
        failure = None
        while failure is None:
            try:
                ready, _, _ = select.select([self._fd, self._wake_read], [], [])
                if self._wake_read in ready:
                    return
                data = os.read(self._fd, _READ_SIZE)
            except OSError as error:
                data, failure = b"", _reason(error)
            now = monotonic_raw_ns()
            if not data and failure is None:
                failure = "hung up"
            with self._arrived:
                if data:
                    self._chunks.append(Chunk(data, now))
                else:
                    self._failure = failure
                self._arrived.notify_all()


def _reason(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text).splitlines()[0]
