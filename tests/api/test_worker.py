"""Workers: tasks in processes of their own, and what is left when something dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
import sqlalchemy as sa
from fault_rig import until

from api.queue import Draft, request_cancel, submit
from api.shelf import change_board
from api.worker import Worker, WorkerSettings
from api.worker.device_lock import DeviceLock, lock_domain
from api.worker.process import RunnerProcess
from asic_reservoir.errors import DataError
from asic_reservoir.store.facts import leases, results, task_files

if TYPE_CHECKING:
    from conftest import Bench

pytestmark = [pytest.mark.usefixtures("odd_kinds"), pytest.mark.slow, pytest.mark.timeout(900)]
REPEATS = int(os.environ.get("ASIC_RESERVOIR_FAULT_REPEATS", "2"))


def put(bench: Bench, kind: str, board: int = 0, **params: Any) -> str:
    draft = Draft(kind, {"params": params}, bench.boards[board])
    task_id, _ = bench.run(lambda c: submit(c, draft))
    return str(task_id)


@pytest.fixture
def worker(sqlite_bench: Bench) -> Any:
    worker = Worker(sqlite_bench.engine, sqlite_bench.writer, WorkerSettings(sqlite_bench.folder))
    worker.start()
    yield worker
    worker.stop(60)


@pytest.mark.usefixtures("worker")
def test_a_result_with_cost_provenance_and_files(sqlite_bench: Bench) -> None:
    bench = sqlite_bench
    observed, written = put(bench, "observe", n_steps=5), put(bench, "writer")
    bench.until(observed, "succeeded")
    bench.until(written, "succeeded")
    with bench.engine.connect() as connection:
        report = connection.execute(sa.select(results.c.report).where(results.c.task_id == observed)).scalar_one()
        left = connection.execute(sa.select(task_files.c.name, task_files.c.content)).all()
        other = connection.execute(sa.select(results.c.report).where(results.c.task_id == written)).scalar_one()
    assert report["cost"]["board_seconds"] == 5.0
    assert report["cost"]["steps"] == 5
    power = report["data"]["power_w"]
    assert report["cost"]["energy_j"] == pytest.approx(sum(power), rel=1e-6)
    assert report["provenance"]["lease_token"] == 1
    assert report["origin"] == "simulated"
    assert [tuple(row) for row in left] == [("notes.txt", b"what was seen")]
    assert other["files_left_out"] == [".hidden", "link"]


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("kind", ["paced", "deaf", "stubborn"])
def test_cancel_reaches_a_running_step(sqlite_bench: Bench, kind: str, tmp_path: Path) -> None:
    """What can be interrupted is; what refuses to leave is killed when its time to be safe is over.

    Each would go on for hours. How soon it ends is a matter of the machine too: a second, and :data:`GRACE_S` more for
    what refuses.
    """
    trace = tmp_path / "trace"
    task_id = put(sqlite_bench, kind, trace=str(trace), seconds=7200.0)
    until(trace.exists, "the runner is in the middle of it")
    sqlite_bench.run(lambda c: request_cancel(c, task_id))
    sqlite_bench.until(task_id, "cancelled")
    if kind == "paced":
        assert trace.read_text().splitlines()[-1].endswith("close")


@pytest.mark.usefixtures("worker")
def test_faults_of_a_task_end_the_task_alone(sqlite_bench: Bench, tmp_path: Path) -> None:
    bench = sqlite_bench
    killer, once = put(bench, "killer"), put(bench, "killer", once=str(tmp_path / "once"))
    broken, wrong, unknown = put(bench, "broken"), put(bench, "observe", n_steps=0), put(bench, "nothing")
    row = bench.until(killer, "set_aside")
    assert row["error"] == "begun 3 times; the last time its process ended (signal 9, SIGKILL)"
    assert bench.until(once, "succeeded")["attempts"] == 2
    assert "must be plain JSON" in bench.until(broken, "failed")["error"]
    assert bench.until(wrong, "failed")["error"].startswith("observe n_steps: 0, ")
    assert bench.until(unknown, "failed")["error"].startswith("task kind 'nothing': unknown, must be one of ")
    limit = put(bench, "observe", frequency_mhz=4000.0)
    assert "frequency_mhz: 4000 MHz, must be" in bench.until(limit, "failed")["error"]


@pytest.mark.usefixtures("worker")
def test_emergency_stop_ends_what_runs_and_lets_nothing_begin(sqlite_bench: Bench, tmp_path: Path) -> None:
    bench, trace = sqlite_bench, tmp_path / "trace"
    running = put(bench, "paced", trace=str(trace), seconds=7200.0)
    waiting = put(bench, "observe", n_steps=1)
    until(trace.exists, "the runner is in the middle of it")
    bench.run(lambda c: change_board(c, "board-0", None, stopped=True, reason="smoke"))
    assert bench.until(running, "failed")["error"] == "emergency stop: smoke"
    assert trace.read_text().splitlines()[-1].endswith("close")
    time.sleep(0.6)
    assert bench.task(waiting)["state"] == "queued"
    bench.run(lambda c: change_board(c, "board-0", None, stopped=False, reason=""))
    bench.until(waiting, "succeeded")


def test_a_worker_that_stops_gives_its_task_and_its_lease_back(sqlite_bench: Bench, tmp_path: Path) -> None:
    bench = sqlite_bench
    worker = Worker(bench.engine, bench.writer, WorkerSettings(bench.folder))
    worker.start()
    task_id = put(bench, "paced", seconds=4.0, trace=str(tmp_path / "trace"))
    bench.until(task_id, "running")
    worker.stop(60)
    assert bench.task(task_id)["state"] == "queued"
    with bench.engine.connect() as connection:
        assert connection.execute(sa.select(leases.c.holder)).scalar_one() is None
    again = Worker(bench.engine, bench.writer, WorkerSettings(bench.folder))
    again.start()
    bench.until(task_id, "succeeded")
    again.stop(60)


def start_worker(bench: Bench, folder: Path, command_name: str) -> subprocess.Popen[bytes]:
    options = ["--db", bench.url, "--data", str(folder)]
    if command_name == "serve":
        options += ["--port", "0", "--board", "board-0=twin://bm1366?seed=1"]
    else:
        options += ["--term", "4"]
    program = [sys.executable, "-c", "from asic_reservoir.cli import main; main()", command_name, *options]
    return subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def driven(trace: Path) -> list[tuple[float, int, str]]:
    words = [line.split() for line in trace.read_text().splitlines()]
    return [(float(at), int(process), word) for at, process, word in words]


@pytest.mark.parametrize("where", ["worker on another machine", "serve"])
def test_sigkill_in_the_middle_of_a_task(sqlite_bench: Bench, tmp_path: Path, where: str) -> None:
    """Killed again and again: no task lost, none with two results, never two processes that drive the board."""
    bench = sqlite_bench
    trace = tmp_path / "trace"
    folders = [tmp_path / "one", tmp_path / ("two" if where.endswith("machine") else "one")]
    todo = [put(bench, "paced", seconds=3.0, trace=str(trace)) for _ in range(2)]  # longer than it may live
    bench.run(lambda c: c.execute(sa.text("UPDATE tasks SET max_attempts = 100")))
    for repeat in range(REPEATS):
        process = start_worker(bench, folders[repeat % 2], where.split()[0])
        try:
            seen = len(trace.read_text()) if trace.exists() else 0
            until(lambda seen=seen: trace.exists() and len(trace.read_text()) >= seen + 200, "it drives")
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
    last = start_worker(bench, folders[0], where.split()[0])
    try:
        for task_id in todo:
            bench.until(task_id, "succeeded")
    finally:
        last.terminate()
        assert last.wait(60) in (0, -signal.SIGTERM)  # uvicorn ends by the signal it was stopped with
    with bench.engine.connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(results)).scalar_one() == len(todo)
    # intervals in which a process drives, from its first command to its last, do not overlap
    spans: dict[int, tuple[float, float]] = {}
    for at, runner, _ in driven(trace):
        first, _last = spans.get(runner, (at, at))
        spans[runner] = (first, at)
    ordered = sorted(spans.values())
    assert all(before[1] < after[0] for before, after in pairwise(ordered))
    assert len(ordered) >= REPEATS


def drives_no_more(process: psutil.Process) -> bool:
    """Whether it runs no code of its own any more: its memory is gone before its files, and with them the lock, are."""
    try:
        return not Path(f"/proc/{process.pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_a_runner_that_outlives_its_worker_keeps_the_board(sqlite_bench: Bench) -> None:
    """Nobody gets the device lock before it is gone; and it is gone soon, whatever its task thinks of that."""
    bench = sqlite_bench
    trace = bench.folder / "trace"
    put(bench, "stubborn", seconds=60.0, trace=str(trace))
    worker = start_worker(bench, bench.folder / "one", "worker")
    try:
        until(trace.exists, "the runner is in the middle of it")
        (runner,) = psutil.Process(worker.pid).children()
        assert not drives_no_more(runner)
    finally:
        worker.kill()
        worker.wait()
    lock = DeviceLock(bench.folder / "one" / "locks", bench.board)
    until(lock.acquire, "the runner is gone")
    assert drives_no_more(runner)
    lock.release()


def test_a_runner_that_does_not_understand_its_supervisor_ends() -> None:
    """One of another version, after an update under a running service: it must not sit there with the board."""
    runner = RunnerProcess.start()
    try:
        runner.send({"run": {"board": "bench", "token": 1}})
        until(lambda: not runner.alive, "the runner ended")
        assert runner.reap() == "exit status 143"
    finally:
        runner.stop()


def test_a_damaged_lock_domain_is_named(tmp_path: Path) -> None:
    """Half a name would make two folders one."""
    assert lock_domain(tmp_path) == lock_domain(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["domain"]
    (tmp_path / "domain").write_text("")
    with pytest.raises(DataError, match=r"domain.*damaged, must be deleted"):
        lock_domain(tmp_path)


def is_of_a_pool(process: psutil.Process) -> bool:
    """Not a runner, nor the process that multiprocessing keeps beside it, nor one that has ended."""
    try:
        return "spawn_main" in " ".join(process.cmdline())
    except psutil.Error:
        return False


def test_a_task_on_a_twin_computes_with_the_cores_it_may(sqlite_bench: Bench) -> None:
    """The same report, the same cost, from processes that are gone when it is cancelled."""
    bench = sqlite_bench
    settings = {"task": "narma10", "seeds": 2, "steps": 400, "curve": False, "controls": False}
    found = []

    def computing() -> int:
        return sum(is_of_a_pool(child) for child in psutil.Process().children(recursive=True) if child not in others)

    others = psutil.Process().children(recursive=True)
    for cores in (1, 2):
        worker = Worker(bench.engine, bench.writer, WorkerSettings(bench.folder, cores=cores))
        worker.start()
        task_id = put(bench, "experiment", **settings)
        bench.until(task_id, "succeeded", "failed", timeout_s=240)
        with bench.engine.connect() as connection:
            report = connection.execute(sa.select(results.c.report).where(results.c.task_id == task_id)).scalar_one()
        del report["data"]["provenance"]
        found.append(report)
        if cores == 2:
            task_id = put(bench, "experiment", **(settings | {"steps": 8200, "seeds": 10}))
            until(lambda: computing() >= 2, "its processes are there")
            bench.run(lambda c: request_cancel(c, task_id))  # noqa: B023
            bench.until(task_id, "cancelled")
            until(lambda: computing() == 0, "its processes are gone")
        worker.stop(60)
    assert found[0]["data"] == found[1]["data"]
    for key in ("steps", "board_seconds", "energy_j", "valid", "invalid"):
        assert found[0]["cost"][key] == pytest.approx(found[1]["cost"][key], rel=1e-9)
