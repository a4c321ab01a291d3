"""The application: routes, errors, headers, and what lives as long as it does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.middleware.gzip import GZipMiddleware

from api import openapi, problems
from api.intake import Intake
from api.metrics import BusState, Metrics, Shelf
from api.middleware import Front
from api.routes import (
    admin,
    boards,
    catalogue,
    claims,
    health,
    models,
    page,
    recordings,
    series,
    sessions,
    sites,
    streams,
    task_outcome,
    tasks,
)
from api.security import Gate
from api.service import Service
from api.settings import ServiceSettings
from asic_reservoir import __version__

DESCRIPTION = """Tasks for boards of retired Bitcoin mining ASICs, one holder a board.

Submit with `POST /tasks`, follow `Location`, read `GET /tasks/{task_id}/result`. Every error is a problem document
(RFC 9457). What a twin made is labelled `simulated`, everywhere."""


def create_app(settings: ServiceSettings) -> FastAPI:
    """The application for ``uvicorn``; opens its database when it starts.

    Raises:
        UsageError, DataError: the database cannot be opened.
    """
    service = Service(settings)
    metrics = Metrics()
    metrics.registry.register(Shelf(service.engine, settings.data, service.started))
    metrics.registry.register(BusState(service.bus, service.fan_in))

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        await service.start()
        try:
            yield
        finally:
            await service.stop()

    app = FastAPI(
        title="asic-reservoir",
        version=__version__,
        description=DESCRIPTION,
        lifespan=life,
        docs_url=None,  # the usual pages load scripts from other hosts
        redoc_url=None,
        openapi_url="/api/v1/openapi.json",
    )
    app.state.service, app.state.gate, app.state.metrics = service, Gate(service), metrics
    app.state.streams, app.state.intake = {}, Intake(settings.data / "incoming")
    kept = (models, claims, recordings, series, catalogue)
    for part in (tasks, task_outcome, streams, boards, sessions, *kept, sites, admin):
        app.include_router(part.router, prefix="/api/v1")
    app.include_router(health.router)
    page.install(app)
    problems.install(app)
    openapi.install(app)
    app.add_middleware(GZipMiddleware, minimum_size=1024, compresslevel=5)
    app.add_middleware(Front, metrics=metrics, body_limit=settings.body_limit, upload_limit=settings.upload_limit)
    return app
