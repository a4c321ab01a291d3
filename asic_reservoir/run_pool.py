"""Seeds of a run side by side: processes for twins, one after the other for a board that has one holder."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event
from typing import cast

from asic_reservoir._blas import single_thread
from asic_reservoir.arms import Plan, SeedResult, arm_names, run_seed
from asic_reservoir.board import Board
from asic_reservoir.drive import Hooks, Interrupted

Progress = Callable[[int, int, str], None]
POLL_S = 0.2

_done: Synchronized[int] | None = None
_stop: Event | None = None


def run_seeds(
    plan: Plan,
    curve_plans: Sequence[Plan],
    curve_seeds: int,
    board: Board | None,
    progress: Progress,
    cancelled: Callable[[], bool],
    workers: int | None,
) -> tuple[list[SeedResult], list[tuple[Plan, list[SeedResult]]]]:
    """All seeds of the run, and the first ``curve_seeds`` of every plan of the curve, in order.

    ``board`` is None for twins: each arm opens its own.

    Raises:
        Interrupted: cancelled; every process has kept what it recorded.
    """
    first, settings = plan.settings.first_seed, plan.settings
    jobs = [(plan, first + k) for k in range(settings.seeds)]
    curve_jobs = [(other, first + k) for other in curve_plans for k in range(min(curve_seeds, settings.seeds))]
    # the longest jobs first, so that no process is left alone with one at the end
    everything = jobs + curve_jobs
    total = sum(len(arm_names(p.settings)) * p.settings.steps for p, _ in everything)
    text = f"driving {plan.info.uri}"
    if board is not None or workers == 1:
        done = 0

        def advance(steps: int) -> None:
            nonlocal done
            done += steps
            progress(done, total, text)

        hooks = Hooks(advance, cancelled)
        with single_thread():  # as in the processes: the order of additions decides the last bits
            found = [run_seed(p, seed, board, hooks) for p, seed in everything]
    else:
        count = workers or min(os.cpu_count() or 1, len(everything))
        found = _in_processes(everything, count, total, text, progress, cancelled)
    curve = []
    for number, other in enumerate(curve_plans):
        per = len(curve_jobs) // len(curve_plans)
        start = len(jobs) + number * per
        curve.append((other, found[start : start + per]))
    return found[: len(jobs)], curve


def _in_processes(
    jobs: Sequence[tuple[Plan, int]],
    count: int,
    total: int,
    text: str,
    progress: Progress,
    cancelled: Callable[[], bool],
) -> list[SeedResult]:
    context = multiprocessing.get_context("spawn")  # a forked process would inherit threads of BLAS and of the caller
    done = cast("Synchronized[int]", context.Value("q", 0))
    stop = context.Event()
    with ProcessPoolExecutor(count, context, initializer=_initialize, initargs=(done, stop)) as pool:
        futures: list[Future[SeedResult]] = [pool.submit(_job, plan, seed) for plan, seed in jobs]
        try:
            waiting: set[Future[SeedResult]] = set(futures)
            while waiting:
                finished, waiting = wait(waiting, timeout=POLL_S, return_when=FIRST_COMPLETED)
                for future in finished:
                    future.result()
                progress(done.value, total, text)
                if cancelled():
                    raise Interrupted
        except BaseException:
            stop.set()  # workers end their step, keep what they have, and return
            for future in futures:
                future.cancel()
            raise
    return [future.result() for future in futures]


def _initialize(done: Synchronized[int], stop: Event) -> None:
    global _done, _stop
    _done, _stop = done, stop
    import signal

    from threadpoolctl import threadpool_limits

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    threadpool_limits(1)


def _job(plan: Plan, seed: int) -> SeedResult:
    # both were set by the initializer
    assert _done is not None
    assert _stop is not None
    counter, stop = _done, _stop
    parent = os.getppid()
    checked = time.monotonic()

    def advance(steps: int) -> None:
        with counter.get_lock():
            counter.value += steps

    def cancelled() -> bool:
        nonlocal checked
        now = time.monotonic()
        if now - checked < POLL_S:  # asking costs a system call; the answer may be a fifth of a second old
            return False
        checked = now
        return stop.is_set() or os.getppid() != parent

    return run_seed(plan, seed, None, Hooks(advance, cancelled))
