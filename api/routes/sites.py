"""What is elsewhere: workers on other machines, and other sites on the bus."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from api.routes.common import json_response, service_of
from api.schemas import time_of
from api.schemas.sites import ScrapeTarget, SiteList, WorkerList
from api.security import Reader
from api.worker.presence import seen_lately

router = APIRouter(tags=["operation"])


@router.get("/sites", response_model=SiteList)
async def list_sites(request: Request, key: Reader) -> Response:
    """What other sites say on the bus (`serve --bus`): their boards, and events of their tasks."""
    service = service_of(request)
    fan_in, own = service.fan_in, service.settings.bus
    items = [] if fan_in is None else fan_in.sites()
    connected = fan_in is not None and fan_in.connected
    return json_response({"own": None if own is None else own.site, "connected": connected, "items": items})


@router.get("/workers", response_model=WorkerList)
async def list_workers(request: Request, key: Reader) -> Response:
    """Worker processes beside this service that were seen within a minute."""
    rows = await service_of(request).read(seen_lately)
    items = [
        {
            "name": row.name,
            "host": row.host,
            "metrics": row.metrics,
            "started": time_of(row.started_utc_ns),
            "seen": time_of(row.seen_utc_ns),
        }
        for row in rows
    ]
    return json_response({"items": items})


@router.get("/sd/prometheus", response_model=list[ScrapeTarget])
async def discover(request: Request, key: Reader) -> Response:
    """Metrics of the workers, for `http_sd_configs` of Prometheus."""
    rows = await service_of(request).read(seen_lately)
    return json_response([{"targets": [row.metrics], "labels": {"host": row.host}} for row in rows if row.metrics])
