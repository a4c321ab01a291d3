"""Streams: inputs of a running task from who has the board reserved, and what the board answered to each.

Inputs and outputs pass through the database, so that a stream works the same where the worker is a thread of the
service, another process or another machine; both sides are nudged, and look for themselves where they cannot be.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from api.queue.leases import Lease, hold
from api.queue.notices import notify
from asic_reservoir.errors import BusyError, UsageError
from asic_reservoir.store.facts import now_ns, reservations, stream_steps, streams, tasks

MOST = 1_000_000
"""Inputs of one stream: all of them are kept with their outputs until the task goes."""


class SequenceError(UsageError):
    """An input that is not the next one, or differs from what came under its number before."""


class TakenOverError(BusyError):
    """Another connection gave the input of this number."""


class SessionOverError(BusyError):
    """The session that holds the board is over: no more inputs are taken."""


@dataclass(frozen=True, slots=True)
class StreamState:
    """Where a stream is."""

    next_input: int
    """Sequence that the next input must have."""
    ended: bool
    low: float
    high: float


def open_stream(connection: sa.Connection, task_id: str, reservation_id: str, low: float, high: float) -> None:
    """Enter the stream of a task, in the transaction that queues it."""
    row = {"task_id": task_id, "reservation_id": reservation_id, "next_input": 0, "ended": False}
    connection.execute(streams.insert(), row | {"low": low, "high": high})


def stream_state(connection: sa.Connection, task_id: str) -> StreamState | None:
    """None where the task has no stream."""
    row = connection.execute(
        sa.select(streams.c.next_input, streams.c.ended, streams.c.low, streams.c.high).where(
            streams.c.task_id == task_id
        )
    ).one_or_none()
    return None if row is None else StreamState(*row)


def put_inputs(connection: sa.Connection, task_id: str, first: int, values: Sequence[float]) -> int:
    """Enter inputs with the sequences from ``first`` on; the sequence that comes next.

    What is there already is left alone, so that sending again after a lost connection does no harm.

    Raises:
        SequenceError: a gap, another value for an input that is there, or the stream has ended.
        SessionOverError: the session is over.
        TakenOverError: another connection was faster.
    """
    if session_over(connection, task_id):
        raise SessionOverError("the session that holds the board is over")
    row = connection.execute(sa.select(streams.c.next_input, streams.c.ended).where(streams.c.task_id == task_id)).one()
    if first > row.next_input:
        raise SequenceError(f"sequence {first}: must be {row.next_input}, the next one")
    known = row.next_input - first
    if known > 0:
        there = connection.execute(
            sa.select(stream_steps.c.u)
            .where(stream_steps.c.task_id == task_id, stream_steps.c.sequence >= first)
            .order_by(stream_steps.c.sequence)
            .limit(len(values))
        ).scalars()
        for offset, (before, now) in enumerate(zip(there, values, strict=False)):
            if before != now:
                raise SequenceError(f"sequence {first + offset}: was {before!r} before, must stay so")
    fresh = values[max(0, known) :]
    if not fresh:
        return int(row.next_input)
    if row.ended:
        raise SequenceError(f"sequence {row.next_input}: the stream was ended, must not go on")
    following = int(row.next_input) + len(fresh)
    if following > MOST:
        raise SequenceError(f"sequence {following - 1}: must be below {MOST:,}; begin another stream")
    moved = connection.execute(
        streams.update()
        .where(streams.c.task_id == task_id, streams.c.next_input == row.next_input)
        .values(next_input=following)
    )
    if moved.rowcount != 1:
        raise TakenOverError(f"sequence {row.next_input}: came over another connection too")
    connection.execute(
        stream_steps.insert(),
        [
            {"task_id": task_id, "sequence": row.next_input + offset, "u": value, "output": None}
            for offset, value in enumerate(fresh)
        ],
    )
    _tell_board(connection, task_id)
    return following


def end_stream(connection: sa.Connection, task_id: str) -> None:
    """No more inputs follow. Safe to say again."""
    connection.execute(streams.update().where(streams.c.task_id == task_id).values(ended=True))
    _tell_board(connection, task_id)


def end_streams_of(connection: sa.Connection, reservation_id: str) -> None:
    """The session is over: no more inputs follow in any of its streams."""
    connection.execute(streams.update().where(streams.c.reservation_id == reservation_id).values(ended=True))


def session_over(connection: sa.Connection, task_id: str) -> bool:
    """Whether the session that holds the board of this stream is over."""
    row = connection.execute(
        sa.select(reservations.c.ended_utc_ns, reservations.c.expires_utc_ns)
        .join(streams, streams.c.reservation_id == reservations.c.id)
        .where(streams.c.task_id == task_id)
    ).one_or_none()
    return row is None or row.ended_utc_ns is not None or row.expires_utc_ns <= now_ns()


def _tell_board(connection: sa.Connection, task_id: str) -> None:
    board_id = connection.execute(sa.select(tasks.c.board_id).where(tasks.c.id == task_id)).scalar()
    if board_id is not None:
        notify(connection, "board", board_id)


def read_inputs(connection: sa.Connection, task_id: str, first: int, most: int) -> list[tuple[int, float]]:
    """Inputs from ``first`` on, at most so many."""
    rows = connection.execute(
        sa.select(stream_steps.c.sequence, stream_steps.c.u)
        .where(stream_steps.c.task_id == task_id, stream_steps.c.sequence >= first)
        .order_by(stream_steps.c.sequence)
        .limit(most)
    )
    return [(row.sequence, row.u) for row in rows]


def put_outputs(
    connection: sa.Connection, lease: Lease, task_id: str, outputs: Sequence[tuple[int, Mapping[str, Any]]]
) -> None:
    """Enter what the board answered. An output that is there already stays: a stream that was begun again on a twin
    gives the same ones.

    Raises:
        StaleTokenError: the lease is another's; nothing was written.
    """
    hold(connection, lease)
    connection.execute(
        stream_steps.update().where(
            stream_steps.c.task_id == sa.bindparam("task"),
            stream_steps.c.sequence == sa.bindparam("number"),
            stream_steps.c.output.is_(None),
        ),
        [{"task": task_id, "number": number, "output": dict(output)} for number, output in outputs],
    )
    notify(connection, "task", task_id)


def read_outputs(connection: sa.Connection, task_id: str, first: int, most: int) -> list[tuple[int, dict[str, Any]]]:
    """Outputs from ``first`` on without a gap, at most so many."""
    rows = connection.execute(
        sa.select(stream_steps.c.sequence, stream_steps.c.output)
        .where(stream_steps.c.task_id == task_id, stream_steps.c.sequence >= first)
        .order_by(stream_steps.c.sequence)
        .limit(most)
    )
    found: list[tuple[int, dict[str, Any]]] = []
    for row in rows:
        if row.output is None:
            break
        found.append((row.sequence, row.output))
    return found
