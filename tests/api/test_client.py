"""The client and the command line against a real service on a real socket."""

from __future__ import annotations

import asyncio
import http.server
import json
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from fault_rig import until

from api.app import create_app
from api.keys import create_key
from api.settings import ServiceSettings
from api.shelf import put_on_shelf
from asic_reservoir.client import AsyncClient, Client, Event, TaskFailedError
from asic_reservoir.errors import BusyError, NotFoundError, ServerError, UsageError

pytestmark = [pytest.mark.usefixtures("odd_kinds"), pytest.mark.slow, pytest.mark.timeout(900)]
PROGRAM = [sys.executable, "-c", "from asic_reservoir.cli import main; main()"]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, serve: Any, odd_kinds: Path) -> Iterator[tuple[str, Any]]:
    folder = tmp_path_factory.mktemp("client")
    app = create_app(ServiceSettings(f"sqlite:///{folder}/facts.db", folder, body_limit=100_000))
    put_on_shelf(app.state.service.writer, "bench", "twin://bm1366?seed=1")
    with serve(app) as url:
        yield url, app


def test_submit_follow_result_and_files(service: tuple[str, Any], tmp_path: Path) -> None:
    seen: list[Event] = []
    with Client(service[0]) as client:
        assert [board["name"] for board in client.boards()] == ["bench"]
        assert "observe" in [kind["name"] for kind in client.kinds()]
        task = client.submit("observe", "bench", n_steps=5, options={"priority": 2})
        result = client.wait(task.id, seen.append)
        assert [event.sequence for event in seen] == list(range(1, len(seen) + 1))
        assert (seen[0].kind, seen[-1].kind) == ("running", "succeeded")
        assert result.origin == "simulated"
        assert result.cost["board_seconds"] == 5.0
        assert task.id in [one.id for one in client.tasks(state="succeeded")]
        written = client.submit("writer", "bench")
        client.wait(written.id)
        path = client.download(written.id, "notes.txt", tmp_path)
        assert path.read_text() == "what was seen"


def test_a_result_shows_itself_and_escapes_what_it_shows(service: tuple[str, Any]) -> None:
    with Client(service[0]) as client:
        result = client.wait(client.submit("observe", "bench", n_steps=2).id)
    shown = result._repr_html_()
    assert "simulated" in shown
    same = {name: getattr(result, name) for name in ("data", "cost", "provenance", "files")}
    evil = type(result).of("x", same | {"kind": "<script>", "board": "b", "origin": "o", "summary": {"<b>": "<i>"}})
    assert "<script>" not in evil._repr_html_()
    assert "<i>" not in evil._repr_html_()


def test_errors_are_those_of_our_tree(service: tuple[str, Any]) -> None:
    with Client(service[0]) as client:
        with pytest.raises(UsageError, match="/params/n_steps"):
            client.submit("observe", "bench", n_steps=0)
        with pytest.raises(NotFoundError, match="not on the shelf"):
            client.submit("observe", "nowhere")
        task = client.submit("paced", "bench", trace="/dev/null", seconds=7200.0)
        with pytest.raises(BusyError, match="has no result"):
            client.result(task.id)
        client.cancel(task.id)
        with pytest.raises(TaskFailedError, match="cancelled"):
            client.wait(task.id)
    with Client(service[0], key="ar_wrong") as client, pytest.raises(UsageError, match="not valid"):
        client.boards()
    with pytest.raises(UsageError, match="plain http"):
        Client("http://lab.example", key="ar_x")
    with pytest.raises(UsageError, match="must be a URL"):
        Client("lab.example")


def test_the_same_with_an_event_loop(service: tuple[str, Any]) -> None:
    async def many() -> list[str]:
        async with AsyncClient(service[0]) as client:
            tasks = [await client.submit("observe", "bench", n_steps=2) for _ in range(3)]
            results = await asyncio.gather(*(client.wait(task.id) for task in tasks))
            return [result.origin for result in results]

    assert asyncio.run(many()) == ["simulated"] * 3


class _Flaky(http.server.BaseHTTPRequestHandler):
    """Fails as networks do: answers lost, unavailable, cut off; keeps what it was asked."""

    asked: ClassVar[list[tuple[str, str | None, str | None]]] = []
    plan: ClassVar[list[str]] = []

    def log_message(self, *arguments: object) -> None:
        pass

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        self.rfile.read(length)
        self.asked.append((self.path, self.headers.get("Idempotency-Key"), self.headers.get("Last-Event-ID")))
        what = self.plan.pop(0)
        if what == "lost":
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        status = 503 if what == "unavailable" else 200
        body = what.encode() if status == 200 else b"{}"
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Retry-After", "0")
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = _answer


@pytest.fixture
def flaky() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Flaky)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    _Flaky.asked.clear()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


TASK = {
    "id": "t", "kind": "observe", "board": "b", "state": "queued", "params": {}, "error": None, "queue_position": 0,
    "attempts": 0,
}  # fmt: skip


def test_a_lost_answer_is_asked_for_again_under_the_same_name(flaky: str) -> None:
    _Flaky.plan = ["lost", "unavailable", json.dumps(TASK)]
    with Client(flaky) as client:
        assert client.submit("observe", "b").id == "t"
    names = {name for _, name, _ in _Flaky.asked}
    assert len(_Flaky.asked) == 3
    assert len(names) == 1
    assert None not in names


def test_a_stream_that_breaks_is_resumed_after_the_last_event(flaky: str) -> None:
    def event(n: int, kind: str) -> str:
        return f'id: {n}\nevent: {kind}\ndata: {{"sequence":{n},"kind":"{kind}","data":{{}}}}\n\n'

    _Flaky.plan = [event(1, "running") + "id: 2\nevent: prog", event(2, "succeeded") + "event: end\ndata: {}\n\n"]
    with Client(flaky) as client:
        assert [one.sequence for one in client.events("t")] == [1, 2]
    assert [last for _, _, last in _Flaky.asked] == [None, "1"]
    _Flaky.plan = ["event: x\ndata: nonsense\n\n"]
    with Client(flaky) as client, pytest.raises(Exception, match="must be an event"):
        list(client.events("t"))


def test_nobody_there(service: tuple[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asic_reservoir.client._requests.FIRST_WAIT_S", 0.01)
    with Client("http://127.0.0.1:1") as client, pytest.raises(ServerError, match=r"127\.0\.0\.1:1"):
        client.boards()


def test_an_endless_body_is_cut_off(service: tuple[str, Any]) -> None:
    """Chunks without end: the answer comes while they are still being sent."""
    host, port = service[0].removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), 60) as wire:
        head = f"POST /api/v1/tasks HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
        wire.sendall(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n")
        for _ in range(10_000):
            try:
                wire.sendall(b"400\r\n" + b" " * 1024 + b"\r\n")
            except OSError:  # it has hung up; what it said before is still to be read
                break
            if select.select([wire], [], [], 0.001)[0]:
                break
        answer = wire.recv(65536)
        assert b" 413 " in answer.split(b"\r\n")[0]


def command(*words: str, server: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROGRAM, "task", *words, "--server", server], capture_output=True, text=True, timeout=240, check=False
    )


def test_the_command_line_does_it_remotely(service: tuple[str, Any], tmp_path: Path) -> None:
    done = command("submit", "observe", "--board", "bench", "--set", "n_steps=4", "--wait", server=service[0])
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["cost"]["board_seconds"] == 4.0
    wrong = command("submit", "observe", "--board", "bench", "--set", "n_steps=0", server=service[0])
    assert (wrong.returncode, wrong.stderr.startswith("error: /params/n_steps")) == (2, True)
    assert command("show", "0199d6b0-0000-7000-8000-000000000000", server=service[0]).returncode == 3


def test_a_key_of_the_service_opens_it_to_other_programs(service: tuple[str, Any]) -> None:
    url, app = service
    _, secret = app.state.service.writer.run(lambda c: create_key(c, "reader", ["read"]))
    with Client(url, key=secret) as client:
        assert client.boards()
        with pytest.raises(UsageError, match="lacks the scope 'run'"):
            client.submit("observe", "bench")


def test_serve_keys_and_stop_from_the_shell(tmp_path: Path) -> None:
    """As the README says it: serve, submit NARMA-10 on a twin, save the report, make a key, stop."""
    data = tmp_path / "data"
    options = ["--data", str(data), "--port", "0", "--board", "lv06=twin://lv06?seed=1"]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen([*PROGRAM, "serve", *options], stdout=subprocess.PIPE, stderr=log, text=True)
        assert process.stdout is not None
        try:
            url = process.stdout.readline().strip().rstrip("/")
            small = [f"--set={pair}" for pair in ("seeds=1", "steps=400", "curve=false", "controls=false")]
            out = tmp_path / "out"
            done = command(
                "submit",
                "experiment",
                "--board",
                "lv06",
                "--set",
                "task=narma10",
                *small,
                "--out",
                str(out),
                server=url,
            )
            assert done.returncode == 0, done.stderr
            assert "nrmse silicon" in json.loads(done.stdout)["summary"]
            assert "simulated" in (out / "report.html").read_text()
            made = subprocess.run(
                [*PROGRAM, "keys", "create", "me", "--data", str(data)], capture_output=True, text=True, check=True
            )
            with Client(url, key=made.stdout.strip()) as client:
                until(lambda: client.boards()[0]["state"] == "idle", "the shelf shows that it has ended")
        finally:
            process.terminate()
            assert process.wait(60) in (0, -15)
