"""PostgreSQL wakes who waits: workers for tasks, listeners for events. Without it everybody still looks."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from fault_rig import until

from api.queue import Draft, claim, request_cancel, submit, take
from api.queue.leases import LeaseWatch
from api.queue.notices import Listener
from api.shelf import change_board
from api.worker import Worker, WorkerSettings

if TYPE_CHECKING:
    from conftest import Bench

pytestmark = [pytest.mark.usefixtures("odd_kinds"), pytest.mark.service, pytest.mark.slow, pytest.mark.timeout(900)]
SELDOM_S = 600.0
"""Who looked so seldom would find nothing within these tests."""


@pytest.fixture
def postgres_bench(postgres_server: str, tmp_path: Path, new_bench: type[Bench]) -> Iterator[Bench]:
    from asic_reservoir.store.facts import open_engine

    name = f"notices_{os.urandom(6).hex()}"
    admin = open_engine(postgres_server).execution_options(isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    bench = new_bench(sa.make_url(postgres_server).set(database=name).render_as_string(hide_password=False), tmp_path)
    yield bench
    bench.close()
    with admin.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
    admin.dispose()


def put(bench: Bench, kind: str = "observe", **params: Any) -> str:
    return str(bench.run(lambda c: submit(c, Draft(kind, {"params": params}, bench.board)))[0])


def test_a_worker_is_woken_for_what_it_would_find_much_later(postgres_bench: Bench) -> None:
    """A task, its cancel, and an emergency stop reach a worker that looks every ten minutes."""
    bench = postgres_bench
    worker = Worker(bench.engine, bench.writer, WorkerSettings(bench.folder, poll_s=SELDOM_S))
    worker.start()
    try:
        bench.until(put(bench, n_steps=1), "succeeded", timeout_s=60)
        for end in (
            lambda task_id: bench.run(lambda c: request_cancel(c, task_id)),
            lambda task_id: bench.run(lambda c: change_board(c, "board-0", None, stopped=True, reason="smoke")),
        ):
            task_id = put(bench, "paced", seconds=60.0, trace=str(bench.folder / "trace"))
            bench.until(task_id, "running", timeout_s=60)
            end(task_id)
            bench.until(task_id, "cancelled", "failed", timeout_s=60)
    finally:
        worker.stop()


def test_who_listens_connects_again_and_says_that_it_missed_something(postgres_bench: Bench) -> None:
    bench = postgres_bench
    heard: list[tuple[str, str]] = []
    missed: list[float] = []
    listener = Listener(bench.engine, lambda topic, name: heard.append((topic, name)), lambda: missed.append(0.0))
    assert listener.pause_s(0.25) == 0.25
    listener.start()
    until(lambda: listener.alive, "it listens")
    assert listener.pause_s(0.25) == 2.0
    task_id = put(bench)
    until(lambda: ("board", bench.board) in heard, "the board is named")
    bench.run(lambda c: request_cancel(c, task_id))
    until(lambda: ("task", task_id) in heard, "the task is named")
    cut = sa.text("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'")
    with bench.engine.connect() as connection:
        assert connection.execute(cut).scalar_one() >= 1
    until(lambda: len(missed) >= 2, "it listens again")
    heard.clear()
    other = put(bench)
    bench.run(lambda c: request_cancel(c, other))
    until(lambda: ("task", other) in heard, "it hears again")
    listener.stop()
    assert not listener.alive


def test_nothing_is_said_of_what_was_undone(postgres_bench: Bench) -> None:
    """A notice goes out with the commit, not before."""
    bench = postgres_bench
    heard: list[str] = []
    listener = Listener(bench.engine, lambda topic, name: heard.append(name), lambda: None)
    listener.start()
    until(lambda: listener.alive, "it listens")
    with bench.engine.connect() as connection:
        submit(connection, Draft("observe", {}, bench.board))
        connection.rollback()
    task_id = put(bench)
    bench.run(lambda c: request_cancel(c, task_id))
    until(lambda: task_id in heard, "the task is named")
    assert heard.count(bench.board) == 1
    listener.stop()


def test_a_claim_steps_over_a_row_that_another_transaction_has(postgres_bench: Bench) -> None:
    """SKIP LOCKED: who cancels or tidies one task does not hold up the board."""
    bench = postgres_bench
    first, second = put(bench), put(bench)
    lease = bench.run(lambda c: take(c, bench.board, "a", "here", LeaseWatch()))
    with bench.engine.connect() as other:
        other.execute(sa.text("SELECT id FROM tasks WHERE id = :id FOR UPDATE"), {"id": first})
        began = time.monotonic()
        got = bench.run(lambda c: claim(c, lease))
        assert time.monotonic() - began < 30.0
        other.rollback()
    # the order within the queue bends for a moment, and nothing waits
    assert got is not None
    assert got.task_id == second
