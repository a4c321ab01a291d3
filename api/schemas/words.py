"""Words that models of requests and answers share."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from api.queue.states import TaskState

UUID_PATTERN = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,63}$"
State = Literal["queued", "running", "cancelling", "succeeded", "failed", "cancelled", "expired", "set_aside"]
"""The words of :class:`TaskState`, as the schema lists them."""
assert set(State.__args__) == {state.value for state in TaskState}  # type: ignore[attr-defined]


def whole(value: object) -> object:
    """JSON has one kind of number: 3 and 3.0 are the same integer; true and "3" are none."""
    if isinstance(value, bool | str):
        raise ValueError("must be an integer")
    return value


def _boolean(value: object) -> object:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


Flag = Annotated[bool, BeforeValidator(_boolean)]
Words = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]*$")]
"""A line of text: no control characters."""


class Body(BaseModel):
    """Requests refuse what they do not know."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


def time_of(utc_ns: int | None) -> str | None:
    """RFC 3339 in UTC.

    >>> time_of(1_500_000_000)
    '1970-01-01T00:00:01.500000Z'
    """
    if utc_ns is None:
        return None
    seconds, rest_ns = divmod(utc_ns, 1_000_000_000)
    return f"{_second_of(seconds)}.{rest_ns // 1000:06d}Z"


@lru_cache(maxsize=64)
def _second_of(utc_s: int) -> str:
    return datetime.fromtimestamp(utc_s, UTC).isoformat().removesuffix("+00:00")
