"""Links of the OpenAPI document: where an answer leads, so that programs can walk the service (and fuzzers do)."""

from __future__ import annotations

import re
from typing import Any

SOURCES = (
    # the answer that names something, where in it, and the parameter of the paths that lead to it
    ("/tasks", "post", "202", "id", "task_id"),
    ("/tasks", "get", "200", "items/0/id", "task_id"),
    ("/tasks/{task_id}/files", "get", "200", "items/0/name", "name"),
    ("/boards", "get", "200", "items/0/name", "name"),
    ("/sessions", "post", "201", "id", "session_id"),
    ("/models", "get", "200", "items/0/id", "model_id"),
    ("/claims", "get", "200", "items/0/id", "claim_id"),
    ("/recordings", "post", "201", "id", "recording_id"),
    ("/series", "post", "201", "id", "series_id"),
    ("/series", "get", "200", "items/0/id", "series_id"),
    ("/kinds", "get", "200", "items/0/name", "name"),
    ("/keys", "post", "201", "id", "key_id"),
)
ROOT = "/api/v1"


def add_links(spec: dict[str, Any]) -> None:
    """From every answer that names something to every operation on it."""
    for collection, method, status, pointer, parameter in SOURCES:
        response = spec["paths"][ROOT + collection][method]["responses"][status]
        kept = re.findall(r"{(\w+)}", collection)
        for path, operations in spec["paths"].items():
            if not path.startswith(f"{ROOT}{collection}/{{{parameter}}}"):
                continue
            values = {name: f"$request.path.{name}" for name in kept}
            values[parameter] = f"$response.body#/{pointer}"
            for target in operations.values():
                link = {"operationId": target["operationId"], "parameters": values}
                response.setdefault("links", {})[target["operationId"]] = link
