"""A pool of processes on this machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from multiprocessing.connection import wait as wait_for
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event
from typing import Any, cast

from asic_reservoir.arms import Plan, SeedResult, run_seed
from asic_reservoir.board import BoardInfo, Observation
from asic_reservoir.drive import Hooks, Interrupted
from asic_reservoir.executors.latest import Latest
from asic_reservoir.executors.protocol import POLL_S, Job, Seldom
from asic_reservoir.live_values import live_document
from asic_reservoir.metering import Usage, metered
from asic_reservoir.registry import boards_through

ORPHAN_GRACE_S = 5.0
"""So long a step that is under way may take to be kept once the process that asked for it is gone."""
_done: Synchronized[int] | None = None
_stop: Event | None = None
_latest: Latest | None = None
_orphaned = threading.Event()


class Processes:
    """So many processes at once; they end when this one does, by SIGKILL too.

    Args:
        count: of processes.
        spent: told what they did with their boards, once all jobs are done.
        patience_s: so long a job may end its step when it is told to stop, before its process is ended; None: as
            long as it takes.
        live: told now and then what a board of one of them said last; None asks for nothing.
    """

    def __init__(
        self,
        count: int,
        spent: Callable[[Usage], None] = lambda usage: None,
        patience_s: float | None = None,
        live: Callable[[Mapping[str, Any]], None] | None = None,
    ) -> None:
        self._count, self._spent, self._patience_s, self._live = count, spent, patience_s, live

    def run(
        self, jobs: Sequence[Job], progress: Callable[[int], None], cancelled: Callable[[], bool]
    ) -> list[SeedResult]:
        """As :meth:`asic_reservoir.executors.Executor.run`."""
        context = multiprocessing.get_context("spawn")  # a forked process would inherit threads of BLAS and the caller
        done = cast("Synchronized[int]", context.Value("q", 0))
        stop = context.Event()
        latest = None if self._live is None else Latest(context)
        futures: list[Future[tuple[SeedResult, Usage]]] = []
        with ProcessPoolExecutor(self._count, context, initializer=_initialize, initargs=(done, stop, latest)) as pool:
            try:
                with _interrupts_held():  # the first submission starts the processes
                    futures.extend(pool.submit(_job, plan, seed) for plan, seed in jobs)
                waiting: set[Future[tuple[SeedResult, Usage]]] = set(futures)
                while waiting:
                    finished, waiting = wait(waiting, timeout=POLL_S, return_when=FIRST_COMPLETED)
                    for future in finished:
                        future.result()
                    progress(done.value)
                    if self._live is not None and latest is not None and (said := latest.take()) is not None:
                        self._live(said)
                    if cancelled():
                        raise Interrupted
            except BaseException:
                try:
                    # workers end their step, keep what they have, and return; jobs that have not begun do not. None is
                    # cancelled: at such a future the thread of the pool breaks and leaves its processes (Python 3.11)
                    stop.set()
                    if self._patience_s is not None:
                        wait(futures, self._patience_s)
                finally:
                    # also where a signal cut the patience short: the pool waits for the step of each of its processes
                    if self._patience_s is not None:
                        for child in multiprocessing.active_children():
                            child.terminate()
                raise
        total = Usage()
        for future in futures:
            total.include(future.result()[1])
        self._spent(total)
        return [future.result()[0] for future in futures]


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Processes started here begin deaf to Ctrl-C, which reaches the whole group: until :func:`_initialize` they would
    end with a traceback of whatever they were importing."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _initialize(done: Synchronized[int], stop: Event, latest: Latest | None) -> None:
    global _done, _stop, _latest
    _done, _stop, _latest = done, stop, latest
    from threadpoolctl import threadpool_limits

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    threading.Thread(target=_end_with_parent, name="end-with-parent", daemon=True).start()
    threadpool_limits(1)


def _end_with_parent() -> None:
    """A pool's process that waits for its next job would wait for ever: it holds both ends of the queue of jobs."""
    parent = multiprocessing.parent_process()
    assert parent is not None  # the initializer runs in processes of a pool only
    wait_for([parent.sentinel])
    _orphaned.set()
    time.sleep(ORPHAN_GRACE_S)
    os._exit(1)


def _job(plan: Plan, seed: int) -> tuple[SeedResult, Usage]:
    # both were set by the initializer
    assert _done is not None
    assert _stop is not None
    counter, stop = _done, _stop
    if stop.is_set():
        raise Interrupted
    seldom, over = Seldom(), False

    def advance(steps: int) -> None:
        with counter.get_lock():
            counter.value += steps

    def cancelled() -> bool:
        nonlocal over
        if not over and seldom.due():  # the answer may be a fifth of a second old; once said, it stays
            over = stop.is_set() or _orphaned.is_set()
        return over

    said = Seldom()

    def seen(info: BoardInfo, observation: Observation) -> None:
        if _latest is not None and said.due():
            _latest.put(live_document(info, observation))

    usage = Usage()
    with boards_through(lambda board: metered(board, usage, seen)):
        return run_seed(plan, seed, None, Hooks(advance, cancelled)), usage
