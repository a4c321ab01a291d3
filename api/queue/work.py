"""What a worker does to the queue. Everything here holds the lease for the time of its transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from api.queue.facts import Left, keep
from api.queue.leases import Lease, hold
from api.queue.notices import notify
from api.queue.states import ACTIVE, FINAL, TaskState, literal
from asic_reservoir.errors import NotFoundError
from asic_reservoir.kept import Kept, KeptRecording
from asic_reservoir.store.facts import (
    attempts,
    new_id,
    now_ns,
    reservations,
    results,
    shares,
    shelf,
    task_events,
    task_files,
    tasks,
)
from asic_reservoir.store.registration import Registration


@dataclass(frozen=True, slots=True)
class Claim:
    """A task in the hands of a worker."""

    task_id: str
    kind: str
    request: dict[str, Any]
    attempt: int
    owner: str


@dataclass(frozen=True, slots=True)
class FileContent:
    """A file that a task left."""

    name: str
    media_type: str
    sha256: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Finished:
    """How an attempt ended."""

    state: TaskState
    reason: str = ""
    """Why, where it did not succeed: one line for people."""
    origin: str = "simulated"
    report: Mapping[str, Any] = field(default_factory=dict)
    """The result document, where it succeeded."""
    files: Sequence[FileContent] = ()
    served_ns: int = 0
    """Time that the worker spent."""
    facts: Sequence[Kept] = ()
    """What is kept beside the result, for others to look up."""
    recorded: Mapping[str, Registration] = field(default_factory=dict)
    """Runs that the attempt recorded, by identifier."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """What became of a task whose worker died."""

    task_id: str
    state: TaskState


def claim(connection: sa.Connection, lease: Lease) -> Claim | None:
    """The next task of the board; None where nothing is to do, or the board is disabled or stopped.

    Highest priority first; within it the key that was served least; within a key the oldest. While a board is
    reserved, only tasks of who reserved it.

    Raises:
        StaleTokenError: the lease is another's.
    """
    hold(connection, lease)
    board = connection.execute(
        sa.select(shelf.c.enabled, shelf.c.stopped).where(shelf.c.board_id == lease.board_id)
    ).one_or_none()
    if board is None or not board.enabled or board.stopped:
        return None
    now = now_ns()
    waiting = sa.and_(tasks.c.board_id == lease.board_id, tasks.c.state == TaskState.QUEUED.value)
    expire(connection, tasks.c.board_id == lease.board_id, now)
    reserved = connection.execute(
        sa.select(reservations.c.owner).where(
            reservations.c.board_id == lease.board_id,
            reservations.c.ended_utc_ns.is_(None),
            reservations.c.expires_utc_ns > now,
        )
    ).scalar()
    if reserved is not None:
        waiting = sa.and_(waiting, tasks.c.owner == reserved)
    top = connection.execute(sa.select(sa.func.max(tasks.c.priority)).where(waiting)).scalar()
    if top is None:
        return None
    waiting = sa.and_(waiting, tasks.c.priority == top)
    owner = _least_served(connection, waiting)
    row = connection.execute(
        sa.select(tasks.c.id, tasks.c.kind, tasks.c.request, tasks.c.attempts)
        .where(waiting, tasks.c.owner == owner)
        .order_by(tasks.c.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    ).one_or_none()
    if row is None:
        return None
    number = row.attempts + 1
    connection.execute(
        tasks.update()
        .where(tasks.c.id == row.id)
        .values(
            state=TaskState.RUNNING.value,
            attempts=number,
            started_utc_ns=sa.func.coalesce(tasks.c.started_utc_ns, now),
        )
    )
    connection.execute(
        attempts.insert(),
        {
            "task_id": row.id,
            "number": number,
            "board_id": lease.board_id,
            "token": lease.token,
            "holder": lease.holder,
            "energised": False,
            "started_utc_ns": now,
        },
    )
    _event(connection, row.id, "running", {"attempt": number, "worker": lease.holder})
    return Claim(row.id, row.kind, row.request, number, owner)


def expire(connection: sa.Connection, where: sa.ColumnElement[bool], now: int) -> int:
    """Tasks whose deadline passed before they began."""
    late = connection.execute(
        sa.select(tasks.c.id).where(where, tasks.c.deadline_utc_ns <= now, tasks.c.state == literal(TaskState.QUEUED))
    ).scalars()
    ended = 0
    for task_id in late.all():
        ended += _end(connection, task_id, TaskState.EXPIRED, "its deadline passed before a worker was free")
    return ended


def _least_served(connection: sa.Connection, waiting: sa.ColumnElement[bool]) -> str:
    """The owner whose turn it is. Who was away does not save up turns: it joins at the least of those present."""
    running = (
        sa.select(sa.func.count())
        .where(tasks.c.state.in_([state.value for state in ACTIVE]), tasks.c.owner == shares.c.owner)
        .scalar_subquery()
    )
    owners = _owners(connection, waiting)
    if len(owners) == 1:
        return owners[0]
    served = {
        row.owner: (row.served_ns, row.running)
        for row in connection.execute(
            sa.select(shares.c.owner, shares.c.served_ns, running.label("running")).where(shares.c.owner.in_(owners))
        )
    }
    return min(owners, key=lambda owner: (*served.get(owner, (0, 0)), owner))


def _owners(connection: sa.Connection, waiting: sa.ColumnElement[bool]) -> list[str]:
    """Whose tasks wait. From owner to owner along the index: DISTINCT looks at every task, however many there are."""
    least = sa.select(sa.func.min(tasks.c.owner).label("owner"))
    each = least.where(waiting).cte("each", recursive=True)
    following = least.where(waiting, tasks.c.owner > each.c.owner).correlate(each).scalar_subquery()
    each = each.union_all(sa.select(following).where(each.c.owner.is_not(None)))
    return list(connection.execute(sa.select(each.c.owner).where(each.c.owner.is_not(None))).scalars())


def _charge(connection: sa.Connection, owner: str, served_ns: int) -> None:
    """Add to what an owner was served, on the fair clock: at least where the least served of those waiting stands."""
    present = (
        sa.select(sa.func.min(shares.c.served_ns))
        .where(
            shares.c.owner != owner,
            sa.exists().where(tasks.c.owner == shares.c.owner, tasks.c.state == TaskState.QUEUED.value),
        )
        .scalar_subquery()
    )
    floor = connection.execute(sa.select(present)).scalar() or 0
    now = connection.execute(sa.select(shares.c.served_ns).where(shares.c.owner == owner)).scalar()
    if now is None:
        connection.execute(shares.insert(), {"owner": owner, "served_ns": floor + served_ns})
    else:
        connection.execute(shares.update().where(shares.c.owner == owner).values(served_ns=max(now, floor) + served_ns))


def energise(connection: sa.Connection, lease: Lease, claimed: Claim) -> None:
    """Note that the attempt drives a real board from now on."""
    hold(connection, lease)
    connection.execute(
        attempts.update()
        .where(attempts.c.task_id == claimed.task_id, attempts.c.number == claimed.attempt)
        .values(energised=True)
    )


def say(connection: sa.Connection, lease: Lease, task_id: str, kind: str, data: Mapping[str, Any]) -> bool:
    """Add an event to a running task; whether it should stop (cancel was asked for).

    Raises:
        StaleTokenError: the lease is another's.
    """
    hold(connection, lease)
    _event(connection, task_id, kind, data)
    return connection.execute(sa.select(tasks.c.state).where(tasks.c.id == task_id)).scalar() != TaskState.RUNNING


def finish(connection: sa.Connection, lease: Lease, claimed: Claim, end: Finished) -> TaskState:
    """Write how an attempt ended: result, files, state, all or nothing. The state that the task has now.

    A task that was cancelled in the meantime is cancelled, and keeps no result. A state ``queued`` gives the task
    back; one that was begun too often is set aside.

    Raises:
        StaleTokenError: the lease is another's; nothing was written.
    """
    hold(connection, lease)
    state = connection.execute(sa.select(tasks.c.state).where(tasks.c.id == claimed.task_id).with_for_update()).scalar()
    if state is None or state not in ACTIVE:
        return TaskState(state) if state else TaskState.CANCELLED
    _charge(connection, claimed.owner, end.served_ns)
    ended, reason = end.state, end.reason
    if ended is TaskState.QUEUED:
        return give_back(connection, claimed.task_id, claimed.attempt, reason)
    if state == TaskState.CANCELLING and ended is not TaskState.CANCELLED:
        ended, reason = TaskState.CANCELLED, "cancelled"
    if ended is TaskState.SUCCEEDED:
        result_id = new_id()
        connection.execute(
            results.insert(),
            {
                "id": result_id,
                "task_id": claimed.task_id,
                "origin": end.origin,
                "report": dict(end.report),
                # a recording is not held by the result that names it: retention of events is the operator's
                "kept": not any(isinstance(fact, KeptRecording) for fact in end.facts),
                "created_utc_ns": now_ns(),
            },
        )
        for file in end.files:
            connection.execute(
                task_files.insert(),
                {
                    "task_id": claimed.task_id,
                    "name": file.name,
                    "media_type": file.media_type,
                    "bytes": len(file.content),
                    "sha256": file.sha256,
                    "content": file.content,
                },
            )
        contents = {file.name: file.content for file in end.files}
        left = Left(lease.board_id, result_id, end.origin, contents, end.recorded)
        for fact in end.facts:
            keep(connection, fact, left)
    _end_attempt(connection, claimed.task_id, claimed.attempt, ended.value if not reason else f"{ended}: {reason}")
    summary = {"summary": end.report.get("summary", {})} if ended is TaskState.SUCCEEDED else {}
    _end(connection, claimed.task_id, ended, reason, summary)
    return ended


def recover(connection: sa.Connection, lease: Lease, restartable: Mapping[str, bool]) -> list[Recovered]:
    """Tasks that an earlier holder of the board had in its hands: queued again, set aside, or ended.

    Args:
        connection: in a transaction that may write.
        lease: of the board, just taken.
        restartable: by kind, whether it may be begun again after a real board was driven.
    """
    hold(connection, lease)
    rows = connection.execute(
        sa.select(tasks.c.id, tasks.c.kind, tasks.c.state, tasks.c.attempts, attempts.c.token, attempts.c.energised)
        .join(attempts, sa.and_(attempts.c.task_id == tasks.c.id, attempts.c.number == tasks.c.attempts))
        .where(
            tasks.c.board_id == lease.board_id,
            tasks.c.state.in_([state.value for state in ACTIVE]),
            attempts.c.token < lease.token,
        )
        .order_by(tasks.c.id)
    ).all()
    recovered = []
    for row in rows:
        if row.state == TaskState.CANCELLING:
            _end_attempt(connection, row.id, row.attempts, "its worker died; cancelled")
            _end(connection, row.id, TaskState.CANCELLED, "cancelled")
            state = TaskState.CANCELLED
        elif row.energised and not restartable.get(row.kind, False):
            reason = "its worker died while a real board was driven, and this kind is not begun twice"
            _end_attempt(connection, row.id, row.attempts, reason)
            _end(connection, row.id, TaskState.FAILED, reason)
            state = TaskState.FAILED
        else:
            state = give_back(connection, row.id, row.attempts, "its worker died")
        recovered.append(Recovered(row.id, state))
    return recovered


def give_back(connection: sa.Connection, task_id: str, attempt: int, reason: str) -> TaskState:
    """Queue a task again, or set it aside where it was begun as often as it may."""
    row = connection.execute(sa.select(tasks.c.state, tasks.c.max_attempts).where(tasks.c.id == task_id)).one()
    _end_attempt(connection, task_id, attempt, reason)
    if row.state == TaskState.CANCELLING:
        _end(connection, task_id, TaskState.CANCELLED, "cancelled")
        return TaskState.CANCELLED
    if attempt >= row.max_attempts:
        _end(connection, task_id, TaskState.SET_ASIDE, f"begun {attempt} times; the last time {reason}")
        return TaskState.SET_ASIDE
    connection.execute(tasks.update().where(tasks.c.id == task_id).values(state=TaskState.QUEUED.value))
    _event(connection, task_id, "queued", {"reason": reason, "attempts": attempt})
    return TaskState.QUEUED


def request_cancel(connection: sa.Connection, task_id: str) -> TaskState:
    """Ask for a task to be cancelled; the state it has now. Asking again, or too late, changes nothing.

    Raises:
        NotFoundError: no such task.
    """
    row = connection.execute(
        sa.select(tasks.c.state, tasks.c.board_id).where(tasks.c.id == task_id).with_for_update()
    ).one_or_none()
    if row is None:
        raise NotFoundError(f"task {task_id}: unknown")
    state = row.state
    if state == TaskState.QUEUED:
        _end(connection, task_id, TaskState.CANCELLED, "cancelled before it began")
        return TaskState.CANCELLED
    if state == TaskState.RUNNING:
        connection.execute(tasks.update().where(tasks.c.id == task_id).values(state=TaskState.CANCELLING.value))
        _event(connection, task_id, "cancelling", {})
        notify(connection, "board", row.board_id)
        return TaskState.CANCELLING
    return TaskState(state)


def _end(
    connection: sa.Connection, task_id: str, state: TaskState, reason: str, said: Mapping[str, Any] | None = None
) -> bool:
    ended = connection.execute(
        tasks.update()
        .where(tasks.c.id == task_id, tasks.c.state.not_in([final.value for final in FINAL]))
        .values(state=state.value, finished_utc_ns=now_ns(), error=reason or None)
    )
    if ended.rowcount:
        _event(connection, task_id, state.value, {**({"reason": reason} if reason else {}), **(said or {})})
    return bool(ended.rowcount)


def _end_attempt(connection: sa.Connection, task_id: str, number: int, outcome: str) -> None:
    connection.execute(
        attempts.update()
        .where(attempts.c.task_id == task_id, attempts.c.number == number, attempts.c.outcome.is_(None))
        .values(outcome=outcome, finished_utc_ns=now_ns())
    )


def _event(connection: sa.Connection, task_id: str, kind: str, data: Mapping[str, Any]) -> None:
    """Events of one task are numbered by the row of the task, whose lock orders them: no gaps, none seen late."""
    sequence = connection.execute(
        tasks.update()
        .where(tasks.c.id == task_id)
        .values(last_event=tasks.c.last_event + 1)
        .returning(tasks.c.last_event)
    ).scalar()
    if sequence is None:
        return
    connection.execute(
        task_events.insert(),
        {
            "task_id": task_id,
            "sequence": sequence,
            "kind": kind,
            "data": dict(data),
            "created_utc_ns": now_ns(),
        },
    )
    notify(connection, "task", task_id)
