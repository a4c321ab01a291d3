"""Faults around the service: a full disk, a database that restarts, a clock that steps."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from api.queue import Draft, submit
from api.worker import Worker, WorkerSettings
from asic_reservoir.store.facts import results

if TYPE_CHECKING:
    from conftest import Bench

pytestmark = [pytest.mark.usefixtures("odd_kinds"), pytest.mark.slow]


def put(bench: Bench, kind: str, **params: Any) -> str:
    draft = Draft(kind, {"params": params}, bench.board)
    return str(bench.run(lambda c: submit(c, draft))[0])


def put_until_full(bench: Bench) -> None:
    """What is left in the last page of the log may take some."""
    for _ in range(200):
        put(bench, "observe", n_steps=1, step_seconds=1.0)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 6 MB."""
    place = tmp_path / "small"
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(place)], capture_output=True, check=False
    )
    if os.geteuid() != 0 or done.returncode:
        pytest.skip("a small file system needs the right to mount one")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_stops_nothing_for_good(small_disk: Path, new_bench: type[Bench]) -> None:
    """While it is full nothing is taken and nothing is lost; freed, the task ends with one result."""
    bench = new_bench(f"sqlite:///{small_disk}/facts.db", small_disk / "work")
    worker = Worker(
        bench.engine, bench.writer, WorkerSettings(small_disk / "work", term_s=3.0, margin_s=0.3, renew_s=0.5)
    )
    worker.start()
    task_id = put(bench, "paced", seconds=1.5, trace="/dev/null")
    bench.until(task_id, "running")
    ballast = small_disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 4096)
        except OSError:
            pass
    with pytest.raises(sa.exc.OperationalError, match="full"):
        put_until_full(bench)
    time.sleep(2.5)
    ballast.unlink()
    bench.until(task_id, "succeeded", timeout_s=40)
    with bench.engine.connect() as connection:
        counted = sa.select(sa.func.count()).select_from(results).where(results.c.task_id == task_id)
        assert connection.execute(counted).scalar_one() == 1
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar_one() == "ok"
    worker.stop()
    bench.close()


@pytest.mark.service
def test_a_database_that_goes_away_and_comes_back(bench: Bench) -> None:
    """Every connection is cut in the middle of a task, again and again: one result, no second holder."""
    if bench.engine.dialect.name != "postgresql":
        pytest.skip("SQLite has no connections to cut")
    admin = sa.create_engine(bench.engine.url.set(database="postgres"), isolation_level="AUTOCOMMIT")
    cut = sa.text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name")
    worker = Worker(bench.engine, bench.writer, WorkerSettings(bench.folder, term_s=3.0, margin_s=0.3, renew_s=0.3))
    worker.start()
    task_id = put(bench, "paced", seconds=3.0, trace=str(bench.folder / "trace"))
    for _ in range(5):
        time.sleep(0.4)
        with admin.connect() as connection:
            connection.execute(cut, {"name": bench.engine.url.database})
    bench.until(task_id, "succeeded", timeout_s=60)
    worker.stop()
    with bench.engine.connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(results)).scalar_one() == 1
    admin.dispose()


@pytest.mark.service
def test_workers_share_boards_on_one_database(empty_url: str, tmp_path: Path, new_bench: type[Bench]) -> None:
    """Two workers, four boards each offered to both: all tasks end once, no board is driven by two."""
    bench = new_bench(empty_url, tmp_path, n_boards=4)
    team = [Worker(bench.engine, bench.writer, WorkerSettings(tmp_path / name, name=name)) for name in ("one", "two")]
    ids = [
        str(bench.run(lambda c, b=b: submit(c, Draft("observe", {"params": {"n_steps": 2}}, b)))[0])
        for b in bench.boards * 2
    ]
    for worker in team:
        worker.start()
    for task_id in ids:
        assert bench.until(task_id, "succeeded", timeout_s=90)["attempts"] == 1
    with bench.engine.connect() as connection:
        tokens = connection.exec_driver_sql("SELECT token FROM leases").scalars().all()
        assert list(tokens) == [1] * 4
    for worker in team:
        worker.stop()
    bench.close()


def test_the_time_of_day_decides_nothing(sqlite_bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock of the wall jumps by an hour to and fro while a task runs: the lease stays, the task ends once."""
    bench = sqlite_bench
    worker = Worker(bench.engine, bench.writer, WorkerSettings(bench.folder, renew_s=0.1))
    worker.start()
    task_id = put(bench, "paced", seconds=1.0, trace="/dev/null")
    bench.until(task_id, "running")
    real = time.time_ns
    for hours in (1, -1, 5, -5, 0):
        monkeypatch.setattr(time, "time_ns", lambda hours=hours: real() + hours * 3_600_000_000_000)
        time.sleep(0.2)
    row = bench.until(task_id, "succeeded")
    assert row["attempts"] == 1
    worker.stop()
