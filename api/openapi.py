"""The OpenAPI document: every status that can come back, every error as a problem document."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api.openapi_examples import add_examples
from api.openapi_links import add_links
from api.problems import KINDS, MEDIA_TYPE, Problem
from asic_reservoir.kinds import task_kinds

_PUBLIC = ("/livez", "/readyz")
_COMMON = (400, 401, 403, 422, 429, 500, 503)
_WITH_BODY = (413,)


def install(app: FastAPI) -> None:
    """Replace FastAPI's own document by ours."""

    def build() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = document(app)
        return app.openapi_schema

    app.openapi = build  # type: ignore[method-assign]


def document(app: FastAPI) -> dict[str, Any]:
    """The document of an application."""
    spec = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    components = spec.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= problem.pop("$defs")
    schemas["Problem"] = problem
    components["securitySchemes"] = {
        "key": {"type": "http", "scheme": "bearer", "description": "A key: `asic-reservoir keys create`."}
    }
    for path, methods in spec["paths"].items():
        for operation in methods.values():
            _complete(path, operation)
    own = set(schemas)
    _kinds(spec)
    add_links(spec)
    add_examples(spec, own)
    return spec


def _complete(path: str, operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    public = path in _PUBLIC
    statuses = {status for status in responses if status.isdecimal() and int(status) >= 400}
    statuses |= {str(status) for status in ((400, 500) if public else _COMMON)}
    if "requestBody" in operation:
        statuses |= {str(status) for status in _WITH_BODY}
    for status in sorted(statuses):
        if path == "/readyz" and status == "503":
            continue
        titles = sorted({kind.title for kind in KINDS.values() if kind.status == int(status)})
        responses[status] = {
            "description": "; ".join(titles) or "Problem",
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
    for parameter in operation.get("parameters", []):
        _without_null(parameter["schema"])
    operation["responses"] = dict(sorted(responses.items()))
    operation["security"] = [] if public else [{"key": []}, {}]


def _without_null(schema: dict[str, Any]) -> None:
    """A parameter is there or not there; the text ``null`` is neither."""
    choices = [choice for choice in schema.get("anyOf", []) if choice != {"type": "null"}]
    if len(choices) == 1:
        del schema["anyOf"]
        schema |= choices[0]


def _kinds(spec: dict[str, Any]) -> None:
    """A submission is one of the kinds, each with the schema of its own settings, and an example."""
    schemas = spec["components"]["schemas"]
    common = schemas["TaskRequest"]
    choices = {}
    for kind in task_kinds().values():
        params = kind.params.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= params.pop("$defs", {})
        schemas[params["title"]] = params
        named = {**common, "title": f"Task of kind {kind.name}", "description": kind.description}
        named["properties"] = common["properties"] | {
            "kind": {"const": kind.name, "type": "string"},
            "params": {"$ref": f"#/components/schemas/{params['title']}"},
        }
        needed = ["params"] if params.get("required") else []
        named["required"] = [*common["required"], *needed]
        schemas[f"TaskRequest.{kind.name}"] = named
        choices[kind.name] = f"#/components/schemas/TaskRequest.{kind.name}"
    schemas["TaskRequest"] = {
        "oneOf": [{"$ref": reference} for reference in choices.values()],
        "discriminator": {"propertyName": "kind", "mapping": choices},
    }
    body = spec["paths"]["/api/v1/tasks"]["post"]["requestBody"]["content"]["application/json"]
    body["examples"] = {
        kind.name: {
            "summary": kind.title,
            "value": {"kind": kind.name, "board": "s9", "params": dict(kind.example)},
        }
        for kind in task_kinds().values()
    }
