"""What is done from time to time: late tasks, ended reservations, what retention lets go."""

from __future__ import annotations

import sqlalchemy as sa

from api.queue.states import FINAL
from api.queue.work import expire
from asic_reservoir.store.facts import claims, idempotency, models, now_ns, reservations, results, runs, tasks

DAY_NS = 86_400 * 10**9
IDEMPOTENCY_DAYS = 7
AT_ONCE = 200
"""Tasks deleted in one go: the writer is everybody's."""


def end_late(connection: sa.Connection) -> None:
    """Tasks whose deadline passed, on boards too that nobody works at."""
    expire(connection, sa.true(), now_ns())


def tidy(connection: sa.Connection, retention_days: float) -> int:
    """End what is late, delete what is old; how many tasks were deleted.

    What something else refers to (a model, a claim, a recorded run) stays.
    """
    end_late(connection)
    now = now_ns()
    connection.execute(
        reservations.update()
        .where(reservations.c.ended_utc_ns.is_(None), reservations.c.expires_utc_ns <= now)
        .values(ended_utc_ns=reservations.c.expires_utc_ns)
    )
    connection.execute(idempotency.delete().where(idempotency.c.created_utc_ns < now - IDEMPOTENCY_DAYS * DAY_NS))
    referred = sa.union(
        sa.select(results.c.task_id).join(models, models.c.result_id == results.c.id),
        sa.select(results.c.task_id).join(claims, claims.c.result_id == results.c.id),
        sa.select(runs.c.task_id).where(runs.c.task_id.is_not(None)),
    )
    old = list(
        connection.execute(
            sa.select(tasks.c.id)
            .where(
                tasks.c.state.in_([state.value for state in FINAL]),
                tasks.c.finished_utc_ns < now - int(retention_days * DAY_NS),
                tasks.c.id.not_in(referred),
            )
            .order_by(tasks.c.id)
            .limit(AT_ONCE)
        ).scalars()
    )
    if old:
        connection.execute(results.delete().where(results.c.task_id.in_(old)))
        connection.execute(tasks.delete().where(tasks.c.id.in_(old)))
    return len(old)
