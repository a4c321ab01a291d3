"""A PostgreSQL server for tests and benchmarks: Debian's, in a folder of its own, on a socket of its own."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
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


@contextmanager
def server() -> Iterator[str]:
    """URL of a running server. What is stored in our own is gone with it, and never synced."""
    if url := os.environ.get(VARIABLE):
        yield url
        return
    # the server's user must reach it, so it is no folder of pytest's, which are their owner's only
    home = Path("/tmp") / f"asic-postgres-{secrets.token_hex(4)}"
    home.mkdir(mode=0o755)
    user: list[str] = []
    if os.geteuid() == 0:
        user = ["runuser", "-u", "postgres", "--"]
        shutil.chown(home, "postgres")
    control = [*user, str(BIN / "pg_ctl"), "-D", str(home / "data")]
    options = f"-c listen_addresses='' -c unix_socket_directories={home} -c fsync=off"
    initialize = [*user, str(BIN / "initdb"), "-D", str(home / "data"), "-U", "tester", "-A", "trust", "-E", "UTF8"]
    try:
        _run([*initialize, "--no-sync"])
        _run([*control, "-w", "-o", options, "-l", str(home / "log"), "start"])
        yield f"postgresql://tester@/postgres?host={home}"
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], capture_output=True, cwd="/", timeout=60, check=False)
        shutil.rmtree(home, ignore_errors=True)


def _run(words: list[str]) -> None:
    # the server inherits what it is started with: a pipe would never come to its end
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/", timeout=60)
