"""A plain submission passes by FastAPI's machinery: what it finds must be what that would have found."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from hypothesis import example, given
from hypothesis import strategies as st

from api.app import create_app
from api.keys import create_key
from api.settings import ServiceSettings
from api.shelf import put_on_shelf
from asic_reservoir.store.facts import tasks

PLAIN, LONG = "application/json", "application/json; charset=utf-8"
"""The second means the same and is no plain request: it goes FastAPI's way."""
PATH = "/api/v1/tasks"
GOOD: dict[str, Any] = {"kind": "observe", "board": "bench", "params": {"n_steps": 3}}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    folder = tmp_path_factory.mktemp("submission")
    app = create_app(ServiceSettings(f"sqlite:///{folder}/facts.db", folder, workers=False, body_limit=10_000))
    put_on_shelf(app.state.service.writer, "bench", "twin://bm1366?seed=1")
    with TestClient(app, base_url="http://127.0.0.1", client=("127.0.0.1", 50000)) as opened:
        yield opened


def counted(client: TestClient) -> int:
    engine = client.app.state.service.engine  # type: ignore[attr-defined]
    with engine.connect() as connection:
        return int(connection.execute(sa.select(sa.func.count()).select_from(tasks)).scalar_one())


def seen(client: TestClient, content: bytes, media_type: str, headers: dict[str, str]) -> dict[str, Any]:
    """What came of a submission, less what is another's each time."""
    before = counted(client)
    answer = client.post(PATH, content=content, headers={"content-type": media_type} | headers)
    document = answer.json()
    for name in ("id", "created", "deadline", "queue_position", "estimated_start", "request_id"):
        document.pop(name, None)
    named = sorted(set(answer.headers) - {"content-length"})
    return {"status": answer.status_code, "document": document, "headers": named, "queued": counted(client) - before}


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
settings = st.sampled_from(["n_steps", "point", "step_seconds", "warm_up_seconds", "seed", "x"])
bodies = st.fixed_dictionaries(
    {},
    optional={
        "kind": st.sampled_from(["observe", "observe", "narma10", "stream", "obserf", ""]) | values,
        "board": st.sampled_from(["bench", "bench", "nowhere"]) | values,
        "params": st.dictionaries(settings, st.integers(1, 5) | values, max_size=2) | values,
        "priority": st.integers(-12, 12) | st.sampled_from([1.0, 1.5, "1", True]),
        "deadline_seconds": st.floats(0, 1e6) | st.sampled_from([0, -1, None, "5"]),
        "max_attempts": st.integers(-1, 12) | values,
        "extra": values,
    },
).map(lambda changes: json.dumps(GOOD | changes).encode())
broken = st.tuples(bodies, st.integers(0, 40), st.binary(max_size=2)).map(lambda b: b[0][: b[1]] + b[2] + b[0][b[1] :])


@given(content=bodies | bodies | broken, name=st.none() | st.text(max_size=3).filter(str.isascii))
@example(content=b"", name=None)
@example(content=b'{"kind":"observe","kind":"narma10","board":"bench"}', name=None)
@example(content=json.dumps(GOOD).encode("utf-16"), name=None)
@example(content=b"\xef\xbb\xbf" + json.dumps(GOOD).encode(), name=None)
@example(content=b'{"kind":"observe","board":"bench","params":{"n_steps":-0}}', name=None)
@example(content=b'{"kind":"observe","board":"bench","params":{"n_steps":' + b"1" * 5000 + b"}}", name=None)
@example(
    content=b'{"kind":"observe","board":"bench","params":{"n_steps":3,"x":' + b"[" * 300 + b"]" * 300 + b"}}", name=None
)
def test_both_ways_find_the_same(client: TestClient, content: bytes, name: str | None) -> None:
    # a name of one's own makes the second submission the first: each way gets another
    there = {} if name is None else {"idempotency-key": f"p{name}"}
    other = {} if name is None else {"idempotency-key": f"l{name}"}
    try:
        plain = seen(client, content, PLAIN, there)
    except (UnicodeEncodeError, ValueError):
        return  # the client does not send such a header
    assert plain == seen(client, content, LONG, other)
    assert plain["status"] in (202, 400, 404, 409, 422)


def test_only_what_is_plain_and_right_passes_by(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    handed_on = []

    async def handle(self: APIRoute, scope: Any, receive: Any, send: Any) -> None:
        handed_on.append((await receive())["body"])
        await send({"type": "http.response.start", "status": 418, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    monkeypatch.setattr(APIRoute, "handle", handle)
    content = json.dumps(GOOD).encode()
    assert client.post(PATH, content=content, headers={"content-type": PLAIN}).status_code == 202
    assert not handed_on
    assert client.post(PATH, content=content, headers={"content-type": LONG}).status_code == 418
    assert client.post(PATH, content=content[1:], headers={"content-type": PLAIN}).status_code == 418
    twice = [("content-type", PLAIN), ("idempotency-key", "a"), ("idempotency-key", "b")]
    assert client.post(PATH, content=content, headers=twice).status_code == 418
    assert handed_on == [content, content[1:], content]  # with the body whole


def test_a_key_is_asked_for_on_both_ways(client: TestClient) -> None:
    service = client.app.state.service  # type: ignore[attr-defined]
    reader = service.writer.run(lambda c: create_key(c, "reader", ["read"]))[1]
    for headers, status in (
        ({"authorization": "Bearer ar_nobody"}, 401),
        ({"authorization": ""}, 401),
        ({"authorization": "Basic YTpi"}, 401),
        ({"authorization": f"Bearer {reader}"}, 403),
        ({"x-forwarded-for": "10.0.0.1"}, 401),
        ({"origin": "https://elsewhere.example"}, 401),
    ):
        found = [seen(client, json.dumps(GOOD).encode(), media_type, headers) for media_type in (PLAIN, LONG)]
        assert found[0] == found[1]
        assert (found[0]["status"], found[0]["queued"]) == (status, 0)


@pytest.mark.parametrize("media_type", [PLAIN, LONG])
def test_bodies_in_pieces(client: TestClient, media_type: str) -> None:
    """In pieces it is taken; cut off in the middle it is not, and too large is too large however it is declared."""
    content = json.dumps(GOOD).encode()

    def piece(part: bytes, more: bool) -> dict[str, Any]:
        return {"type": "http.request", "body": part, "more_body": more}

    async def send_pieces(messages: list[dict[str, Any]]) -> int:
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
            "path": PATH, "raw_path": PATH.encode(), "root_path": "", "query_string": b"", "state": {},
            "server": ("127.0.0.1", 80), "client": ("127.0.0.1", 50000),
            "headers": [(b"host", b"127.0.0.1"), (b"content-type", media_type.encode())],
        }  # fmt: skip
        statuses: list[int] = []

        async def receive() -> dict[str, Any]:
            return messages.pop(0) if messages else {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        await client.app(scope, receive, send)
        return statuses[0]

    def came_of(*messages: dict[str, Any]) -> tuple[int, int]:
        before = counted(client)
        assert client.portal is not None
        status = client.portal.call(send_pieces, list(messages))
        return status, counted(client) - before

    assert came_of(piece(content[:9], True), piece(b"", True), piece(content[9:], False)) == (202, 1)
    assert came_of(piece(content, True), {"type": "http.disconnect"}) == (400, 0)
    assert came_of(piece(content, True), piece(b" " * 10_000, False)) == (413, 0)
