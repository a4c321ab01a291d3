"""What runs on the machines of a Ray cluster: the jobs, and the desk that they report to.

A job brings what it needs along (plan, series, what was recorded before) and sends what it records, so that the
machines share no folder and it does not matter which of them does it.
"""

from __future__ import annotations

import hashlib
import pickle
import platform
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import asic_reservoir
from asic_reservoir._blas import single_thread
from asic_reservoir.arms import Plan, SeedResult, arm_names, run_seed
from asic_reservoir.drive import Hooks, Interrupted
from asic_reservoir.errors import ServerError
from asic_reservoir.executors.protocol import Seldom
from asic_reservoir.provenance import machine
from asic_reservoir.report.files import write_atomic

MATTER = ("numpy", "scipy", "scikit-learn", "numba")
"""Distributions whose version can change a number."""

Parts = dict[str, bytes]
"""Files of a journal: path beneath the folder of the run, and content."""


@dataclass(frozen=True, slots=True)
class Task:
    """One job, as it is sent."""

    number: int
    attempt: int
    """A job whose machine was lost is begun again under the next number; its earlier self is not heard any more."""
    seed: int
    versions: Mapping[str, str]
    """Of the machine that asks, see :func:`versions`."""


class Desk:
    """What the jobs and their run tell each other: how far they are, what they recorded, whether to stop. An actor."""

    def __init__(self) -> None:
        self._done: dict[int, int] = {}
        self._attempts: dict[int, int] = {}
        self._parts: list[tuple[int, Parts]] = []
        self._stop = False

    def say(self, number: int, attempt: int, steps: int, parts: Parts) -> bool:
        """From a job: its steps so far and what it recorded since; whether to stop. One begun again counts once."""
        if attempt < self._attempts.get(number, 0):
            return True
        self._attempts[number] = attempt
        self._done[number] = steps
        if parts:
            self._parts.append((number, parts))
        return self._stop

    def news(self) -> tuple[int, list[tuple[int, Parts]]]:
        """To the run: steps of all jobs, and what was recorded since it asked last."""
        parts, self._parts = self._parts, []
        return sum(self._done.values()), parts

    def stop(self) -> None:
        self._stop = True


def versions() -> dict[str, str]:
    """What has to be the same wherever a run is computed: code and libraries."""
    return dict(_versions())


@lru_cache(maxsize=1)
def _versions() -> tuple[tuple[str, str], ...]:
    digest = hashlib.sha256()
    root = Path(asic_reservoir.__file__).parent
    for path in sorted(root.rglob("*.py")):
        digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes() + b"\0")
    found = {
        "asic-reservoir": asic_reservoir.__version__,
        "code of asic-reservoir": f"sha256 {digest.hexdigest()[:12]}",
        "Python": platform.python_version(),
    }
    for name in MATTER:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "none"
    return tuple(found.items())


def compare(wanted: Mapping[str, str], host: str) -> None:
    """Raises ServerError where this machine has another version of something; names the first.

    >>> compare(versions() | {"numpy": "1.0"}, "10.0.0.7")
    Traceback (most recent call last):
    asic_reservoir.errors.ServerError: ray: host 10.0.0.7 has numpy ..., must be 1.0 as where the run was started
    """
    own = versions()
    for name, value in wanted.items():
        if own.get(name) != value:
            here = own.get(name, "none")
            raise ServerError(f"ray: host {host} has {name} {here}, must be {value} as where the run was started")


def recorded(plan: Plan, seed: int) -> Parts:
    """What the folder of a plan holds of a seed."""
    if plan.folder is None:
        return {}
    names = (f"records/{arm}-{seed}" for arm in arm_names(plan.settings))
    paths = (path for name in names for path in sorted((plan.folder / name).glob("[0-9]*.npz")))
    return {path.relative_to(plan.folder).as_posix(): path.read_bytes() for path in paths}


def keep(folder: Path, parts: Parts) -> None:
    """Write parts into a folder. Raises DataError where it cannot be written."""
    for name, content in parts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, content)


def do(task: Task, packed: bytes, before: Parts, desk: Any) -> SeedResult | None:
    """On a machine of the cluster: one seed of a plan; None where it was stopped.

    Args:
        task: which, and with which versions.
        packed: the plan, pickled: it is opened only where the versions are the same.
        before: what was recorded of this seed before.
        desk: the actor.

    Raises:
        ServerError: this machine has other versions.
    """
    ray: Any = import_module("ray")
    context = ray.get_runtime_context()
    compare(task.versions, ray.util.get_node_ip_address())
    plan: Plan = pickle.loads(packed)
    steps, seldom = 0, Seldom()
    sent = set(before)

    with TemporaryDirectory(prefix="asic-reservoir-") as name:
        folder = Path(name)

        def say() -> bool:
            paths = {path.relative_to(folder).as_posix(): path for path in sorted(folder.glob("records/*/[0-9]*.npz"))}
            parts = {name: path.read_bytes() for name, path in paths.items() if name not in sent}
            sent.update(parts)
            over: bool = ray.get(desk.say.remote(task.number, task.attempt, steps, parts))
            return over

        stop = say()  # it may have been told to while it waited for its turn

        def advance(more: int) -> None:
            nonlocal steps
            steps += more

        def cancelled() -> bool:
            nonlocal stop
            if not stop and seldom.due():
                stop = say()
            return stop

        if stop:
            return None
        if plan.folder is not None:
            keep(folder, before)
            plan = replace(plan, folder=folder)
        try:
            with single_thread():
                result = run_seed(plan, task.seed, None, Hooks(advance, cancelled))
        except Interrupted:
            return None
        finally:
            say()
    result.place = (context.get_node_id(), machine())
    return result
