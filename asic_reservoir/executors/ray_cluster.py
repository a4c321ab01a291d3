"""Jobs on Ray: on this machine, or on a cluster of machines that is there.

Ray runs what it is sent: it is for networks where everybody is trusted. Started from here it listens on loopback
only, without its dashboard and without sending usage statistics. A cluster is joined by its address from one of its
own machines; the journals of all jobs come back into the folder of the run.
"""

from __future__ import annotations

import importlib.util
import os
import pickle
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

from asic_reservoir.arms import SeedResult
from asic_reservoir.drive import Interrupted
from asic_reservoir.errors import AsicReservoirError, ServerError, TimeoutExpiredError, UsageError
from asic_reservoir.executors.protocol import POLL_S, Job
from asic_reservoir.executors.ray_jobs import Desk, Task, do, keep, recorded, versions

RETRIES = 3
"""A job whose process or machine died is begun again so often; with a folder it goes on from its journal."""
ANSWER_S = 5.0
"""So long a machine may take to accept a connection."""
GONE_S = 20.0
"""The head of a cluster that accepts no connection for so long is gone, and its cluster with it."""
PATIENCE_S = 10.0
"""So long a job may end its step when it is told to stop, before its process is ended."""
DESK_S = 60.0
"""So long the desk may take to answer: its process may still be starting, on a machine that is busy."""
STORE_BYTES = 256 << 20
"""Shared memory of a Ray that is started here, where results lie until they are fetched."""
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DISABLE_IMPORT_WARNING": "1", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
JOIN = {"RAY_NUM_REDIS_GET_RETRIES": "2", "RAY_gcs_server_request_timeout_seconds": "15"}
"""How long Ray tries to join a cluster; if it has its own way, a quarter of an hour."""
LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""Ray's own switch for «this machine only»: without it Ray listens on every address, whatever address it is given."""


class RayCluster:
    """An executor on Ray. As a context manager it is there, or says why not, before anything else is computed.

    Args:
        address: of a cluster (``host:6379``, or ``auto`` for the one of this machine); None starts one here, on
            loopback, for the time of a run.
        count: cores of one that is started here; as many as the machine has where None.
        say: told in one line what was lost and begun again.

    Raises:
        UsageError: Ray is not installed, or the address is none.
    """

    def __init__(
        self, address: str | None = None, count: int | None = None, say: Callable[[str], None] = lambda text: None
    ) -> None:
        if importlib.util.find_spec("ray") is None:
            raise UsageError("--executor ray: Ray is not installed, install 'asic-reservoir[ray]'")
        if address is not None and address != "auto":
            split_address(address)
        self._address, self._count, self._say = address, count, say
        self._own = False

    def __enter__(self) -> Self:
        """Start Ray, or join the cluster.

        Raises:
            ServerError, TimeoutExpiredError: there is no cluster at the address, or it cannot be joined from here.
        """
        if self._address not in (None, "auto"):
            answers(*split_address(str(self._address)))
        os.environ.update(QUIET | (JOIN if self._address else LOOPBACK))  # read when Ray is imported
        if self._address and _token_is_here():
            os.environ.setdefault("RAY_AUTH_MODE", "token")  # as `ray start` does where it finds one
        import ray

        if not ray.is_initialized():
            self._open(ray)
            self._own = True
            # it prints what happens to machines on stdout, where a report may go; what concerns a run is said by us
            ray._private.worker._worker_logs_enabled = False
        return self

    def __exit__(self, *about: object) -> None:
        if self._own:
            import ray

            self._own = False
            ray.shutdown()

    def run(
        self, jobs: Sequence[Job], progress: Callable[[int], None], cancelled: Callable[[], bool]
    ) -> list[SeedResult]:
        """As :meth:`asic_reservoir.executors.Executor.run`.

        Raises:
            ServerError: there is no cluster at the address, it went away, a machine of it has other versions, or a
                job died more often than it may.
        """
        if self._own:
            return self._run(jobs, progress, cancelled)
        with self:
            return self._run(jobs, progress, cancelled)

    def _run(
        self, jobs: Sequence[Job], progress: Callable[[int], None], cancelled: Callable[[], bool]
    ) -> list[SeedResult]:
        import ray

        try:
            run = _Run(ray, jobs, self._say, None if self._address is None else _Head(ray))
            return run.whole(progress, cancelled)
        except ray.exceptions.RayTaskError as error:
            cause = error.cause
            if isinstance(cause, AsicReservoirError):
                raise cause from None
            if isinstance(cause, ImportError) or "failed to import" in str(cause):
                reason = f"has no asic-reservoir {versions()['asic-reservoir']} with its libraries in its Python"
                raise ServerError(f"ray: a host of the cluster {reason}: {_line(cause)}") from None
            raise cause from None
        except ray.exceptions.RayError as error:
            raise ServerError(f"ray: {type(error).__name__}, {_line(error)}") from None

    def _open(self, ray: Any) -> None:
        quiet = {"log_to_driver": False, "configure_logging": False}
        where = self._address or "this machine"
        try:
            with _signals_kept(), _mute():
                if self._address is None:
                    # «local», since without a word Ray joins whatever cluster was started on this machine
                    count = self._count or os.cpu_count() or 1
                    bounds = {"num_cpus": count, "object_store_memory": STORE_BYTES, "include_dashboard": False}
                    ray.init(address="local", _node_ip_address="127.0.0.1", **bounds, **quiet)
                else:
                    ray.init(address=self._address, **quiet)
        except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
            reason = _line(error)
            if "mismatch" not in reason and self._address is not None:
                reason += "; this machine must be one of the cluster (ray start --address), with its token"
            raise ServerError(f"ray at {where}: {reason}") from None
        if ray.cluster_resources().get("CPU", 0) < 1:
            ray.shutdown()
            raise ServerError(f"ray at {where}: no machine of it has a core to give, start one with --num-cpus")


def split_address(address: str) -> tuple[str, int]:
    """Host and port.

    >>> split_address("rack-0:6379")
    ('rack-0', 6379)

    Raises:
        UsageError: it is not an address.
    """
    found = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+)):([0-9]{1,5})", address)
    if found is None or not 0 < int(found[3]) < 65536:
        raise UsageError(f"--ray-address: {address[:100]!r}, must be HOST:PORT of the head of a Ray cluster, or 'auto'")
    return found[1] or found[2], int(found[3])


def answers(host: str, port: int) -> None:
    """Return where something accepts connections there.

    Raises:
        TimeoutExpiredError, ServerError: nothing does; says why.
    """
    try:
        socket.create_connection((host, port), timeout=ANSWER_S).close()
    except TimeoutError:
        raise TimeoutExpiredError(f"ray at {host}:{port}: no answer within {ANSWER_S:g} s") from None
    except OSError as error:
        raise ServerError(f"ray at {host}:{port}: {error.strerror or error}, must be where a cluster listens") from None


class _Head:
    """Watches the head of a cluster: Ray itself ends a process whose cluster has gone for a minute, without a word."""

    def __init__(self, ray: Any) -> None:
        self._where = split_address(ray.get_runtime_context().gcs_address)
        self._lost: str | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="ray-head", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raises ServerError where it is gone."""
        if self._lost is not None:
            raise ServerError(f"ray: the head of the cluster is gone ({self._lost})")

    def leave(self) -> None:
        self._over.set()

    def _watch(self) -> None:
        heard = time.monotonic()
        while not self._over.wait(2.0):
            try:
                answers(*self._where)
                heard = time.monotonic()
            except AsicReservoirError as error:
                if time.monotonic() - heard > GONE_S:
                    self._lost = str(error)
                    return


class _Run:
    """The jobs of one run on a Ray that is there."""

    def __init__(self, ray: Any, jobs: Sequence[Job], say: Callable[[str], None], head: _Head | None) -> None:
        self._ray, self._jobs, self._say, self._head = ray, jobs, say, head
        here = ray.get_runtime_context().get_node_id()
        affinity = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(here, soft=False)
        # beside who asks: anywhere else the whole run would end with that machine
        self._desk = ray.remote(num_cpus=0, scheduling_strategy=affinity)(Desk).remote()
        self._do = ray.remote(num_cpus=1, max_retries=0, scheduling_strategy="SPREAD")(do)
        self._versions = versions()
        self._packed = {id(plan): ray.put(pickle.dumps(plan)) for plan, _ in jobs}
        errors = ray.exceptions
        self._lost = (errors.WorkerCrashedError, errors.NodeDiedError, errors.ObjectLostError, errors.OutOfMemoryError)
        self._attempts = [0] * len(jobs)
        self._results: list[SeedResult | None] = [None] * len(jobs)
        self._under_way: dict[Any, int] = {}
        self._news: Any = None

    def whole(self, progress: Callable[[int], None], cancelled: Callable[[], bool]) -> list[SeedResult]:
        """All results in the order of the jobs."""
        try:
            for number in range(len(self._jobs)):
                self._begin(number)
            while self._under_way:
                finished, _ = self._ray.wait(list(self._under_way), timeout=POLL_S)
                for future in finished:
                    self._take(future)
                self._hear(progress)
                if self._head is not None:
                    self._head.check()
                if cancelled():
                    raise Interrupted
            self._hear_all(progress)
            results = [result for result in self._results if result is not None]
            assert len(results) == len(self._jobs)  # none says that it was stopped: nobody has told it to
            return results
        except BaseException as error:
            if not isinstance(error, ServerError):  # else the cluster is sick, or its versions are others
                with suppress(self._ray.exceptions.RayError):
                    self._end()
            raise
        finally:
            if self._head is not None:
                self._head.leave()
            self._ray.kill(self._desk)

    def _begin(self, number: int) -> None:
        plan, seed = self._jobs[number]
        task = Task(number, self._attempts[number], seed, self._versions)
        future = self._do.remote(task, self._packed[id(plan)], recorded(plan, seed), self._desk)
        self._under_way[future] = number

    def _take(self, future: Any) -> None:
        """One that has ended: keep its result, or begin it again where its process or machine has gone."""
        number = self._under_way.pop(future)
        try:
            self._results[number] = self._ray.get(future)
        except self._lost as error:
            seed = self._jobs[number][1]
            if self._attempts[number] == RETRIES:
                raise ServerError(f"ray: draw {seed} died {RETRIES + 1} times, {_line(error)}") from None
            self._attempts[number] += 1
            self._say(f"ray: draw {seed} was lost ({type(error).__name__}), and is begun again")
            self._hear_all()  # it goes on from what its earlier self has sent
            self._begin(number)

    def _hear(self, progress: Callable[[int], None]) -> None:
        """What the desk says, if it has answered by now."""
        if self._news is None:
            self._news = self._desk.news.remote()
        ready, _ = self._ray.wait([self._news], timeout=0)
        if ready:
            self._hear_all(progress)

    def _hear_all(self, progress: Callable[[int], None] = lambda done: None) -> None:
        """What the desk says, waited for."""
        news = self._news if self._news is not None else self._desk.news.remote()
        self._news = None
        done, parts = self._ray.get(news, timeout=DESK_S)
        for number, files in parts:
            folder: Path | None = self._jobs[number][0].folder
            if folder is not None:
                keep(folder, files)
        progress(done)

    def _end(self) -> None:
        """Have the jobs end their step and return; those that do not begin find it out at once."""
        self._ray.get(self._desk.stop.remote(), timeout=DESK_S)
        end = time.monotonic() + PATIENCE_S
        while self._under_way and time.monotonic() < end:
            finished, _ = self._ray.wait(list(self._under_way), timeout=POLL_S)
            for future in finished:
                del self._under_way[future]
            self._hear(lambda done: None)
        for future in self._under_way:
            self._ray.cancel(future, force=True)
        for _ in range(2):  # an answer that was under way, and one after it
            self._hear_all()


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


def _token_is_here() -> bool:
    """Whether there is a token of a cluster, where Ray looks for one."""
    if os.environ.get("RAY_AUTH_TOKEN"):
        return True
    path = os.environ.get("RAY_AUTH_TOKEN_PATH")
    return (Path(path) if path else Path.home() / ".ray" / "auth_token").is_file()


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Ray takes SIGTERM for itself; whoever runs us has set what it does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if before is not None:  # else it was set by something that is not Python
            signal.signal(signal.SIGTERM, before)


@contextmanager
def _mute() -> Iterator[None]:
    """Nothing on stderr, from whatever language: Ray writes a line a second while it tries to connect."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        os.close(nowhere)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
