"""The leakage curve: what the state after each round tells of a hash's fate, over as many headers as one has patience.

Every header is hashed. The rounds of every share and of a fixed sample of the others are tapped and scored; since the
accuracy of an AUC hangs on the rarer class, this costs almost nothing of it, and the intervals account for the sample.
Scores are learnt on jobs of their own (grouped by job, earlier in the stream), never on what they are judged by.

A run lives in a folder and is made of whole jobs: kill it at any time, the next start goes on after the last
checkpoint and ends with the same counts bit by bit.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from asic_reservoir.errors import DataError, UsageError
from asic_reservoir.tpf.leak_scores import Progress, ScoreSet, control_counts, count_job, job_of, learn
from asic_reservoir.tpf.run_folder import RunFolder
from asic_reservoir.tpf.scoring import N_BINS, ScoreKind
from asic_reservoir.tpf.sha256 import Kernel

_TRAIN, _EVALUATE, _CONTROL_TRAIN, _CONTROL_TEST = range(4)
"""Streams of jobs."""


@dataclass(frozen=True, slots=True)
class LeakSettings:
    """Everything that a leakage run depends on.

    >>> LeakSettings(headers=2**20).n_jobs
    1
    """

    headers: int = 10**9
    """Headers to evaluate, rounded up to whole jobs."""
    headers_per_job: int = 1 << 22
    train_jobs: int = 16
    zero_bits: tuple[int, ...] = (8, 12, 16)
    """Targets: a share has at least so many leading zero bits."""
    kinds: tuple[ScoreKind, ...] = (ScoreKind.LINEAR, ScoreKind.BYTES)
    negative_stride: int = 128
    """One header in so many is tapped whatever its hash; 1 taps all."""
    control_headers: int = 1 << 22
    """Headers of the positive control; 0 leaves it out, and the report then says so."""
    seed: int = 1

    def __post_init__(self) -> None:
        for name, low, high in (
            ("headers", 1, 10**13),
            ("headers_per_job", 1 << 12, 1 << 28),
            ("train_jobs", 1, 1 << 12),
            ("negative_stride", 1, 1 << 20),
            ("control_headers", 0, 1 << 32),
            ("seed", 0, 2**63 - 1),
        ):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                raise UsageError(f"{name}: {value!r}, must be an integer from {low} to {high}")
        if not self.zero_bits or any(not 1 <= b <= 32 for b in self.zero_bits):
            raise UsageError(f"zero_bits: {list(self.zero_bits)}, must be one or more integers from 1 to 32")
        if not self.kinds:
            raise UsageError("kinds: none, must be one or more of linear, bytes")

    @property
    def n_jobs(self) -> int:
        return -(-self.headers // self.headers_per_job)


@dataclass(frozen=True, slots=True, eq=False)
class LeakCounts:
    """What a run has counted so far. Add-up of jobs, so order and interruption do not matter."""

    settings: LeakSettings
    bins: NDArray[np.int64]
    """Bins of the scores, shape (2, k, 128, 2, N_BINS): jobs of even and odd number (one learns the rule of the
    guessing advantage, the other judges it), targets by kinds, rounds of both hashes, negatives and positives."""
    control: NDArray[np.int64] | None
    """Shape (29, 32, 2, N_BINS), see ``control_counts``; ``None`` where left out."""
    jobs_done: int
    headers_tapped: int
    seconds: float
    """Wall time of all pieces, learning included."""
    cpu_seconds: float

    @property
    def headers_evaluated(self) -> int:
        return self.jobs_done * self.settings.headers_per_job

    @property
    def configurations(self) -> list[tuple[int, ScoreKind]]:
        """(zero bits, kind) along the second axis of ``bins``."""
        return [(b, kind) for b in self.settings.zero_bits for kind in self.settings.kinds]


def run_leakage(
    folder: Path,
    settings: LeakSettings,
    *,
    workers: int = 1,
    kernel: Kernel = Kernel.AUTO,
    progress: Progress = lambda what, done, total: None,
    stop: Callable[[], bool] = lambda: False,
    checkpoint_s: float = 10.0,
) -> LeakCounts:
    """Run, or go on with, the leakage run in ``folder``, until all headers are done or ``stop`` says so.

    Raises:
        UsageError: the folder holds a run with other settings.
        BusyError: another process works in the folder.
        DataError: a file of the folder is damaged.
    """
    if workers < 1:
        raise UsageError(f"workers: {workers}, must be at least 1")
    with RunFolder(folder, "leakage", _as_json(settings)) as run:
        begin, cpu_begin = time.monotonic(), time.process_time()
        scores = _scores(run, settings, kernel, progress)
        state = _load_state(run, settings)
        control = run.arrays("control.npz")
        if control is None and settings.control_headers:
            counted = control_counts(
                settings.seed, _CONTROL_TRAIN, _CONTROL_TEST, settings.control_headers, kernel, progress
            )
            control = {"control": counted}
            run.keep("control.npz", control)
        bins, done, tapped, seconds, cpu_seconds = state

        def one(index: int) -> tuple[int, NDArray[np.int64], int]:
            own = np.zeros(bins.shape[1:], np.int64)
            job = job_of(settings.seed, _EVALUATE, index)
            n = count_job(job, settings.headers_per_job, scores, settings.negative_stride, kernel, own)
            return index, own, n

        def spent() -> tuple[float, float]:
            return seconds + time.monotonic() - begin, cpu_seconds + time.process_time() - cpu_begin

        def checkpoint() -> None:
            wall, cpu = spent()
            numbers = {"done": done, "tapped": tapped, "seconds": wall, "cpu_seconds": cpu}
            run.keep("counts.npz", {"bins": bins, **{key: np.asarray(value) for key, value in numbers.items()}})

        last = time.monotonic()
        with ThreadPoolExecutor(workers) as pool:
            while done < settings.n_jobs and not stop():
                batch = range(done, min(done + workers, settings.n_jobs))
                for index, own, n in pool.map(one, batch):
                    bins[index % 2] += own
                    tapped += n
                done = batch.stop
                progress("headers", done * settings.headers_per_job, settings.n_jobs * settings.headers_per_job)
                if time.monotonic() - last >= checkpoint_s:
                    checkpoint()
                    last = time.monotonic()
        checkpoint()
        wall, cpu = spent()
        return LeakCounts(settings, bins, control["control"] if control else None, done, tapped, wall, cpu)


def _scores(run: RunFolder, settings: LeakSettings, kernel: Kernel, progress: Progress) -> list[ScoreSet]:
    kept = run.arrays("scores.npz")
    configurations = [(b, kind) for b in settings.zero_bits for kind in settings.kinds]
    if kept is None:
        with threadpool_limits(1):  # small products: threads of the algebra library only wait for each other
            scores = learn(
                settings.seed,
                _TRAIN,
                settings.train_jobs,
                settings.headers_per_job,
                settings.zero_bits,
                settings.kinds,
                kernel,
                progress,
            )
        stacked = {name: np.stack([getattr(s, name) for s in scores]) for name in ("tables", "low", "shift")}
        run.keep("scores.npz", stacked)
        return scores
    return [
        ScoreSet(b, kind, kept["tables"][i], kept["low"][i], kept["shift"][i])
        for i, (b, kind) in enumerate(configurations)
    ]


def _load_state(run: RunFolder, settings: LeakSettings) -> tuple[NDArray[np.int64], int, int, float, float]:
    shape = (2, len(settings.zero_bits) * len(settings.kinds), 128, 2, N_BINS)
    kept = run.arrays("counts.npz")
    if kept is None:
        return np.zeros(shape, np.int64), 0, 0, 0.0, 0.0
    if kept["bins"].shape != shape:
        raise DataError(f"{run.path / 'counts.npz'}: bins of shape {kept['bins'].shape}, must be {shape}")
    return (
        kept["bins"],
        int(kept["done"]),
        int(kept["tapped"]),
        float(kept["seconds"]),
        float(kept["cpu_seconds"]),
    )


def _as_json(settings: LeakSettings) -> str:
    return json.dumps(asdict(settings), indent=1)


def default_workers() -> int:
    """One worker a core that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
