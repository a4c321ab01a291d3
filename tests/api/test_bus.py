"""The bus against a real NATS server with JetStream, that is killed and comes back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import own_nats
import pytest
import sqlalchemy as sa
from door import Door
from fault_rig import rig, until

from api.bus import Bus, BusSettings, FanIn
from api.bus.messages import STREAM, token
from api.queue import Draft, request_cancel, submit
from asic_reservoir.errors import UsageError
from asic_reservoir.store.facts import task_events

if TYPE_CHECKING:
    from conftest import Bench

pytestmark = [pytest.mark.usefixtures("odd_kinds")]


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[tuple[own_nats.Nats, Door]]:
    """A server behind a door, so that it may come back on another port."""
    server, door = own_nats.Nats(tmp_path / "nats"), Door()
    try:
        door.behind = server.start()
        yield server, door
    finally:
        server.kill()
        door.close()


def bus_url(door: Door) -> str:
    return door.url.replace("http://", "nats://")


def stored(url: str) -> list[tuple[str, str, dict[str, Any]]]:
    """Everything in the stream, in its order: subject, Nats-Msg-Id, content."""
    from nats.aio.client import Client

    async def read() -> list[tuple[str, str, dict[str, Any]]]:
        connection = Client()
        try:
            await connection.connect(url, connect_timeout=60)
            stream = connection.jetstream(timeout=60)
            count = (await stream.stream_info(STREAM)).state.messages
            reader = await stream.pull_subscribe("asic_reservoir.>", stream=STREAM)
            found: list[tuple[str, str, dict[str, Any]]] = []
            while len(found) < count:
                for one in await reader.fetch(min(200, count - len(found)), timeout=60):
                    found.append((one.subject, (one.headers or {})["Nats-Msg-Id"], json.loads(one.data)))
                    await one.ack()
            return found
        finally:
            await connection.close()  # one that was not made whole has a socket too, which must not outlive its loop

    return asyncio.run(read())


def events_in_database(engine: sa.Engine) -> dict[str, list[tuple[int, str]]]:
    events: dict[str, list[tuple[int, str]]] = {}
    with engine.connect() as connection:
        for row in connection.execute(sa.select(task_events).order_by(task_events.c.sequence)):
            events.setdefault(row.task_id, []).append((row.sequence, row.kind))
    return events


def events_on_the_bus(messages: list[tuple[str, str, dict[str, Any]]]) -> dict[str, list[tuple[int, str]]]:
    events: dict[str, list[tuple[int, str]]] = {}
    for _, _, content in messages:
        if "task_id" in content:
            events.setdefault(content["task_id"], []).append((content["sequence"], content["kind"]))
    return events


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.service
def test_two_sites_while_the_bus_dies_and_comes_back(
    nats: tuple[own_nats.Nats, Door], sqlite_url: str, tmp_path: Path
) -> None:
    """Tasks go on without it; afterwards every event is there once, in order, and the other site knows."""
    server, door = nats
    there = ["--bus", bus_url(door), "--site"]
    (tmp_path / "b").mkdir()
    with (
        rig(sqlite_url, tmp_path) as at,
        rig(f"sqlite:///{tmp_path}/b/facts.db", tmp_path / "b") as other,
        httpx2.Client(base_url=other.door.url, trust_env=False, timeout=60.0) as client,
    ):
        at.open(at.service(*there, "site-a"))
        other.open(other.service(*there, "site-b"))
        at.worker("machine", *there, "site-a").start()

        def sites() -> dict[str, Any]:
            return {site["name"]: site for site in client.get("/api/v1/sites").json()["items"]}

        def board() -> dict[str, Any]:
            (found,) = sites().get("site-a", {}).get("boards") or [{}]
            return dict(found)

        at.put(1.5)
        until(lambda: (board().get("lease") or {}).get("state") == "taken", "the other site hears of the lease")
        assert board()["name"] == "board-0"
        for number in range(2):
            server.kill()
            for _ in range(3):
                at.put(0.2)
            told = at.customers.told
            until(lambda told=told: all(one.state for one in told), "tasks end while the bus is away")
            door.behind = server.start()
            at.put(0.3)
            until(lambda number=number: len(sites()["site-a"]["events"]) > 0, "the other site hears again")
        at.check()
        wanted = events_in_database(at.engine)
        until(lambda: events_on_the_bus(stored(bus_url(door))) == wanted, "every event is on the bus, in order")
        messages = stored(bus_url(door))
        names = [name for _, name, _ in messages]
        assert len(names) == len(set(names)), "a message is there twice"
        for subject, _, content in messages:
            assert subject.split(".")[1] == token(content["site"])
        lives = [content for subject, _, content in messages if subject == "asic_reservoir.site-a.boards.board-0.live"]
        assert lives
        assert lives[-1]["live"]["origin"] == "simulated"


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.service
def test_what_a_killed_process_did_not_say_is_said_by_the_next(
    nats: tuple[own_nats.Nats, Door], sqlite_bench: Bench
) -> None:
    """The bus was away, the process died with its notes: the events are in the database."""
    _, door = nats
    bench = sqlite_bench

    def one() -> None:
        task_id, _ = bench.run(lambda c: submit(c, Draft("observe", {}, bench.board)))
        bench.run(lambda c: request_cancel(c, task_id))

    one()
    settings = BusSettings(bus_url(door), "here")
    for _ in range(2):  # the second sends nothing twice
        bus = Bus(settings, bench.engine)
        bus.start()
        wanted = events_in_database(bench.engine)
        until(lambda: bus.connected, "the bus is there")  # noqa: B023
        until(lambda: events_on_the_bus(stored(bus_url(door))) == wanted, "it is said")  # noqa: B023
        bus.stop()
        one()
    bus = Bus(settings, bench.engine)
    bus.start()
    wanted = events_in_database(bench.engine)
    until(lambda: bus.published["tasks"] >= 3, "the third is said")
    bus.stop()
    assert events_on_the_bus(stored(bus_url(door))) == wanted
    assert len(wanted) == 3


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_telemetry_waits_in_a_bounded_buffer_and_nobody_waits_for_it(sqlite_bench: Bench) -> None:
    door = Door()  # nobody is behind it
    bus = Bus(BusSettings(bus_url(door), "here", buffer=10), sqlite_bench.engine)
    bus.start()
    for number in range(1000):
        bus.board("board-0", "live", {"live": {"rate_hz": float(number)}})
        bus.board("board-0", "renewal", {"outcome": "done"})  # not for the bus
        bus.changed(f"task-{number % 7}")
    assert (bus.dropped, bus.waiting, bus.connected) == (990, 17, False)
    bus.stop()
    assert not bus._link._thread.is_alive()  # it left, rather than being left behind
    door.close()


def test_a_stranger_cannot_fill_the_memory() -> None:
    fan_in = FanIn("nats://127.0.0.1:4222", "here")
    good = {"site": "there", "board": "s9", "utc_ns": 5, "live": {"rate_hz": 1.0}}
    fan_in.take(json.dumps(good).encode())
    fan_in.take(json.dumps(good | {"site": "here"}).encode())  # its own word
    for wrong in (b"", b"[]", b"7", b"{}", b'{"site": "x"}', json.dumps(good | {"live": 3}).encode(), b"\xff"):
        fan_in.take(wrong)
    assert (fan_in.heard, fan_in.refused) == (1, 7)
    for number in range(200):
        fan_in.take(json.dumps(good | {"site": f"site-{number}"}).encode())
    for number in range(1500):
        fan_in.take(json.dumps(good | {"board": f"board-{number}"}).encode())
        event = {"task_id": "t", "board": "s9", "task_kind": "observe", "sequence": number, "kind": "progress"}
        fan_in.take(json.dumps({"site": "there", "created_utc_ns": 1, "data": {}, **event}).encode())
    known = {site["name"]: site for site in fan_in.sites()}
    assert len(known) == 100
    assert (len(known["there"]["boards"]), len(known["there"]["events"])) == (1000, 200)
    assert known["there"]["events"][-1]["sequence"] == 1499


def test_wrong_words_are_named() -> None:
    for url in ("127.0.0.1:4222", "http://h:4222", "nats://", "nats://h:99999"):
        with pytest.raises(UsageError, match="--bus"):
            BusSettings(url, "here")
    with pytest.raises(UsageError, match=r"--site 'a\.b'"):
        BusSettings("nats://h:4222", "a.b")
