"""Seeds of a run side by side: an executor for twins, one after the other for a board that has one holder."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from asic_reservoir._blas import single_thread
from asic_reservoir.arms import Plan, SeedResult, arm_names, run_seed
from asic_reservoir.board import Board
from asic_reservoir.drive import Hooks
from asic_reservoir.executors import Executor, Processes

Progress = Callable[[int, int, str], None]


def run_seeds(
    plan: Plan,
    curve_plans: Sequence[Plan],
    curve_seeds: int,
    board: Board | None,
    progress: Progress,
    cancelled: Callable[[], bool],
    workers: int | None,
    executor: Executor | None = None,
) -> tuple[list[SeedResult], list[tuple[Plan, list[SeedResult]]]]:
    """All seeds of the run, and the first ``curve_seeds`` of every plan of the curve, in order.

    ``board`` is None for twins: each arm opens its own, in ``executor`` where one is given, else in ``workers``
    processes of this machine.

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
    if board is not None or (workers == 1 and executor is None):
        done = 0

        def advance(steps: int) -> None:
            nonlocal done
            done += steps
            progress(done, total, text)

        hooks = Hooks(advance, cancelled)
        with single_thread():  # as in the processes: the order of additions decides the last bits
            found = [run_seed(p, seed, board, hooks) for p, seed in everything]
    else:
        chosen = executor or Processes(workers or min(os.cpu_count() or 1, len(everything)))
        found = chosen.run(everything, lambda done: progress(done, total, text), cancelled)
    curve = []
    for number, other in enumerate(curve_plans):
        per = len(curve_jobs) // len(curve_plans)
        start = len(jobs) + number * per
        curve.append((other, found[start : start + per]))
    return found[: len(jobs)], curve
