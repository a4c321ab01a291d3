"""Faults around the service: a database that restarts, leases that end in a step, answers that get lost, clocks that
step, a full disk. ``ASIC_RESERVOIR_FAULT_REPEATS`` says how often each (2).

No task is lost, none has two results, no board has two holders, and every customer learns the truth.
"""

from __future__ import annotations

import os
import signal
import struct
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import own_postgres
import pytest
import sqlalchemy as sa
from fault_rig import REPEATS, driven, report, rig, until

from api.queue import Draft, submit
from api.worker import Worker, WorkerSettings

if TYPE_CHECKING:
    from conftest import Bench

pytestmark = [pytest.mark.usefixtures("odd_kinds"), pytest.mark.slow, pytest.mark.timeout(900)]


# -- the database restarts -------------------------------------------------------------------------------------------


@pytest.fixture
def postgres() -> Iterator[own_postgres.Server]:
    """A server of our own that may be stopped."""
    if not (own_postgres.BIN / "initdb").exists():
        reason = f"PostgreSQL: {own_postgres.BIN} is absent (apt-get install postgresql)"
        if os.environ.get("REQUIRE_SERVICES") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    made = own_postgres.Server()
    try:
        made.create()
        made.start()
        yield made
    finally:
        made.remove()


@pytest.mark.service
def test_the_database_restarts(postgres: own_postgres.Server, tmp_path: Path, capsys: Any) -> None:
    """A real PostgreSQL is stopped, in order or as by a crash, and started again, under service, worker, customers."""
    with rig(postgres.url, tmp_path) as at:
        at.open(at.service())
        at.worker(term_s=2).start()
        for number in range(REPEATS):
            seen = len(driven(at.trace))
            for _ in range(2):
                at.put(at.chance.uniform(0.1, 1.0))
            until(lambda seen=seen: len(driven(at.trace)) > seen, "it drives")
            at.engine.dispose()
            postgres.stop(("fast", "immediate")[number % 2])
            at.put(0.1)  # nobody can take it now
            time.sleep(at.chance.uniform(0.0, 0.5))
            postgres.start()
        leases = at.check()
        report(capsys, "database restarted", times=REPEATS, tasks=len(at.customers.told), leases=leases)


# -- leases end ------------------------------------------------------------------------------------------------------


def test_leases_end_during_long_steps(sqlite_url: str, tmp_path: Path, capsys: Any) -> None:
    """A worker is frozen while its boards are in long steps: it stops driving by itself before another begins.

    Thawed, it finds that its leases are gone, and what it would have written is refused.
    """
    boards = min(REPEATS, 5)
    with rig(sqlite_url, tmp_path, boards, "&pace=1") as at:
        at.open(at.service())
        # long enough that a runner on a busy machine is stopped within the margin, a tenth of it
        holding, waiting = (at.worker(machine, term_s=5) for machine in ("one", "two"))
        holding.start()

        def leases_of() -> set[tuple[str, int]]:
            return {(command.board, command.token) for command in driven(at.trace)}

        for number in range(boards):
            at.put(4.0, number, step_seconds=1.0)
        until(lambda: len(leases_of()) >= boards, "every board is in its first long step")
        waiting.start()
        ended = 0
        while ended < REPEATS:
            for number in range(boards):
                at.put(at.chance.uniform(1.0, 3.0), number, step_seconds=1.0)
            seen = len(leases_of())
            assert holding.process is not None
            holding.process.send_signal(signal.SIGSTOP)
            until(lambda seen=seen: len(leases_of()) >= seen + boards, "the other drives all boards")
            holding.process.send_signal(signal.SIGCONT)
            holding, waiting = waiting, holding
            ended += boards
        leases = at.check()
        assert leases >= boards + ended
        report(capsys, "leases ended in a step", times=ended, tasks=len(at.customers.told), leases=leases)


# -- answers get lost ------------------------------------------------------------------------------------------------


def test_a_submission_that_is_sent_again(sqlite_url: str, tmp_path: Path, capsys: Any) -> None:
    """Four send the same submission at once, answers get lost, now and then the service is killed: one task."""
    body = {"kind": "observe", "board": "board-0", "params": {"n_steps": 1}}
    with (
        rig(sqlite_url, tmp_path) as at,
        httpx2.Client(base_url=at.door.url, trust_env=False, timeout=60.0) as client,
    ):
        service = at.service()
        at.open(service)

        def send(key: str) -> tuple[str, bool]:
            while True:
                try:
                    answer = client.post("/api/v1/tasks", json=body, headers={"Idempotency-Key": key})
                except httpx2.TransportError:
                    time.sleep(0.02)
                    continue
                assert answer.status_code == 202, answer.text
                return answer.json()["id"], "Idempotent-Replay" not in answer.headers

        made = set()
        with ThreadPoolExecutor(4) as pool:
            for number in range(REPEATS):
                key = uuid.uuid4().hex
                at.door.lose_answers(number % 3)
                asked = [pool.submit(send, key) for _ in range(4)]
                if number % 10 == 1:
                    at.kill(service)
                    at.open(service)
                told = [one.result() for one in asked]
                assert len({task_id for task_id, _ in told}) == 1
                assert sum(new for _, new in told) <= 1
                made.add(told[0][0])
        at.door.lose_answers(0)
        other = client.post("/api/v1/tasks", json=body | {"priority": 1}, headers={"Idempotency-Key": key})
        assert (other.status_code, other.json()["type"]) == (422, "/problems/key-reused")
        with at.engine.connect() as connection:
            kept = set(connection.execute(sa.text("SELECT id FROM tasks")).scalars())
        assert kept == made
        assert len(made) == REPEATS
        report(capsys, "submitted again", times=REPEATS, tasks=len(kept), answers_lost=at.door.lost)


# -- clocks step -----------------------------------------------------------------------------------------------------

STEPPING_CLOCK = """
import mmap, os, struct, time
with open(os.environ["ODD_CLOCK"], "rb") as _file:
    _offset_ns = mmap.mmap(_file.fileno(), 8, prot=mmap.PROT_READ)
_time_ns = time.time_ns
time.time_ns = lambda: _time_ns() + struct.unpack("q", _offset_ns)[0]
time.time = lambda: time.time_ns() * 1e-9
"""


def test_the_time_of_day_decides_nothing(sqlite_url: str, tmp_path: Path, odd_kinds: Path, capsys: Any) -> None:
    """The clock on the wall jumps by hours, to and fro, for the service and for the worker with its runners."""
    (tmp_path / "sitecustomize.py").write_text(STEPPING_CLOCK)
    clocks = {name: tmp_path / f"clock-{name}" for name in ("service", "worker")}

    def step(name: str, hours: float) -> None:
        with clocks[name].open("r+b") as file:  # in place: it is mapped
            file.write(struct.pack("q", int(hours * 3.6e12)))

    environments, times = {}, max(2, REPEATS)
    for name, path in clocks.items():
        path.write_bytes(bytes(8))
        environments[name] = {"ODD_CLOCK": str(path), "PYTHONPATH": f"{tmp_path}:{odd_kinds}"}
    with rig(sqlite_url, tmp_path) as at:
        at.open(at.service(environment=environments["service"]))
        at.worker(environment=environments["worker"]).start()
        for _ in range(times):
            seen = len(driven(at.trace))
            at.put(at.chance.uniform(0.1, 0.6))
            until(lambda seen=seen: len(driven(at.trace)) > seen, "it drives")
            for name in clocks:
                step(name, at.chance.uniform(-12.0, 12.0))
        assert at.check() == 1, "the lease was lost with the time of day"
        with at.engine.connect() as connection:
            made = connection.execute(sa.text("SELECT created_utc_ns FROM tasks ORDER BY id")).scalars().all()
            tries = connection.execute(sa.text("SELECT count(*) FROM attempts")).scalar_one()
        assert max(made) - min(made) > 60e9, "no clock stepped"
        assert tries == len(made) == times
        report(capsys, "clocks stepped", times=times, tasks=len(made), leases=1)


# -- the disk is full ------------------------------------------------------------------------------------------------


def fill(path: Path) -> None:
    """Take all that is free."""
    with path.open("wb", buffering=0) as file:
        for size in (1 << 20, 4096):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                pass


@pytest.mark.parametrize("small_disk", ["48m"], indirect=True)
def test_a_full_disk_stops_nothing_for_good(small_disk: Path, tmp_path: Path, capsys: Any) -> None:
    """While it is full nothing is taken that would be lost, and who asks is told so; freed, everything goes on."""
    large = {"input": [0.125] * 20_000, "target": [0.25] * 20_000}
    with rig(f"sqlite:///{small_disk}/facts.db", tmp_path, 2) as at:
        at.open(at.service("--data", str(small_disk / "service")))
        at.worker("machine", "--data", str(small_disk / "worker"), "--board", "board-0").start()
        at.put(0.1)
        at.drives_anew(0)  # it is there before the disk is full
        refused = 0
        with httpx2.Client(base_url=at.door.url, trust_env=False, timeout=60.0) as client:
            for _ in range(REPEATS):
                at.put(at.chance.uniform(0.1, 0.6))
                ballast = small_disk / "ballast"
                fill(ballast)
                # what nobody drives, and larger than the last free page; what is taken all the same is taken
                while True:
                    body = {"kind": "series", "board": "board-1", "params": large}
                    answer = client.post("/api/v1/tasks", json=body)
                    if answer.status_code != 202:
                        break
                assert (answer.status_code, answer.json()["type"]) == (503, "/problems/unavailable"), answer.text
                assert answer.headers["Retry-After"].isdecimal()
                refused += 1
                time.sleep(at.chance.uniform(0.0, 0.5))
                ballast.unlink()
                at.put(0.1)
        leases = at.check()
        with at.engine.connect() as connection:
            assert connection.exec_driver_sql("PRAGMA integrity_check").scalar_one() == "ok"
        report(capsys, "disk full", times=refused, tasks=len(at.customers.told), leases=leases)


# -- many workers ----------------------------------------------------------------------------------------------------


@pytest.mark.service
def test_workers_share_boards_on_one_database(empty_url: str, tmp_path: Path, new_bench: type[Bench]) -> None:
    """Two workers, four boards each offered to both: all tasks end once, no board is driven by two."""
    bench = new_bench(empty_url, tmp_path, n_boards=4)
    settings = [WorkerSettings(tmp_path / name, name=name, term_s=60.0) for name in ("one", "two")]
    team = [Worker(bench.engine, bench.writer, one) for one in settings]
    ids = [
        str(bench.run(lambda c, b=b: submit(c, Draft("observe", {"params": {"n_steps": 2}}, b)))[0])
        for b in bench.boards * 2
    ]
    try:
        for worker in team:
            worker.start()
        for task_id in ids:
            assert bench.until(task_id, "succeeded", timeout_s=240)["attempts"] == 1
        with bench.engine.connect() as connection:
            tokens = connection.exec_driver_sql("SELECT token FROM leases").scalars().all()
            assert list(tokens) == [1] * 4
    finally:
        for worker in team:
            worker.stop(60)
        bench.close()
