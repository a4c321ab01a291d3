"""What a worker asks at every turn costs the same with thousands of tasks before and behind it as with a dozen."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from api.queue import Claim, Draft, Finished, Lease, LeaseWatch, TaskState, claim, finish, submit_all, take
from api.queue.work import expire
from api.views import mean_duration_ns
from asic_reservoir.store.facts import now_ns, tasks

if TYPE_CHECKING:
    from conftest import Bench

DONE = Finished(TaskState.SUCCEEDED, "", "simulated", {"value": 1})
TWELVE, MANY = 12, 4_000


def instructions(connection: sa.Connection, work: Callable[[sa.Connection], Any]) -> int:
    """Of SQLite's virtual machine that ``work`` takes: counted, not timed."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    seen = 0

    def count() -> int:
        nonlocal seen
        seen += 1
        return 0

    driver.set_progress_handler(count, 1)
    try:
        work(connection)
    finally:
        driver.set_progress_handler(None, 0)
    return seen


def fill(bench: Bench, count: int) -> None:
    """So many wait, of three owners, and so many have succeeded."""
    owners = ("", "0199d6b0-0000-7000-8000-00000000000a", "0199d6b0-0000-7000-8000-00000000000b")
    done = [Draft("observe", {}, bench.board) for _ in range(count)]
    bench.run(lambda c: submit_all(c, done))
    ended = {"state": TaskState.SUCCEEDED.value, "started_utc_ns": 1, "finished_utc_ns": 3}
    bench.run(lambda c: c.execute(tasks.update().values(ended)))
    drafts = [Draft("observe", {}, bench.board, deadline_utc_ns=2**62) for _ in range(count)]
    bench.run(lambda c: submit_all(c, drafts))
    for n, owner in enumerate(owners):  # without keys of these names: nobody asks for them here
        mine = sa.func.substr(tasks.c.id, 36).in_(list("0123456789abcdef"[n * 5 : n * 5 + 5]))
        bench.run(lambda c, o=owner, m=mine: c.execute(tasks.update().where(m).values(owner=o)))


def turn(bench: Bench, lease: Lease) -> dict[str, int]:
    """Instructions by what a worker and the service do at every turn."""
    claimed: list[Claim] = []

    def take_next(connection: sa.Connection) -> None:
        found = claim(connection, lease)
        assert found is not None
        claimed.append(found)

    works: dict[str, Callable[[sa.Connection], Any]] = {
        "expire": lambda c: expire(c, tasks.c.board_id == bench.board, now_ns()),
        "claim": take_next,
        "finish": lambda c: finish(c, lease, claimed[0], DONE),
        "estimate": lambda c: mean_duration_ns(c, bench.board),
    }
    return {name: bench.run(lambda c, w=work: instructions(c, w)) for name, work in works.items()}


def test_a_turn_costs_the_same_with_a_long_queue(new_bench: type[Bench], tmp_path: Any) -> None:
    found = {}
    for count in (TWELVE, MANY):
        bench = new_bench(f"sqlite:///{tmp_path}/{count}.db", tmp_path)
        try:
            fill(bench, count)
            lease = bench.run(lambda c, b=bench: take(c, b.board, "a", "here", LeaseWatch()))
            first = turn(bench, lease)
            found[count] = turn(bench, lease)
            assert first.keys() == found[count].keys()
        finally:
            bench.close()
    for name, cost in found[MANY].items():
        assert cost < 2 * found[TWELVE][name] + 200, (name, found)


def test_every_owner_that_waits_is_found_in_turn(bench: Bench) -> None:
    """From owner to owner along the index, on both databases: each is served once before any is served twice."""
    from api.queue.work import _owners

    assert bench.run(lambda c: _owners(c, tasks.c.board_id == bench.board)) == []
    fill(bench, 60)
    waiting = sa.and_(tasks.c.board_id == bench.board, tasks.c.state == TaskState.QUEUED.value)
    with bench.engine.connect() as connection:
        there = sorted(connection.execute(sa.select(tasks.c.owner).where(waiting).distinct()).scalars())
        assert _owners(connection, waiting) == there
    assert len(there) == 3
