"""Settings of a kind, read as JSON Schema reads them: 5.0 is an integer, "5" and true are none."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from api.problems import ProblemError, pointer
from asic_reservoir.errors import NotFoundError
from asic_reservoir.kinds import TaskKind, task_kind

_UNKEEPABLE = re.compile(r"(?<!\\)(?:\\\\)*\\u(?:0000|[dD][89a-fA-F])")
"""A NUL or a lone surrogate in JSON text: not every database keeps them."""
_encode = json.JSONEncoder(allow_nan=False, ensure_ascii=True).encode


def parse_params(name: str, params: Mapping[str, Any]) -> tuple[TaskKind[Any], dict[str, Any]]:
    """The kind, and its settings with every default filled in.

    Raises:
        ProblemError: ``not-found`` for the kind; ``invalid``, with a pointer to each setting that is wrong.
    """
    try:
        kind = task_kind(name)
    except NotFoundError as error:
        raise ProblemError("not-found", str(error), [("/kind", str(error))]) from None
    try:
        text = _encode(_plain(params, 0))
    except ValueError as error:
        raise ProblemError("invalid", f"/params: {error}", [("/params", str(error))]) from None
    # pairs of surrogates are written as two escapes: only what is left of them after decoding is alone
    if _UNKEEPABLE.search(text) and not _keepable(json.loads(text)):
        raise ProblemError("invalid", "/params: a NUL or lone surrogate", [("/params", "must be plain text")])
    try:
        parsed: BaseModel = kind.params.model_validate_json(text, strict=True)
    except ValidationError as error:
        errors = [
            (pointer(("body", "params", *one["loc"])), one["msg"])
            for one in error.errors(include_url=False, include_context=False, include_input=False)
        ]
        raise ProblemError("invalid", f"{errors[0][0]}: {errors[0][1]}", errors) from None
    return kind, parsed.model_dump(mode="json")


def _plain(value: Any, depth: int) -> Any:
    """Floats that are integers as integers; strict parsing then takes them for either."""
    if depth > 32:
        raise ValueError("nested deeper than 32, must be flatter")
    if isinstance(value, dict):
        return {key: _plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item, depth + 1) for item in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**63:
        return int(value)
    return value


def _keepable(value: Any) -> bool:
    if isinstance(value, dict):
        return all(_keepable(key) and _keepable(item) for key, item in value.items())
    if isinstance(value, list):
        return all(_keepable(item) for item in value)
    return not isinstance(value, str) or not any(c == "\0" or 0xD800 <= ord(c) <= 0xDFFF for c in value)
