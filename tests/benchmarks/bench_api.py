"""The service under load on loopback, beside a bare FastAPI application on the same server, with ``wrk``.

``ASIC_RESERVOIR_BENCH_API_SECONDS`` (3) a measurement, ``ASIC_RESERVOIR_BENCH_API_ROUNDS`` (3) interleaved rounds.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import psutil

from tests.benchmarks import disks

SECONDS = int(os.environ.get("ASIC_RESERVOIR_BENCH_API_SECONDS", "3"))
ROUNDS = int(os.environ.get("ASIC_RESERVOIR_BENCH_API_ROUNDS", "3"))
LISTENERS = int(os.environ.get("ASIC_RESERVOIR_BENCH_API_LISTENERS", "1000"))
QUEUED = 10_000
FILL_S = 30.0
"""A machine that cannot queue so many in this time lists what it has; the row says how many."""
CONNECTIONS = 64
BODY = '{"kind":"observe","board":"bench","params":{"n_steps":3}}'
LUA = f"""wrk.method = "POST"
wrk.body = '{BODY}'
wrk.headers["Content-Type"] = "application/json"
"""

Row = dict[str, Any]


def row(name: str, value: float, unit: str, reference: str = "", ratio: float | None = None, note: str = "") -> Row:
    return {"name": name, "value": value, "unit": unit, "reference": reference, "ratio": ratio, "note": note}


@contextmanager
def server(*words: str, environment: dict[str, str] | None = None, url: str = "") -> Iterator[tuple[str, int]]:
    """A process that serves; its URL and number."""
    process = subprocess.Popen(
        [sys.executable, *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        env=os.environ | (environment or {}),
    )  # fmt: skip
    try:
        assert process.stdout is not None
        found = url or process.stdout.readline().strip().rstrip("/")
        end = time.monotonic() + 60
        while True:
            try:
                httpx2.get(f"{found}/openapi.json", trust_env=False)
                break
            except httpx2.TransportError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)
        yield found, process.pid
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:  # the textbook's threads have a backlog
            process.kill()
            process.wait()


def load(url: str, script: Path | None = None, connections: int = CONNECTIONS) -> tuple[float, float]:
    """Requests a second that succeeded, and the 99th percentile of the time to answer in ms."""
    words = ["wrk", "-t1", f"-c{connections}", f"-d{SECONDS}s", "--latency"]
    words += ["-s", str(script)] if script else []
    text = subprocess.run([*words, url], capture_output=True, text=True, check=True).stdout
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    late = re.search(r"99%\s+([\d.]+)(us|ms|s)", text)
    assert rate is not None, text
    assert late is not None, text
    assert "Non-2xx" not in text, text
    return float(rate[1]), float(late[1]) * {"us": 1e-3, "ms": 1.0, "s": 1e3}[late[2]]


async def listen(url: str, task: str, count: int, pid: int) -> tuple[float, int]:
    """Memory of the service in MB with so many listeners on one task, and how many of them are told its end."""
    async with httpx2.AsyncClient(
        base_url=url, trust_env=False, timeout=60.0, limits=httpx2.Limits(max_connections=count + 5)
    ) as client:
        ready = asyncio.Semaphore(0)

        async def one() -> bool:
            async with client.stream("GET", f"/api/v1/tasks/{task}/events") as stream:
                async for line in stream.aiter_lines():
                    if line.startswith("retry"):
                        ready.release()
                    if line == "event: end":
                        return True
            return False

        listeners = [asyncio.create_task(one()) for _ in range(count)]
        for _ in range(count):
            await ready.acquire()
        memory = psutil.Process(pid).memory_info().rss / 1e6
        await client.post(f"/api/v1/tasks/{task}/cancel")
        return memory, sum(await asyncio.gather(*listeners))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def run() -> list[Row]:
    """Rows of the table."""
    if shutil.which("wrk") is None:
        return [row("api", 0.0, "", note="wrk is absent (apt-get install wrk): nothing was measured")]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        script = folder / "post.lua"
        script.write_text(LUA)
        bare, ours, pid = servers(stack, folder / "as-it-is", {})
        client = stack.enter_context(httpx2.Client(base_url=ours, trust_env=False))
        headers = {"Content-Type": "application/json"}
        task = client.post("/api/v1/tasks", content=BODY, headers=headers).json()["id"]
        client.post(f"/api/v1/tasks/{task}/cancel")
        places: dict[str, tuple[str, Path | None]] = {
            "trivial": (f"{bare}/trivial", None),
            "task": (f"{ours}/api/v1/tasks/{task}", None),
            "board": (f"{ours}/api/v1/boards/bench", None),
            "validated": (f"{bare}/validated", script),
            "submit": (f"{ours}/api/v1/tasks", script),
            # last in a round and with few connections: what it leaves undone would slow down the next
            "textbook": (f"{bare}/textbook", script),
        }
        rates: dict[str, list[float]] = {name: [] for name in places}
        late: dict[str, list[float]] = {name: [] for name in places}
        for _ in range(ROUNDS):
            for name, (url, body) in places.items():
                rate, p99 = load(url, body, 8 if name == "textbook" else CONNECTIONS)
                rates[name].append(rate)
                late[name].append(p99)
        half = {name: load(places[name][0], connections=4)[1] for name in ("task", "board")}
        median = {name: statistics.median(values) for name, values in rates.items()}
        rows = [row(f"api {name}", median[name], "req/s") for name in ("trivial", "validated", "textbook")]
        for name, other, wanted in (
            ("task", "trivial", "0.3"),
            ("board", "trivial", "0.3"),
            ("submit", "validated", "0.2"),
            ("submit", "textbook", "8"),
        ):
            ratio = median[name] / median[other]
            p99 = statistics.median(late[name])
            rows.append(row(f"api {name}", median[name], "req/s", other, ratio, f"wanted {wanted}; p99 {p99:.0f} ms"))
        rows.append(row("api disk sync", disks.sync_ms(), "ms", note="what a commit waits for"))
        rows += [row(f"api {name} p99, 4 connections", p99, "ms", note="wanted 50") for name, p99 in half.items()]
        waiting = client.post("/api/v1/tasks", content=BODY, headers=headers).json()["id"]
        filled_by = time.monotonic() + FILL_S
        while client.get("/api/v1/boards/bench").json()["queue_depth"] < QUEUED and time.monotonic() < filled_by:
            load(*places["submit"])
        rows += _pages(client)
        memory, told = asyncio.run(listen(ours, waiting, LISTENERS, pid))
        rows.append(row(f"api memory, {LISTENERS} listeners", memory, "MB", note=f"wanted 300; {told} told the end"))
    return rows + _late_disk()


def servers(stack: ExitStack, folder: Path, environment: dict[str, str]) -> tuple[str, str, int]:
    """URLs of the bare application and of the service, each with its own database; the process of the latter."""
    folder.mkdir()
    port = free_port()
    bare, _ = stack.enter_context(
        server(
            "-m", "uvicorn", "tests.benchmarks.reference_api:app", "--port", str(port), "--no-access-log",
            "--log-level", "error", url=f"http://127.0.0.1:{port}",
            environment=environment | {"ASIC_RESERVOIR_BENCH_DB": f"sqlite:///{folder}/reference.db"},
        )
    )  # fmt: skip
    ours, pid = stack.enter_context(
        server(
            "-c", "from asic_reservoir.cli import main; main()", "serve", "--no-workers", "--port", "0",
            "--data", str(folder / "data"), "--board", "bench=twin://bm1366?seed=1", environment=environment,
        )
    )  # fmt: skip
    return bare, ours, pid


def _late_disk() -> list[Row]:
    """Submissions where the disk takes longer to synchronise, both servers alike: there a shared commit pays."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        environment = disks.late_disk(folder)
        if environment is None:
            return [row("api submit, late disk", 0.0, "", note="no C compiler: not measured")]
        (script := folder / "post.lua").write_text(LUA)
        bare, ours, _ = servers(stack, folder / "late", environment)
        rates: dict[str, list[float]] = {"submit": [], "textbook": []}
        for _ in range(ROUNDS):
            rates["submit"].append(load(f"{ours}/api/v1/tasks", script)[0])
            rates["textbook"].append(load(f"{bare}/textbook", script, 8)[0])
        submit, textbook = (statistics.median(rates[name]) for name in ("submit", "textbook"))
        note = f"wanted 8; assumed: each sync takes {disks.LATE_US / 1e3:g} ms more"
        return [row("api submit, late disk", submit, "req/s", "textbook, likewise", submit / textbook, note)]


def _pages(client: httpx2.Client) -> list[Row]:
    """Pages through everything that waits."""
    times: list[float] = []
    cursor: str | None = None
    seen = 0
    while True:
        began = time.perf_counter()
        query: dict[str, str | int] = {"limit": 100, "state": "queued"} | ({"cursor": cursor} if cursor else {})
        page = client.get("/api/v1/tasks", params=query).json()
        times.append((time.perf_counter() - began) * 1e3)
        seen += len(page["items"])
        cursor = page["next"]
        if cursor is None or len(times) >= 100:
            break
    median = statistics.median(times)
    return [row("api page of 100 tasks", median, "ms", note=f"wanted 50; worst {max(times):.0f} ms; {seen} listed")]
