"""Models: trained readouts, to look at, to take along, to predict with."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

import numpy as np
import sqlalchemy as sa
from fastapi import APIRouter, Header, Path, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from api import schemas
from api.keys import note
from api.problems import ProblemError
from api.routes.common import Cursor, Limit, json_response, newest_page, service_of
from api.security import Reader, Runner
from asic_reservoir.store.facts import models, results, tasks
from asic_reservoir.trained import TrainedReadout

router = APIRouter(prefix="/models", tags=["models"])

ModelId = Annotated[str, Path(pattern=schemas.UUID_PATTERN, description="Identifier of the model.")]
_SELECT = sa.select(
    models.c.id, models.c.name, models.c.version, models.c.origin, models.c.format, models.c.sha256,
    models.c.created_utc_ns, sa.func.length(models.c.content).label("bytes"), results.c.task_id,
).outerjoin(results, results.c.id == models.c.result_id)  # fmt: skip


def model_document(row: Any) -> dict[str, Any]:
    """A row of ``_SELECT`` as :class:`api.schemas.ModelEntry`."""
    return {
        "id": row.id,
        "name": row.name,
        "version": row.version,
        "origin": row.origin,
        "format": row.format,
        "bytes": row.bytes,
        "sha256": row.sha256,
        "created": schemas.time_of(row.created_utc_ns),
        "task": row.task_id,
    }


def newest_models(connection: sa.Connection, limit: int) -> list[dict[str, Any]]:
    """For the page."""
    rows = connection.execute(_SELECT.order_by(models.c.id.desc()).limit(limit)).all()
    return [model_document(row) for row in rows]


@router.get("", response_model=schemas.ModelPage)
async def list_models(
    request: Request,
    key: Reader,
    name: Annotated[
        str | None, Query(max_length=200, pattern=r"^[a-z0-9._-]+$", description="Only of this name.")
    ] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """Trained readouts, newest first."""
    statement = _SELECT if name is None else _SELECT.where(models.c.name == name)
    return await newest_page(request, statement, models.c.id, model_document, limit, cursor)


@router.get("/{model_id}", response_model=schemas.Model, responses={404: {}})
async def get_model(model_id: ModelId, request: Request, key: Reader) -> Response:
    """One readout: what it was trained on, how its states were made."""
    row, content = await _load(request, model_id)
    readout = TrainedReadout.from_npz(content)
    more = {
        "n_states": readout.n_states,
        "settings": readout.settings.model_dump(mode="json"),
        "feature_names": list(readout.feature_names),
    }
    return json_response(model_document(row) | more, headers={"ETag": f'"{row.sha256}"'})


@router.get(
    "/{model_id}/content",
    response_class=Response,
    responses={
        200: {
            "content": {"application/octet-stream": {}, "application/json": {}},
            "description": "The readout: an NPZ that numpy.load reads, or one JSON object with the same names.",
        },
        304: {"description": "As you have it."},
        404: {},
    },
)
async def get_content(
    model_id: ModelId,
    request: Request,
    key: Reader,
    format: Annotated[Literal["npz", "json"], Query(description="NPZ without pickled objects, or JSON.")] = "npz",
    if_none_match: Annotated[str | None, Header(max_length=200)] = None,
) -> Response:
    """A readout to take along: `y = states @ weights + intercept`. It never changes."""
    row, content = await _load(request, model_id)
    headers = {"ETag": f'"{row.sha256}-{format}"', "Cache-Control": "private, max-age=31536000, immutable"}
    if if_none_match == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    headers["Content-Disposition"] = f'attachment; filename="{row.name}-{row.version}.{format}"'
    if format == "json":
        text = json.dumps(TrainedReadout.from_npz(content).to_json(), allow_nan=False)
        return Response(text, headers=headers, media_type="application/json")
    return Response(content, headers=headers, media_type="application/octet-stream")


@router.delete("/{model_id}", status_code=204, response_class=Response, responses={404: {}})
async def delete_model(model_id: ModelId, request: Request, key: Runner) -> Response:
    """Delete a readout. That of a task of yours; with the scope `operate`, everybody's.

    A model holds its task and result against retention; without it they may go when their time is over.
    """

    def write(connection: sa.Connection) -> None:
        row = connection.execute(
            sa.select(models.c.name, models.c.version, tasks.c.owner)
            .outerjoin(results, results.c.id == models.c.result_id)
            .outerjoin(tasks, tasks.c.id == results.c.task_id)
            .where(models.c.id == model_id)
        ).one_or_none()
        if row is None:
            raise ProblemError("not-found", f"model {model_id}: unknown")
        if row.owner != key.id and "operate" not in key.scopes:
            raise ProblemError("no-right", f"model {model_id} is another's; that needs the scope 'operate'")
        connection.execute(models.delete().where(models.c.id == model_id))
        note(connection, key.id, "model-deleted", model_id, {"name": row.name, "version": row.version})

    await service_of(request).write(write)
    return Response(status_code=204)


@router.post("/{model_id}/predict", response_model=schemas.Prediction, responses={404: {}})
async def predict(model_id: ModelId, wanted: schemas.PredictRequest, request: Request, key: Reader) -> Response:
    """Outputs for states. Nothing is kept; the board is not touched."""
    _, content = await _load(request, model_id)
    readout = TrainedReadout.from_npz(content)
    for number, row in enumerate(wanted.states):
        if len(row) != readout.n_states:
            detail = f"states row {number}: {len(row)} values, must be {readout.n_states}"
            raise ProblemError("invalid", detail, [(f"/states/{number}", detail)])
    states = np.array(wanted.states, np.float64)
    outputs = await run_in_threadpool(readout.predict, states)
    far = np.flatnonzero(~np.isfinite(outputs))
    if far.size:
        detail = f"states row {far[0]}: its output is beyond the range of a float, must be smaller"
        raise ProblemError("invalid", detail, [(f"/states/{far[0]}", detail)])
    return json_response({"outputs": outputs.tolist(), "washout": readout.settings.washout})


async def _load(request: Request, model_id: str) -> tuple[Any, bytes]:
    statement = _SELECT.add_columns(models.c.content).where(models.c.id == model_id)
    row = await service_of(request).read(lambda connection: connection.execute(statement).one_or_none())
    if row is None:
        raise ProblemError("not-found", f"model {model_id}: unknown")
    return row, row.content
