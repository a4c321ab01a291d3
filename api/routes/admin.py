"""Keys and the audit log."""

from __future__ import annotations

from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from api import schemas
from api.keys import create_key, revoke_key
from api.routes.common import Cursor, Limit, SomeId, json_response, newest_page, service_of
from api.security import Admin, Reader
from asic_reservoir.store.facts import audit, keys, now_ns

router = APIRouter(tags=["keys"])


def key_document(row: Any) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "prefix": row.prefix,
        "scopes": row.scopes,
        "limits": row.limits or {},
        "created": schemas.time_of(row.created_utc_ns),
        "expires": schemas.time_of(row.expires_utc_ns),
        "revoked": schemas.time_of(row.revoked_utc_ns),
    }


@router.get("/me", response_model=schemas.Me)
async def who_am_i(key: Reader) -> Response:
    """Name and scopes of the key that you send."""
    return json_response({"name": key.name, "scopes": sorted(key.scopes)})


@router.post("/keys", status_code=201, response_model=schemas.KeyMade, responses={409: {}})
async def make_key(wanted: schemas.KeyRequest, request: Request, key: Admin) -> Response:
    """A new key. Its secret is shown this once."""
    limits = {
        name: value for name in ("requests_per_minute", "tasks_waiting") if (value := getattr(wanted, name)) is not None
    }
    expires = None if wanted.expires_in_days is None else now_ns() + int(wanted.expires_in_days * 86_400e9)

    def write(connection: sa.Connection) -> tuple[Any, str]:
        key_id, secret = create_key(
            connection, wanted.name, wanted.scopes, limits=limits, expires_utc_ns=expires, by=key.id
        )
        return connection.execute(sa.select(keys).where(keys.c.id == key_id)).one(), secret

    row, secret = await service_of(request).write(write)
    return json_response(key_document(row) | {"secret": secret}, 201)


@router.get("/keys", response_model=schemas.KeyList)
async def list_keys(
    request: Request,
    key: Admin,
    prefix: Annotated[
        str | None, Query(pattern=r"^[a-z0-9]{1,8}$", description="First characters after `ar_`.")
    ] = None,
) -> Response:
    """Keys, without their secrets."""
    statement = sa.select(keys).order_by(keys.c.id).limit(1000)
    if prefix is not None:
        statement = statement.where(keys.c.prefix.startswith(prefix, autoescape=True))
    rows = await service_of(request).read(lambda connection: connection.execute(statement).all())
    return json_response({"items": [key_document(row) for row in rows]})


@router.delete("/keys/{key_id}", status_code=204, response_class=Response, responses={404: {}})
async def end_key(key_id: SomeId, request: Request, key: Admin) -> Response:
    """Revoke a key, at once."""
    await service_of(request).write(lambda connection: revoke_key(connection, key_id, key.id))
    request.app.state.gate.forget()
    return Response(status_code=204)


@router.get("/audit", response_model=schemas.AuditPage)
async def read_audit(request: Request, key: Admin, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """Who changed what, newest first."""
    return await newest_page(request, sa.select(audit), audit.c.id, audit_document, limit, cursor)


def audit_document(row: Any) -> dict[str, Any]:
    """A row of the audit log as :class:`api.schemas.AuditPage` has it."""
    return {
        "id": row.id,
        "time": schemas.time_of(row.created_utc_ns),
        "owner": row.owner,
        "action": row.action,
        "target": row.target,
        "detail": row.detail,
    }
