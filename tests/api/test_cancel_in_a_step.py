"""Cancel does not wait for the board: a stream in a step or without inputs, and a task in a pool of processes.

Steps take a minute of real time on a paced twin; each test waits until one has begun, and a cancel that waited for its
end would be seen by a wide margin.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from fault_rig import until
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from api.app import create_app
from api.settings import ServiceSettings
from api.shelf import put_on_shelf
from asic_reservoir.client import Client
from asic_reservoir.client._live import socket_url

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
STEP_S = 60.0
AT_MOST_S = 30.0
"""Half a step, and fifty times what it takes on a machine with time to spare."""
START_S = 300.0
"""For a runner and a pool of processes to be started on a machine that has much else to do."""
DRIVE = {"encoding": "difficulty", "step_seconds": STEP_S, "slots": 1, "lags": 1}
RUN = DRIVE | {"task": "narma10", "seeds": 2, "steps": 400, "curve": False, "controls": False}
# Python runs it at the start of every process that finds it: what begins a step of a paced twin leaves a mark
MARK = """
import os
from asic_reservoir.twin import pacing

step = pacing.PacedTwin.step

def marked(self, given):
    with open(os.environ["STEPS_BEGUN"], "a") as file:
        file.write(f"{os.getpid()}\\n")
    return step(self, given)

pacing.PacedTwin.step = marked
"""


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file with a line for every step that a paced twin has begun: the number of its process."""
    folder = tmp_path_factory.mktemp("marks")
    (folder / "sitecustomize.py").write_text(MARK)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder), prepend=":")
        patch.setenv("STEPS_BEGUN", str(folder / "steps"))
        yield folder / "steps"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, begun: Path, serve: Any) -> Iterator[tuple[str, Path]]:
    """Address and folder; a board whose steps take a minute, and one with steps of a hundredth of a second."""
    folder = tmp_path_factory.mktemp("minutes")
    app = create_app(ServiceSettings(f"sqlite:///{folder}/facts.db", folder, cores=2))
    put_on_shelf(app.state.service.writer, "slow", "twin://bm1366?seed=3&pace=1")
    put_on_shelf(app.state.service.writer, "quick", "twin://bm1366?seed=4&pace=0.01")
    with serve(app) as url:
        yield url, folder


@pytest.fixture
def client(service: tuple[str, Path], begun: Path) -> Iterator[Client]:
    begun.unlink(missing_ok=True)
    with Client(service[0]) as client:
        yield client


@pytest.fixture
def session(client: Client) -> Iterator[None]:
    held = client.open_session("slow", 600)
    yield
    client.end_session(held["id"])


def cancel(client: Client, task_id: str) -> float:
    """Seconds until it is cancelled."""
    asked = time.monotonic()
    client.cancel(task_id)
    until(lambda: client.task(task_id).over, "it is cancelled")
    assert client.task(task_id).state == "cancelled"
    return time.monotonic() - asked


def hear_no_output(socket: Any) -> None:
    """Until it is closed, which raises."""
    while True:
        assert json.loads(socket.recv(timeout=60))["type"] != "output"


@pytest.mark.usefixtures("session")
def test_a_stream_in_the_middle_of_a_step(client: Client, service: tuple[str, Path], begun: Path) -> None:
    task = client.submit("stream", "slow", drive=DRIVE, idle_seconds=600.0)
    with connect(socket_url(service[0], task.id), proxy=None) as socket:
        assert json.loads(socket.recv(timeout=60))["type"] == "hello"
        socket.send(json.dumps({"seq": 0, "u": 0.1}))
        until(begun.exists, "the step has begun", START_S)
        assert cancel(client, task.id) < AT_MOST_S
        with pytest.raises(ConnectionClosed) as closed:
            hear_no_output(socket)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4410


@pytest.mark.usefixtures("session")
def test_a_stream_that_waits_for_inputs(client: Client, service: tuple[str, Path], begun: Path) -> None:
    task = client.submit("stream", "slow", drive=DRIVE, idle_seconds=600.0)
    until(lambda: list((service[1] / "tasks" / task.id).glob("*/steps.csv")), "it waits for inputs", START_S)
    assert cancel(client, task.id) < AT_MOST_S
    assert not begun.exists()


def test_a_pool_of_processes_in_the_middle_of_their_steps(client: Client, begun: Path) -> None:
    """Both processes are in their first step; they are gone soon, whoever of the two above them is cut short."""
    task = client.submit("experiment", "slow", **RUN)
    until(lambda: begun.exists() and len(set(begun.read_text().split())) == 2, "both processes are in a step", START_S)
    pool = [int(number) for number in set(begun.read_text().split())]
    assert cancel(client, task.id) < AT_MOST_S
    until(lambda: not any(psutil.pid_exists(number) for number in pool), "its processes are gone")


def test_the_shelf_shows_what_boards_of_a_pool_say(client: Client) -> None:
    """Only processes of the pool drive: temperature and rate can come from nowhere else."""
    task = client.submit("experiment", "quick", **(RUN | {"step_seconds": 1.0, "steps": 8200}))

    def shown() -> dict[str, Any]:
        found: dict[str, Any] = next(board for board in client.boards() if board["name"] == "quick")
        return found

    until(lambda: (shown()["live"] or {}).get("task_id") == task.id, "its values are on the shelf", START_S)
    before = shown()
    live = before["live"]
    assert live["origin"] == "simulated"
    assert live["step_seconds"] == 1.0
    assert live["rate_hz"] == live["valid"] + live["invalid"] == sum(live["per_chip"]) + live["invalid"]
    assert 15.0 < live["chip_temperature_c"] < 110.0
    until(lambda: shown()["live_time"] > before["live_time"], "they go on")
    cancel(client, task.id)
