"""Series: an input with the target that belongs to it, brought by a user for tasks of kind ``series``."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, Header, Path, Query, Request
from starlette.responses import Response

from api import schemas
from api.intake import Intake
from api.problems import ProblemError
from api.routes.common import Cursor, Limit, json_response, newest_page, service_of, suffix_of
from api.security import Reader, Runner
from asic_reservoir.store.facts import new_id, now_ns, uploads

router = APIRouter(prefix="/series", tags=["series"])

SeriesId = Annotated[str, Path(pattern=schemas.UUID_PATTERN, description="Identifier of the series.")]
SUFFIXES = {"text/csv": ".csv", "application/x-npy": ".npy", "application/vnd.apache.parquet": ".parquet"}
MOST = 200
"""Series of one key at once."""
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_COLUMNS = (uploads.c.id, uploads.c.name, uploads.c.rows, uploads.c.bytes, uploads.c.sha256, uploads.c.created_utc_ns)


def series_document(row: Any) -> dict[str, Any]:
    """A row of ``_COLUMNS`` as :class:`api.schemas.Series`."""
    return {
        "id": row.id,
        "name": row.name,
        "rows": row.rows,
        "bytes": row.bytes,
        "sha256": row.sha256,
        "created": schemas.time_of(row.created_utc_ns),
    }


@router.get("", response_model=schemas.SeriesPage)
async def list_series(request: Request, key: Reader, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """Uploaded series, newest first."""
    return await newest_page(request, sa.select(*_COLUMNS), uploads.c.id, series_document, limit, cursor)


@router.post(
    "",
    status_code=201,
    response_model=schemas.Series,
    responses={
        201: {"headers": {"Location": {"schema": {"type": "string"}, "description": "Of the series."}}},
        415: {},
    },
    openapi_extra={
        "requestBody": {
            "required": True,
            "description": "Columns `input` and `target`, a row a step, 200 to 200,000 rows.",
            "content": dict.fromkeys(SUFFIXES, _BINARY),
        }
    },
)
async def upload_series(
    request: Request,
    key: Runner,
    content_type: Annotated[str | None, Header(max_length=200, include_in_schema=False)] = None,
    name: Annotated[
        str, Query(max_length=128, pattern=r"^[^\x00-\x1f\x7f]+$", description="What you call it, for messages.")
    ] = "upload",
) -> Response:
    """Bring a series with its target; give its `id` as the setting `file` of a task of kind `series`."""
    service = service_of(request)
    suffix = suffix_of(content_type, SUFFIXES)
    count = sa.select(sa.func.count()).select_from(uploads).where(uploads.c.owner == key.id)
    if await service.read(lambda c: c.execute(count).scalar_one()) >= MOST:
        raise ProblemError("too-many", f"series: {MOST} of this key, must be fewer; DELETE what is not needed")
    intake: Intake = request.app.state.intake
    async with intake.receive(request, suffix) as source:
        target = source.with_suffix(".read")
        try:
            found = await intake.read("series", source, target, service.settings.database, name)
            content = target.read_bytes()
        finally:
            target.unlink(missing_ok=True)
    now = now_ns()
    row = {
        "id": new_id(now), "owner": key.id, "name": name, "rows": found["rows"], "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(), "content": content, "created_utc_ns": now,
    }  # fmt: skip
    await service.write(lambda c: c.execute(uploads.insert(), row))
    document = row | {"created": schemas.time_of(now)}
    shown = {field: document[field] for field in schemas.Series.model_fields}
    return json_response(shown, 201, {"Location": f"/api/v1/series/{row['id']}"})


@router.get("/{series_id}", response_model=schemas.Series, responses={404: {}})
async def get_series(series_id: SeriesId, request: Request, key: Reader) -> Response:
    """One series."""
    row = await service_of(request).read(
        lambda c: c.execute(sa.select(*_COLUMNS).where(uploads.c.id == series_id)).one_or_none()
    )
    if row is None:
        raise ProblemError("not-found", f"series {series_id}: unknown")
    return json_response(series_document(row))


@router.delete("/{series_id}", status_code=204, response_class=Response, responses={404: {}})
async def delete_series(series_id: SeriesId, request: Request, key: Runner) -> Response:
    """Delete a series. Yours; with the scope `operate`, everybody's. Tasks that wait for it then fail, and say why."""

    def write(connection: sa.Connection) -> None:
        owner = connection.execute(sa.select(uploads.c.owner).where(uploads.c.id == series_id)).scalar()
        if owner is None:
            raise ProblemError("not-found", f"series {series_id}: unknown")
        if owner != key.id and "operate" not in key.scopes:
            raise ProblemError("no-right", f"series {series_id} is another's; that needs the scope 'operate'")
        connection.execute(uploads.delete().where(uploads.c.id == series_id))

    await service_of(request).write(write)
    return Response(status_code=204)
