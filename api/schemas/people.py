"""Keys, the audit log, health."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field

from api.keys import SCOPES
from api.schemas.words import Body, Words, whole


class KeyRequest(Body):
    name: Words = Field(min_length=1, max_length=64, examples=["bench-2"])
    scopes: list[Literal["read", "run", "operate", "admin"]] = Field(min_length=1, max_length=4)
    expires_in_days: Annotated[float, Field(gt=0, le=3650), BeforeValidator(whole)] | None = None
    requests_per_minute: Annotated[int, Field(ge=1, le=1_000_000), BeforeValidator(whole)] | None = None
    tasks_waiting: Annotated[int, Field(ge=1, le=1_000_000), BeforeValidator(whole)] | None = None


class KeyEntry(BaseModel):
    id: str
    name: str
    prefix: str | None = Field(description="First characters of the secret, after `ar_`.")
    scopes: list[str]
    limits: dict[str, int]
    created: str
    expires: str | None
    revoked: str | None


class KeyMade(KeyEntry):
    secret: str = Field(description="Shown this once; only its digest is kept.")


class KeyList(BaseModel):
    items: list[KeyEntry]


class Me(BaseModel):
    name: str
    scopes: list[str]


class AuditEntry(BaseModel):
    id: str
    time: str
    owner: str
    action: str
    target: str
    detail: dict[str, Any]


class AuditPage(BaseModel):
    items: list[AuditEntry]
    next: str | None


class Health(BaseModel):
    status: Literal["ok"]


class Readiness(BaseModel):
    status: Literal["ready", "not ready"]
    database: bool
    disk_free_bytes: int
    boards_held: int = Field(description="Boards that a worker holds now.")
    boards: int


assert set(SCOPES) == {"read", "run", "operate", "admin"}
