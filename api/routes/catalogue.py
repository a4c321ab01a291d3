"""Kinds of tasks."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path
from starlette.responses import Response

from api import schemas
from api.problems import ProblemError
from api.routes.common import json_response
from api.security import Reader
from asic_reservoir.kinds import TaskKind, task_kinds

router = APIRouter(tags=["catalogue"])


def kind_document(kind: TaskKind[Any]) -> dict[str, Any]:
    return {
        "name": kind.name,
        "title": kind.title,
        "description": kind.description,
        "params_schema": kind.params.model_json_schema(),
        "example": dict(kind.example),
    }


@router.get("/kinds", response_model=schemas.KindList)
async def list_kinds(key: Reader) -> Response:
    """Kinds of tasks, with the JSON Schema of their settings."""
    return json_response({"items": [kind_document(kind) for kind in task_kinds().values()]})


@router.get("/kinds/{name}", response_model=schemas.Kind, responses={404: {}})
async def get_kind(name: Annotated[str, Path(pattern=schemas.NAME_PATTERN)], key: Reader) -> Response:
    """One kind."""
    kind = task_kinds().get(name)
    if kind is None:
        raise ProblemError("not-found", f"task kind {name!r}: unknown, must be one of {', '.join(task_kinds())}")
    return json_response(kind_document(kind))
