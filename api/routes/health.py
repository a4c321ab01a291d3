"""Whether it lives, whether it can work, and the metrics."""

from __future__ import annotations

import shutil

import sqlalchemy as sa
from fastapi import APIRouter, Request
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from api import schemas
from api.problems import ProblemError, page
from api.routes.common import json_response, service_of
from api.routes.sessions import held_now
from api.security import Reader
from asic_reservoir.errors import AsicReservoirError
from asic_reservoir.store.facts import shelf

router = APIRouter(tags=["health"])

LEAST_FREE = 256 << 20
"""Bytes on the disk, below which nothing new is taken to be safe."""


@router.get("/livez", response_model=schemas.Health)
async def alive() -> Response:
    """The process answers."""
    return json_response({"status": "ok"})


@router.get(
    "/readyz",
    response_model=schemas.Readiness,
    responses={503: {"model": schemas.Readiness, "description": "Not ready."}},
)
async def ready(request: Request) -> Response:
    """The database answers, there is room on the disk, and somebody holds each board."""
    service = service_of(request)
    held = total = 0
    database = True
    try:
        held = await service.read(held_now)
        total = await service.read(lambda c: c.execute(sa.select(sa.func.count()).select_from(shelf)).scalar_one())
    except (sa.exc.SQLAlchemyError, AsicReservoirError):
        database = False
    free = shutil.disk_usage(service.settings.data).free
    good = database and free > LEAST_FREE and held >= total
    document = {
        "status": "ready" if good else "not ready",
        "database": database,
        "disk_free_bytes": free,
        "boards_held": held,
        "boards": total,
    }
    return json_response(document, 200 if good else 503)


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "For Prometheus."}},
)
async def metrics(request: Request, key: Reader) -> Response:
    """Boards, tasks, store and API in the format of Prometheus; on other machines with a key of the scope `read`."""
    content = await run_in_threadpool(generate_latest, request.app.state.metrics.registry)
    return Response(content, media_type=CONTENT_TYPE_LATEST)


@router.get("/problems/{name}", responses={404: {}}, include_in_schema=False)
async def problem_type(name: str) -> Response:
    """What a `type` of a problem document means, and what to do."""
    found = page(name)
    if found is None:
        raise ProblemError("not-found", f"problem {name[:40]!r}: unknown")
    return found
