"""Streaming inference: u[t] over a real socket, through the database, to a board in another process, and back."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from api.app import create_app
from api.keys import create_key
from api.queue import Draft, submit
from api.queue.leases import LeaseWatch, StaleTokenError, take
from api.queue.streams import (
    MOST,
    SequenceError,
    SessionOverError,
    end_stream,
    open_stream,
    put_inputs,
    put_outputs,
    read_outputs,
)
from api.settings import ServiceSettings
from api.shelf import change_board, put_on_shelf
from asic_reservoir.board import Origin
from asic_reservoir.client import AsyncClient, Client
from asic_reservoir.client._live import socket_url
from asic_reservoir.drive import drive
from asic_reservoir.edges import EdgeMap
from asic_reservoir.encoding import Encoder
from asic_reservoir.errors import BusyError, ServerError, TimeoutExpiredError, UsageError
from asic_reservoir.observables import states_of
from asic_reservoir.registry import open_board
from asic_reservoir.store.facts import models, new_id, now_ns, reservations, tasks
from asic_reservoir.trained import FORMAT, ReadoutSettings, TrainedReadout

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
URI = "twin://bm1366?seed=3"
EDGES = EdgeMap(1100.0, np.array([450.0]), np.array([0.03]), 0.0, 0.0)
SETTINGS = ReadoutSettings(
    task="narma10", board=URI, family="bm1366", model="BM1366", n_counters=1, origin=Origin.SIMULATED,
    encoding="frequency", mode="monologue", lags=5, slots=2, step_seconds=1.0, observables=("counts",), mask_seed=7,
    input_low=0.0, input_high=0.5, voltage_mv=1100.0, washout=0, train=0, alpha=1.0, test_nrmse=1.0, provenance={},
)  # fmt: skip
READOUT = TrainedReadout(
    SETTINGS, np.array([0.01, -0.02, 0.03, 0.04]), 0.5, np.zeros(4), np.ones(4), tuple("abcd"), EDGES.edge_mhz,
    EDGES.width,
)  # fmt: skip


def put_model(app: Any, readout: TrainedReadout, name: str) -> str:
    row = {
        "id": new_id(), "name": name, "version": 1, "origin": "simulated", "format": FORMAT,
        "content": readout.to_npz(), "sha256": "0" * 64, "created_utc_ns": now_ns(),
    }  # fmt: skip
    app.state.service.writer.run(lambda c: c.execute(models.insert(), row))
    return str(row["id"])


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, serve: Any) -> Iterator[tuple[str, Any, str]]:
    folder = tmp_path_factory.mktemp("streams")
    app = create_app(ServiceSettings(f"sqlite:///{folder}/facts.db", folder))
    put_on_shelf(app.state.service.writer, "bench", URI)
    with serve(app) as url:
        yield url, app, put_model(app, READOUT, "narma10-bench")


@pytest.fixture
def client(service: tuple[str, Any, str]) -> Iterator[Client]:
    """With a session that holds the board."""
    with Client(service[0]) as client:
        session = client.open_session("bench", 3600)
        yield client
        for task in client.tasks(kind="stream"):
            if not task.over:
                client.cancel(task.id)
                settled(client, task.id)
        client.end_session(session["id"])


def settled(client: Client, task_id: str) -> str:
    end = time.monotonic() + 120
    while not (task := client.task(task_id)).over:
        assert time.monotonic() < end, task
        time.sleep(0.05)
    return task.state


def hear_until_closed(stream: Any) -> None:
    """Frames are heard and thrown away; the close raises."""
    while True:
        stream._talk([])


def offline(inputs: list[float]) -> tuple[Any, Any]:
    """States and outputs of the same inputs on the same twin, driven in one go."""
    scaled = 2.0 * (np.array(inputs) - 0.0) / 0.5 - 1.0
    with open_board(URI) as board:
        encoder = Encoder(SETTINGS.encoding_settings(), board.info, EDGES, scaled, SETTINGS.mask_seed)
        states = states_of(SETTINGS.observables, drive(board, encoder, len(scaled), 2))
    return states, READOUT.predict(states)


def test_a_streamed_output_is_the_offline_one(client: Client, service: tuple[str, Any, str]) -> None:
    inputs = np.random.default_rng(1).uniform(0, 0.5, 150).tolist()
    states, y = offline(inputs)
    task = client.submit("stream", "bench", model=service[2], states=True)
    with client.stream(task.id) as stream:
        first = stream.step(inputs[0])
        found = [first, *stream.run(inputs[1:])]
        stream.end()
    assert [output.sequence for output in found] == list(range(150))
    np.testing.assert_array_equal([output.states for output in found], states)
    np.testing.assert_allclose([output.y for output in found], y, rtol=1e-12)
    assert settled(client, task.id) == "succeeded"
    result = client.result(task.id)
    assert result.summary == {"steps": 150, "ended": "ended"}
    assert [file["name"] for file in result.files] == ["steps.csv"]
    assert result.cost["steps"] == 300


def test_a_broken_connection_is_resumed_where_it_broke(client: Client, service: tuple[str, Any, str]) -> None:
    inputs = np.random.default_rng(2).uniform(0, 0.5, 90).tolist()
    _, y = offline(inputs)
    task = client.submit("stream", "bench", model=service[2])
    found: list[Any] = []
    with client.stream(task.id) as stream:
        for output in stream.run(inputs):
            found.append(output)
            if len(found) in (20, 55):
                stream._socket.socket.shutdown(2)  # the wire is cut, nothing is said
        stream.end()
    assert [output.sequence for output in found] == list(range(90))
    np.testing.assert_allclose([output.y for output in found], y, rtol=1e-12)


def test_an_end_that_does_not_arrive_is_said_again(client: Client, service: tuple[str, Any, str]) -> None:
    """Who says that no more inputs follow knows afterwards that the task has ended."""
    task = client.submit("stream", "bench", model=service[2], idle_seconds=600.0)
    with client.stream(task.id) as stream:
        stream.step(0.1)
        stream._socket.socket.shutdown(2)
        stream.end()
        assert client.task(task.id).state == "succeeded"

    async def run() -> str:
        async with AsyncClient(service[0]) as other:
            made = await other.submit("stream", "bench", model=service[2], idle_seconds=600.0)
            async with other.stream(made.id) as stream:
                await stream.step(0.1)
                stream._socket.transport.abort()
                await stream.end()
                return (await other.task(made.id)).state

    assert asyncio.run(run()) == "succeeded"


def test_states_without_a_model_and_with_an_event_loop(client: Client, service: tuple[str, Any, str]) -> None:
    async def run() -> list[Any]:
        async with AsyncClient(service[0]) as other:
            drive = {"step_seconds": 0.5, "lags": 2, "observables": ["counts", "board"]}
            task = await other.submit("stream", "bench", drive=drive)
            async with other.stream(task.id) as stream:
                found = [output async for output in stream.run([0.1, 0.2, 0.3])]
                found.append(await stream.step(0.4))
                await stream.end()
            return found

    found = asyncio.run(run())
    assert [output.y for output in found] == [None] * 4
    assert [len(output.states) for output in found] == [8] * 4
    assert all(a.end_ns == b.begin_ns for a, b in pairwise(found))


def first_step(client: Client, app: Any, stream: Any) -> None:
    """The first input is there before the board begins: it cannot come later than the idle time allows."""

    def enable(enabled: bool) -> None:
        app.state.service.writer.run(lambda c: change_board(c, "bench", None, enabled=enabled))

    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(stream.step, 0.1)
        end = time.monotonic() + 60
        while client._http.get(f"/api/v1/tasks/{stream.task_id}/stream").json()["next"] < 1:
            assert time.monotonic() < end
            time.sleep(0.02)
        enable(True)
        assert answer.result(120).sequence == 0


@pytest.fixture
def disabled(service: tuple[str, Any, str]) -> Iterator[None]:
    """The board takes no task until it is enabled."""
    writer = service[1].state.service.writer
    writer.run(lambda c: change_board(c, "bench", None, enabled=False))
    yield
    writer.run(lambda c: change_board(c, "bench", None, enabled=True))


@pytest.mark.usefixtures("disabled")
@pytest.mark.parametrize("connected", [False, True])
def test_nobody_at_the_other_end_makes_the_board_safe(
    client: Client, service: tuple[str, Any, str], connected: bool
) -> None:
    task = client.submit("stream", "bench", model=service[2], idle_seconds=2.0)
    with client.stream(task.id) as stream:
        first_step(client, service[1], stream)
        if connected:
            with pytest.raises(TimeoutExpiredError, match="4408"):
                hear_until_closed(stream)
    assert settled(client, task.id) == "succeeded"
    assert client.result(task.id).summary == {"steps": 1, "ended": "idle"}


def test_cancel_ends_a_stream(client: Client, service: tuple[str, Any, str]) -> None:
    task = client.submit("stream", "bench", model=service[2], idle_seconds=600.0)
    with client.stream(task.id) as stream:
        stream.step(0.1)
        client.cancel(task.id)
        with pytest.raises(ServerError, match="4410: cancelled"):
            hear_until_closed(stream)
    assert settled(client, task.id) == "cancelled"


def test_the_end_of_the_session_is_the_end_of_its_stream(service: tuple[str, Any, str]) -> None:
    with Client(service[0]) as client:
        session = client.open_session("bench", 3600)
        task = client.submit("stream", "bench", model=service[2], idle_seconds=600.0)
        with client.stream(task.id) as stream:
            stream.step(0.1)
            client.end_session(session["id"])
            with pytest.raises(BusyError, match="4409"):
                hear_until_closed(stream)
        assert settled(client, task.id) == "succeeded"
        with pytest.raises(BusyError, match="session"):
            client.submit("stream", "bench", model=service[2])


def test_the_newest_connection_has_the_stream(client: Client, service: tuple[str, Any, str]) -> None:
    task = client.submit("stream", "bench", model=service[2])
    with client.stream(task.id) as old, client.stream(task.id) as new:
        old.step(0.1)
        new._connected()
        with pytest.raises(BusyError, match="4401"):
            hear_until_closed(old)
        assert new.step(0.2).sequence == 1
        new.end()


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ('{"seq": 0, "u": NaN}', 1007),
        ('{"seq": 0, "u": Infinity}', 1007),
        ('{"seq": 0, "u": "0.1"}', 1007),
        ('{"seq": 0, "u": true}', 1007),
        ('{"seq": 0, "u": null}', 1007),
        ('{"seq": 0, "u": []}', 1007),
        ('{"seq": 0, "u": [[0.1]]}', 1007),
        (json.dumps({"seq": 0, "u": [0.1] * 65}), 1007),
        ('{"seq": "0", "u": 0.1}', 1007),
        ('{"seq": -1, "u": 0.1}', 1007),
        ('{"seq": 0, "u": 0.1, "x": 1}', 1007),
        ('{"end": false}', 1007),
        ("[" * 20000, 1007),
        ("hello", 1007),
        (b"\x00\x01", 1003),
        ('{"seq": 0, "u": 0.51}', 4400),
        ('{"seq": 0, "u": 1e999}', 4400),
        ('{"seq": 0, "u": ' + "9" * 400 + "}", 4400),
        ('{"seq": 5, "u": 0.1}', 4400),
        ('{"seq": 0, "u": [0.1' + ", 0.1" * 20000 + "]}", 1009),
    ],
)
def test_a_frame_that_is_wrong_closes_the_socket_and_reaches_no_board(
    waiting: tuple[Client, str, str], frame: str | bytes, code: int
) -> None:
    client, server, task_id = waiting
    with connect(socket_url(server, task_id), proxy=None) as socket:
        assert json.loads(socket.recv())["next"] == 0
        socket.send(frame)
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=30)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == code
    state = client._http.get(f"/api/v1/tasks/{task_id}/stream").json()
    assert (state["next"], state["answered"], state["low"], state["high"]) == (0, 0, 0.0, 0.5)


@pytest.fixture(scope="module")
def waiting(tmp_path_factory: pytest.TempPathFactory, serve: Any) -> Iterator[tuple[Client, str, str]]:
    """A stream on a service whose boards nobody drives."""
    folder = tmp_path_factory.mktemp("waiting")
    app = create_app(ServiceSettings(f"sqlite:///{folder}/facts.db", folder, workers=False))
    put_on_shelf(app.state.service.writer, "bench", URI)
    with serve(app) as url, Client(url) as client:
        client.open_session("bench", 3600)
        yield client, url, client.submit("stream", "bench", model=put_model(app, READOUT, "m")).id


def test_inputs_without_answers_are_bounded_by_the_window(waiting: tuple[Client, str, str]) -> None:
    """What is sent beyond it stays in the socket: no more than the window goes into the database."""
    client, server, _ = waiting
    task_id = client.submit("stream", "bench", drive={}).id
    # who does not read does not answer to a close either
    with connect(socket_url(server, task_id), proxy=None, close_timeout=0.2) as socket:
        window = json.loads(socket.recv())["window"]
        for sequence in range(4 * window):
            socket.send(json.dumps({"seq": sequence, "u": 0.1}))
        path = f"/api/v1/tasks/{task_id}/stream"
        end = time.monotonic() + 30
        while client._http.get(path).json()["next"] < window:
            assert time.monotonic() < end
            time.sleep(0.02)
        time.sleep(0.3)  # long enough for more to be taken, if more were taken
        state = client._http.get(path).json()
        assert (state["next"], state["connected"]) == (window, True)
        assert [item["name"] for item in client.boards()] == ["bench"]  # the service has time for others


def test_the_same_input_again_does_no_harm_another_value_does(waiting: tuple[Client, str, str]) -> None:
    client, server, _ = waiting
    task_id = client.submit("stream", "bench", drive={}).id
    for value, code in ((0.1, None), (0.1, None), (0.2, 4400)):
        with connect(socket_url(server, task_id), proxy=None) as socket:
            socket.recv()
            socket.send(json.dumps({"seq": 0, "u": value}))
            socket.send(json.dumps({"seq": 0, "u": [value, 0.3]}))
            if code is None:
                end = time.monotonic() + 30
                while client._http.get(f"/api/v1/tasks/{task_id}/stream").json()["next"] < 2:
                    assert time.monotonic() < end
                    time.sleep(0.02)
            else:
                with pytest.raises(ConnectionClosed) as closed:
                    socket.recv(timeout=30)
                assert closed.value.rcvd is not None
                assert closed.value.rcvd.code == code


def test_a_socket_needs_the_key_that_submitted(tmp_path: Path, serve: Any) -> None:
    app = create_app(ServiceSettings(f"sqlite:///{tmp_path}/facts.db", tmp_path, workers=False, anonymous=False))
    writer = app.state.service.writer
    put_on_shelf(writer, "bench", URI)
    keys = [writer.run(lambda c, n=n, s=s: create_key(c, n, s))[1] for n, s in (
        ("mine", ["read", "run"]), ("other", ["read", "run"]), ("reader", ["read"]))]  # fmt: skip
    with serve(app) as url, Client(url, keys[0]) as client:
        client.open_session("bench", 3600)
        task_id = client.submit("stream", "bench", drive={}).id
        target = socket_url(url, task_id)

        def status(**options: Any) -> int:
            try:
                with connect(target, proxy=None, **options):
                    return 101
            except InvalidStatus as error:
                problem: dict[str, Any] = json.loads(error.response.body)
                return int(problem["status"])

        def with_key(secret: str) -> dict[str, Any]:
            return {"additional_headers": {"Authorization": f"Bearer {secret}"}}

        assert status() == 401
        assert status(**with_key("ar_wrong")) == 401
        assert status(**with_key(keys[1])) == 403
        assert status(**with_key(keys[2])) == 403
        assert status(**with_key(keys[0])) == 101
        assert status(subprotocols=["asic-reservoir", f"key.{keys[0]}"]) == 101
        assert status(subprotocols=["asic-reservoir", "key.ar_wrong"]) == 401
        with connect(target, proxy=None, subprotocols=["asic-reservoir", f"key.{keys[0]}"]) as socket:
            assert socket.subprotocol == "asic-reservoir"  # the key is not said back


def test_what_cannot_be_streamed_is_refused_with_its_pointer(waiting: tuple[Client, str, str]) -> None:
    client = waiting[0]
    for params, words in (
        ({"model": "0199d6b0-0000-7000-8000-000000000000"}, "no such model"),
        ({"drive": {"input_low": 1.0, "input_high": 1.0}}, "must be greater"),
        ({"drive": {"observables": ["weather"]}}, "must be one of"),
        ({"idle_seconds": 0.0}, "/params/idle_seconds"),
    ):
        with pytest.raises(UsageError, match=words):
            client.submit("stream", "bench", **params)


def test_a_worker_elsewhere_sees_the_stream_and_a_stream_begun_again_gives_the_same(
    tmp_path: Path, serve: Any, bench: Any
) -> None:
    """On SQLite and PostgreSQL: the service has no workers; one is stopped in the middle, the next goes on."""
    from api.worker import Worker, WorkerSettings

    inputs = np.random.default_rng(4).uniform(0, 0.5, 60).tolist()
    app = create_app(ServiceSettings(bench.url, tmp_path, workers=False))
    put_on_shelf(app.state.service.writer, "streamed", URI)
    options = WorkerSettings(tmp_path, boards=["streamed"])
    with serve(app) as url, Client(url) as client:
        client.open_session("streamed", 3600)
        task = client.submit("stream", "streamed", model=put_model(app, READOUT, "m"), states=True, idle_seconds=600.0)
        found = []
        team = [Worker(bench.engine, bench.writer, options) for _ in range(2)]
        try:
            team[0].start()
            with client.stream(task.id) as stream:
                found += stream.run(inputs[:30])
                team[0].stop(60)
                team[1].start()
                found += stream.run(inputs[30:])
                stream.end()
        finally:
            for worker in team:
                worker.stop(60)
    np.testing.assert_array_equal([output.states for output in found], offline(inputs)[0])
    with bench.engine.connect() as connection:
        row = connection.execute(sa.select(tasks.c.attempts, tasks.c.state).where(tasks.c.id == task.id)).one()
    assert tuple(row) == (2, "succeeded")


def test_a_stale_worker_writes_no_output_and_an_output_stays_as_it_was(bench: Any) -> None:
    watch = LeaseWatch()

    def lease() -> Any:
        return bench.run(lambda c: take(c, bench.board, "w", "here", watch, holder_is_dead=True))

    stale, held = lease(), lease()
    row = {"id": new_id(), "board_id": bench.board, "owner": "", "purpose": "", "created_utc_ns": 0}
    bench.run(lambda c: c.execute(reservations.insert(), row | {"expires_utc_ns": now_ns() + 10**12}))
    task_id, _ = bench.run(lambda c: submit(c, Draft("stream", {"params": {}}, bench.board)))
    bench.run(lambda c: open_stream(c, task_id, row["id"], 0.0, 1.0))
    assert bench.run(lambda c: put_inputs(c, task_id, 0, [0.1, 0.2])) == 2
    with pytest.raises(StaleTokenError):
        bench.run(lambda c: put_outputs(c, stale, task_id, [(0, {"y": 1.0})]))
    bench.run(lambda c: put_outputs(c, held, task_id, [(0, {"y": 2.0}), (1, {"y": 3.0})]))
    bench.run(lambda c: put_outputs(c, held, task_id, [(0, {"y": 9.0})]))
    assert bench.run(lambda c: read_outputs(c, task_id, 0, 10)) == [(0, {"y": 2.0}), (1, {"y": 3.0})]
    with pytest.raises(SequenceError, match="below"):
        bench.run(lambda c: put_inputs(c, task_id, 2, [0.0] * MOST))
    bench.run(lambda c: end_stream(c, task_id))
    with pytest.raises(SequenceError, match="ended"):
        bench.run(lambda c: put_inputs(c, task_id, 2, [0.3]))
    bench.run(lambda c: c.execute(reservations.update().values(ended_utc_ns=now_ns())))
    with pytest.raises(SessionOverError):
        bench.run(lambda c: put_inputs(c, task_id, 2, [0.3]))
