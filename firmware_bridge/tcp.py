"""Lines over TCP, one event a line, each with the time at which the kernel received its last byte.

With SO_TIMESTAMPNS the kernel stamps a segment when it arrives, before this process is woken; scheduling and the
interpreter do not show. The stamp belongs to the last byte of a read, so a line is read alone: first looked at
(MSG_PEEK), then taken up to its separator and no further. Lines of one segment share its stamp and are marked. The
kernel may merge segments that wait unread, and then keeps the latest stamp: so whoever reads, reads at once.

Where the kernel gives no stamp, the line carries this process' own time and says so. So do the first lines of a host on
which nobody had asked for stamps: the kernel begins with them a moment after it was asked. A server therefore asks at
its listening socket.
"""

from __future__ import annotations

import contextlib
import re
import select
import socket
import struct
import time
from dataclasses import dataclass

from asic_reservoir.board import TimestampSource
from asic_reservoir.errors import TimeoutExpiredError
from firmware_bridge.clocks import monotonic_raw_ns, read_triple

SO_TIMESTAMPNS = 35
"""``asm-generic/socket.h``; the module ``socket`` has no name for it."""
_STAMP = struct.Struct("@ll")
_PEEK = 2048
_WIDE_NS = 5_000
_ANCILLARY = 64
_SEPARATOR = re.compile(rb"[\n\0]")
_SEPARATORS = b"\n\0"
"""Some miners end their lines with a NUL as well."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line without its separator, and when it came."""

    data: bytes
    time_ns: int
    """CLOCK_MONOTONIC_RAW of this host."""
    source: TimestampSource
    """``kernel`` or ``host``."""
    same_read: bool
    """It came in the same segment as the line before it: its own time is not known better than that."""


class LinkClosedError(TimeoutExpiredError):
    """The other side closed the connection, or the network did."""


def ask_for_stamps(sock: socket.socket) -> None:
    """Ask the kernel for receive times; connections that a listening socket accepts inherit this."""
    with contextlib.suppress(OSError):  # not Linux: lines then say that this process stamped them
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)


def _raw_of_realtime(realtime_ns: int) -> int:
    """A moment a little ago, by the clocks as they stand now: a step of real time in between cannot spoil it.

    One reading, about a microsecond wide, where nothing comes between; else the narrowest of five.
    """
    before = monotonic_raw_ns()
    now = time.time_ns()
    after = monotonic_raw_ns()
    if after - before > _WIDE_NS:
        triple = read_triple()
        return triple.monotonic_raw_ns - (triple.realtime_ns - realtime_ns)
    return (before + after) // 2 - (now - realtime_ns)


class LineSocket:
    """A connected stream socket that is read line by line. One thread reads; any thread may send.

    Args:
        sock: A connected TCP socket; this object owns it.
        limit: Longest line in bytes. A longer one is dropped and counted in :attr:`overlong`; reading goes on.
    """

    def __init__(self, sock: socket.socket, limit: int = 65536) -> None:
        self._sock = sock
        self._limit = limit
        self._pending = bytearray()
        self._skipping = False
        self._last_stamp = 0
        self.overlong = 0
        sock.setblocking(True)
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        ask_for_stamps(sock)

    @property
    def partial(self) -> bool:
        """Part of a line has come, and its end has not."""
        return bool(self._pending)

    @property
    def peer(self) -> str:
        """Address of the other side."""
        try:
            name = self._sock.getpeername()
        except OSError:
            return ""
        return str(name[0]) if isinstance(name, tuple) else str(name)

    def read(self, timeout_s: float | None = None) -> Line | None:
        """The next line that is not empty; ``None`` when ``timeout_s`` passed without one.

        Raises:
            LinkClosedError: the connection ended. What came after the last separator is dropped.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            if deadline is not None:
                left = deadline - time.monotonic()
                if left <= 0 or not self._readable(left):
                    return None
            line = self._take()
            if line is not None:
                return line

    def _readable(self, timeout_s: float) -> bool:
        try:
            ready, _, _ = select.select([self._sock], [], [], timeout_s)
        except (OSError, ValueError):
            raise LinkClosedError("link: closed by this side") from None
        return bool(ready)

    def _take(self) -> Line | None:
        """One look and one read; a line where it ended with it."""
        try:
            seen = self._sock.recv(_PEEK, socket.MSG_PEEK)
            if not seen:
                raise LinkClosedError("link: closed by the other side")
            found = _SEPARATOR.search(seen)
            data, ancillary, _, _ = self._sock.recvmsg(found.end() if found else len(seen), _ANCILLARY)
            host_ns = monotonic_raw_ns()
            if len(data) == len(seen):  # nothing else waits; the kernel takes this option back by itself
                self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        except OSError as error:
            raise LinkClosedError(f"link: {error.strerror or error}") from None
        if not self._skipping:
            self._pending += data
        if not data or data[-1:] not in (b"\n", b"\0"):
            if len(self._pending) > self._limit:
                self._drop()
                self._skipping = True
            return None
        text, skipped = bytes(self._pending).strip(_SEPARATORS + b"\r"), self._skipping
        self._pending.clear()
        self._skipping = False
        if skipped or not text:
            return None
        if len(text) > self._limit:
            self._drop()
            return None
        return self._stamped(text, ancillary, host_ns)

    def _drop(self) -> None:
        self.overlong += 1
        self._pending.clear()

    def _stamped(self, text: bytes, ancillary: list[tuple[int, int, bytes]], host_ns: int) -> Line:
        for level, kind, payload in ancillary:
            if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS and len(payload) == _STAMP.size:
                seconds, nanoseconds = _STAMP.unpack(payload)
                stamp = seconds * 1_000_000_000 + nanoseconds
                same = stamp == self._last_stamp
                self._last_stamp = stamp
                # A stamp later than our own look at the clock would be an error of the conversion only.
                return Line(text, min(_raw_of_realtime(stamp), host_ns), TimestampSource.KERNEL, same)
        return Line(text, host_ns, TimestampSource.HOST, False)

    def send(self, data: bytes) -> int:
        """Send all of ``data``; the time (CLOCK_MONOTONIC_RAW) right before, so that no answer can be older.

        Raises:
            LinkClosedError: the connection is gone.
        """
        sent_ns = monotonic_raw_ns()
        try:
            self._sock.sendall(data)
        except OSError as error:
            raise LinkClosedError(f"link: {error.strerror or error}") from None
        return sent_ns

    def close(self) -> None:
        """End the connection; a thread that reads gets LinkClosedError. May be called twice."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()


def address_towards(host: str) -> str:
    """Address of this machine as the device at ``host`` sees it.

    Raises:
        TimeoutExpiredError: no route there.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((host, 9))
        except OSError as error:
            raise TimeoutExpiredError(f"{host}: {error.strerror or error}, must be reachable") from None
        return str(probe.getsockname()[0])


def notice_dead_peer(sock: socket.socket) -> None:
    """Have the kernel ask a silent peer whether it lives, and end the connection after about ten seconds without an
    answer: a cable that was pulled says nothing by itself."""
    for level, option, value in (
        (socket.SOL_SOCKET, "SO_KEEPALIVE", 1),
        (socket.IPPROTO_TCP, "TCP_KEEPIDLE", 4),
        (socket.IPPROTO_TCP, "TCP_KEEPINTVL", 2),
        (socket.IPPROTO_TCP, "TCP_KEEPCNT", 3),
        (socket.IPPROTO_TCP, "TCP_USER_TIMEOUT", 10_000),
    ):
        with contextlib.suppress(OSError, AttributeError):  # not every system has all of them
            sock.setsockopt(level, getattr(socket, option), value)


def connect(host: str, port: int, timeout_s: float = 5.0, source_host: str | None = None) -> LineSocket:
    """A connection to ``host``.

    Raises:
        TimeoutExpiredError: nobody answers there.
    """
    try:
        source = None if source_host is None else (source_host, 0)
        return LineSocket(socket.create_connection((host, port), timeout_s, source))
    except OSError as error:
        raise TimeoutExpiredError(f"{host}:{port}: {error.strerror or error}, must be reachable by TCP") from None


def ask_once(host: str, port: int, request: bytes, timeout_s: float = 5.0, limit: int = 1 << 20) -> bytes:
    """One request, everything until the other side closes: how the cgminer API works.

    Raises:
        TimeoutExpiredError: nobody answers, or the answer does not end in time or is longer than ``limit``.
    """
    deadline = time.monotonic() + timeout_s
    answer = bytearray()
    try:
        with socket.create_connection((host, port), timeout_s) as sock:
            sock.sendall(request)
            while True:
                sock.settimeout(max(0.001, deadline - time.monotonic()))
                part = sock.recv(65536)
                if not part:
                    return bytes(answer)
                answer += part
                if len(answer) > limit or time.monotonic() > deadline:
                    raise TimeoutExpiredError(f"{host}:{port}: answer did not end, must end within {timeout_s:g} s")
    except OSError as error:
        if answer.endswith(b"\0"):  # bmminer resets connections behind a complete answer
            return bytes(answer)
        raise TimeoutExpiredError(
            f"{host}:{port}: {error.strerror or error}, must answer within {timeout_s:g} s"
        ) from None
