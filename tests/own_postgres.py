"""A PostgreSQL server for tests and benchmarks: Debian's, in a folder of its own, on a socket of its own."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

VARIABLE = "ASIC_RESERVOIR_TEST_POSTGRES"
"""URL of a server to use instead."""
BIN = Path("/usr/lib/postgresql/15/bin")


def missing() -> str | None:
    """Why there can be no server here; ``None`` where there can."""
    if VARIABLE in os.environ:
        return None
    if not (BIN / "initdb").exists():
        return f"PostgreSQL: {BIN} is absent (apt-get install postgresql), and {VARIABLE} is not set"
    if os.geteuid() == 0 and shutil.which("runuser") is None:
        return f"PostgreSQL: refuses to run as root, there is no runuser, and {VARIABLE} is not set"
    return None


class Server:
    """A server of our own. What is stored in it is gone with it, and never synced: enough for a process that dies.

    Args:
        listen: addresses; empty: its socket only.
        enter: words before each command, for instance to enter another network.
    """

    def __init__(self, listen: str = "", enter: Sequence[str] = ()) -> None:
        # the server's user must reach it, so it is no folder of pytest's, which are their owner's only
        self.home = Path("/tmp") / f"asic-postgres-{secrets.token_hex(4)}"
        self.home.mkdir(mode=0o755)
        self.url = f"postgresql://tester@/postgres?host={self.home}"
        self._user = list(enter)
        if os.geteuid() == 0:
            self._user += ["runuser", "-u", "postgres", "--"]
            shutil.chown(self.home, "postgres")
        self._control = [*self._user, str(BIN / "pg_ctl"), "-D", str(self.home / "data")]
        self._options = f"-c listen_addresses='{listen}' -c unix_socket_directories={self.home} -c fsync=off"

    def create(self) -> None:
        """Make its folder."""
        words = [str(BIN / "initdb"), "-D", str(self.home / "data"), "-U", "tester", "-A", "trust", "-E", "UTF8"]
        _run([*self._user, *words, "--no-sync"])

    def start(self) -> None:
        """Returns when it takes connections."""
        _run([*self._control, "-w", "-t", "180", "-o", self._options, "-l", str(self.home / "log"), "start"])

    def stop(self, mode: str = "immediate") -> None:
        """``fast`` cuts connections and shuts down in order, ``immediate`` is as a crash: the next start recovers."""
        _run([*self._control, "-w", "-t", "180", "-m", mode, "stop"])

    def remove(self) -> None:
        """Stop it, running or not, and delete its folder."""
        words = [*self._control, "-m", "immediate", "stop"]
        subprocess.run(words, capture_output=True, cwd="/", timeout=200, check=False)
        shutil.rmtree(self.home, ignore_errors=True)


@contextmanager
def server() -> Iterator[str]:
    """URL of a running server: that of the environment, or one of our own."""
    if url := os.environ.get(VARIABLE):
        yield url
        return
    own = Server()
    try:
        own.create()
        own.start()
        yield own.url
    finally:
        own.remove()


def _run(words: list[str]) -> None:
    # the server inherits what it is started with: a pipe would never come to its end
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/", timeout=200)
