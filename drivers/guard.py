"""A small process that outlives its driver and puts the board into its safe state.

The driver starts it with a plan: bytes to write to which port when the driver is no more. The plan stands before
anything is energised. When the driver ends well it says so; when its end of the pipe just closes (a crash, SIGKILL,
the machine out of memory), the guard carries the plan out. It knows no protocol and imports nothing but the standard
library, so nothing that failed in the driver can fail in it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import select
import subprocess
import sys
import threading
import time
import tty
import urllib.error
import urllib.request
from dataclasses import asdict, dataclass, field
from pathlib import Path

_RELEASE = b"released\n"
_PORT_WAIT_S = 10.0
"""A port that its dead holder still has, or that is away with the cable, is waited for so long."""
_PASSING = (errno.EAGAIN, errno.EBUSY, errno.EACCES, errno.ENOENT, errno.EIO)
_PARENT_CHECK_S = 0.25
_I2C_SLAVE = 0x0703
_REQUEST_TRIES = 30
_REQUEST_TIMEOUT_S = 5.0
_TIMED_OUT = 6
"""Exit code of our programs where a device did not answer."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """Bytes to write, and how many to wait for before the next."""

    write_hex: str
    answer_bytes: int = 0


@dataclass(frozen=True, slots=True)
class PortPlan:
    """What to write to one serial port."""

    path: str
    exchanges: list[Exchange]
    answer_timeout_s: float = 1.0


@dataclass(frozen=True, slots=True)
class I2cPlan:
    """What to write to one adapter of the Linux kernel: address and bytes of every transfer."""

    path: str
    transfers: list[tuple[int, str]]


@dataclass(frozen=True, slots=True)
class RequestPlan:
    """An HTTP request to a board on the network; user and password where it wants digest authentication."""

    path: str
    """The URL."""
    method: str
    body: str = ""
    user: str = ""
    password: str = ""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CommandPlan:
    """A program of ours for a board whose protocol the standard library does not know; it gets its orders as input."""

    path: str
    """The board, for the report."""
    module: str
    """Run with this interpreter."""
    text: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that makes the board safe, in order."""

    ports: list[PortPlan] = field(default_factory=list)
    adapters: list[I2cPlan] = field(default_factory=list)
    requests: list[RequestPlan] = field(default_factory=list)
    commands: list[CommandPlan] = field(default_factory=list)
    report_path: str | None = None
    """Where the guard writes what it did, as JSON; for operators and tests."""


class Guard:
    """The driver's hold on its guard."""

    def __init__(self, plan: Plan) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "drivers.guard"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # a Ctrl-C at the terminal ends the driver, not the guard
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asdict(plan)).encode() + b"\n")
        self._process.stdin.flush()
        self._process.stdout.readline()  # it has the plan and watches

    def release(self) -> None:
        """The board is safe; the guard may go. May be called twice."""
        if self._process.poll() is None and self._process.stdin is not None and not self._process.stdin.closed:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.write(_RELEASE)
                self._process.stdin.close()
        if self._process.stdout is not None:
            self._process.stdout.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=5.0)

    def abandon(self) -> None:
        """The board could not be made safe from here: let the guard act, as if the driver had died."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        threading.Thread(target=self._process.wait, name="guard", daemon=True).start()  # leaves no zombie


def _open_port(path: str) -> int:
    """The port as soon as its dead holder has lost it."""
    deadline = time.monotonic() + _PORT_WAIT_S
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(descriptor)
                raise
            tty.setraw(descriptor)
            return descriptor
        except OSError as error:
            if (
                error.errno not in (errno.EAGAIN, errno.EBUSY, errno.EACCES, errno.ENOENT, errno.EIO)
                or time.monotonic() > deadline
            ):
                raise
            time.sleep(0.02)


def _serve_port(plan: dict[str, object], done: list[str]) -> None:
    descriptor = _open_port(str(plan["path"]))
    try:
        exchanges: list[dict[str, object]] = plan["exchanges"]  # type: ignore[assignment]
        for exchange in exchanges:
            os.write(descriptor, bytes.fromhex(str(exchange["write_hex"])))
            missing = int(str(exchange["answer_bytes"]))
            deadline = time.monotonic() + float(str(plan["answer_timeout_s"]))
            while missing > 0 and (left := deadline - time.monotonic()) > 0:
                if select.select([descriptor], [], [], left)[0]:
                    missing -= len(os.read(descriptor, missing)) or missing
            done.append(f"{plan['path']}: {exchange['write_hex']}{' (no answer)' if missing > 0 else ''}")
    finally:
        os.close(descriptor)


def _serve_adapter(plan: dict[str, object], done: list[str]) -> None:
    descriptor = os.open(str(plan["path"]), os.O_RDWR)
    try:
        transfers: list[tuple[int, str]] = plan["transfers"]  # type: ignore[assignment]
        for address, data in transfers:
            fcntl.ioctl(descriptor, _I2C_SLAVE, address)
            os.write(descriptor, bytes.fromhex(data))
            done.append(f"{plan['path']}: {address:02x} {data}")
    finally:
        os.close(descriptor)


def _serve_request(plan: dict[str, object], done: list[str]) -> None:
    url, body = str(plan["path"]), str(plan["body"]).encode()
    headers: dict[str, str] = plan["headers"]  # type: ignore[assignment]
    passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
    passwords.add_password(None, url, str(plan["user"]), str(plan["password"]))
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPDigestAuthHandler(passwords)
    )
    request = urllib.request.Request(url, body or None, dict(headers), method=str(plan["method"]))
    for left in range(_REQUEST_TRIES - 1, -1, -1):  # the board may be busy or on its way back
        try:
            with opener.open(request, timeout=_REQUEST_TIMEOUT_S) as answer:
                done.append(f"{plan['method']} {url}: {answer.status}")
                return
        except urllib.error.HTTPError as error:
            done.append(f"{plan['method']} {url}: {error.code}")
            return
        except OSError:
            if not left:
                raise
            time.sleep(1.0)


def _serve_command(plan: dict[str, object], done: list[str]) -> None:
    argv = [sys.executable, "-m", str(plan["module"])]
    for left in range(_REQUEST_TRIES - 1, -1, -1):  # the board may be busy or on its way back
        ended = subprocess.run(argv, input=str(plan["text"]).encode(), stderr=subprocess.PIPE, check=False)
        if ended.returncode != _TIMED_OUT or not left:
            done.append(f"{plan['path']}: status {ended.returncode} {ended.stderr.decode(errors='replace').strip()}")
            return
        time.sleep(1.0)


def _read_line() -> bytes:
    """The plan, byte by byte: nothing of what follows may be taken into a buffer."""
    line = b""
    while not line.endswith(b"\n"):
        piece = os.read(sys.stdin.fileno(), 1)
        if not piece:
            sys.exit("guard: no plan")
        line += piece
    return line


def _wait_for_the_end() -> bool:
    """True when the driver released the guard, False when it is gone.

    The pipe tells it at once; the parent's number also tells it where a forked child of the driver holds the pipe open.
    """
    parent, said = os.getppid(), b""
    while os.getppid() == parent:
        if select.select([sys.stdin], [], [], _PARENT_CHECK_S)[0]:
            piece = os.read(sys.stdin.fileno(), 64)
            said += piece
            if not piece or said.endswith(_RELEASE):
                break
    return said.endswith(_RELEASE)


def main() -> None:
    """Wait for the driver's end, then act or go."""
    plan = json.loads(_read_line())
    sys.stdout.write("watching\n")
    sys.stdout.flush()
    if _wait_for_the_end():
        return
    done: list[str] = []
    for serve, parts in (
        (_serve_port, plan["ports"]),
        (_serve_adapter, plan["adapters"]),
        (_serve_request, plan["requests"]),
        (_serve_command, plan["commands"]),
    ):
        for part in parts:
            try:
                serve(part, done)
            except OSError as error:  # go on with the rest: half safe is better than not
                done.append(f"{part['path']}: {error.strerror or error}")
    if plan["report_path"]:
        Path(plan["report_path"]).write_text(json.dumps(done))


if __name__ == "__main__":
    main()
