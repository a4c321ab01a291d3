"""Reads the log stream of an AxeOS board: every nonce of the chip, with the board's own milliseconds."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass

from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from asic_reservoir.errors import DataError
from drivers.clock import BoardClock
from firmware_bridge.axeos.log import DifficultyReported, LogLine, NonceReported, StratumSent, parse_log_line
from firmware_bridge.clocks import monotonic_raw_ns
from firmware_bridge.stratum.lines import decode
from firmware_bridge.stratum.messages import Submit

_OFFSET_WINDOW_NS = 300_000_000_000
_RETRY_S = 0.2


@dataclass(frozen=True, slots=True)
class LoggedNonce:
    """A nonce in the log."""

    time_ns: int
    """Board time: the device's stamp on the host's time line."""
    difficulty: float
    job_id: str | None
    """None where the stock generation printed a difficulty and submitted nothing."""
    nonce: int = 0
    version_bits: int = 0


class DeviceTime:
    """The device's milliseconds since boot on the board's time line.

    The smallest difference between arrival and stamp is taken for the path of a line that nothing delayed, over five
    minutes, in which the crystals of both sides drift apart by some milliseconds at most. What remains unknown is that
    shortest path itself: a constant, of the order of a millisecond.
    """

    def __init__(self) -> None:
        self._offsets: deque[tuple[int, int]] = deque()
        self._last_ms = 0

    def board_ns(self, device_ms: int, arrived_ns: int) -> int:
        """Where a stamp lies; a stamp that goes back tells of a restart."""
        if device_ms + 1000 < self._last_ms:
            self._offsets.clear()
        self._last_ms = device_ms
        offset = arrived_ns - device_ms * 1_000_000
        while self._offsets and self._offsets[-1][1] >= offset:
            self._offsets.pop()
        self._offsets.append((arrived_ns, offset))
        while self._offsets[0][0] < arrived_ns - _OFFSET_WINDOW_NS:
            self._offsets.popleft()
        return device_ms * 1_000_000 + self._offsets[0][1]


class LogReader:
    """Keeps the web socket open, in a thread of its own, and collects nonces.

    Attributes:
        breaks: how often the stream ended.
        fragments: lines that were no log lines.
    """

    def __init__(self, url: str, clock: BoardClock) -> None:
        self._url, self._clock = url, clock
        self._time = DeviceTime()
        self._found: deque[LoggedNonce] = deque()
        self._waiting: LoggedNonce | None = None
        self._lock = threading.Lock()
        self._open = threading.Event()
        self._stop = threading.Event()
        self._socket: ClientConnection | None = None
        self.breaks = 0
        self.fragments = 0
        self._thread = threading.Thread(target=self._run, name="axeos-log", daemon=True)
        self._thread.start()

    def wait_open(self, timeout_s: float) -> bool:
        """Whether the stream is open, after waiting for it."""
        return self._open.wait(timeout_s)

    @property
    def is_open(self) -> bool:
        return self._open.is_set()

    def before(self, end_ns: int) -> list[LoggedNonce]:
        """Take every nonce with a time before ``end_ns``."""
        with self._lock:
            if self._waiting is not None and self._waiting.time_ns < end_ns:
                self._found.append(self._waiting)
                self._waiting = None
            taken = [nonce for nonce in self._found if nonce.time_ns < end_ns]
            self._found = deque(nonce for nonce in self._found if nonce.time_ns >= end_ns)
        return taken

    def close(self) -> None:
        self._stop.set()
        if self._socket is not None:
            self._socket.close_socket()
        self._thread.join(5.0)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with connect(self._url, open_timeout=5, close_timeout=0.2, compression=None, proxy=None) as socket:
                    self._socket = socket
                    self._open.set()
                    for message in socket:
                        arrived = self._clock.of_raw(monotonic_raw_ns())
                        text = message if isinstance(message, str) else message.decode(errors="replace")
                        for line in text.splitlines():
                            if line.strip():
                                self._line(line, arrived)
            except (OSError, WebSocketException, TimeoutError):
                pass
            if self._open.is_set():
                self._open.clear()
                self.breaks += 1
            if not self._stop.is_set():
                time.sleep(_RETRY_S)

    def _line(self, line: str, arrived_ns: int) -> None:
        try:
            logged = parse_log_line(line)
        except DataError:
            self.fragments += 1
            return
        time_ns = self._time.board_ns(logged.time_ms, arrived_ns)
        with self._lock:
            self._collect(logged, time_ns)

    def _collect(self, logged: LogLine, time_ns: int) -> None:
        event = logged.event
        if isinstance(event, NonceReported):
            self._found.append(LoggedNonce(time_ns, event.difficulty, event.job, event.nonce, event.version_bits))
        elif isinstance(event, DifficultyReported):
            self._flush()
            self._waiting = LoggedNonce(time_ns, event.difficulty, None)
        elif isinstance(event, StratumSent) and self._waiting is not None:
            # the stock generation names the nonce only in the submit that follows
            try:
                decoded = decode(event.line)
            except DataError:
                return
            if isinstance(decoded, tuple) and isinstance(decoded[1], Submit):
                submit, found = decoded[1], self._waiting
                bits = submit.version_bits or 0
                self._waiting = None
                self._found.append(LoggedNonce(found.time_ns, found.difficulty, submit.job_id, submit.nonce, bits))

    def _flush(self) -> None:
        if self._waiting is not None:
            self._found.append(self._waiting)
            self._waiting = None
