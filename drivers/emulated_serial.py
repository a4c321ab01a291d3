"""What every emulated device on a serial line has: ptys, a line that takes time, faults, and a loop.

A device is a single thread that sleeps until bytes come, a frame is due on the line, or physics must go on.
"""

from __future__ import annotations

import contextlib
import errno
import heapq
import os
import random
import select
import threading
import tty
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from drivers.foreground import at_end_signals
from firmware_bridge.clocks import monotonic_raw_ns
from firmware_bridge.serial_port import BITS_PER_BYTE, LinkError, line_speed

TICK_S = 0.01
"""Physics goes on in steps of so long, in real time."""
LATE_NS = 5_000_000
"""A nonce that is due is sent within so long. Where this machine did not get round to it, the chips were late as a
whole, and it belongs to what they work on now: no real one comes so late that the id of its work has gone round."""
BAUD_TOLERANCE = 0.05
"""8N1 is read up to about this difference of the two clocks."""


class Pty:
    """The device's side of a pseudo terminal, with a stable path for the host.

    Args:
        link: path of a symbolic link to the host's side, or None for none.
    """

    def __init__(self, link: Path | None = None) -> None:
        self.fd, slave = os.openpty()
        tty.setraw(slave)
        os.set_blocking(self.fd, False)
        self._device_path = os.ttyname(slave)
        # Kept open: without any holder of the other side a read here would fail until a host comes.
        self._slave = slave
        self.refused_bytes = 0
        """What the host's full buffer did not take."""
        self._link = link
        if link is not None:
            link.parent.mkdir(parents=True, exist_ok=True)
            link.unlink(missing_ok=True)
            link.symlink_to(self._device_path)

    @property
    def path(self) -> str:
        """What the host opens."""
        return str(self._link) if self._link else self._device_path

    def host_baud(self) -> int:
        """Rate that the host has set."""
        try:
            return line_speed(self.fd)[1]
        except LinkError:
            return 0

    def read(self) -> bytes:
        """What the host wrote."""
        try:
            return os.read(self.fd, 65_536)
        except OSError as error:
            if error.errno in (errno.EIO, errno.EAGAIN):
                return b""
            raise

    def write(self, data: bytes) -> None:
        """To the host; what its full buffer does not take is lost, as on a real line, and counted."""
        taken = 0
        with contextlib.suppress(BlockingIOError):
            taken = os.write(self.fd, data)
        self.refused_bytes += len(data) - taken

    def close(self) -> None:
        """Pull the plug."""
        os.close(self._slave)
        os.close(self.fd)
        if self._link is not None:
            self._link.unlink(missing_ok=True)


@dataclass
class Faults:
    """What goes wrong on purpose. May be changed while the device runs."""

    corrupt: float = 0.0
    """Probability that a bit of a frame to the host is flipped."""
    drop: float = 0.0
    """Probability that a frame to the host is lost whole."""
    duplicate: float = 0.0
    """Probability that a frame to the host is sent a second time."""
    silent: bool = False
    """Nothing is sent any more."""
    ignore_voltage: bool = False
    """The regulator acknowledges and reads back what was set, and its output does not move."""
    corrupted: int = 0
    dropped: int = 0
    duplicated: int = 0
    _random: random.Random = field(default_factory=lambda: random.Random(20260101))

    def apply(self, frame: bytes) -> list[bytes]:
        """The frames that really leave for this one."""
        if self.silent:
            return []
        if self.drop and self._random.random() < self.drop:
            self.dropped += 1
            return []
        frames = [frame]
        if self.corrupt and self._random.random() < self.corrupt:
            self.corrupted += 1
            position = self._random.randrange(8 * len(frame))
            wrong = bytearray(frame)
            wrong[position // 8] ^= 0x80 >> position % 8
            frames = [bytes(wrong)]
        elif self.duplicate and self._random.random() < self.duplicate:
            self.duplicated += 1
            frames = [frame, frame]
        return frames


class PacedLine:
    """The transmitter of the chips: one frame at a time, each as long as its bytes need."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self.baud = 115_200.0
        self._queue: list[tuple[int, int, bytes]] = []
        self._count = 0
        self._free_ns = 0

    def send(self, frame: bytes, not_before_ns: int) -> None:
        """Queue a frame; its last byte leaves a frame's length after it begins."""
        for piece in self.faults.apply(frame):
            begin = max(not_before_ns, self._free_ns)
            self._free_ns = begin + round(len(piece) * BITS_PER_BYTE * 1e9 / self.baud)
            heapq.heappush(self._queue, (self._free_ns, self._count, piece))
            self._count += 1

    def next_due_ns(self) -> int | None:
        """When the next frame is complete."""
        return self._queue[0][0] if self._queue else None

    def take_due(self, now_ns: int) -> list[bytes]:
        """Frames that are complete by now."""
        frames = []
        while self._queue and self._queue[0][0] <= now_ns:
            frames.append(heapq.heappop(self._queue)[2])
        return frames

    def clear(self) -> None:
        """Forget what was queued."""
        self._queue.clear()
        self._free_ns = 0


class SerialDevice:
    """Loop of an emulated device. Subclasses say what bytes and time do.

    The data port carries the chips' UART, the control port the packets of the adapter that holds the board.
    """

    def __init__(self, faults: Faults, data_link: Path | None, control_link: Path | None) -> None:
        self.faults = faults
        self.line = PacedLine(faults)
        self._links = data_link, control_link
        self._lock = threading.RLock()
        self._plug()
        self._stop_read, self._stop_write = os.pipe()
        self._thread: threading.Thread | None = None
        self._stopped = False
        self.skipped_s = 0.0
        """Time in which the device stood still because this machine did not keep up with its speed."""
        self.late_s = 0.0
        """The most by which the device ran behind its time; whoever measures sets it to 0 before."""

    def _plug(self) -> None:
        self.data, self.control = Pty(self._links[0]), Pty(self._links[1])

    # -- what subclasses do ---------------------------------------------------------------------------------------

    def on_data(self, data: bytes, now_ns: int) -> None:
        """Bytes from the host to the chips."""
        raise NotImplementedError

    def on_control(self, data: bytes, now_ns: int) -> None:
        """Bytes from the host to the adapter."""
        raise NotImplementedError

    def on_tick(self, now_ns: int) -> None:
        """Physics goes on to ``now_ns`` plus one tick."""
        raise NotImplementedError

    def on_stood_still(self, host_s: float) -> None:
        """No physics went on for so long: clocks of the device's own parts must not have run either."""

    def next_event_ns(self) -> int | None:
        """When :meth:`on_events` must be called; None for not at all."""
        raise NotImplementedError

    def on_events(self, now_ns: int) -> None:
        """Everything that is due."""
        raise NotImplementedError

    def on_power_cycle(self) -> None:
        """All state is as after the supply came on."""
        raise NotImplementedError

    # -- the loop -------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Until :meth:`end` or :meth:`close`, in this thread."""
        tick_ns = round(TICK_S * 1e9)
        next_tick = monotonic_raw_ns()
        while True:
            now = monotonic_raw_ns()
            due = [next_tick] + [t for t in (self.line.next_due_ns(), self.next_event_ns()) if t is not None]
            wait_s = max(0.0, (min(due) - now) * 1e-9)
            with self._lock:
                fds = [self.data.fd, self.control.fd, self._stop_read]
            try:
                ready, _, _ = select.select(fds, [], [], wait_s)
            except OSError:  # the plug was pulled while waiting
                continue
            if self._stop_read in ready:
                return
            with self._lock:
                now = monotonic_raw_ns()
                if self.data.fd in ready and (data := self.data.read()):
                    self.on_data(data, now)
                if self.control.fd in ready and (data := self.control.read()):
                    self.on_control(data, now)
                if now >= next_tick:
                    self.late_s = max(self.late_s, (now - next_tick) * 1e-9)
                    if now - next_tick > 50 * tick_ns:  # this machine is too slow or slept: do not run after it
                        self.skipped_s += (now - next_tick) * 1e-9
                        self.on_stood_still((now - next_tick) * 1e-9)
                        next_tick = now
                    self.on_tick(next_tick)
                    next_tick += tick_ns
                self.on_events(now)
                for frame in self.line.take_due(monotonic_raw_ns()):
                    self._transmit(frame)

    def _transmit(self, frame: bytes) -> None:
        if self.baud_matches():
            self.data.write(frame)
        else:  # the host listens at another rate: it gets bytes, and they mean nothing
            self.data.write(bytes(byte ^ 0x5A | 0x81 for byte in frame))

    def baud_matches(self) -> bool:
        """Whether host and chips talk at the same rate."""
        return abs(self.data.host_baud() / self.line.baud - 1.0) <= BAUD_TOLERANCE

    def start(self) -> Self:
        """Run in a thread of its own."""
        self._thread = threading.Thread(target=self.run, name=type(self).__name__, daemon=True)
        self._thread.start()
        return self

    def pull_plug(self, inside_frame: bool = False) -> None:
        """Cut both cables; with ``inside_frame`` half a frame has just been sent. The supply goes with them."""
        with self._lock:
            if inside_frame:
                self.data.write(b"\xaa\x55\x12\x34")
            self.data.close()
            self.control.close()
            self.line.clear()
            self.data, self.control = Pty(), Pty()  # nobody can reach these
            self.on_power_cycle()

    def plug_in(self) -> None:
        """Connect again, at the same paths where links were given."""
        with self._lock:
            self.data.close()
            self.control.close()
            self._plug()
            self.on_power_cycle()

    def end(self) -> None:
        """Let :meth:`run` return; takes no lock, so that the handler of a signal may call it."""
        if not self._stopped:
            os.write(self._stop_write, b"x")

    def close(self) -> None:
        """End the device. May be called twice."""
        if self._stopped:
            return
        self.end()
        self._stopped = True
        if self._thread is not None:
            self._thread.join(timeout=10.0)
        for pty in (self.data, self.control):
            with contextlib.suppress(OSError):
                pty.close()
        os.close(self._stop_read)
        os.close(self._stop_write)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def run_in_foreground(device: SerialDevice, uri: str) -> None:
    """Print the URI and run until Ctrl-C or SIGTERM; the device's links are gone afterwards."""
    with at_end_signals(device.end):
        try:
            print(uri, flush=True)
            device.run()
        finally:
            device.close()
