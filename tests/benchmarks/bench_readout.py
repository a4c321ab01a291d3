"""Readout training beside its peers and beside the matrix product that bounds it, all on one BLAS thread.

One thread, because two on a machine that others use measure the waiting of BLAS threads for each other.

Sizes come from the environment; the defaults take one to two minutes, most of it scikit-learn's ``RidgeCV``::

    ASIC_RESERVOIR_BENCH_READOUT_ROWS     steps (100000)
    ASIC_RESERVOIR_BENCH_READOUT_ROUNDS   interleaved rounds, medians are shown (3)
"""

from __future__ import annotations

import os
import statistics
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import reservoirpy.nodes
from sklearn.linear_model import Ridge, RidgeCV
from threadpoolctl import threadpool_limits

from asic_reservoir.readout import DEFAULT_ALPHAS, RecursiveLeastSquares, RidgeReadout

ROWS = int(float(os.environ.get("ASIC_RESERVOIR_BENCH_READOUT_ROWS", "1e5")))
ROUNDS = int(os.environ.get("ASIC_RESERVOIR_BENCH_READOUT_ROUNDS", "3"))
N_STATES = 500
CHUNK_ROWS = 5000

Row = dict[str, Any]


def row(name: str, value: float, unit: str, reference: str = "", ratio: float | None = None, note: str = "") -> Row:
    return {"name": name, "value": value, "unit": unit, "reference": reference, "ratio": ratio, "note": note}


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def medians(work: dict[str, Callable[[], object]], rounds: int = ROUNDS) -> dict[str, float]:
    """Median seconds of each, measured in turn so that a noisy neighbour meets all of them."""
    taken: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(rounds):
        for name, one in work.items():
            taken[name].append(seconds(one))
    return {name: statistics.median(values) for name, values in taken.items()}


def problem(n_rows: int, n_states: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    states = generator.normal(size=(n_rows, n_states))
    return states, states @ generator.normal(size=n_states) + generator.normal(size=n_rows)


def ridge_rows() -> list[Row]:
    x, y = problem(ROWS, N_STATES)
    column = y[:, None]
    taken = medians(
        {
            "product": lambda: x.T @ x,
            "gcv": lambda: RidgeReadout().fit(x, y),
            "blocks": lambda: RidgeReadout(selection="blocks").fit(x, y),
            "reservoirpy": lambda: reservoirpy.nodes.Ridge(ridge=1e-6).fit(x, column),
            "sklearn": lambda: Ridge(alpha=1e-6, solver="cholesky").fit(x, y),
        }
    )
    selecting = seconds(lambda: RidgeCV(alphas=np.array(DEFAULT_ALPHAS) * ROWS).fit(x, y))
    size = f"{N_STATES} states x {ROWS} steps"
    gcv, blocks, product = taken["gcv"], taken["blocks"], taken["product"]
    return [
        row("ridge, 25 penalties by GCV", gcv, "s", f"X'X alone {product:.3g} s", gcv / product, f"{size}; goal <= 3"),
        row(
            "ridge, 25 penalties by GCV",
            gcv,
            "s",
            f"reservoirpy Ridge, one penalty {taken['reservoirpy']:.3g} s",
            gcv / taken["reservoirpy"],
            "goal <= 1",
        ),
        row(
            "ridge, 25 penalties by GCV",
            gcv,
            "s",
            f"scikit-learn Ridge, one penalty {taken['sklearn']:.3g} s",
            gcv / taken["sklearn"],
        ),
        row(
            "ridge, 25 penalties: times faster",
            selecting / gcv,
            "x",
            f"scikit-learn RidgeCV {selecting:.3g} s",
            selecting / gcv,
            "goal >= 30; RidgeCV measured once",
        ),
        row("ridge, 25 penalties by 5 blocks in time", blocks, "s", f"by GCV {gcv:.3g} s", blocks / gcv),
        row(
            "ridge, largest relative difference",
            difference(x, y),
            "",
            "scikit-learn Ridge, Cholesky",
            None,
            "goal 1e-8",
        ),
    ]


def difference(x: np.ndarray, y: np.ndarray) -> float:
    """Of our weights from scikit-learn's at the penalty that was chosen, on states scaled alike."""
    ours = RidgeReadout().fit(x, y)
    scaled = (x - x.mean(axis=0)) / x.std(axis=0)
    theirs = Ridge(alpha=len(x) * ours.alpha_, solver="cholesky").fit(scaled, y).coef_ / x.std(axis=0)
    return float(np.abs(ours.coef_ - theirs).max() / np.abs(theirs).max())


def online_rows() -> list[Row]:
    rows = []
    for n_states in (50, 100, 500):
        x, y = problem(2000, n_states)
        RecursiveLeastSquares().fit(x[:2], y[:2])  # compiles
        taken = medians(
            {
                "ours": lambda x=x, y=y: RecursiveLeastSquares().fit(x, y),
                "reservoirpy": lambda x=x, y=y: reservoirpy.nodes.RLS().partial_fit(x[:400], y[:400, None]),
            },
            rounds=2 * ROUNDS + 1,
        )
        ours, theirs = taken["ours"] / 2000 * 1e6, taken["reservoirpy"] / 400 * 1e6
        online = RecursiveLeastSquares(delta=1e-3).fit(x, y)
        padded = np.column_stack([x, np.ones(len(x))])
        batch = np.linalg.solve(padded.T @ padded + 1e-3 * np.eye(n_states + 1), padded.T @ y)
        off = float(np.abs(np.append(online.coef_, online.intercept_) - batch).max())
        note = f"goal >= 8 times faster: {theirs / ours:.1f}; off the batch solution by {off:.1e}"
        rows.append(
            row(f"RLS step, {n_states} states", ours, "us", f"reservoirpy RLS {theirs:.3g} us", ours / theirs, note)
        )
    return rows


def memory_rows() -> list[Row]:
    """Peak of what a stream of chunks allocates, for a short and a ten times longer series."""

    def peak(n_rows: int) -> float:
        generator = np.random.default_rng(0)
        readout = RidgeReadout(selection="blocks")
        tracemalloc.start()
        for start in range(0, n_rows, CHUNK_ROWS):
            x = generator.normal(size=(CHUNK_ROWS, 200))
            readout.partial_fit(x, x[:, 0], solve=start + CHUNK_ROWS >= n_rows)
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return highest / 2**20

    short, long = peak(10 * CHUNK_ROWS), peak(100 * CHUNK_ROWS)
    return [
        row(
            "stream of 200 states: peak memory at 500000 steps",
            long,
            "MiB",
            f"at 50000 steps {short:.3g} MiB",
            long / short,
            "flat: the states alone would be 763 MiB",
        )
    ]


def run() -> list[Row]:
    with threadpool_limits(1):
        return [*ridge_rows(), *online_rows(), *memory_rows()]


if __name__ == "__main__":
    for line in run():
        print(line)
