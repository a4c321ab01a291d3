"""The application: routes, errors, headers, and what lives as long as it does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute, APIWebSocketRoute

from api import openapi, problems
from api.intake import Intake
from api.metrics import BusState, Metrics, Shelf
from api.middleware import Front, Squeeze
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
    submission,
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
        telemetry={"tracing": False, "metrics": False, "logs": False},  # asks for a provider at every request
    )
    app.state.service, app.state.gate, app.state.metrics = service, Gate(service), metrics
    app.state.streams, app.state.intake = {}, Intake(settings.data / "incoming")
    kept = (models, claims, recordings, series, catalogue)
    for part in (submission, tasks, task_outcome, streams, boards, sessions, *kept, sites, admin):
        _take(app, part.router, "/api/v1")
    _take(app, health.router, "")
    page.install(app)
    problems.install(app)
    openapi.install(app)
    app.add_middleware(Squeeze, minimum_size=1024, compresslevel=5)
    app.add_middleware(Front, metrics=metrics, body_limit=settings.body_limit, upload_limit=settings.upload_limit)
    return app


def _take(app: FastAPI, router: APIRouter, prefix: str) -> None:
    """Its routes as the application's own: a router within a router is searched anew at every request."""
    for route in router.routes:
        if isinstance(route, APIRoute):
            app.router.add_api_route(
                prefix + route.path,
                route.endpoint,
                methods=sorted(route.methods or ()),
                name=route.name,
                tags=route.tags,
                status_code=route.status_code,
                response_model=route.response_model,
                response_class=route.response_class,
                responses=route.responses,
                description=route.description,
                include_in_schema=route.include_in_schema,
                openapi_extra=route.openapi_extra,
                route_class_override=type(route),
            )
        elif isinstance(route, APIWebSocketRoute):
            app.router.add_api_websocket_route(prefix + route.path, route.endpoint, route.name)
        else:
            raise TypeError(f"route {route}: of a kind that is not taken over")
