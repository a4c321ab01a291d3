"""Recordings of tasks in the facts: one a result, and what was cut short is sealed and marked."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from api.app import create_app
from api.queue import Draft, submit, work
from api.queue.leases import Lease, LeaseWatch, StaleTokenError, take
from api.queue.states import TaskState
from api.queue.work import Finished
from api.settings import ServiceSettings
from api.worker.given import GoneError, fetch_given
from api.worker.recorded import BoardRecordings
from asic_reservoir.board import Detail, OperatingPoint, Step
from asic_reservoir.errors import DataError
from asic_reservoir.kept import KeptRecording
from asic_reservoir.registry import open_board
from asic_reservoir.store.facts import results, runs
from asic_reservoir.store.recorder import new_run, record

URI = "twin://bm1366?seed=1"
STEP = Step(OperatingPoint(), 500_000_000, detail=Detail.NONCES)
# a runner that is killed: it has recorded two steps, which nobody sealed
KILLED = f"""
import os, signal, sys
from asic_reservoir.board import Detail, OperatingPoint, Step
from asic_reservoir.registry import open_board
from asic_reservoir.store.recorder import record

recorder = record(open_board("{URI}"), sys.argv[1])
for _ in range(2):
    recorder.step(Step(OperatingPoint(), 500_000_000, detail=Detail.NONCES))
os.kill(os.getpid(), signal.SIGKILL)
"""


class Attempt:
    """A task in the hands of a worker, and the store that it records into."""

    def __init__(self, bench: Any) -> None:
        self.bench = bench
        self.store = self.open()
        self.lease: Lease = self.take()
        self.task_id, _ = bench.run(lambda c: submit(c, Draft("record", {"params": {}}, bench.board)))
        self.claim()

    def open(self, domain: str = "here") -> BoardRecordings:
        bench = self.bench
        return BoardRecordings(bench.engine, bench.writer, bench.folder / "recordings", domain, bench.board, "board-0")

    def take(self) -> Lease:
        lease: Lease = self.bench.run(
            lambda c: take(c, self.bench.board, "w", "here", LeaseWatch(), holder_is_dead=True)
        )
        return lease

    def claim(self) -> None:
        self.claimed = self.bench.run(lambda c: work.claim(c, self.lease))
        assert self.claimed.task_id == self.task_id
        job = self.store.job(self.task_id, self.claimed.attempt, self.lease.token)
        self.about = job["about"]

    def begin(self) -> tuple[str, Path]:
        """A run that the facts know of, without a step."""
        with open_board(URI) as board:
            folder = new_run(self.store.root / "runs", board, self.about)
        run_id = folder.record().run_id
        self.bench.run(lambda c: self.store.begin(c, self.lease, self.task_id, run_id))
        return run_id, folder.path

    def finish(self, *facts: KeptRecording, state: TaskState = TaskState.SUCCEEDED) -> TaskState:
        report = {"summary": {}, "data": {}}
        end = Finished(state, "", "simulated", report, facts=facts, recorded=self.store.described())
        ended: TaskState = self.bench.run(lambda c: work.finish(c, self.lease, self.claimed, end))
        return ended

    def die(self) -> None:
        """Its worker died; another takes the task up again, with nothing of this one in its memory."""
        self.lease = self.take()
        self.bench.run(lambda c: work.recover(c, self.lease, {"record": True}))
        self.store = self.open()
        self.claim()

    def states(self) -> dict[str, str]:
        with self.bench.engine.connect() as connection:
            return {row.id: row.state for row in connection.execute(sa.select(runs.c.id, runs.c.state))}


@pytest.fixture
def attempt(bench: Any) -> Attempt:
    return Attempt(bench)


@pytest.fixture
def alone(sqlite_bench: Any) -> Attempt:
    """On SQLite: what is sealed is sealed by a process of its own, whatever the database."""
    return Attempt(sqlite_bench)


@contextmanager
def asking(bench: Any, folder: Path) -> Iterator[TestClient]:
    app = create_app(ServiceSettings(bench.url, folder, workers=False))
    with TestClient(app, base_url="http://127.0.0.1", client=("127.0.0.1", 50000)) as client:
        yield client


def test_a_recording_is_there_before_its_first_step_and_whole_with_its_result(attempt: Attempt, tmp_path: Path) -> None:
    run_id, folder = attempt.begin()
    with asking(attempt.bench, tmp_path / "service") as client:
        (listed,) = client.get("/api/v1/recordings").json()["items"]
        assert (listed["id"], listed["state"], listed["partial"], listed["nonces"]) == (run_id, "recording", True, 0)
        with record(open_board(URI), folder) as recorder:
            nonces = sum(len(recorder.step(STEP).nonces) for _ in range(3))
        assert attempt.finish(KeptRecording(run=run_id)) is TaskState.SUCCEEDED
        one = client.get(f"/api/v1/recordings/{run_id}").json()
        assert (one["state"], one["partial"], one["nonces"]) == ("finished", False, nonces)
        assert (one["task"], one["origin"], one["board"]) == (attempt.task_id, "simulated", URI)
        assert one["bytes"] == sum(path.stat().st_size for path in folder.glob("*.parquet"))
        assert client.get("/api/v1/recordings", params={"task": attempt.task_id}).json()["items"] == [one]
        nobody = "00000000-0000-0000-0000-000000000000"
        assert client.get("/api/v1/recordings", params={"task": nobody}).json()["items"] == []
        attempt.store.settle()
        assert client.get(f"/api/v1/recordings/{run_id}").json() == one
    with attempt.bench.engine.connect() as connection:
        assert connection.execute(sa.select(results.c.run_id, results.c.kept)).all() == [(run_id, False)]


def test_an_old_lease_begins_no_recording(attempt: Attempt) -> None:
    attempt.take()
    with pytest.raises(StaleTokenError):
        attempt.begin()
    assert attempt.states() == {}


def test_a_result_names_no_run_of_others(attempt: Attempt) -> None:
    other = Attempt.__new__(Attempt)
    other.__dict__ |= attempt.__dict__ | {"about": attempt.about | {"task_id": "another"}}
    with pytest.raises(DataError, match="of task another, must be of"):
        other.begin()
    with pytest.raises(DataError, match="was not recorded by this task"):
        attempt.finish(KeptRecording(run="0199d6b0-0000-7000-8000-000000000000"))
    assert attempt.states() == {}


@pytest.mark.slow
def test_what_a_dead_runner_left_is_sealed_and_the_next_attempt_has_its_own(alone: Attempt, tmp_path: Path) -> None:
    """Killed after two steps: they are kept, and no result ever names them."""
    first, folder = alone.begin()
    ended = subprocess.run([sys.executable, "-c", KILLED, str(folder)], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert list(folder.glob("*.open"))
    alone.die()
    alone.store.settle()
    assert not list(folder.glob("*.open"))
    assert alone.states() == {first: "finished"}
    second, other = alone.begin()
    with record(open_board(URI), other) as recorder:
        recorder.step(STEP)
    alone.finish(KeptRecording(run=second))
    with open_board(URI) as board:
        expected = sum(len(board.step(STEP).nonces) for _ in range(2))
    with asking(alone.bench, tmp_path / "service") as client:
        found = client.get("/api/v1/recordings").json()["items"]
        assert [(one["id"], one["partial"]) for one in found] == [(second, False), (first, True)]
        assert found[1]["nonces"] == expected > 0
        assert client.get(f"/api/v1/recordings/{first}/file").status_code == 200


def test_of_a_task_that_was_cancelled_at_the_last_moment_it_is_partial(attempt: Attempt, tmp_path: Path) -> None:
    run_id, folder = attempt.begin()
    with record(open_board(URI), folder) as recorder:
        recorder.step(STEP)
    attempt.bench.run(lambda c: work.request_cancel(c, attempt.task_id))
    assert attempt.finish(KeptRecording(run=run_id)) is TaskState.CANCELLED
    attempt.store.settle()
    with asking(attempt.bench, tmp_path / "service") as client:
        one = client.get(f"/api/v1/recordings/{run_id}").json()
        assert (one["state"], one["partial"]) == ("finished", True)


@pytest.mark.slow
def test_what_is_gone_and_what_lies_elsewhere_is_said(alone: Attempt, tmp_path: Path) -> None:
    lost, folder = alone.begin()
    shutil.rmtree(folder)
    alone.die()
    remote, far = alone.begin()
    with record(open_board(URI), far) as recorder:
        recorder.step(STEP)
    alone.finish(KeptRecording(run=remote))
    # another store does not say that it is gone: it was never there
    alone.open("elsewhere").settle()
    assert alone.states() == {lost: "recording", remote: "finished"}
    alone.store.settle()
    assert alone.states() == {lost: "deleted", remote: "finished"}
    far.rename(tmp_path / "away")
    alone.bench.run(lambda c: c.execute(runs.update().where(runs.c.id == remote).values(host="rack-7")))
    with asking(alone.bench, tmp_path / "service") as client:
        gone = client.get(f"/api/v1/recordings/{lost}/file")
        assert (gone.status_code, gone.json()["type"]) == (410, "/problems/gone")
        away = client.get(f"/api/v1/recordings/{remote}/file")
        assert (away.status_code, away.json()["type"]) == (409, "/problems/not-ready")
        assert f"lies on rack-7 in {far}, not on {os.uname().nodename}" in away.json()["detail"]
        body = {"kind": "inspect", "board": "board-0", "params": {"recording": remote}}
        assert client.post("/api/v1/tasks", json=body).status_code == 202
        body["params"] = {"recording": "0199d6b0-0000-7000-8000-000000000000"}
        unknown = client.post("/api/v1/tasks", json=body)
        assert (unknown.status_code, unknown.json()["errors"][0]["pointer"]) == (422, "/params/recording")

    def read(statement: Any) -> Any:
        with alone.bench.engine.connect() as connection:
            return connection.execute(statement).scalar()

    with pytest.raises(GoneError, match=r"lies on rack-7 in .* must be asked of a board of that machine"):
        fetch_given(read, "inspect", {"recording": remote}, tmp_path / "given")
    (tmp_path / "away").rename(far)
    assert fetch_given(read, "inspect", {"recording": remote}, tmp_path / "given") == {"recording": str(far)}


@pytest.mark.slow
def test_what_cannot_be_sealed_now_is_sealed_later(alone: Attempt) -> None:
    """While somebody writes to it, it is left alone."""
    run_id, folder = alone.begin()
    recorder = record(open_board(URI), folder)
    recorder.step(STEP)
    alone.store.settle()
    assert alone.states() == {run_id: "recording"}
    recorder.close()
    alone.open().settle()  # the next start of the worker
    assert alone.states() == {run_id: "finished"}
