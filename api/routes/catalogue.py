"""What there is besides boards and tasks: kinds, models, claims, recordings."""

from __future__ import annotations

from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from api import schemas
from api.problems import ProblemError
from api.routes.common import SomeId, json_response, service_of
from api.security import Reader
from asic_reservoir.kinds import TaskKind, task_kinds
from asic_reservoir.store.facts import boards, claims, models, runs

router = APIRouter(tags=["catalogue"])


def kind_document(kind: TaskKind[Any]) -> dict[str, Any]:
    return {
        "name": kind.name,
        "title": kind.title,
        "description": kind.description,
        "params_schema": kind.params.model_json_schema(),
        "example": dict(kind.example),
    }


@router.get("/kinds", response_model=schemas.KindList)
async def list_kinds(key: Reader) -> Response:
    """Kinds of tasks, with the JSON Schema of their settings."""
    return json_response({"items": [kind_document(kind) for kind in task_kinds().values()]})


@router.get("/kinds/{name}", response_model=schemas.Kind, responses={404: {}})
async def get_kind(name: Annotated[str, Path(pattern=schemas.NAME_PATTERN)], key: Reader) -> Response:
    """One kind."""
    kind = task_kinds().get(name)
    if kind is None:
        raise ProblemError("not-found", f"task kind {name!r}: unknown, must be one of {', '.join(task_kinds())}")
    return json_response(kind_document(kind))


@router.get("/models", response_model=schemas.ModelList)
async def list_models(request: Request, key: Reader) -> Response:
    """Trained readouts, newest first."""
    statement = sa.select(
        models.c.id, models.c.name, models.c.version, models.c.origin, models.c.format, models.c.sha256,
        models.c.created_utc_ns, sa.func.length(models.c.content).label("bytes"),
    ).order_by(models.c.id.desc()).limit(1000)  # fmt: skip
    rows = await service_of(request).read(lambda connection: connection.execute(statement).all())
    items = [
        {
            "id": row.id,
            "name": row.name,
            "version": row.version,
            "origin": row.origin,
            "format": row.format,
            "bytes": row.bytes,
            "sha256": row.sha256,
            "created": schemas.time_of(row.created_utc_ns),
        }
        for row in rows
    ]
    return json_response({"items": items})


@router.get(
    "/models/{model_id}/content",
    response_class=Response,
    responses={200: {"content": {"application/octet-stream": {}}, "description": "The model."}, 404: {}},
)
async def get_model(model_id: SomeId, request: Request, key: Reader) -> Response:
    """A trained readout as it was stored (NPZ without pickled objects, or JSON)."""
    row = await service_of(request).read(
        lambda c: c.execute(sa.select(models.c.content, models.c.sha256).where(models.c.id == model_id)).one_or_none()
    )
    if row is None:
        raise ProblemError("not-found", f"model {model_id}: unknown")
    return Response(row.content, headers={"ETag": f'"{row.sha256}"'}, media_type="application/octet-stream")


@router.get("/claims", response_model=schemas.ClaimList)
async def list_claims(request: Request, key: Reader) -> Response:
    """The ledger: published claims, tried on boards."""
    statement = (
        sa.select(claims, boards.c.uri).join(boards, boards.c.id == claims.c.board_id).order_by(claims.c.id).limit(1000)
    )
    rows = await service_of(request).read(lambda connection: connection.execute(statement).all())
    items = [
        {
            "claim": row.claim,
            "board": row.uri,
            "origin": row.origin,
            "published": row.published,
            "measured": row.measured,
            "verdict": row.verdict,
            "created": schemas.time_of(row.created_utc_ns),
        }
        for row in rows
    ]
    return json_response({"items": items})


@router.get("/recordings", response_model=schemas.RecordingList)
async def list_recordings(request: Request, key: Reader) -> Response:
    """Recorded runs, newest first; their events lie in a folder of the machine that is named."""
    statement = (
        sa.select(runs, boards.c.uri)
        .join(boards, boards.c.id == runs.c.board_id)
        .order_by(runs.c.id.desc())
        .limit(1000)
    )
    rows = await service_of(request).read(lambda connection: connection.execute(statement).all())
    items = [
        {
            "id": row.id,
            "board": row.uri,
            "origin": row.origin,
            "state": row.state,
            "host": row.host,
            "created": schemas.time_of(row.created_utc_ns),
            "begin_ns": row.begin_ns,
            "end_ns": row.end_ns,
        }
        for row in rows
    ]
    return json_response({"items": items})
