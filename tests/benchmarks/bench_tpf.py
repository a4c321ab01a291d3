"""Double SHA-256 with a tap beside a ``hashlib`` loop and plain C, in one run, interleaved, medians.

The C program is ``sha256d_reference.c``, built here with ``gcc -O3`` (and once more with ``-march=native -mno-sha``).
Rates are of processor time on one core, so that a busy machine distorts them less; scaling over cores is of wall time.

    ASIC_RESERVOIR_BENCH_TPF_HEADERS   headers of a round (1000000)
    ASIC_RESERVOIR_BENCH_TPF_ROUNDS    interleaved rounds (5)
"""

from __future__ import annotations

import hashlib
import os
import shutil
import statistics
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asic_reservoir.tpf import _shani, gpu
from asic_reservoir.tpf.compression import Job
from asic_reservoir.tpf.leakage import default_workers
from asic_reservoir.tpf.miner import mine
from asic_reservoir.tpf.sha256 import Kernel, tap, trace_of, word7_of

HEADERS = int(float(os.environ.get("ASIC_RESERVOIR_BENCH_TPF_HEADERS", "1e6")))
ROUNDS = int(os.environ.get("ASIC_RESERVOIR_BENCH_TPF_ROUNDS", "5"))
PIECE = 1024
SOURCE = Path(__file__).with_name("sha256d_reference.c")

Row = dict[str, Any]
Rate = Callable[[], float]


def row(name: str, value: float, unit: str, reference: str = "", ratio: float | None = None, note: str = "") -> Row:
    return {"name": name, "value": value, "unit": unit, "reference": reference, "ratio": ratio, "note": note}


def processor_rate(n: int, work: Callable[[], object]) -> float:
    begin = time.process_time()
    work()
    return n / (time.process_time() - begin)


def wall_rate(n: int, work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return n / (time.perf_counter() - begin)


def hashlib_loop(prefix: bytes, n: int) -> None:
    sha256, pack = hashlib.sha256, struct.pack
    for nonce in range(n):
        sha256(sha256(prefix + pack("<I", nonce)).digest()).digest()


def traces(job: Job, nonces: NDArray[np.uint32], kernel: Kernel) -> None:
    """In pieces that stay in the cache, as the leakage run takes them."""
    for begin in range(0, nonces.size, PIECE):
        trace_of(job, nonces[begin : begin + PIECE], kernel)


def build(folder: Path, *flags: str) -> Path | None:
    """The C program, or ``None`` without a compiler."""
    compiler = shutil.which("gcc")
    if compiler is None:
        return None
    program = folder / ("reference" + "".join(flags).replace("-", "_").replace("=", "_"))
    subprocess.run([compiler, "-O3", *flags, "-o", program, SOURCE], check=True)
    return program


def run_c(program: Path, job: Job, n: int, expected: int) -> float:
    output = subprocess.run([program, job.prefix.hex(), str(n)], check=True, capture_output=True, text=True).stdout
    seconds, check = output.split()
    if int(check, 16) != expected:
        raise AssertionError(f"C reference: check word {check}, must be {expected:08x}")
    return n / float(seconds)


def run() -> list[Row]:
    job = Job.random(np.random.default_rng(1))
    nonces = np.arange(HEADERS, dtype=np.uint32)
    few = HEADERS // 10
    expected = int(np.bitwise_xor.reduce(word7_of(job, nonces)))
    kernels = [Kernel.PORTABLE, *([Kernel.EXTENSIONS] if _shani.available() else [])]
    with tempfile.TemporaryDirectory() as folder:
        rates: dict[str, Rate] = {
            "hashlib": partial(processor_rate, few, partial(hashlib_loop, job.prefix, few)),
        }
        for name, flags in (("C -O3", ()), ("C -O3 -march=native", ("-march=native", "-mno-sha"))):
            program = build(Path(folder), *flags)
            if program is not None:
                rates[name] = partial(run_c, program, job, HEADERS, expected)
        for kernel in kernels:
            tap(job, nonces[:64], 1, 60, kernel)  # compiled before it is timed
            word7_of(job, nonces[:64], kernel)
            trace_of(job, nonces[:64], kernel)
            rates[f"tap, {kernel.value}"] = partial(processor_rate, HEADERS, partial(tap, job, nonces, 1, 60, kernel))
            rates[f"word 7, {kernel.value}"] = partial(processor_rate, HEADERS, partial(word7_of, job, nonces, kernel))
            rates[f"trace, {kernel.value}"] = partial(processor_rate, few, partial(traces, job, nonces[:few], kernel))
        mine(job, nonces[:64], 8)
        rates["miner"] = partial(processor_rate, few, partial(mine, job, nonces[:few], 8))
        cores = default_workers()
        for threads in {1, cores}:
            rates[f"threads {threads}"] = partial(
                wall_rate, 4 * HEADERS, partial(word7_of, job, np.arange(4 * HEADERS), threads=threads)
            )
        if gpu.available():
            gpu.tap_on_gpu(job, nonces[:64], 1, 60)
            rates["gpu"] = partial(wall_rate, HEADERS, partial(gpu.tap_on_gpu, job, nonces, 1, 60))
        seen: dict[str, list[float]] = {name: [] for name in rates}
        for _ in range(ROUNDS):
            for name, rate in rates.items():
                seen[name].append(rate())
    return table({name: statistics.median(values) for name, values in seen.items()}, cores)


def table(median: dict[str, float], cores: int) -> list[Row]:
    rows = []
    best = "extensions" if "tap, extensions" in median else "portable"

    def add(name: str, key: str, reference: str = "", note: str = "") -> None:
        ratio = median[key] / median[reference] if reference in median else None
        rows.append(row(name, median[key] / 1e6, "Mhash/s", reference, ratio, note))

    add("double SHA-256, hashlib loop in Python", "hashlib")
    for key in ("C -O3", "C -O3 -march=native"):
        if key in median:
            add(f"double SHA-256, {key}, no SHA extensions", key)
    add("double SHA-256 with a tap, one core", f"tap, {best}", "hashlib", "asked for 15x")
    add("double SHA-256 with a tap, one core", f"tap, {best}", "C -O3", "asked for 0.8x")
    add("same", f"tap, {best}", "C -O3 -march=native")
    add("with a tap, portable kernel", "tap, portable", "C -O3", "any processor")
    add("digest word 7 only, left at round 61", f"word 7, {best}", "hashlib")
    add("all rounds of both hashes kept", f"trace, {best}", "hashlib")
    add("miner that aborts, without a policy", "miner", "C -O3", "one round after the other")
    if cores > 1:
        add(f"digest word 7 on {cores} cores, wall time", f"threads {cores}", "threads 1", "scaling")
    if "gpu" in median:
        add("with a tap on the GPU, wall time, copies included", "gpu", f"tap, {best}")
    return rows


if __name__ == "__main__":
    for line in run():
        ratio = "" if line["ratio"] is None else f"{line['ratio']:8.2f}x {line['reference']}"
        print(f"{line['name']:55s} {line['value']:9.3f} {line['unit']} {ratio}  {line['note']}")
