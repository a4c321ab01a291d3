"""A NATS server with JetStream for tests: Debian's, on a port that the kernel chooses, that may be killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest


def program() -> str:
    """Path of the server; skips where it is absent, fails where services are required."""
    found = shutil.which("nats-server")
    if found is None:
        reason = "nats-server: absent (apt-get install nats-server)"
        if os.environ.get("REQUIRE_SERVICES") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


class Nats:
    """One server; what it stores stays in its folder when it is killed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._program = program()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> tuple[str, int]:
        """Where it listens, once it does."""
        ports = self._folder / "ports"
        shutil.rmtree(ports, ignore_errors=True)
        ports.mkdir(parents=True)
        words = ["-js", "-sd", str(self._folder / "store"), "-a", "127.0.0.1", "-p", "-1"]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._program, *words, "--ports_file_dir", str(ports)], stdout=log, stderr=log
            )
        end = time.monotonic() + 60
        while True:
            for path in ports.glob("*.ports"):
                try:
                    (url, *_) = json.loads(path.read_text())["nats"]
                except ValueError:
                    continue  # half written
                host, _, port = url.removeprefix("nats://").rpartition(":")
                return host, int(port)
            assert self._process.poll() is None, (self._folder / "log").read_text()[-2000:]
            assert time.monotonic() < end, "the server does not listen"
            time.sleep(0.02)

    def kill(self) -> None:
        """SIGKILL. May be called twice."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None
