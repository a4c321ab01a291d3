"""Service and workers as processes that can be killed, customers that want to know, and what must hold at the end.

Customers reach the service through a door that stays: a port that the kernel chose once, whatever port the service
behind it was given when it was started again.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from door import Door

from asic_reservoir.client import Client, Task
from asic_reservoir.client._requests import document, submission
from asic_reservoir.errors import BusyError, ServerError, TimeoutExpiredError
from asic_reservoir.lease_model import Acquire, Expire, LeaseModel, Release, Renew, Write
from asic_reservoir.store.facts import Writer, attempts, results, task_events, tasks

REPEATS = int(os.environ.get("ASIC_RESERVOIR_FAULT_REPEATS", "2"))
"""Times that each fault happens in one test."""
PATIENCE_S = 90.0
"""Longer than anything here takes on a machine that has much else to do."""
AWAY = (ServerError, BusyError, TimeoutExpiredError)
"""What a client is told while the service or its database is away."""
TOLERANCE_S = 0.003
"""The database notes times in milliseconds."""


def until(condition: Callable[[], bool], what: str, timeout_s: float = PATIENCE_S) -> None:
    """Wait for a condition; fails with what was waited for."""
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, f"waited {timeout_s:g} s in vain until {what}"
        time.sleep(0.02)


class Program:
    """One of our commands as a process."""

    def __init__(self, log: Path, words: Sequence[str], environment: dict[str, str] | None = None) -> None:
        self._log = log
        self._words = [sys.executable, "-c", "from asic_reservoir.cli import main; main()", *words]
        self._environment = os.environ | (environment or {})
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        with self._log.open("a") as log:
            self.process = subprocess.Popen(
                self._words, stdout=subprocess.PIPE, stderr=log, text=True, env=self._environment
            )

    def address(self) -> tuple[str, int]:
        """Where it says that it listens."""
        assert self.process is not None
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        assert line, f"it ended before it listened: {self._log.read_text()[-2000:]}"
        host, _, port = line.removeprefix("http://").rstrip("/").rpartition(":")
        return host, int(port)

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def end(self) -> None:
        """The polite way; a process that is stopped or stuck is killed."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@dataclass
class Told:
    """What one customer was told about its task."""

    wanted: dict[str, Any]
    task: Task | None = None
    events: list[tuple[int, str]] = field(default_factory=list)
    state: str = ""
    wrong: str = ""


class Customers:
    """Threads that submit a task each and follow it to its end, however often the service is away."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._threads: list[threading.Thread] = []
        self.told: list[Told] = []
        self._stop = threading.Event()

    def send(self, kind: str, board: str = "board-0", **params: Any) -> Told:
        told = Told({"kind": kind, "board": board, "params": params})
        thread = threading.Thread(target=self._follow, args=(told,), daemon=True)
        self.told.append(told)
        self._threads.append(thread)
        thread.start()
        return told

    def _follow(self, told: Told) -> None:
        try:
            # one submission, sent until it is answered: its idempotency key makes it one task
            call = submission(told.wanted["kind"], told.wanted["board"], told.wanted["params"], {})
            with Client(self._url) as client:
                told.task = self._insist(lambda: Task.of(document(client._send(call))))
                self._insist(lambda: self._events(client, told))
                told.state = self._insist(lambda: client.task(told.task.id)).state
                if told.state == "succeeded":
                    self._insist(lambda: client.result(told.task.id))
        except Exception as error:
            told.wrong = f"{type(error).__name__}: {error}"

    def _events(self, client: Client, told: Told) -> None:
        assert told.task is not None
        for event in client.events(told.task.id, after=len(told.events)):
            told.events.append((event.sequence, event.kind))

    def _insist(self, call: Callable[[], Any]) -> Any:
        while True:
            try:
                return call()
            except AWAY as error:
                if self._stop.is_set():
                    raise
                if isinstance(error, BusyError) and "has no result" in str(error):
                    raise
                time.sleep(0.05)

    def all_told(self) -> None:
        """Wait until every customer knows how its task ended."""
        try:
            until(lambda: not any(thread.is_alive() for thread in self._threads), "every customer knows the end", 300.0)
        finally:
            self._stop.set()


COLUMNS = "(at_s, board, token, beat, holder)"
NEW = "NEW.board_id, NEW.token, NEW.beat, NEW.holder"
SQLITE_NOTE = f"INSERT INTO lease_trace {COLUMNS} VALUES ((julianday('now') - 2440587.5) * 86400.0, {NEW});"
POSTGRES_NOTE = f"INSERT INTO lease_trace {COLUMNS} VALUES (extract(epoch from clock_timestamp()), {NEW});"
LEASE_TRACE = {
    "sqlite": [
        f"CREATE TRIGGER lease_born AFTER INSERT ON leases BEGIN {SQLITE_NOTE} END",
        f"CREATE TRIGGER lease_changed AFTER UPDATE ON leases BEGIN {SQLITE_NOTE} END",
    ],
    "postgresql": [
        f"CREATE FUNCTION note_lease() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {POSTGRES_NOTE} RETURN NEW; END $$",
        "CREATE TRIGGER lease_noted AFTER INSERT OR UPDATE ON leases FOR EACH ROW EXECUTE FUNCTION note_lease()",
    ],
}
OFTEN_TIMES = "NEW.max_attempts = 9999;"
OFTEN = {
    "sqlite": [
        "CREATE TRIGGER often AFTER INSERT ON tasks BEGIN UPDATE tasks SET max_attempts = 9999 WHERE id = NEW.id; END"
    ],
    "postgresql": [
        f"CREATE FUNCTION often() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {OFTEN_TIMES} RETURN NEW; END $$",
        "CREATE TRIGGER often BEFORE INSERT ON tasks FOR EACH ROW EXECUTE FUNCTION often()",
    ],
}
"""The database itself writes down every change of a lease, whoever makes it."""


def watch_leases(writer: Writer, dialect: str) -> None:
    """Begin to trace leases in the database; and let tasks be begun as often as these tests kill them."""
    number = "INTEGER PRIMARY KEY AUTOINCREMENT" if dialect == "sqlite" else "BIGSERIAL PRIMARY KEY"
    table = f"CREATE TABLE lease_trace (id {number}, at_s FLOAT8, board TEXT, token BIGINT, beat BIGINT, holder TEXT)"
    for statement in [table, *LEASE_TRACE[dialect], *OFTEN[dialect]]:
        writer.run(lambda connection, statement=statement: connection.exec_driver_sql(statement))


@dataclass(frozen=True)
class Driven:
    """A command that a runner gave to a board."""

    begin_s: float
    end_s: float
    board: str
    token: int


def driven(trace: Path) -> list[Driven]:
    """Commands in the trace of the kind ``driven``; a line that its writer died in is left out."""
    if not trace.exists():
        return []
    found = []
    for line in trace.read_text().splitlines():
        words = line.split()
        if len(words) == 5 and words[4] == ".":
            found.append(Driven(float(words[0]), float(words[1]), words[2], int(words[3])))
    return found


def tokens_driven(trace: Path) -> int:
    """How many leases have reached a board so far."""
    return len({(command.board, command.token) for command in driven(trace)})


def check_leases(engine: sa.Engine, trace: Path) -> int:
    """Every board's story, told to the proven machine: it accepts every grant and every command. Leases granted.

    A lease that was taken from somebody ended before by its term or its holder's death: the machine is told so at
    that moment. A command counts from its begin to its end, and both must lie within the lease of its token.
    """
    with engine.connect() as connection:
        rows = connection.execute(sa.text("SELECT at_s, board, token, beat, holder FROM lease_trace ORDER BY id")).all()
        uris = {row.uri: row.id for row in connection.execute(sa.text("SELECT uri, id FROM boards"))}
    story: dict[str, list[tuple[float, int, Any]]] = {}
    granted: dict[tuple[str, int], float] = {}
    for row in rows:
        granted.setdefault((row.board, row.token), row.at_s)
        story.setdefault(row.board, []).append((row.at_s, 0, row))
    for command in driven(trace):
        board = uris[command.board]
        began = granted[board, command.token]
        assert command.begin_s >= began, f"{command} before its lease began at {began}"
        following = granted.get((board, command.token + 1))
        assert following is None or command.end_s <= following + TOLERANCE_S, f"{command} after {following}, the next"
        story[board].append((max(began, command.end_s - TOLERANCE_S), 1, command))
    for events in story.values():
        model = LeaseModel()
        holders: dict[str, int] = {}
        for _, _, what in sorted(events, key=lambda event: event[:2]):
            if isinstance(what, Driven):
                assert model.step(Write(what.token)), f"{what} refused by the model at {model}"
            elif what.holder is None:
                assert model.step(Release(what.token)), (what, model)
            elif what.token > model.last:
                if model.live is not None:
                    assert model.step(Expire(model.live))
                assert model.step(Acquire(holders.setdefault(what.holder, len(holders))))
                assert model.last == what.token, f"token {what.token} after {model.last - 1}"
            else:
                assert model.step(Renew(what.token)), (what, model)
    return len(granted)


def check_tasks(engine: sa.Engine, told: Sequence[Told]) -> None:
    """None lost, none with two results or two good ends, and every customer was told what is so."""
    with engine.connect() as connection:
        rows = {row.id: row for row in connection.execute(sa.select(tasks)).all()}
        made = connection.execute(sa.select(results.c.task_id)).scalars().all()
        good = connection.execute(sa.select(attempts.c.task_id).where(attempts.c.outcome == "succeeded")).scalars()
        events: dict[str, list[tuple[int, str]]] = {}
        for event in connection.execute(sa.select(task_events).order_by(task_events.c.sequence)):
            events.setdefault(event.task_id, []).append((event.sequence, event.kind))
        good_ends = list(good)
    assert len(made) == len(set(made)), "two results of one task"
    assert len(good_ends) == len(set(good_ends)), "two attempts of one task succeeded"
    assert sorted(made) == sorted(good_ends)
    assert sorted(made) == sorted(row.id for row in rows.values() if row.state == "succeeded")
    assert {customer.task.id for customer in told if customer.task} <= set(rows), "a task was lost"
    assert len({customer.task.id for customer in told if customer.task}) == len(told), "two customers, one task"
    for customer in told:
        assert not customer.wrong, customer
        assert customer.task is not None
        assert customer.state == rows[customer.task.id].state
        assert customer.events == events[customer.task.id], "events missing, twice or out of order"
        assert [number for number, _ in customer.events] == list(range(1, len(customer.events) + 1))
        assert customer.events[-1][1] == customer.state


@dataclass
class Rig:
    """A service behind a door, and workers, on one database."""

    url: str
    folder: Path
    n_boards: int = 1
    board_options: str = ""
    door: Door = field(default_factory=Door)

    def __post_init__(self) -> None:
        from api.shelf import put_on_shelf
        from asic_reservoir.store.facts import open_engine, upgrade

        self.trace = self.folder / "trace"
        self.engine = open_engine(self.url)
        upgrade(self.engine)
        self.boards = [f"board-{i}=twin://bm1366?seed={i + 1}{self.board_options}" for i in range(self.n_boards)]
        with Writer(self.engine) as writer:
            watch_leases(writer, self.engine.dialect.name)
            for board in self.boards:
                put_on_shelf(writer, *board.split("=", 1))
        self.customers = Customers(self.door.url)
        self._programs: list[Program] = []
        self.chance = random.Random(0)

    def service(self, *words: str, environment: dict[str, str] | None = None) -> Program:
        """``serve`` without workers, not started."""
        options = [word for board in self.boards for word in ("--board", board)]
        data = str(self.folder / "service")
        command = ["serve", "--port", "0", "--db", self.url, "--data", data, "--no-workers", *options, *words]
        return self._keep("serve", command, environment)

    def worker(
        self, machine: str = "machine", *words: str, term_s: int = 30, environment: dict[str, str] | None = None
    ) -> Program:
        """``worker``, not started. Those of one machine see each other's device locks, and wait for no term.

        A term is short only where its end is what a test is about: on a busy machine a short one ends by itself.
        """
        command = ["worker", "--db", self.url, "--data", str(self.folder / machine), "--term", str(term_s), *words]
        return self._keep(f"worker-{machine}", command, environment)

    def _keep(self, name: str, command: list[str], environment: dict[str, str] | None) -> Program:
        program = Program(self.folder / f"{name}-{len(self._programs)}.log", command, environment)
        self._programs.append(program)
        return program

    def open(self, service: Program) -> None:
        """Start the service, and put it behind the door."""
        service.start()
        self.door.behind = service.address()

    def kill(self, service: Program) -> None:
        """Kill the service. Nobody is behind the door then: its port may be another's by now."""
        self.door.behind = None
        service.kill()

    def put(self, seconds: float = 0.4, board: int = 0, **params: Any) -> Told:
        """A customer with a task that drives in real time."""
        return self.customers.send("driven", f"board-{board}", seconds=seconds, trace=str(self.trace), **params)

    def drives_anew(self, since: int) -> None:
        """Wait until a lease newer than those of ``since`` has reached a board."""
        until(lambda: tokens_driven(self.trace) > since, "a new lease drives the board")

    def check(self) -> int:
        """What must hold at the end; leases granted."""
        self.customers.all_told()
        check_tasks(self.engine, self.customers.told)
        return check_leases(self.engine, self.trace)

    def close(self) -> None:
        for program in self._programs:
            program.end()
        self.door.close()
        self.engine.dispose()


@contextlib.contextmanager
def rig(url: str, folder: Path, n_boards: int = 1, board_options: str = "") -> Iterator[Rig]:
    """A rig; everything that it started is gone at the end."""
    made = Rig(url, folder, n_boards, board_options)
    try:
        yield made
    finally:
        made.close()


def report(capsys: Any, text: str, **facts: Any) -> None:
    """One line of figures for who reads the log."""
    with capsys.disabled():
        print(f"\n{text}: {json.dumps(facts)}")
