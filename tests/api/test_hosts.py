"""Several workers on several hosts, each with a network of its own: they add up, and do without one another."""

from __future__ import annotations

import os
from collections.abc import Iterator

import netlab
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.service, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[netlab.Shelf]:
    """Skips where such hosts cannot be made, as nobody can install that right."""
    if (reason := netlab.missing()) is not None:
        if os.environ.get("REQUIRE_SERVICES") == "1" and "apt-get" in reason:
            pytest.fail(reason)
        pytest.skip(reason)
    with netlab.Lab(tmp_path_factory.mktemp("hosts")) as lab:
        yield netlab.Shelf(lab)


def test_eight_boards_do_the_work_of_eight(shelf: netlab.Shelf) -> None:
    """All at once, each by the host that holds it. How much that is depends on the machine: the benchmark has it."""
    assert len(set(shelf.holders().values())) == shelf.HOSTS
    tasks = [shelf.submit(board, 3000) for board in shelf.names]  # ten minutes in real time
    netlab.wait_for(lambda: all(shelf.task(task)["state"] == "running" for task in tasks), "all boards drive")

    def moving() -> list[int]:
        return [shelf.task(task)["last_event"] for task in tasks]

    before = moving()
    netlab.wait_for(lambda: all(now > then for now, then in zip(moving(), before, strict=True)), "all of them get on")
    holders = shelf.holders()
    for board, task in zip(shelf.names, tasks, strict=True):
        (attempt,) = shelf.ask("GET", f"/api/v1/tasks/{task}/attempts")["items"]
        assert attempt["worker"] == holders[board]
        assert attempt["outcome"] is None
        shelf.ask("POST", f"/api/v1/tasks/{task}/cancel")
    netlab.wait_for(lambda: all(shelf.task(task)["state"] == "cancelled" for task in tasks), "they are cancelled")


def test_a_host_dies_another_loses_its_cable_and_the_rest_goes_on(shelf: netlab.Shelf) -> None:
    """Their tasks are finished elsewhere, once; the boards of the others keep their leases."""
    before = shelf.holders()
    tasks = [shelf.submit(board, 40) for board in shelf.names for _ in range(2)]
    netlab.wait_for(
        lambda: all(shelf.task(task)["state"] != "queued" for task in tasks[::2]), "every board has its first task"
    )
    shelf.workers[0].kill()
    shelf.workers[1].cable(False)
    shelf.finished(tasks)
    after = shelf.holders()
    assert {name: after[name] for name in shelf.names[4:]} == {name: before[name] for name in shelf.names[4:]}
    for name in shelf.names[:4]:
        assert after[name] not in (None, before[name]), f"{name} was not taken over"
    for number, task in enumerate(tasks):
        attempts = shelf.ask("GET", f"/api/v1/tasks/{task}/attempts")["items"]
        good = [one for one in attempts if one["outcome"] == "succeeded"]
        assert len(good) == 1
        board = shelf.names[number // 2]
        assert good[0]["worker"] in (before[board], after[board])
        if number >= 8:
            assert len(attempts) == 1
    assert sum(len(shelf.ask("GET", f"/api/v1/tasks/{task}/attempts")["items"]) for task in tasks) > len(tasks)
    # the cable is plugged in again: who was cut off does not take back what another drives
    shelf.workers[1].cable(True)
    shelf.finished([shelf.submit(board, 2) for board in shelf.names])
    assert shelf.holders() == after
