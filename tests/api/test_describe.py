"""Boards described by a process that ends: the same words, the same errors."""

from __future__ import annotations

import pytest

from api.describe import describe, describe_each
from asic_reservoir.errors import NotFoundError, UsageError

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_apart_is_as_here() -> None:
    uris = ["twin://bm1366?seed=1", "twin://s9?seed=2&pace=1"]
    assert describe_each(uris) == [describe(uri) for uri in uris]


@pytest.mark.parametrize(
    ("uri", "kind"), [("twin://nope", NotFoundError), ("twin://s9?seed=-1", UsageError), ("s9", UsageError)]
)
def test_errors_come_as_they_were(uri: str, kind: type[Exception]) -> None:
    with pytest.raises(kind) as here:
        describe(uri)
    first, apart, last = describe_each(["twin://bm1366?seed=1", uri, "twin://bm1366?seed=2"])
    assert type(apart) is kind
    assert str(apart) == str(here.value)
    assert [first, last] == [describe("twin://bm1366?seed=1"), describe("twin://bm1366?seed=2")]
