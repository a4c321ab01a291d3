"""A shelf in a database, and kinds of tasks that misbehave on purpose, installed as a distribution of their own."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import uvicorn

from api.shelf import put_on_shelf
from asic_reservoir.kinds import task_kinds
from asic_reservoir.store.facts import Writer, open_engine, tasks, upgrade

KINDS = '''
import os, signal, time
from pathlib import Path
from pydantic import BaseModel
from asic_reservoir.board import OperatingPoint, Origin, Step
from asic_reservoir.kinds import TaskKind, TaskOutcome
from asic_reservoir.registry import open_board

class Nothing(BaseModel, extra="forbid"):
    seconds: float = 30.0
    step_seconds: float = 0.01
    trace: str = ""
    once: str = ""

def done(**data):
    return TaskOutcome(Origin.SIMULATED, data)

def deaf(params, context):
    """Never asks whether it should stop."""
    Path(params.trace).touch()
    time.sleep(params.seconds)
    return done()

def stubborn(params, context):
    """Does not leave when told to."""
    Path(params.trace).touch()
    end = time.monotonic() + params.seconds
    while time.monotonic() < end:
        try:
            time.sleep(params.seconds)
        except BaseException:
            pass
    return done()

def killer(params, context):
    """Takes its process with it; with ``once``, the first time only."""
    if params.once:
        if Path(params.once).exists():
            return done(survived=True)
        Path(params.once).touch()
    os.kill(os.getpid(), signal.SIGKILL)

def paced(params, context):
    """Drives the board in real time, and writes every command into a file that outlives it."""
    def say(word):
        with open(params.trace, "a") as file:
            file.write(f"{time.clock_gettime(time.CLOCK_BOOTTIME):.6f} {os.getpid()} {word}\\n")
    with open_board(context.board) as board:
        end = time.monotonic() + params.seconds
        say("open")
        try:
            while time.monotonic() < end:
                context.stop_if_cancelled()
                board.step(Step(OperatingPoint(), 10_000_000))
                say("step")
                time.sleep(0.02)
        finally:
            say("close")
    return done()

def driven(params, context):
    """Drives the board in real time; every command goes into a file with its begin, its end and its token."""
    now = lambda: time.clock_gettime(time.CLOCK_REALTIME)
    with open_board(context.board) as board, open(params.trace, "a", buffering=1) as file:
        end = time.monotonic() + params.seconds
        while True:  # once at least, however late it is
            context.stop_if_cancelled()
            began = now()
            board.step(Step(OperatingPoint(), int(params.step_seconds * 1e9)))
            file.write(f"{began:.6f} {now():.6f} {board.info.uri} {board._fence.token} .\\n")
            if time.monotonic() >= end:
                return done()
            time.sleep(0.01)

def broken(params, context):
    return done(value=float("nan"))

def writer(params, context):
    (context.folder / "notes.txt").write_text("what was seen")
    (context.folder / ".hidden").write_text("no")
    (context.folder / "link").symlink_to("/etc/passwd")
    return done(ok=True)

def kinds():
    return [
        TaskKind(f.__name__, f.__name__, f.__doc__ or "", Nothing, f, {}, f is not stubborn)
        for f in (deaf, stubborn, killer, paced, driven, broken, writer)
    ]
'''
URI = "twin://bm1366?seed=1"


@pytest.fixture(scope="module")
def odd_kinds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Installs the kinds above for this process and for its children; tests of other modules do not see them."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "odd_kinds.py").write_text(KINDS)
    info = folder / "odd_kinds-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: odd-kinds\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[asic_reservoir.task_kinds]\nodd = odd_kinds:kinds\n")
    patch = pytest.MonkeyPatch()
    patch.setenv("PYTHONPATH", str(folder), prepend=":")
    patch.syspath_prepend(str(folder))
    task_kinds.cache_clear()
    yield folder
    patch.undo()
    task_kinds.cache_clear()
    sys.modules.pop("odd_kinds", None)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/facts.db"


class Bench:
    """A database with a shelf, and what tests do to it."""

    def __init__(self, url: str, folder: Path, n_boards: int = 1) -> None:
        self.url, self.folder = url, folder
        self.engine = open_engine(url)
        upgrade(self.engine)
        self.writer = Writer(self.engine)
        self.boards = [put_on_shelf(self.writer, f"board-{i}", f"twin://bm1366?seed={i + 1}") for i in range(n_boards)]

    @property
    def board(self) -> str:
        return self.boards[0]

    def run(self, unit: Callable[[sa.Connection], Any]) -> Any:
        return self.writer.run(unit)

    def task(self, task_id: str) -> sa.RowMapping:
        with self.engine.connect() as connection:
            return connection.execute(sa.select(tasks).where(tasks.c.id == task_id)).mappings().one()

    def until(self, task_id: str, *states: str, timeout_s: float = 120.0) -> sa.RowMapping:
        """Wait until the task is in one of these states."""
        end = time.monotonic() + timeout_s
        while (row := self.task(task_id))["state"] not in states:
            assert time.monotonic() < end, f"task is {row['state']}, not {states}: {row['error']}"
            time.sleep(0.02)
        return row

    def close(self) -> None:
        self.writer.close()
        self.engine.dispose()


@pytest.fixture
def new_bench() -> type[Bench]:
    return Bench


@pytest.fixture
def bench(empty_url: str, tmp_path: Path) -> Iterator[Bench]:
    """On SQLite and on PostgreSQL."""
    bench = Bench(empty_url, tmp_path)
    yield bench
    bench.close()


@pytest.fixture
def sqlite_bench(sqlite_url: str, tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(sqlite_url, tmp_path)
    yield bench
    bench.close()


@contextmanager
def serving(app: Any) -> Iterator[str]:
    """The application on a free port of this machine, in a thread; its address."""
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", ws_max_size=1 << 16))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    end = time.monotonic() + 120
    while not server.started:
        assert thread.is_alive(), "the service did not start"
        assert time.monotonic() < end, "the service does not start"
        time.sleep(0.02)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(20)


@pytest.fixture(scope="session")
def serve() -> Any:
    return serving
