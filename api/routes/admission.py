"""What is looked at before a task is queued: whether what its settings name is there, and who may stream."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from api.keys import Key
from api.problems import ProblemError
from api.service import Service
from api.worker.given import is_known
from asic_reservoir.kinds import TaskKind
from asic_reservoir.store.facts import models, now_ns, reservations
from asic_reservoir.stream_kind import StreamSettings
from asic_reservoir.trained import TrainedReadout


@dataclass(frozen=True, slots=True)
class Admission:
    """The right to stream, with the range of inputs that are taken."""

    reservation_id: str
    low: float
    high: float


async def admit(
    service: Service, key: Key, kind: TaskKind[Any], params: Mapping[str, Any], board: Mapping[str, Any]
) -> Admission | None:
    """For kinds that stream, the session that the task belongs to.

    Args:
        service: of the request.
        key: who asks.
        kind: of the task.
        params: its settings, checked against their schema.
        board: document of the shelf.

    Raises:
        ProblemError: ``invalid`` with the pointer of a setting that names nothing, or a model of another family;
            ``not-ready`` where a stream has no session.
    """
    for setting, word in kind.given.items():
        identifier = params.get(setting)
        if identifier is not None and not await service.read(lambda c, w=word, i=identifier: is_known(c, w, i)):  # type: ignore[misc]
            _wrong(setting, f"{setting} {identifier}: no such {word}")
    if not kind.streaming:
        return None
    settings = StreamSettings.model_validate(params)
    low, high = settings.driven.input_low, settings.driven.input_high
    if settings.model is not None:
        content = await service.read(
            lambda c: c.execute(sa.select(models.c.content).where(models.c.id == settings.model)).scalar_one()
        )
        about = TrainedReadout.from_npz(content).settings
        if (about.family, about.n_counters) != (board["family"], board["info"].get("n_counters", about.n_counters)):
            _wrong("model", f"model: of a board of family {about.family}, must be of {board['family']}")
        low, high = about.input_low, about.input_high
    reservation = await service.read(lambda connection: open_reservation(connection, board["id"], key.id))
    if reservation is None:
        detail = f"board {board['name']!r}: a stream needs a session of yours that holds it, see POST /sessions"
        raise ProblemError("not-ready", detail, [("/board", detail)])
    return Admission(reservation, low, high)


def open_reservation(connection: sa.Connection, board_id: str, owner: str) -> str | None:
    """The session in which ``owner`` holds the board now."""
    found: str | None = connection.execute(
        sa.select(reservations.c.id).where(
            reservations.c.board_id == board_id,
            reservations.c.owner == owner,
            reservations.c.ended_utc_ns.is_(None),
            reservations.c.expires_utc_ns > now_ns(),
        )
    ).scalar()
    return found


def _wrong(setting: str, detail: str) -> None:
    raise ProblemError("invalid", detail, [(f"/params/{setting}", detail)])
