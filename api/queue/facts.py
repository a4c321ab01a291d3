"""What a task leaves beside its result, written in the transaction of the result."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from asic_reservoir.claims import claim_of
from asic_reservoir.errors import DataError
from asic_reservoir.kept import Kept, KeptCalibration, KeptModel, KeptRecording
from asic_reservoir.store.facts import calibrations, claims, models, new_id, now_ns, results, shelf
from asic_reservoir.store.registration import Registration, register


@dataclass(frozen=True, slots=True)
class Left:
    """What a task left, beside its facts."""

    board_id: str
    """That the task ran on."""
    result_id: str
    origin: str
    """Of the result."""
    files: Mapping[str, bytes]
    """By name."""
    recorded: Mapping[str, Registration]
    """Runs, by identifier."""


def keep(connection: sa.Connection, fact: Kept, left: Left) -> None:
    """Write one fact.

    Args:
        connection: in the transaction that writes the result.
        fact: what the kind of task gave.
        left: what it belongs to.

    Raises:
        DataError: a model whose file is not among the files of the task, or a run that the task did not record.
    """
    now = now_ns()
    row: dict[str, Any] = {"id": new_id(now), "origin": left.origin, "created_utc_ns": now}
    if isinstance(fact, KeptModel):
        content = left.files.get(fact.file)
        if content is None:
            raise DataError(f"model {fact.name!r}: file {fact.file!r} was not kept, must be small enough to keep")
        board = connection.execute(sa.select(shelf.c.name).where(shelf.c.board_id == left.board_id)).scalar_one()
        name = f"{fact.name}-{board}"
        newest = connection.execute(sa.select(sa.func.max(models.c.version)).where(models.c.name == name)).scalar()
        row |= {"name": name, "version": (newest or 0) + 1, "result_id": left.result_id, "format": fact.format}
        connection.execute(models.insert(), row | {"content": content, "sha256": hashlib.sha256(content).hexdigest()})
    elif isinstance(fact, KeptCalibration):
        digest = hashlib.sha256(json.dumps(fact.content, sort_keys=True).encode()).hexdigest()
        same = sa.and_(calibrations.c.board_id == left.board_id, calibrations.c.sha256 == digest)
        if connection.execute(sa.select(calibrations.c.id).where(same)).first() is None:
            row |= {"board_id": left.board_id, "content": fact.content, "sha256": digest}
            connection.execute(calibrations.insert(), row)
    elif isinstance(fact, KeptRecording):
        run = left.recorded.get(fact.run)
        if run is None:
            raise DataError(f"recording {fact.run!r}: was not recorded by this task")
        register(connection, run, "finished")
        connection.execute(results.update().where(results.c.id == left.result_id).values(run_id=fact.run))
    else:
        published = claim_of(fact.claim).published
        row |= {"claim": fact.claim, "board_id": left.board_id, "result_id": left.result_id, "published": published}
        connection.execute(claims.insert(), row | {"measured": fact.measured, "verdict": fact.verdict})
