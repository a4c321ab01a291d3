"""The REST interface, on a real service over its ASGI door."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from api.keys import SCOPES, create_key
from api.settings import ServiceSettings
from api.shelf import put_on_shelf

NOBODY = "0199d6b0-0000-7000-8000-000000000000"
LOCAL = ("127.0.0.1", 50000)


def open_client(folder: Path, **settings: Any) -> TestClient:
    app = create_app(ServiceSettings(f"sqlite:///{folder}/facts.db", folder, **settings))
    put_on_shelf(app.state.service.writer, "bench", "twin://bm1366?seed=1")
    return TestClient(app, base_url="http://127.0.0.1", client=LOCAL)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """With workers."""
    with open_client(tmp_path_factory.mktemp("service")) as client:
        yield client


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """Without workers: what is queued stays queued."""
    with open_client(tmp_path_factory.mktemp("still"), workers=False, body_limit=100_000) as client:
        yield client


def submit(client: TestClient, headers: dict[str, str] | None = None, **changes: Any) -> Any:
    body = {"kind": "observe", "board": "bench", "params": {"n_steps": 3}} | changes
    return client.post("/api/v1/tasks", json=body, headers=headers or {})


def finished(client: TestClient, location: str) -> dict[str, Any]:
    end = time.monotonic() + 120
    while True:
        task: dict[str, Any] = client.get(location).json()
        if task["state"] in ("succeeded", "failed", "cancelled", "set_aside"):
            return task
        assert time.monotonic() < end, task
        time.sleep(0.05)


def key_of(client: TestClient, *scopes: str, **more: Any) -> dict[str, str]:
    service = client.app.state.service  # type: ignore[attr-defined]
    name = f"key {time.monotonic_ns()}"
    _, secret = service.writer.run(lambda c: create_key(c, name, scopes, **more))
    return {"Authorization": f"Bearer {secret}"}


def test_a_task_from_submission_to_result(client: TestClient) -> None:
    answer = submit(client)
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"/api/v1/tasks/{answer.json()['id']}"
    assert answer.headers["Retry-After"] == "1"
    task = finished(client, answer.headers["Location"])
    assert task["state"] == "succeeded"
    assert task["params"] == {
        "n_steps": 3, "step_seconds": 1.0, "frequency_mhz": None, "voltage_mv": None, "difficulty": None,
        "raster": False,
    }  # fmt: skip
    result = client.get(answer.headers["Location"] + "/result").json()
    assert result["origin"] == "simulated"
    assert result["cost"]["board_seconds"] == 3.0
    assert result["cost"]["energy_j"] > 0
    assert result["provenance"]["task_id"] == task["id"]
    etag = client.get(answer.headers["Location"]).headers["ETag"]
    assert client.get(answer.headers["Location"], headers={"If-None-Match": etag}).status_code == 304


def test_events_come_in_order_and_resume(client: TestClient) -> None:
    location = submit(client, params={"n_steps": 200}).headers["Location"]
    with client.stream("GET", location + "/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        text = "".join(stream.iter_text())
    ids = [int(line[4:]) for line in text.splitlines() if line.startswith("id: ")]
    assert ids == list(range(1, len(ids) + 1))
    assert text.endswith("event: end\ndata: {}\n\n")
    kinds = [line[7:] for line in text.splitlines() if line.startswith("event: ")]
    assert kinds[0] == "running"
    assert kinds[-2:] == ["succeeded", "end"]
    with client.stream("GET", location + "/events", headers={"Last-Event-ID": str(ids[-2])}) as stream:
        again = "".join(stream.iter_text())
    assert [int(line[4:]) for line in again.splitlines() if line.startswith("id: ")] == ids[-1:]
    history = client.get(location + "/history", params={"after": 1}).json()["items"]
    assert [event["sequence"] for event in history] == ids[1:]


def test_a_name_of_ones_own_makes_submission_repeatable(still: TestClient) -> None:
    first = submit(still, {"Idempotency-Key": "mine"})
    again = submit(still, {"Idempotency-Key": "mine"})
    assert again.status_code == 202
    assert again.headers["Location"] == first.headers["Location"]
    assert again.headers["Idempotent-Replay"] == "true"
    other = submit(still, {"Idempotency-Key": "mine"}, params={"n_steps": 4})
    assert (other.status_code, other.json()["type"]) == (422, "/problems/key-reused")
    # another key's name is another name
    stranger = submit(still, {"Idempotency-Key": "mine"} | key_of(still, "run", "read"))
    assert stranger.headers["Location"] != first.headers["Location"]


def test_pages_go_through_everything_once(still: TestClient) -> None:
    made = [submit(still, priority=i % 3).json()["id"] for i in range(7)]
    seen: list[str] = []
    path: str | None = "/api/v1/tasks?limit=3"
    while path:
        answer = still.get(path)
        page = answer.json()
        seen += [item["id"] for item in page["items"]]
        path = None
        if page["next"]:
            link = answer.headers["Link"]
            assert link.endswith('rel="next"')
            path = link[1 : link.index(">")]
    assert len(seen) == len(set(seen))
    assert seen == sorted(seen, reverse=True)
    assert set(made) <= set(seen)
    position = still.get(f"/api/v1/tasks/{made[0]}").json()["queue_position"]
    assert position >= 4  # those of a higher priority, and what waited before


@pytest.mark.parametrize("fresh_s", [0.0, 1e9])
def test_a_task_does_not_stand_before_itself(
    still: TestClient, monkeypatch: pytest.MonkeyPatch, fresh_s: float
) -> None:
    """Whether the queue was looked at before it was submitted, or after."""
    monkeypatch.setattr("api.views.FRESH_S", fresh_s)
    monkeypatch.setattr("api.views.SELDOM", 0)
    submit(still)
    for priority in (0, 10, 0):
        made = submit(still, priority=priority).json()
        assert made["queue_position"] == still.get(f"/api/v1/tasks/{made['id']}").json()["queue_position"]


@pytest.mark.parametrize(
    ("body", "status", "pointer"),
    [
        ({"kind": "obserf"}, 404, "/kind"),
        ({"board": "nowhere"}, 404, "/board"),
        ({"params": {"n_steps": 0}}, 422, "/params/n_steps"),
        ({"params": {"n_steps": True}}, 422, "/params/n_steps"),
        ({"params": {"n_steps": "3"}}, 422, "/params/n_steps"),
        ({"params": {"a/b~": 1}}, 422, "/params/a~1b~0"),
        ({"priority": "1"}, 422, "/priority"),
        ({"priority": True}, 422, "/priority"),
        ({"extra": 1}, 422, "/extra"),
    ],
)
def test_what_is_wrong_is_named_by_pointer(still: TestClient, body: dict[str, Any], status: int, pointer: str) -> None:
    answer = submit(still, **body)
    problem = answer.json()
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert [error["pointer"] for error in problem["errors"]] == [pointer]
    assert problem["request_id"] == answer.headers["X-Request-Id"]
    assert still.get(problem["type"]).json()["status"] == status


def test_integers_may_be_written_as_numbers_with_a_point(still: TestClient) -> None:
    body = b'{"kind": "observe", "board": "bench", "params": {"n_steps": 3.0}, "priority": 1.0}'
    answer = still.post("/api/v1/tasks", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 202
    assert answer.json()["params"]["n_steps"] == 3


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"{", 400),
        (b"[" * 5000, 400),
        (b'{"kind": "\xff"}', 400),
        (b'{"kind":"observe","board":"bench","params":' + b'{"a":' * 40 + b"1" + b"}" * 41, 422),
        (b'{"kind":"observe","board":"bench","params":{"n_steps":NaN}}', 422),
        (b'{"kind":"observe","board":"bench","params":{"n_steps":1e999}}', 422),
        (b'{"kind":"observe","board":"bench","params":{"x":"\\u0000"}}', 422),
        (b'{"kind":"observe","board":"\\ud800"}', 422),
        (b'{"kind":"observe","board":"\\u0000"}', 404),
        (b'{"kind":"\\ud800","board":"bench"}', 422),
        (b" " * 100_001, 413),
    ],
)
def test_bodies_that_cannot_be_read(still: TestClient, content: bytes, status: int) -> None:
    answer = still.post("/api/v1/tasks", content=content, headers={"content-type": "application/json"})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


def test_cancel(still: TestClient) -> None:
    location = submit(still).headers["Location"]
    assert still.post(location + "/cancel").json()["state"] == "cancelled"
    assert still.post(location + "/cancel").json()["state"] == "cancelled"
    mine = submit(still, key_of(still, "run")).headers["Location"]
    assert still.post(mine + "/cancel", headers=key_of(still, "run")).status_code == 403
    assert still.post(mine + "/cancel", headers=key_of(still, "run", "operate")).status_code == 202
    assert "no result" in still.get(location + "/result").json()["detail"]


def test_a_board_changes_only_for_who_saw_it_last(still: TestClient) -> None:
    path = "/api/v1/boards/bench"
    etag = still.get(path).headers["ETag"]
    change = {"enabled": False, "reason": "new paste"}
    assert still.patch(path, json=change).status_code == 428
    answer = still.patch(path, json=change, headers={"If-Match": etag})
    assert answer.json()["reason"] == "new paste"
    assert still.patch(path, json=change, headers={"If-Match": etag}).status_code == 412
    back = still.patch(path, json={"enabled": True}, headers={"If-Match": answer.headers["ETag"]})
    assert back.status_code == 200


def test_emergency_stop_asks_for_the_name_and_is_written_down(client: TestClient) -> None:
    path = "/api/v1/boards/bench"
    wrong = client.post(path + "/stop", json={"confirm": "bunch"})
    assert [error["pointer"] for error in wrong.json()["errors"]] == ["/confirm"]
    assert client.get(path).json()["state"] != "stopped"
    assert client.post(path + "/stop", json={"confirm": "bench", "reason": "smoke"}).json()["state"] == "stopped"
    assert client.post(path + "/release", json={"confirm": "bench"}).json()["state"] != "stopped"
    log = client.get("/api/v1/audit", headers=key_of(client, "admin")).json()["items"]
    assert [line["action"] for line in log if line["target"] == "bench"] == ["board-released", "board-stopped"]


@pytest.mark.slow
def test_a_board_that_is_disabled_promises_no_start_and_lets_deadlines_pass(client: TestClient) -> None:
    assert finished(client, submit(client).headers["Location"])["state"] == "succeeded"  # a start can be estimated now
    path = "/api/v1/boards/bench"
    version = client.get(path).headers["ETag"]
    assert client.patch(path, json={"enabled": False}, headers={"If-Match": version}).status_code == 200
    try:
        waiting = submit(client)
        assert waiting.json()["estimated_start"] is None
        assert client.get(waiting.headers["Location"]).json()["estimated_start"] is None
        late = submit(client, deadline_seconds=0.5).headers["Location"]
        end = time.monotonic() + 60
        while client.get(late).json()["state"] != "expired":
            assert time.monotonic() < end
            time.sleep(0.1)
    finally:
        version = client.get(path).headers["ETag"]
        assert client.patch(path, json={"enabled": True}, headers={"If-Match": version}).status_code == 200
    assert finished(client, waiting.headers["Location"])["state"] == "succeeded"


def test_sessions_reserve_a_board(still: TestClient) -> None:
    mine, other = key_of(still, "run", "read"), key_of(still, "run", "read")
    made = still.post("/api/v1/sessions", json={"board": "bench", "seconds": 60}, headers=mine)
    assert made.status_code == 201
    assert still.post("/api/v1/sessions", json={"board": "bench"}, headers=other).status_code == 409
    location = made.headers["Location"]
    assert still.get(location, headers=other).json()["mine"] is False
    assert still.delete(location, headers=other).status_code == 403
    assert still.delete(location, headers=mine).status_code == 204
    assert still.get(location, headers=mine).json()["ended"] is not None


def test_a_key_is_shown_once_and_ends_at_once(still: TestClient) -> None:
    admin = key_of(still, "admin")
    made = still.post("/api/v1/keys", json={"name": "bench-2", "scopes": ["read"]}, headers=admin).json()
    headers = {"Authorization": f"Bearer {made['secret']}"}
    assert still.get("/api/v1/me", headers=headers).json() == {"name": "bench-2", "scopes": ["read"]}
    listed = still.get("/api/v1/keys", params={"prefix": made["prefix"]}, headers=admin)
    assert [item["id"] for item in listed.json()["items"]] == [made["id"]]
    assert made["secret"] not in listed.text
    database = Path(still.app.state.service.settings.data / "facts.db")  # type: ignore[attr-defined]
    assert made["secret"].encode() not in database.read_bytes()
    assert still.delete(f"/api/v1/keys/{made['id']}", headers=admin).status_code == 204
    assert still.get("/api/v1/me", headers=headers).status_code == 401
    for wrong in ("Bearer x", "Bearer ar_aaaaaaaa_", "Basic eDp4", "", f"Bearer {made['secret'][:-1]}", "Bearer é"):
        assert still.get("/api/v1/me", headers={"Authorization": wrong.encode()}).status_code == 401


def test_keys_have_limits(still: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    # the clock of the limits alone stands still: on a slow machine they would fill again
    monkeypatch.setattr("api.security.time", SimpleNamespace(monotonic=lambda: 1000.0))
    slow = key_of(still, "read", "run", limits={"requests_per_minute": 5, "tasks_waiting": 2})
    assert [submit(still, slow).status_code for _ in range(3)] == [202, 202, 429]
    codes = [still.get("/api/v1/me", headers=slow).status_code for _ in range(4)]
    assert codes == [200, 200, 429, 429]
    assert int(still.get("/api/v1/me", headers=slow).headers["Retry-After"]) >= 1


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:8337"},
        {"X-Forwarded-For": "10.0.0.1"},
        {"Forwarded": "for=10.0.0.1"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
)
def test_other_peoples_pages_and_proxies_are_not_this_machine(still: TestClient, headers: dict[str, str]) -> None:
    assert still.get("/api/v1/boards", headers=headers).status_code == 401
    assert submit(still, headers).status_code == 401


def test_other_machines_need_a_key(still: TestClient) -> None:
    far = TestClient(still.app, base_url="http://127.0.0.1", client=("10.1.2.3", 5))
    assert far.get("/api/v1/boards").status_code == 401
    assert far.get("/api/v1/boards", headers=key_of(still, "read")).status_code == 200
    assert far.get("/livez").status_code == 200


def operations(client: TestClient) -> list[tuple[str, str]]:
    spec = client.get("/api/v1/openapi.json").json()
    return [(method, path) for path, methods in spec["paths"].items() for method in methods]


NEEDS = {
    "post /api/v1/tasks": "run",
    "post /api/v1/tasks/{task_id}/cancel": "run",
    "post /api/v1/sessions": "run",
    "delete /api/v1/sessions/{session_id}": "run",
    "delete /api/v1/models/{model_id}": "run",
    "post /api/v1/recordings": "run",
    "post /api/v1/series": "run",
    "delete /api/v1/series/{series_id}": "run",
    "patch /api/v1/boards/{name}": "operate",
    "post /api/v1/boards/{name}/stop": "operate",
    "post /api/v1/boards/{name}/release": "operate",
    "post /api/v1/keys": "admin",
    "get /api/v1/keys": "admin",
    "delete /api/v1/keys/{key_id}": "admin",
    "get /api/v1/audit": "admin",
    "get /livez": None,
    "get /readyz": None,
}
"""What a route needs, where it is not ``read``."""


def test_every_route_against_every_scope(still: TestClient) -> None:
    """Each key has all scopes but one, or one alone: nothing is let in that should not be, nothing kept out."""
    far = TestClient(still.app, base_url="http://127.0.0.1", client=("10.1.2.3", 5))
    one = {scope: key_of(still, scope) for scope in SCOPES}
    rest = {scope: key_of(still, *(other for other in SCOPES if other != scope)) for scope in SCOPES}
    past = key_of(still, *SCOPES, expires_utc_ns=1)
    tried = 0
    for method, path in operations(still):
        need = NEEDS.get(f"{method} {path}", "read")
        url = path.replace("{name}", "bench") if "/files/" not in path else path.replace("{name}", "a.txt")
        url = url.replace("{claim_id}", "reservoir")
        for parameter in ("task_id", "session_id", "key_id", "model_id", "recording_id", "series_id"):
            url = url.replace(f"{{{parameter}}}", NOBODY)

        def ask(headers: dict[str, str], method: str = method, url: str = url) -> int:
            nonlocal tried
            tried += 1
            # an empty body: refused by the schema after the right was seen, so that nothing changes
            return far.request(method, url, headers=headers, json={} if method != "get" else None).status_code

        if need is None:
            assert ask({}) in (200, 503)
            continue
        for headers in ({}, past, {"Authorization": "Bearer ar_aaaaaaaa_" + "A" * 43}):
            assert ask(headers) == 401, (method, path)
        for scope in SCOPES:
            assert (ask(one[scope]) == 403) == (scope != need), (method, path, scope)
            assert (ask(rest[scope]) == 403) == (scope == need), (method, path, scope)
    assert tried > 200


def test_headers_that_browsers_obey(still: TestClient) -> None:
    for path in ("/api/v1/boards", "/api/v1/nothing", "/livez"):
        headers = still.get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "unsafe" not in headers["Content-Security-Policy"]
    assert still.get("/api/v1/openapi.json", headers={"Accept-Encoding": "gzip"}).headers["Content-Encoding"] == "gzip"
    assert still.put("/api/v1/tasks").headers["Allow"] == "GET, POST"


def test_the_document_is_complete(still: TestClient) -> None:
    spec = still.get("/api/v1/openapi.json").json()
    assert spec["openapi"].startswith("3.1")
    for method, path in operations(still):
        operation = spec["paths"][path][method]
        assert operation["description"], (method, path)
        for status, answer in operation["responses"].items():
            if int(status) >= 400 and path != "/readyz":
                assert list(answer["content"]) == ["application/problem+json"], (method, path, status)
    examples = spec["paths"]["/api/v1/tasks"]["post"]["requestBody"]["content"]["application/json"]["examples"]
    kinds = [kind["name"] for kind in still.get("/api/v1/kinds").json()["items"]]
    assert sorted(examples) == kinds
    session = still.post("/api/v1/sessions", json={"board": "bench"}).headers["Location"]  # a stream needs one
    for example in examples.values():
        assert submit(still, **(example["value"] | {"board": "bench"})).status_code == 202
    assert still.delete(session).status_code == 204
    assert "HTTPValidationError" not in json.dumps(spec)


def test_metrics_are_what_prometheus_reads(client: TestClient) -> None:
    from prometheus_client.parser import text_string_to_metric_families

    finished(client, submit(client).headers["Location"])
    families = {f.name: f for f in text_string_to_metric_families(client.get("/metrics").text)}
    info = families["asic_reservoir_board_info"].samples[0].labels
    assert info == {
        "board": "bench", "origin": "simulated", "family": "bm1366", "chip": "BM1366", "model": info["model"],
    }  # fmt: skip
    assert families["asic_reservoir_board_power_watts"].samples[0].value > 0
    routes = {sample.labels["route"] for sample in families["asic_reservoir_http_requests"].samples}
    assert "/api/v1/tasks/{task_id}" in routes
    assert not any(NOBODY in route for route in routes)
    for name, family in families.items():
        assert name.startswith("asic_reservoir_"), name
        assert not any("created" in sample.name for sample in family.samples)
