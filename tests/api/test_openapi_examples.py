"""The OpenAPI document says of everything what it means, and shows what it looks like."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from api.app import create_app
from api.openapi import document
from api.settings import ServiceSettings

BINARY = {"application/octet-stream", "application/zip", "application/x-npy", "application/vnd.apache.parquet", "*/*"}
"""What has no text to show."""


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("spec")
    return document(create_app(ServiceSettings(f"sqlite:///{folder}/facts.db", folder, workers=False)))


def contents(spec: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Where, media type, content: of every request and answer."""
    for path, operations in spec["paths"].items():
        for method, operation in operations.items():
            where = f"{method.upper()} {path}"
            bodies = {"request": operation.get("requestBody", {})} | operation["responses"]
            for name, body in bodies.items():
                for media_type, content in body.get("content", {}).items():
                    yield f"{where} {name}", media_type, content


def shown(content: dict[str, Any]) -> list[Any]:
    one = [content["example"]] if "example" in content else []
    return one + [example["value"] for example in content.get("examples", {}).values()]


def test_everything_has_words(spec: dict[str, Any]) -> None:
    silent = [
        f"{method.upper()} {path} {parameter['name']}"
        for path, operations in spec["paths"].items()
        for method, operation in operations.items()
        for parameter in operation.get("parameters", [])
        if not parameter.get("description")
    ]
    silent += [
        f"{name}.{field}"
        for name, schema in spec["components"]["schemas"].items()
        if not name.startswith("TaskRequest.")
        for field, value in schema.get("properties", {}).items()
        if not value.get("description") and "$ref" not in value
    ]
    assert silent == []


def test_everything_has_an_example_that_is_valid(spec: dict[str, Any]) -> None:
    bare = [f"{where} {media_type}" for where, media_type, content in contents(spec)
            if media_type not in BINARY and content.get("schema") and not shown(content)]  # fmt: skip
    bare += [f"{path} {parameter['name']}" for path, operations in spec["paths"].items()
             for operation in operations.values() for parameter in operation.get("parameters", [])
             if "example" not in parameter and not parameter["schema"].get("examples")]  # fmt: skip
    assert bare == []
    wrong = []
    whole = {"components": spec["components"]}
    for where, media_type, content in contents(spec):
        if not media_type.endswith("json") or "schema" not in content:
            continue
        check = jsonschema.Draft202012Validator(content["schema"] | whole)
        wrong += [f"{where}: {error.json_path} {error.message}"[:300]
                  for example in shown(content) for error in check.iter_errors(example)]  # fmt: skip
    for operations in spec["paths"].values():
        for operation in operations.values():
            for parameter in operation.get("parameters", []):
                check = jsonschema.Draft202012Validator(parameter["schema"] | whole)
                wrong += [f"{parameter['name']}: {error.message}" for error in check.iter_errors(parameter["example"])]
    for name, schema in spec["components"]["schemas"].items():
        for field, value in schema.get("properties", {}).items():
            check = jsonschema.Draft202012Validator(value | whole)
            examples = value.get("examples", [])
            wrong += [f"{name}.{field}: {error.message}" for one in examples for error in check.iter_errors(one)]
    assert wrong == []
