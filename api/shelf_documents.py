"""Boards of the shelf as the service says them: one read of the database for all."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from api import schemas
from api.metrics import HELD_S
from api.queue.states import ACTIVE, TaskState
from asic_reservoir.store.facts import boards, calibrations, leases, now_ns, reservations, shelf, tasks

_SELECT = (
    sa.select(
        shelf.c.board_id, shelf.c.name, shelf.c.uri, shelf.c.enabled, shelf.c.stopped, shelf.c.reason, shelf.c.version,
        shelf.c.live, shelf.c.live_utc_ns, boards.c.origin, boards.c.family, boards.c.model, boards.c.info,
        leases.c.holder, leases.c.token, leases.c.renewed_utc_ns,
    )
    .join(boards, boards.c.id == shelf.c.board_id)
    .outerjoin(leases, leases.c.board_id == shelf.c.board_id)
    .order_by(shelf.c.name)
)  # fmt: skip
_DEPTH = sa.select(
    shelf.c.board_id,
    sa.select(sa.func.count())
    .where(tasks.c.board_id == shelf.c.board_id, tasks.c.state == TaskState.QUEUED.value)
    .scalar_subquery(),
)
"""Board by board, as one index answers it: grouped by board it looks into every task that waits."""
_RUNNING = sa.select(tasks.c.board_id, tasks.c.id).where(tasks.c.state.in_([state.value for state in ACTIVE]))
_CALIBRATED = sa.select(calibrations.c.board_id, sa.func.max(calibrations.c.created_utc_ns)).group_by(
    calibrations.c.board_id
)


def shelf_documents(connection: sa.Connection) -> list[dict[str, Any]]:
    """Every board of the shelf as :class:`api.schemas.Board`, with its ``info``."""
    rows = connection.execute(_SELECT).all()
    depth: dict[str, int] = dict(connection.execute(_DEPTH).all())
    running: dict[str, str] = dict(connection.execute(_RUNNING).all())
    calibrated: dict[str, int] = dict(connection.execute(_CALIBRATED).all())
    now = now_ns()
    reserved = set(
        connection.execute(
            sa.select(reservations.c.board_id).where(
                reservations.c.ended_utc_ns.is_(None), reservations.c.expires_utc_ns > now
            )
        ).scalars()
    )
    documents = []
    for row in rows:
        held = row.holder is not None and now - row.renewed_utc_ns < HELD_S * 1e9
        made = calibrated.get(row.board_id)
        documents.append(
            {
                "id": row.board_id,
                "name": row.name,
                "uri": row.uri,
                "origin": row.origin,
                "family": row.family,
                "model": row.model,
                "state": _state(row, held, row.board_id in running, row.board_id in reserved),
                "enabled": row.enabled,
                "reason": row.reason,
                "queue_depth": depth.get(row.board_id, 0),
                "running": running.get(row.board_id),
                "lease": None
                if row.token is None
                else {
                    "holder": row.holder,
                    "token": row.token,
                    "renewed": schemas.time_of(row.renewed_utc_ns),
                },
                "live": row.live,
                "live_time": schemas.time_of(row.live_utc_ns),
                "calibration_age_seconds": None if made is None else round((now - made) * 1e-9, 3),
                "version": row.version,
                "info": row.info,
            }
        )
    return documents


def _state(row: Any, held: bool, running: bool, reserved: bool) -> str:
    if row.stopped:
        return "stopped"
    if not held:
        return "unattended"
    if running:
        return "running"
    if not row.enabled:
        return "disabled"
    return "reserved" if reserved else "idle"
