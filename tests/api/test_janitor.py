"""Retention: what is old goes with all that belongs to it, what something else refers to stays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from api.janitor import AT_ONCE, DAY_NS, tidy
from api.queue import Draft, FileContent, Finished, Lease, LeaseWatch, TaskState, claim, finish, say, submit, take
from asic_reservoir.store.facts import (
    attempts,
    idempotency,
    models,
    new_id,
    now_ns,
    reservations,
    results,
    task_events,
    task_files,
    tasks,
)

if TYPE_CHECKING:
    from conftest import Bench

BELONGS = (tasks, results, task_events, task_files, attempts)


def put(bench: Bench, **wanted: Any) -> str:
    task_id, _ = bench.run(lambda c: submit(c, Draft("observe", {"params": {}}, bench.board, **wanted)))
    return str(task_id)


def hold(bench: Bench) -> Lease:
    lease: Lease | None = bench.run(lambda c: take(c, bench.board, "a", "here", LeaseWatch()))
    assert lease is not None
    return lease


def do(bench: Bench, lease: Lease, days_ago: float) -> str:
    """A task that ended so long ago, with a result, a file and events."""
    task_id = put(bench, idempotency_key=new_id())

    def end(connection: sa.Connection) -> None:
        claimed = claim(connection, lease)
        assert claimed is not None
        assert claimed.task_id == task_id
        say(connection, lease, task_id, "progress", {"done": 1})
        file = FileContent("notes.txt", "text/plain", "0" * 64, b"seen")
        finish(connection, lease, claimed, Finished(TaskState.SUCCEEDED, report={"value": 1}, files=(file,)))
        then = now_ns() - int(days_ago * DAY_NS)
        connection.execute(tasks.update().where(tasks.c.id == task_id).values(finished_utc_ns=then))

    bench.run(end)
    return task_id


def left(bench: Bench) -> dict[str, set[str]]:
    """Tasks that each table knows something of."""

    def ask(connection: sa.Connection) -> dict[str, set[str]]:
        columns = {table.name: table.c.id if table is tasks else table.c.task_id for table in BELONGS}
        return {name: set(connection.execute(sa.select(column)).scalars()) for name, column in columns.items()}

    found: dict[str, set[str]] = bench.run(ask)
    return found


def test_what_is_old_is_gone_with_all_that_belongs_to_it(bench: Bench) -> None:
    lease = hold(bench)
    old, young, referred = do(bench, lease, 31), do(bench, lease, 29), do(bench, lease, 365)

    def refer(connection: sa.Connection) -> None:
        result = connection.execute(sa.select(results.c.id).where(results.c.task_id == referred)).scalar_one()
        row = {"id": new_id(), "name": "kept", "version": 1, "result_id": result, "origin": "simulated", "format": "f",
               "content": b"x", "sha256": "0" * 64, "created_utc_ns": now_ns()}  # fmt: skip
        connection.execute(models.insert(), row)

    bench.run(refer)
    assert all(kept == {old, young, referred} for kept in left(bench).values())
    assert bench.run(lambda c: tidy(c, 30)) == 1
    assert all(kept == {young, referred} for kept in left(bench).values())
    assert bench.run(lambda c: tidy(c, 30)) == 0
    # what has not ended has no age
    running = put(bench)
    bench.run(lambda c: claim(c, lease))
    waiting = put(bench)
    assert bench.run(lambda c: tidy(c, 0)) == 1
    assert left(bench)["tasks"] == {referred, running, waiting}


def test_the_writer_is_not_held_for_long(bench: Bench) -> None:
    first = do(bench, hold(bench), 2)
    ended = {"kind": "observe", "request": {}, "state": "failed", "owner": "", "board_id": bench.board,
             "created_utc_ns": 1, "finished_utc_ns": 1}  # fmt: skip
    bench.run(lambda c: c.execute(tasks.insert(), [ended | {"id": new_id()} for _ in range(AT_ONCE + 5)]))
    assert [bench.run(lambda c: tidy(c, 1)) for _ in range(3)] == [AT_ONCE, 6, 0]
    assert first not in left(bench)["tasks"]


def test_names_of_submissions_sessions_and_deadlines_end(bench: Bench) -> None:
    late, early = (put(bench, deadline_utc_ns=now_ns() + seconds * 10**9) for seconds in (-1, 3600))
    named = put(bench, idempotency_key="mine")
    session = {"id": new_id(), "board_id": bench.board, "owner": "", "purpose": "", "created_utc_ns": 1,
               "expires_utc_ns": now_ns() - 1, "ended_utc_ns": None}  # fmt: skip

    def age(connection: sa.Connection) -> None:
        connection.execute(idempotency.update().values(created_utc_ns=now_ns() - 8 * DAY_NS))
        connection.execute(reservations.insert(), session)

    bench.run(age)
    assert bench.run(lambda c: tidy(c, 30)) == 0
    assert [bench.task(task_id)["state"] for task_id in (late, early, named)] == ["expired", "queued", "queued"]
    assert bench.run(lambda c: c.execute(sa.select(sa.func.count()).select_from(idempotency)).scalar()) == 0
    ended = bench.run(lambda c: c.execute(sa.select(reservations.c.ended_utc_ns)).scalar())
    assert ended == session["expires_utc_ns"]
