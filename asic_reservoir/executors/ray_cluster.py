"""Jobs on Ray: on this machine, or on a cluster that is there.

Ray runs what it is sent: it is for networks where everybody is trusted. Started from here it listens on loopback
only, without its dashboard and without sending usage statistics. On a cluster of several machines records lie with
the machine that made them, unless the folder is shared.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Sequence
from typing import Any

from asic_reservoir._blas import single_thread
from asic_reservoir.arms import Plan, SeedResult, run_seed
from asic_reservoir.drive import Hooks, Interrupted
from asic_reservoir.errors import ServerError, UsageError
from asic_reservoir.executors.protocol import POLL_S, Job, Seldom

RETRIES = 3
"""A job whose process or machine died is begun again so often; with a folder it goes on from its journal."""
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DISABLE_IMPORT_WARNING": "1", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}


LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""Ray's own switch for «this machine only»: without it Ray listens on every address, whatever address it is given."""


class RayCluster:
    """An executor on Ray.

    Args:
        address: of a cluster (``host:6379``, or ``auto`` for the one of this machine); None starts one here, on
            loopback, for the time of a run.
        count: cores of one that is started here; as many as the machine has where None.

    Raises:
        UsageError: Ray is not installed.
    """

    def __init__(self, address: str | None = None, count: int | None = None) -> None:
        if importlib.util.find_spec("ray") is None:
            raise UsageError("--executor ray: Ray is not installed, install 'asic-reservoir[ray]'")
        self._address, self._count = address, count

    def run(
        self, jobs: Sequence[Job], progress: Callable[[int], None], cancelled: Callable[[], bool]
    ) -> list[SeedResult]:
        """As :meth:`asic_reservoir.executors.Executor.run`.

        Raises:
            ServerError: there is no cluster at the address, or a job died more often than it may.
        """
        os.environ.update(QUIET if self._address else QUIET | LOOPBACK)  # read when Ray is imported
        import ray

        own = not ray.is_initialized()
        if own:
            self._open(ray)
        try:
            return _run(ray, jobs, progress, cancelled)
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except ray.exceptions.RayError as error:
            raise ServerError(f"ray: {type(error).__name__}, {' '.join(str(error).split())[:300]}") from None
        finally:
            if own:
                ray.shutdown()

    def _open(self, ray: Any) -> None:
        quiet = {"log_to_driver": False, "configure_logging": False}
        try:
            if self._address is None:
                count = self._count or os.cpu_count() or 1
                ray.init(num_cpus=count, include_dashboard=False, _node_ip_address="127.0.0.1", **quiet)
            else:
                ray.init(address=self._address, **quiet)
        except (ConnectionError, RuntimeError, ValueError) as error:
            where = self._address or "this machine"
            raise ServerError(f"ray at {where}: {' '.join(str(error).split())[:300]}") from None


class _Board:
    """What the jobs and their run tell each other: how far they are, and whether to stop. An actor."""

    def __init__(self) -> None:
        self._done: dict[int, int] = {}
        self._stop = False

    def say(self, job: int, steps: int) -> bool:
        """From a job: its steps so far; whether to stop. A job that was begun again counts once."""
        self._done[job] = steps
        return self._stop

    def done(self) -> int:
        return sum(self._done.values())

    def stop(self) -> None:
        self._stop = True


def _job(number: int, plan: Plan, seed: int, board: Any) -> SeedResult | None:
    """On a worker of the cluster; None where it was stopped."""
    import ray

    steps, stop, seldom = 0, False, Seldom()

    def advance(more: int) -> None:
        nonlocal steps
        steps += more

    def cancelled() -> bool:
        nonlocal stop
        if not stop and seldom.due():
            stop = ray.get(board.say.remote(number, steps))
        return stop

    try:
        with single_thread():
            result = run_seed(plan, seed, None, Hooks(advance, cancelled))
    except Interrupted:
        return None
    ray.get(board.say.remote(number, steps))
    return result


def _run(
    ray: Any, jobs: Sequence[Job], progress: Callable[[int], None], cancelled: Callable[[], bool]
) -> list[SeedResult]:
    board = ray.remote(num_cpus=0)(_Board).remote()
    remote = ray.remote(num_cpus=1, max_retries=RETRIES)(_job)
    waiting = futures = [remote.remote(number, plan, seed, board) for number, (plan, seed) in enumerate(jobs)]
    try:
        while waiting:
            finished, waiting = ray.wait(waiting, timeout=POLL_S)
            for future in finished:
                ray.get(future)
            progress(ray.get(board.done.remote()))
            if cancelled():
                raise Interrupted
    except BaseException:
        ray.get(board.stop.remote())
        for future in waiting:
            ray.cancel(future, force=False)  # those that have not begun; the others end their step and return
        ray.wait(futures, num_returns=len(futures), timeout=10.0)
        raise
    results: list[SeedResult] = ray.get(futures)
    return results
