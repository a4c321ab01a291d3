"""What routes share: the service of a request, pages, plain JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import Path, Query, Request
from starlette.responses import Response

from api.problems import ProblemError
from api.schemas import NAME_PATTERN, UUID_PATTERN
from api.service import Service

TaskId = Annotated[str, Path(pattern=UUID_PATTERN, description="Identifier of the task.")]
SomeId = Annotated[str, Path(pattern=UUID_PATTERN)]
BoardName = Annotated[str, Path(pattern=NAME_PATTERN, description="Name on the shelf.")]
Limit = Annotated[int, Query(ge=1, le=200, description="Items on a page, at most.")]
Cursor = Annotated[str | None, Query(pattern=UUID_PATTERN, description="`next` of the page before.")]


def service_of(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


_encode = json.JSONEncoder(allow_nan=False, ensure_ascii=True, separators=(",", ":")).encode
"""``json.dumps`` makes an encoder of its own for every call that differs from its defaults."""


def json_response(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """JSON of what is known to fit its schema already: a model's validation costs more than the database."""
    return Response(_encode(content).encode(), status, headers, "application/json")


async def newest_page(
    request: Request,
    statement: sa.Select[Any],
    identifier: sa.Column[str],
    document: Callable[[Any], dict[str, Any]],
    limit: int,
    cursor: str | None,
) -> Response:
    """A page of a list, newest first.

    Args:
        request: of the list.
        statement: all of it, in any order.
        identifier: that it is ordered by; of version 7, so that later is greater.
        document: of a row.
        limit: items on the page, at most.
        cursor: identifier of the last item of the page before; None for the first page.
    """
    statement = statement.order_by(identifier.desc()).limit(limit + 1)
    if cursor is not None:
        statement = statement.where(identifier < cursor)
    rows = await service_of(request).read(lambda connection: connection.execute(statement).all())
    items = [document(row) for row in rows[:limit]]
    following = items[-1]["id"] if len(rows) > limit else None
    headers = {}
    if following is not None:
        url = request.url.include_query_params(cursor=following)
        headers["Link"] = f'<{url.path}?{url.query}>; rel="next"'
    return json_response({"items": items, "next": following}, headers=headers)


def suffix_of(content_type: str | None, suffixes: Mapping[str, str]) -> str:
    """Suffix of the file that an upload is, by its media type; raises ProblemError for one that is not taken."""
    suffix = suffixes.get((content_type or "").partition(";")[0].strip().lower())
    if suffix is None:
        raise ProblemError("media-type", f"Content-Type {content_type!r}: must be one of {', '.join(suffixes)}")
    return suffix
