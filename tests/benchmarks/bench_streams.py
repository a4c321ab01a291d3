"""Streaming inference through the service, beside the same board driven in this process.

What the service adds to a step: a socket, two transactions, and two processes. ``ASIC_RESERVOIR_BENCH_STREAM_STEPS``
(400) inputs a measurement.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from asic_reservoir.client import Client
from asic_reservoir.edges import find_edges
from asic_reservoir.encoding import EncodingSettings, reach_of
from asic_reservoir.live import LiveReservoir
from asic_reservoir.registry import open_board

STEPS = int(os.environ.get("ASIC_RESERVOIR_BENCH_STREAM_STEPS", "400"))
URI = "twin://bm1366?seed=1"
SETTINGS = EncodingSettings("frequency", n_lags=20, n_slots=2, step_s=1.0)

Row = dict[str, Any]


def row(name: str, value: float, unit: str, reference: str, ratio: float | None, note: str = "") -> Row:
    return {"name": name, "value": value, "unit": unit, "reference": reference, "ratio": ratio, "note": note}


@contextmanager
def service(folder: Path) -> Iterator[str]:
    """A process that serves one twin; its URL."""
    words = ["-c", "from asic_reservoir.cli import main; main()", "serve", "--port", "0", "--data", str(folder)]
    process = subprocess.Popen(
        [sys.executable, *words, "--board", f"bench={URI}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip().split()[-1].rstrip("/")
    finally:
        process.terminate()
        process.wait(20)


def alone(inputs: list[float]) -> list[float]:
    """Seconds of each step of the board in this process."""
    with open_board(URI) as board:
        live = LiveReservoir(board, SETTINGS, find_edges(board, reach_of(SETTINGS)))
        took = []
        for u in inputs:
            began = time.perf_counter()
            live.step(u)
            took.append(time.perf_counter() - began)
    return took


def run() -> list[Row]:
    inputs = np.random.default_rng(1).uniform(0.0, 0.5, STEPS).tolist()
    direct = alone(inputs)
    with tempfile.TemporaryDirectory() as folder, service(Path(folder)) as url, Client(url) as client:
        client.open_session("bench", 3600)
        task = client.submit("stream", "bench", drive={"lags": 20, "slots": 2, "step_seconds": 1.0})
        took = []
        with client.stream(task.id) as stream:
            stream.step(inputs[0])  # the runner has started, the edges are found
            for u in inputs:
                began = time.perf_counter()
                stream.step(u)
                took.append(time.perf_counter() - began)
            began = time.perf_counter()
            for _ in stream.run(inputs):
                pass
            rate = STEPS / (time.perf_counter() - began)
            stream.end()
    one, there = statistics.median(direct), statistics.median(took)
    bare = STEPS / sum(direct)
    reference = "the same board in this process"
    p99 = sorted(took)[int(0.99 * len(took))]
    return [
        row("stream: one input, its output, p50", 1e3 * there, "ms", f"{reference}: {1e3 * one:.2f} ms", there / one),
        row("stream: one input, its output, p99", 1e3 * p99, "ms", "", None, f"{STEPS} inputs, one at a time"),
        row("stream: inputs under way as the window allows", rate, "1/s", f"{reference}: {bare:.0f}/s", rate / bare),
    ]


if __name__ == "__main__":
    for line in run():
        print(line)
