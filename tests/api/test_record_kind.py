"""Tasks of kind ``record`` in a service: watched, cancelled, killed; and the recording that is there afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from fault_rig import rig, until

from api.app import create_app
from api.settings import ServiceSettings
from api.shelf import put_on_shelf
from asic_reservoir.board import Detail, Observation, OperatingPoint, Step
from asic_reservoir.client import AsyncClient, Client, Event, TaskFailedError
from asic_reservoir.registry import open_board
from asic_reservoir.store.facts import Writer
from asic_reservoir.store.player import open_run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
QUICK, SLOW = "twin://bm1366?seed=1", "twin://bm1366?seed=3&pace=1"
START_S = 300.0
"""For a runner to be started on a machine that has much else to do."""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, serve: Any) -> Iterator[str]:
    """A board in virtual time, and one in real time."""
    folder = tmp_path_factory.mktemp("recorded")
    app = create_app(ServiceSettings(f"sqlite:///{folder}/facts.db", folder))
    put_on_shelf(app.state.service.writer, "quick", QUICK)
    put_on_shelf(app.state.service.writer, "slow", SLOW)
    with serve(app) as url:
        yield url


@pytest.fixture
def client(service: str) -> Iterator[Client]:
    with Client(service) as client:
        yield client


def seen_of(uri: str, n_steps: int, step_seconds: float) -> list[Observation]:
    """What the board says to the same steps, with nobody in between."""
    step = Step(OperatingPoint(), round(step_seconds * 1e9), detail=Detail.NONCES)
    with open_board(uri) as board:
        return [board.step(step) for _ in range(n_steps)]


def played(client: Client, recording: str, folder: Path) -> list[Observation]:
    """A recording, downloaded and played."""
    with open_run(client.download_recording(recording, folder)) as replay:
        return [observation for _, observation in replay.play()]


def same(left: list[Observation], right: list[Observation]) -> bool:
    return len(left) == len(right) and all(a.nonces.equals(b.nonces) for a, b in zip(left, right, strict=True))


def test_from_the_task_to_the_recording(client: Client, service: str, tmp_path: Path) -> None:
    """Submitted, watched, listed, inspected by its identifier, taken home: bit by bit what the board said."""
    told: list[Event] = []
    task = client.submit("record", "quick", n_steps=4, step_seconds=0.5)
    result = client.wait(task.id, told.append)
    recording = result.data["recording"]
    expected = seen_of(QUICK, 4, 0.5)
    nonces = sum(len(observation.nonces) for observation in expected)
    progress = [event.data for event in told if event.kind == "progress"]
    assert progress[-1] == {"done": 4, "total": 4, "text": f"recording {recording}: {nonces:,} nonces"}
    assert (result.origin, result.cost["board_seconds"], result.files) == ("simulated", 2.0, [])
    assert result.cost["energy_j"] > 0
    (listed,) = client.recordings(task.id)
    assert listed["id"] == recording
    assert (listed["nonces"], listed["partial"], listed["origin"]) == (nonces, False, "simulated")

    async def asked() -> dict[str, Any]:
        async with AsyncClient(service) as other:
            return await other.recording(recording)

    assert listed == client.recording(recording) == asyncio.run(asked())
    found = client.wait(client.submit("inspect", "slow", recording=recording).id)
    assert found.data["shares"]["total"] == nonces
    assert found.data["board"] == QUICK
    assert same(played(client, recording, tmp_path), expected)


def test_what_is_asked_for_wrongly_leaves_no_half_result(client: Client) -> None:
    """One that is refused before it begins leaves nothing; a refused point leaves its refusal, and says so."""
    task = client.submit("record", "quick", seconds=1e6, max_mb=1)
    with pytest.raises(TaskFailedError, match="max_mb: 1, must be about"):
        client.wait(task.id)
    assert list(client.recordings(task.id)) == []
    task = client.submit("record", "quick", points=[{}, {"frequency_mhz": 4000}])
    with pytest.raises(TaskFailedError, match="frequency_mhz: 4000 MHz, must be"):
        client.wait(task.id)
    until(lambda: [one["state"] for one in client.recordings(task.id)] == ["finished"], "it is in order")
    (refused,) = client.recordings(task.id)
    assert (refused["nonces"], refused["partial"]) == (0, True)


def test_cancelled_in_a_step_it_keeps_the_steps_before(client: Client, tmp_path: Path) -> None:
    task = client.submit("record", "slow", n_steps=3600, step_seconds=3.0)
    until(lambda: any(event.data.get("done") for event in events(client, task.id)), "a step is recorded", START_S)
    client.cancel(task.id)
    until(lambda: client.task(task.id).over, "it is cancelled")
    assert client.task(task.id).state == "cancelled"
    until(lambda: [one["state"] for one in client.recordings(task.id)] == ["finished"], "it is in order")
    (kept,) = client.recordings(task.id)
    assert kept["partial"]
    steps = played(client, kept["id"], tmp_path)
    assert steps
    assert kept["nonces"] == sum(len(step.nonces) for step in steps)
    assert same(steps, seen_of(SLOW.removesuffix("&pace=1"), len(steps), 3.0))


def events(client: Client, task_id: str) -> list[Event]:
    """Those so far."""
    items = client._http.get(f"/api/v1/tasks/{task_id}/history").json()["items"]
    return [Event(item["sequence"], item["kind"], item["data"]) for item in items]


def test_worker_and_runner_are_killed_in_the_middle(sqlite_url: str, tmp_path: Path) -> None:
    """The task is begun again, with a recording of its own; of the first one every step that was made is there."""
    with rig(sqlite_url, tmp_path, board_options="&pace=1") as at:
        at.open(at.service())
        worker = at.worker()
        worker.start()
        with Client(at.door.url) as client:
            task = client.submit("record", "board-0", n_steps=120, step_seconds=0.5)  # a minute, at its pace
            until(lambda: any(event.data.get("done") for event in events(client, task.id)), "it records", START_S)
            assert worker.process is not None
            (runner,) = psutil.Process(worker.process.pid).children()
            runner.suspend()  # it is not to seal anything when its worker is gone
            worker.kill()
            runner.kill()
            (cut,) = client.recordings(task.id)
            assert (cut["state"], cut["partial"]) == ("recording", True)
            with Writer(at.engine) as writer:  # the second time it need not last
                put_on_shelf(writer, "board-0", "twin://bm1366?seed=1")
            worker.start()
            result = client.wait(task.id)
            found = {one["id"]: one for one in client.recordings(task.id)}
            assert client.task(task.id).raw["attempts"] == 2
        whole = found.pop(result.data["recording"])
        assert (whole["partial"], whole["state"], whole["nonces"]) == (False, "finished", result.data["nonces"])
        assert found.keys() == {cut["id"]}
        kept = found[cut["id"]]
        assert (kept["partial"], kept["state"]) == (True, "finished")
        lies = tmp_path / "machine" / "recordings" / "runs"
        with open_run(lies / cut["id"]) as replay:
            steps = [observation for _, observation in replay.play()]
        assert kept["nonces"] == sum(len(step.nonces) for step in steps)
        assert steps
        assert same(steps, seen_of("twin://bm1366?seed=1", len(steps), 0.5))
