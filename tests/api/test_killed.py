"""SIGKILL, again and again: of the service, of the worker in the middle of a task, of both at once.

No task is lost, none has two results, no board has two holders, and every customer learns the truth.
``ASIC_RESERVOIR_FAULT_REPEATS`` says how often (2).
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from fault_rig import REPEATS, Program, Rig, driven, report, rig, tokens_driven, until

pytestmark = [pytest.mark.usefixtures("odd_kinds"), pytest.mark.slow, pytest.mark.timeout(900)]


def answered(at: Rig, before: int) -> bool:
    """Whether a customer who came after the first ``before`` has a task."""
    return any(customer.task is not None for customer in at.customers.told[before:])


def holds(at: Rig, worker: Program) -> bool:
    """Whether this process has the lease: its number is in the holder's name."""
    assert worker.process is not None
    with at.engine.connect() as connection:
        holder = connection.execute(sa.text("SELECT holder FROM leases")).scalar_one()
    return f"-{worker.process.pid}-" in (holder or "")


def test_the_service_is_killed(sqlite_url: str, tmp_path: Path, capsys: Any) -> None:
    """The worker goes on; whoever submits or follows at that moment comes back and is told."""
    with rig(sqlite_url, tmp_path) as at:
        service, worker = at.service(), at.worker()
        at.open(service)
        worker.start()
        for _ in range(REPEATS):
            before = len(at.customers.told)
            for _ in range(2):
                at.put(at.chance.uniform(0.05, 0.3))
            until(lambda before=before: answered(at, before), "a task is taken")
            time.sleep(at.chance.uniform(0.0, 0.2))
            at.kill(service)
            at.put(0.1)  # while nobody is there
            at.open(service)
        leases = at.check()
        assert leases == 1, "the worker lost its lease with the service"
        report(capsys, "service killed", times=REPEATS, tasks=len(at.customers.told))


def test_the_worker_is_killed_in_the_middle_of_a_task(sqlite_url: str, tmp_path: Path, capsys: Any) -> None:
    """Another of the same machine waits for its death, and takes over at once."""
    with rig(sqlite_url, tmp_path) as at:
        at.open(at.service())
        workers = [at.worker(), at.worker()]
        for worker in workers:
            worker.start()
        at.put(5.0)
        at.drives_anew(0)
        for _ in range(REPEATS):
            commands = len(driven(at.trace))
            at.put(at.chance.uniform(1.0, 2.0))
            while sum(not customer.state for customer in at.customers.told) < 2:
                at.put(at.chance.uniform(1.0, 2.0))
            until(lambda commands=commands: len(driven(at.trace)) > commands, "it is in the middle of a task")
            seen = tokens_driven(at.trace)
            (driving,) = [worker for worker in workers if holds(at, worker)]
            driving.kill()
            driving.start()
            at.drives_anew(seen)
        leases = at.check()
        assert leases > REPEATS
        report(capsys, "worker killed", times=REPEATS, tasks=len(at.customers.told), leases=leases)


def test_the_worker_and_the_service_are_killed_at_once(sqlite_url: str, tmp_path: Path, capsys: Any) -> None:
    with rig(sqlite_url, tmp_path) as at:
        service, worker = at.service(), at.worker()
        at.open(service)
        worker.start()
        for number in range(REPEATS):
            commands = len(driven(at.trace))
            at.put(at.chance.uniform(1.0, 3.0))
            while sum(not customer.state for customer in at.customers.told) < 2:
                at.put(at.chance.uniform(0.1, 3.0))
            at.drives_anew(number)  # one lease for each start before this
            until(lambda commands=commands: len(driven(at.trace)) > commands, "it is in the middle of a task")
            at.kill(service)
            worker.kill()
            worker.start()
            at.open(service)
        at.put(0.1)
        at.drives_anew(REPEATS)  # what was begun before may have ended before
        leases = at.check()
        assert leases == REPEATS + 1
        report(capsys, "both killed", times=REPEATS, tasks=len(at.customers.told), leases=leases)
