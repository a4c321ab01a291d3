"""Other sites, and where Prometheus finds the workers."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field


class SiteLease(BaseModel):
    """What a site said of a lease."""

    state: str = Field(description="`taken`, `lost` or `freed`.")
    token: int
    holder: str
    utc_ns: int


class SiteBoard(BaseModel):
    """What a site said of a board."""

    name: str
    live: dict[str, Any] | None = Field(description="As in `GET /boards/{name}`; None where nothing was said.")
    live_utc_ns: int | None
    lease: SiteLease | None


class SiteEvent(BaseModel):
    """An event of a task at another site."""

    task_id: str
    board: str
    task_kind: str
    sequence: int
    kind: str
    created_utc_ns: int
    data: dict[str, Any]


class Site(BaseModel):
    """What is known of another site."""

    name: str
    heard_utc_ns: int
    boards: list[SiteBoard]
    events: list[SiteEvent] = Field(description="Of its tasks since this service listens, at most 200, newest last.")


class SiteList(BaseModel):
    """All that were heard."""

    own: str | None = Field(description="Name of this site; None where there is no bus.")
    connected: bool = Field(description="Whether the bus is there now.")
    items: list[Site]


class ScrapeTarget(BaseModel):
    """As Prometheus reads it (`http_sd_configs`)."""

    targets: list[str] = Field(examples=[["10.0.0.7:9464"]])
    labels: dict[str, str]


class WorkerEntry(BaseModel):
    """A worker process that was seen within a minute."""

    name: str
    host: str
    metrics: str | None = Field(description="`host:port` for Prometheus.")
    started: str
    seen: str


class WorkerList(BaseModel):
    """All of them."""

    items: list[WorkerEntry]
