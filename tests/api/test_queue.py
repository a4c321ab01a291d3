"""The queue: the same statements on SQLite and PostgreSQL."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.queue import (
    Claim,
    Draft,
    FileContent,
    Finished,
    IdempotencyError,
    Lease,
    LeaseWatch,
    QueueFullError,
    StaleTokenError,
    TaskState,
    claim,
    finish,
    free,
    recover,
    request_cancel,
    say,
    submit,
    submit_all,
    take,
)
from asic_reservoir.errors import NotFoundError
from asic_reservoir.store.facts import attempts, keys, now_ns, reservations, results, task_events, task_files, tasks

if TYPE_CHECKING:
    from conftest import Bench

DONE = Finished(TaskState.SUCCEEDED, "", "simulated", {"value": 1})


def lease_of(bench: Bench, holder: str = "a", *, dead: bool = False) -> Lease:
    lease: Lease | None = bench.run(lambda c: take(c, bench.board, holder, "here", LeaseWatch(), holder_is_dead=dead))
    assert lease is not None
    return lease


def put(bench: Bench, **wanted: Any) -> str:
    draft = Draft("observe", {"params": {}}, bench.board, **wanted)
    task_id, new = bench.run(lambda c: submit(c, draft))
    assert new
    return str(task_id)


def claimed(bench: Bench, lease: Lease) -> Claim:
    got = bench.run(lambda c: claim(c, lease))
    assert got is not None
    return got


def test_a_task_goes_its_way_and_says_so(bench: Bench) -> None:
    lease = lease_of(bench)
    task_id = put(bench)
    got = claimed(bench, lease)
    assert (got.task_id, got.attempt) == (task_id, 1)
    assert bench.run(lambda c: claim(c, lease)) is None
    assert bench.run(lambda c: say(c, lease, task_id, "progress", {"done": 1})) is False
    file = FileContent("a.txt", "text/plain", "0" * 64, b"content")
    end = Finished(TaskState.SUCCEEDED, "", "simulated", {"value": 1}, [file])
    assert bench.run(lambda c: finish(c, lease, got, end)) is TaskState.SUCCEEDED
    with bench.engine.connect() as connection:
        events = connection.execute(sa.select(task_events.c.sequence, task_events.c.kind)).all()
        assert [tuple(event) for event in events] == [(1, "running"), (2, "progress"), (3, "succeeded")]
        assert connection.execute(sa.select(results.c.report)).scalar_one() == {"value": 1}
        assert connection.execute(sa.select(task_files.c.content)).scalar_one() == b"content"


def test_a_result_is_written_once_and_only_under_the_newest_token(bench: Bench) -> None:
    old = lease_of(bench)
    task_id = put(bench)
    first = claimed(bench, old)
    new = lease_of(bench, "b", dead=True)
    assert new.token == old.token + 1
    assert [r.state for r in bench.run(lambda c: recover(c, new, {}))] == [TaskState.QUEUED]
    second = claimed(bench, new)
    assert second.attempt == 2
    for late in (
        lambda c: finish(c, old, first, DONE),
        lambda c: say(c, old, task_id, "progress", {}),
        lambda c: claim(c, old),
        lambda c: recover(c, old, {}),
    ):
        with pytest.raises(StaleTokenError, match="token 1 of a is stale"):
            bench.run(late)
    assert bench.run(lambda c: free(c, old)) is False
    assert bench.run(lambda c: finish(c, new, second, DONE)) is TaskState.SUCCEEDED
    assert bench.run(lambda c: finish(c, new, second, DONE)) is TaskState.SUCCEEDED  # again: no second result
    with bench.engine.connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(results)).scalar_one() == 1
        assert connection.execute(sa.select(attempts.c.outcome)).scalars().all() == ["its worker died", "succeeded"]


def test_a_lease_is_taken_only_after_a_whole_term_without_a_beat(bench: Bench) -> None:
    now = 0.0
    watch = LeaseWatch(lambda: now, term_s=10.0, margin_s=1.0)
    lease_of(bench)

    def contend() -> Lease | None:
        got: Lease | None = bench.run(lambda c: take(c, bench.board, "b", "elsewhere", watch))
        return got

    assert contend() is None
    now = 9.99
    assert contend() is None
    now = 10.0
    taken = contend()
    assert taken is not None
    assert taken.token == 2
    assert taken.valid_until == 19.0
    # a device lock of another domain proves nothing
    assert bench.run(lambda c: take(c, bench.board, "c", "third", LeaseWatch(), holder_is_dead=True)) is None


def test_a_task_that_kills_its_workers_is_set_aside_with_the_reason(bench: Bench) -> None:
    task_id = put(bench, max_attempts=2)
    for state in (TaskState.QUEUED, TaskState.SET_ASIDE):
        claimed(bench, lease_of(bench, dead=True))
        lease = lease_of(bench, dead=True)
        assert bench.run(lambda c, lease=lease: recover(c, lease, {}))[0].state is state
    row = bench.task(task_id)
    assert (row["state"], row["error"]) == ("set_aside", "begun 2 times; the last time its worker died")


def test_what_drove_a_real_board_is_begun_again_only_where_it_says_so(bench: Bench) -> None:
    from api.queue.work import energise

    for restartable, state in ((False, TaskState.FAILED), (True, TaskState.QUEUED)):
        task_id = put(bench)
        lease = lease_of(bench, dead=True)
        got = claimed(bench, lease)
        bench.run(lambda c, lease=lease, got=got: energise(c, lease, got))
        lease = lease_of(bench, dead=True)
        recovered = bench.run(lambda c, lease=lease, r=restartable: recover(c, lease, {"observe": r}))
        assert [(r.task_id, r.state) for r in recovered] == [(task_id, state)]


def test_cancel_wins_over_everything_but_an_end(bench: Bench) -> None:
    lease = lease_of(bench)
    waiting, running, lost = put(bench, priority=0), put(bench, priority=2), put(bench, priority=1)

    def cancel(task_id: str) -> TaskState:
        return bench.run(lambda c: request_cancel(c, task_id))

    assert cancel(waiting) is TaskState.CANCELLED
    got = claimed(bench, lease)
    assert got.task_id == running
    assert cancel(running) is TaskState.CANCELLING
    assert cancel(running) is TaskState.CANCELLING
    assert bench.run(lambda c: say(c, lease, running, "progress", {})) is True
    assert bench.run(lambda c: finish(c, lease, got, DONE)) is TaskState.CANCELLED
    got = claimed(bench, lease)
    assert cancel(lost) is TaskState.CANCELLING
    lease = lease_of(bench, dead=True)
    assert [r.state for r in bench.run(lambda c: recover(c, lease, {}))] == [TaskState.CANCELLED]
    done = put(bench)
    got = claimed(bench, lease)
    bench.run(lambda c: finish(c, lease, got, DONE))
    assert cancel(done) is TaskState.SUCCEEDED
    with pytest.raises(NotFoundError):
        cancel("nobody")
    with bench.engine.connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(results)).scalar_one() == 1


def test_order_priority_then_fair_share_then_age(bench: Bench) -> None:
    for name in ("heavy", "light"):
        row = {"id": name, "name": name, "hash": name, "scopes": [], "created_utc_ns": 0}
        bench.run(lambda c, row=row: c.execute(keys.insert(), row))
    lease = lease_of(bench)
    for _ in range(6):
        put(bench, owner="heavy")
    urgent = put(bench, owner="heavy", priority=5)
    order = []
    for turn in range(7):
        if turn == 3:
            for _ in range(2):
                put(bench, owner="light")
        got = claimed(bench, lease)
        order.append("urgent" if got.task_id == urgent else got.owner)
        end = Finished(TaskState.SUCCEEDED, "", "simulated", {}, served_ns=1_000_000_000)
        bench.run(lambda c, got=got, end=end: finish(c, lease, got, end))
    # who comes late gets its turns, and not more than its share
    assert order == ["urgent", "heavy", "heavy", "light", "heavy", "light", "heavy"]


def test_a_reserved_board_serves_who_reserved_it(bench: Bench) -> None:
    lease = lease_of(bench)
    put(bench)
    row = {"id": "r", "board_id": bench.board, "owner": "somebody", "purpose": "", "created_utc_ns": now_ns()}
    bench.run(lambda c: c.execute(reservations.insert(), row | {"expires_utc_ns": now_ns() + 10**12}))
    assert bench.run(lambda c: claim(c, lease)) is None
    bench.run(lambda c: c.execute(reservations.update().values(expires_utc_ns=now_ns() - 1)))
    assert bench.run(lambda c: claim(c, lease)) is not None


def test_a_deadline_that_passed_ends_a_task_unbegun(bench: Bench) -> None:
    lease = lease_of(bench)
    late = put(bench, deadline_utc_ns=now_ns() - 1)
    assert bench.run(lambda c: claim(c, lease)) is None
    assert bench.task(late)["state"] == "expired"


def test_one_name_is_one_task_however_many_ask_at_once(bench: Bench) -> None:
    draft = Draft("observe", {}, bench.board, idempotency_key="mine", fingerprint="a")
    writers = [bench.run] * 16
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda run: run(lambda c: submit(c, draft)), writers))
    assert len({task_id for task_id, _ in answers}) == 1
    assert sum(new for _, new in answers) == 1
    other = Draft("observe", {}, bench.board, idempotency_key="mine", fingerprint="b")
    with pytest.raises(IdempotencyError, match="'mine'"):
        bench.run(lambda c: submit(c, other))
    with pytest.raises(QueueFullError, match="1 tasks"):
        bench.run(lambda c: submit(c, Draft("observe", {}, bench.board, most_waiting=1)))
    with pytest.raises(NotFoundError):
        bench.run(lambda c: submit(c, Draft("observe", {}, "nobody")))


def test_many_at_once_are_queued_as_one_by_one(bench: Bench) -> None:
    row = {"id": "k", "name": "k", "hash": "k", "scopes": [], "created_utc_ns": 0}
    bench.run(lambda c: c.execute(keys.insert(), row))
    put(bench, owner="k")
    drafts = [Draft("observe", {"params": {"n": n}}, bench.board, "k", priority=n, most_waiting=3) for n in range(3)]
    drafts += [Draft("observe", {}, "nobody"), Draft("observe", {"params": {"n": 9}}, bench.board)]
    first, second, full, unknown, last = bench.run(lambda c: submit_all(c, drafts))
    assert isinstance(full, QueueFullError)
    assert isinstance(unknown, NotFoundError)
    for task_id, draft in ((first, drafts[0]), (second, drafts[1]), (last, drafts[4])):
        found = bench.task(task_id)
        assert (found["request"], found["owner"], found["priority"]) == (draft.request, draft.owner, draft.priority)
    with bench.engine.connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(tasks)).scalar_one() == 4


plain_text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=6)
documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(-1e15, 1e15) | plain_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(plain_text, inner, max_size=3),
    max_leaves=8,
)


@given(wanted=st.lists(st.dictionaries(plain_text, documents, max_size=3), min_size=1, max_size=4))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=25)
def test_what_was_asked_for_is_kept_to_the_digit(bench: Bench, wanted: list[dict[str, Any]]) -> None:
    """SQLite takes the rows apart itself; every number and letter must come through.

    Floats stay below 2^53: PostgreSQL writes greater ones as integers, with the digits of the shortest notation.
    """
    drafts = [
        Draft("observe", {"params": request}, bench.board, priority=-3, deadline_utc_ns=2**62 + 1, max_attempts=7)
        for request in wanted
    ]
    for task_id, draft in zip(bench.run(lambda c: submit_all(c, drafts)), drafts, strict=True):
        found = bench.task(task_id)
        assert found["request"] == draft.request
        assert (found["priority"], found["deadline_utc_ns"], found["max_attempts"]) == (-3, 2**62 + 1, 7)
        assert (found["key_id"], found["owner"], found["state"]) == (None, "", "queued")


def test_two_databases_connections_race_for_one_lease(bench: Bench) -> None:
    """Sixteen contenders on connections of their own; one gets it."""
    engine = bench.engine.execution_options(write=True)

    def contend(name: str) -> bool:
        try:
            with engine.begin() as connection:
                return take(connection, bench.board, name, name, LeaseWatch()) is not None
        except sa.exc.OperationalError:
            return False

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(contend, [f"w{i}" for i in range(16)])) == 1
