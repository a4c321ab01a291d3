"""Words and an example for every field, parameter, request and answer of the OpenAPI document."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from api.openapi_words import TASK, WORDS
from api.problems import KINDS, MEDIA_TYPE, Problem

_EVENT = 'id: 2\nevent: progress\ndata: {"sequence": 2, "kind": "progress", "data": {"done": 120, "total": 1200}}\n\n'
_TEXTS = {
    "text/event-stream": _EVENT,
    "text/plain": '# TYPE asic_reservoir_board_up gauge\nasic_reservoir_board_up{board="s9",origin="simulated"} 1.0\n',
    "text/csv": "input,target\n0.1,0.0\n0.3,0.1\n",
}
"""Of answers and requests that are no JSON. What is no text (NPZ, ZIP, Parquet) has none."""
_OWN = ("example", "examples")


def add_examples(spec: dict[str, Any], own: Collection[str]) -> None:
    """Complete a document whose operations, statuses and schemas are all there.

    Args:
        spec: the document.
        own: names of the schemas of the service; those of the kinds' settings have examples as a whole.
    """
    schemas = spec["components"]["schemas"]
    for name, schema in schemas.items():
        for field, value in schema.get("properties", {}).items():
            words, example = WORDS.get(f"{name}.{field}") or WORDS.get(field) or ("", ...)
            if words and "$ref" not in value:
                value.setdefault("description", words)
            if name in own and example is not ... and not any(own in value for own in _OWN) and "$ref" not in value:
                value["examples"] = [example]
    for path, operations in spec["paths"].items():
        for operation in operations.values():
            for parameter in operation.get("parameters", []):
                _parameter(path, parameter)
            for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
                _content(media_type, content, schemas)
            for status, response in operation["responses"].items():
                for media_type, content in response.get("content", {}).items():
                    if media_type == MEDIA_TYPE:
                        content["examples"] = _problems(path, int(status))
                    else:
                        _content(media_type, content, schemas)


def _parameter(path: str, parameter: dict[str, Any]) -> None:
    name = parameter["name"].lower()
    place = "/".join(path.split("/")[-2:] if path.endswith("}") else path.split("/")[-1:])
    words, example = WORDS.get(f"{place}.{name}") or WORDS.get(name) or ("", ...)
    if words:
        parameter.setdefault("description", words)
    schema = parameter["schema"]
    if example is ...:
        example = schema.get("default")
    if example is not None and not any(own in parameter for own in _OWN):
        parameter["example"] = example


def _content(media_type: str, content: dict[str, Any], schemas: dict[str, Any]) -> None:
    if any(own in content for own in _OWN):
        return
    if media_type in _TEXTS:
        content["example"] = _TEXTS[media_type]
    elif media_type == "application/json" and content.get("schema"):
        content["example"] = example_of(content["schema"], schemas)


def example_of(schema: dict[str, Any], schemas: dict[str, Any]) -> Any:
    """An example of a schema, made of those of its parts.

    >>> example_of({"type": "object", "properties": {"n": {"type": "integer", "examples": [3]}}}, {})
    {'n': 3}
    """
    if "$ref" in schema:
        return example_of(schemas[schema["$ref"].rpartition("/")[2]], schemas)
    if "examples" in schema:
        return schema["examples"][0]
    for key in ("example", "const", "default"):
        if key in schema:
            return schema[key]
    if "enum" in schema:
        return schema["enum"][0]
    for choice in schema.get("anyOf", schema.get("oneOf", ())):
        return example_of(choice, schemas)
    if schema.get("type") == "array":
        return [example_of(schema["items"], schemas)]
    if "properties" in schema:
        return {name: example_of(value, schemas) for name, value in schema["properties"].items()}
    return {"object": {}, "string": "", "integer": 0, "number": 0.0, "boolean": False, "null": None}[schema["type"]]


def _problems(path: str, status: int) -> dict[str, Any]:
    """An example for each kind of problem that has this status."""
    instance = path.replace("{task_id}", TASK)
    examples = {}
    for name, kind in KINDS.items():
        if kind.status == status:
            problem = Problem(
                type=f"/problems/{name}", title=kind.title, status=status, detail=kind.advice, instance=instance,
                request_id="5f0c7a1e00000001", errors=[],
            )  # fmt: skip
            examples[name] = {"summary": kind.title, "value": problem.model_dump()}
    return examples
