"""What a task leaves beside its result, written in the transaction of the result."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from asic_reservoir.claims import claim_of
from asic_reservoir.errors import DataError
from asic_reservoir.kept import Kept, KeptCalibration, KeptModel
from asic_reservoir.store.facts import calibrations, claims, models, new_id, now_ns, shelf


def keep(
    connection: sa.Connection,
    fact: Kept,
    *,
    board_id: str,
    result_id: str,
    origin: str,
    files: Mapping[str, bytes],
) -> None:
    """Write one fact.

    Args:
        connection: in the transaction that writes the result.
        fact: what the kind of task gave.
        board_id: that the task ran on.
        result_id: of the result that it belongs to.
        origin: of the result.
        files: of the task, by name.

    Raises:
        DataError: a model whose file is not among the files of the task.
    """
    now = now_ns()
    row: dict[str, Any] = {"id": new_id(now), "origin": origin, "created_utc_ns": now}
    if isinstance(fact, KeptModel):
        content = files.get(fact.file)
        if content is None:
            raise DataError(f"model {fact.name!r}: file {fact.file!r} was not kept, must be small enough to keep")
        board = connection.execute(sa.select(shelf.c.name).where(shelf.c.board_id == board_id)).scalar_one()
        name = f"{fact.name}-{board}"
        newest = connection.execute(sa.select(sa.func.max(models.c.version)).where(models.c.name == name)).scalar()
        row |= {"name": name, "version": (newest or 0) + 1, "result_id": result_id, "format": fact.format}
        connection.execute(models.insert(), row | {"content": content, "sha256": hashlib.sha256(content).hexdigest()})
    elif isinstance(fact, KeptCalibration):
        digest = hashlib.sha256(json.dumps(fact.content, sort_keys=True).encode()).hexdigest()
        same = sa.and_(calibrations.c.board_id == board_id, calibrations.c.sha256 == digest)
        if connection.execute(sa.select(calibrations.c.id).where(same)).first() is None:
            row |= {"board_id": board_id, "content": fact.content, "sha256": digest}
            connection.execute(calibrations.insert(), row)
    else:
        published = claim_of(fact.claim).published
        row |= {"claim": fact.claim, "board_id": board_id, "result_id": result_id, "published": published}
        connection.execute(claims.insert(), row | {"measured": fact.measured, "verdict": fact.verdict})
