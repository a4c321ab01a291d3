"""Executors: the same results bit by bit, cancelled soon, and nothing of Ray beyond this machine."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import subprocess
import sys
import threading
import time
from typing import Any

import psutil
import pytest

from asic_reservoir.drive import Interrupted
from asic_reservoir.errors import UsageError
from asic_reservoir.executors import Executor, Processes, RayCluster
from asic_reservoir.experiment import run_experiment
from asic_reservoir.registry import open_board
from asic_reservoir.run_settings import RunSettings

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
SETTINGS = RunSettings(task="narma10", seeds=3, steps=800, controls=False, curve=False, board="twin://bm1366?seed=1")


def report_of(executor: Executor | None, **options: Any) -> dict[str, Any]:
    """Everything but when and with which commit it was made."""
    report: dict[str, Any] = json.loads(run_experiment(SETTINGS, executor=executor, **options).to_json())
    del report["provenance"]
    return report


def need_ray() -> None:
    """Skips where Ray is not installed, and fails where nothing may be skipped."""
    if importlib.util.find_spec("ray") is None:
        reason = "Ray is not installed: pip install 'asic-reservoir[ray]'"
        if os.environ.get("REQUIRE_SERVICES") == "1":
            pytest.fail(reason)
        pytest.skip(reason)


def ray_processes() -> list[psutil.Process]:
    """Processes that Ray has started beneath this one. They come and go while they are looked at."""
    found = []
    for one in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if "ray" in " ".join(one.cmdline()):
                found.append(one)
    return found


@pytest.fixture(scope="module")
def expected() -> dict[str, Any]:
    return report_of(None, workers=1)


def test_processes_give_the_same(expected: dict[str, Any]) -> None:
    assert report_of(Processes(2)) == expected


def test_ray_gives_the_same_though_a_process_of_it_is_killed(expected: dict[str, Any]) -> None:
    """It listens on loopback only, and is gone afterwards."""
    need_ray()
    killed: list[int] = []
    listening: set[str] = set()

    def progress(done: int, total: int, text: str) -> None:
        if killed or not text.startswith("driving"):
            return
        for process in ray_processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                for one in process.net_connections("inet"):
                    if one.status == psutil.CONN_LISTEN:
                        listening.add(one.laddr.ip)
        for process in ray_processes():
            with contextlib.suppress(psutil.NoSuchProcess):  # its job may have ended meanwhile: take the next
                if process.name().startswith("ray::do"):
                    process.kill()
                    killed.append(process.pid)
                    return

    assert report_of(RayCluster(count=2), progress=progress) == expected
    assert killed, "no job was seen"
    assert listening <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
    end = time.monotonic() + 60
    while ray_processes():
        assert time.monotonic() < end, "Ray stays"
        time.sleep(0.1)


@pytest.mark.parametrize("make", [lambda: Processes(2), lambda: RayCluster(count=2)], ids=["processes", "ray"])
def test_a_run_is_cancelled(make: Any) -> None:
    if "ray" in os.environ.get("PYTEST_CURRENT_TEST", ""):
        need_ray()
    begun = threading.Event()

    def progress(done: int, total: int, text: str) -> None:
        if text.startswith("driving") and done:
            begun.set()

    long = SETTINGS.model_copy(update={"steps": 20_000})
    with pytest.raises(Interrupted):
        run_experiment(long, executor=make(), progress=progress, cancelled=begun.is_set)


RUN_UNTIL_KILLED = """
from asic_reservoir.executors import Processes
from asic_reservoir.experiment import run_experiment
from asic_reservoir.run_settings import RunSettings

settings = RunSettings(task="narma10", seeds=SEEDS, steps=20_000, controls=False, curve=False, board="twin://bm1366?seed=1")
run_experiment(settings, executor=Processes(2), progress=lambda done, total, text: print(done, text, flush=True))
"""


@pytest.mark.parametrize("seeds", [1, 4], ids=["one process idle", "both busy"])
def test_no_process_outlives_a_killed_run(seeds: int) -> None:
    program = RUN_UNTIL_KILLED.replace("SEEDS", str(seeds))
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        for line in run.stdout:
            done, _, text = line.partition(" ")
            if text.startswith("driving") and int(done):
                break
        processes = psutil.Process(run.pid).children(recursive=True)
        assert len(processes) >= 2
        run.kill()
        _, left = psutil.wait_procs(processes, timeout=120)
        assert left == []


def test_what_has_one_holder_is_computed_here(monkeypatch: pytest.MonkeyPatch) -> None:
    twin = open_board(SETTINGS.board)
    monkeypatch.setattr("asic_reservoir.experiment.open_board", lambda uri: twin)
    with pytest.raises(UsageError, match="one holder"):
        run_experiment(SETTINGS.model_copy(update={"board": "bm1366://?port=/dev/ttyUSB0"}), executor=Processes(1))
