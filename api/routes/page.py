"""The operator's page and its parts. The frame is for everybody; what it shows needs the right to read."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Query, Request
from jinja2 import Environment, FileSystemLoader
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from api.problems import ProblemError
from api.routes.claims import claim_documents
from api.routes.common import service_of
from api.routes.models import newest_models
from api.routes.page_tasks import Show, TaskTable, read_tasks
from api.routes.recordings import newest_recordings
from api.schemas import UUID_PATTERN
from api.security import Reader

router = APIRouter(include_in_schema=False)

FOLDER = Path(__file__).parent.parent / "page"
NEWEST = 20


def age(seconds: float) -> str:
    """A time span in the unit that fits.

    >>> age(7200)
    '2.0 h'
    """
    for unit, size in (("d", 86_400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def old(time: str | None) -> float:
    """Seconds since a time of the API; a live value is shown with its age where it is no longer live."""
    return 0.0 if time is None else max(0.0, (datetime.now(UTC) - datetime.fromisoformat(time)).total_seconds())


_PAGES = Environment(loader=FileSystemLoader(FOLDER / "templates"), autoescape=True, trim_blocks=True)
_PAGES.filters |= {"age": age, "old": old}


@router.get("/")
async def page(request: Request) -> Response:
    """The page; with the shelf and the tasks in it where the asker may see them."""
    content: dict[str, Any] = dict.fromkeys(("boards", "recordings", "models", "claims", "table"))
    try:
        key = await request.app.state.gate.who(request)
        if "read" in key.scopes:
            content = {
                "boards": await service_of(request).views.shelf(),
                "table": await _tasks(request, "newest", None),
                "recordings": await service_of(request).read(lambda c: newest_recordings(c, NEWEST)),
                "models": await service_of(request).read(lambda c: newest_models(c, NEWEST)),
                "claims": await service_of(request).read(claim_documents),
            }
    except ProblemError:
        pass  # the page itself asks for a key
    return _html("page.html", content)


@router.get("/page/shelf")
async def shelf_part(request: Request, key: Reader) -> Response:
    """The table of boards."""
    return _html("shelf.html", {"boards": await service_of(request).views.shelf()})


@router.get("/page/tasks")
async def tasks_part(
    request: Request,
    key: Reader,
    show: Show = "newest",
    after: Annotated[str | None, Query(pattern=UUID_PATTERN)] = None,
) -> Response:
    """A page of the table of tasks, and how many wait."""
    return _html("tasks.html", {"table": await _tasks(request, show, after)})


async def _tasks(request: Request, show: Show, after: str | None) -> TaskTable:
    service = service_of(request)
    boards = await service.views.shelf()
    return await service.read(lambda connection: read_tasks(connection, boards, show, after, NEWEST))


@router.get("/page/recordings")
async def recordings_part(request: Request, key: Reader) -> Response:
    """The table of recordings."""
    found = await service_of(request).read(lambda c: newest_recordings(c, NEWEST))
    return _html("recordings.html", {"recordings": found})


@router.get("/page/models")
async def models_part(request: Request, key: Reader) -> Response:
    """The table of models."""
    return _html("models.html", {"models": await service_of(request).read(lambda c: newest_models(c, NEWEST))})


@router.get("/page/claims")
async def claims_part(request: Request, key: Reader) -> Response:
    """The table of claims."""
    return _html("claims.html", {"claims": await service_of(request).read(claim_documents)})


def _html(name: str, content: dict[str, Any]) -> Response:
    return Response(_PAGES.get_template(name).render(content), media_type="text/html; charset=utf-8")


def install(app: FastAPI) -> None:
    """Routes and files of the page."""
    app.include_router(router)
    app.mount("/static", StaticFiles(directory=FOLDER / "static"))
