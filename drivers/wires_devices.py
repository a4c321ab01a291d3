"""Emulated devices in processes of their own, for as long as somebody drives them."""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from asic_reservoir.errors import ServerError

START_WITHIN_S = 60.0
"""Host time for a device to print its URI: imports and compilation of its physics."""
END_WITHIN_S = 10.0
_PR_SET_PDEATHSIG = 1
_CHILD = "from drivers.wires_devices import live; live()"


@dataclass(frozen=True, slots=True)
class DeviceKind:
    """One emulated device of the table."""

    arguments: tuple[str, ...]
    """Of ``asic-reservoir emulate``."""
    speed: float
    """Seconds of its board in a second here: as fast as one core carries with room to spare."""
    options: str = ""
    """What its driver needs beside the printed URI."""
    has_host_key: bool = False
    """Its driver keeps its SSH host key: in a file for this once, since the next emulated device has another."""


DEVICES: dict[str, DeviceKind] = {
    "bm1366": DeviceKind(("bm1366",), 10.0),
    "s9-chain": DeviceKind(("s9-chain", "--chips", "6"), 5.0),
    "s9": DeviceKind(("s9",), 15.0, "listen=127.0.0.1"),
    "s9-braiins": DeviceKind(("s9", "--firmware", "braiins"), 15.0, "listen=127.0.0.1", has_host_key=True),
    "lv06": DeviceKind(("lv06",), 100.0, "listen=127.0.0.1"),
    "lb-box": DeviceKind(("lb-box",), 10.0, "listen=127.0.0.1"),
}
"""By the name of their row. The hashboard has six chips of its 63: the emulation of all would fill a core."""


class EmulatedProcess:
    """``asic-reservoir emulate …`` in a process of its own, outside of the terminal's group, so that Ctrl-C reaches the
    driver first. It ends with :meth:`end`, and with this process however that ends.

    Raises:
        ServerError: it did not come up; says what it wrote last.
    """

    def __init__(self, arguments: Sequence[str], options: str = "") -> None:
        self._name = arguments[0]
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  (closed in end)
        command = [sys.executable, "-c", _CHILD, str(os.getpid()), "emulate", *arguments]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._log,
            start_new_session=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        try:
            uri = self._first_line()
        except BaseException:
            self.end()
            raise
        self.uri = uri if not options else f"{uri}{'&' if '?' in uri else '?'}{options}"
        """The board URI that opens it."""

    @property
    def pid(self) -> int:
        return self._process.pid

    def end(self) -> None:
        """Ask it to end, then make it. May be called twice."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(END_WITHIN_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def _first_line(self) -> str:
        assert self._process.stdout is not None
        descriptor, text = self._process.stdout.fileno(), b""
        deadline = time.monotonic() + START_WITHIN_S
        while not text.endswith(b"\n"):
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([descriptor], [], [], left)[0]:
                raise ServerError(f"emulated {self._name}: no URI, must print one within {START_WITHIN_S:g} s")
            piece = os.read(descriptor, 4096)
            if not piece:
                raise ServerError(f"emulated {self._name}: ended, {self._last_words()}, must print its URI")
            text += piece
        return text.decode().splitlines()[0].strip()

    def _last_words(self) -> str:
        self._process.wait()
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").split("\n")
        said = next((line.strip() for line in reversed(lines) if line.strip()), "without a word")
        return f"code {self._process.returncode}: {said}"


def live() -> None:
    """The child's main: ``PARENT emulate …``. It gets SIGTERM from the kernel when its parent is no more."""
    from asic_reservoir.cli import main

    parent = int(sys.argv[1])
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it was gone before the kernel was asked
        sys.exit(1)
    main(sys.argv[2:])
