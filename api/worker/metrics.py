"""Metrics of a worker process, at a port of its own: what only it knows, for the boards it drives."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector, start_http_server
from prometheus_client.core import GaugeMetricFamily, Metric

from api.metrics import BusState
from asic_reservoir.errors import UsageError

LABELS = ["board", "origin"]
LIVE = {
    "rate_hz": ("board_nonces_per_second", "Nonces in the last step that was kept."),
    "chip_temperature_c": ("board_chip_temperature_celsius", "Hottest chip sensor."),
    "power_w": ("board_power_watts", "Power of the whole board."),
}
COSTS = {
    "steps": ("steps", "Steps of tasks that ended well."),
    "board_seconds": ("board_seconds", "Time of the board, of tasks that ended well."),
    "energy_j": ("energy_joules", "Energy that the boards reported, of tasks that ended well."),
}


class WorkerMetrics:
    """Told by the worker what happens; every label set is there from the start.

    Args:
        boards: name and origin of each.
        folder: of the worker: its free space is a metric.
        bus: whose state is a metric too, or None.
    """

    def __init__(self, boards: Sequence[tuple[str, str]], folder: Path, bus: Any = None) -> None:
        self.registry = CollectorRegistry()
        self._origin = dict(boards)
        ProcessCollector(namespace="asic_reservoir_worker", registry=self.registry)
        self.registry.register(BusState(bus))
        self.registry.register(_Disk(folder))
        self._held = self._gauge("lease_held", "Whether this process holds the lease.")
        self._taken = self._counter("leases_taken", "Times that the lease was taken.")
        self._lost = self._counter("leases_lost", "Times that it was lost.")
        self._renewals = self._counter("renewals", "Renewals of the lease.", "outcome")
        self._ended = self._counter("attempts", "Attempts of tasks that ended, by what became of the task.", "state")
        self._busy = self._counter("busy_seconds", "Time spent with tasks.")
        self._deaths = self._counter("runner_deaths", "Processes that died with their task.")
        self._nonces = self._counter("nonces", "Nonces of tasks that ended well.", "verdict")
        self._costs = {key: self._counter(name, text) for key, (name, text) in COSTS.items()}
        self._live = {key: self._gauge(name, text) for key, (name, text) in LIVE.items()}
        for board in boards:
            for gauge in (self._held, *self._live.values()):
                gauge.labels(*board)
            for counter in (self._taken, self._lost, self._busy, self._deaths, *self._costs.values()):
                counter.labels(*board)
            for outcome in ("done", "failed"):
                self._renewals.labels(*board, outcome)
            for state in ("succeeded", "failed", "cancelled", "queued", "set_aside"):
                self._ended.labels(*board, state)
            for verdict in ("valid", "invalid"):
                self._nonces.labels(*board, verdict)

    def board(self, name: str, what: str, content: Mapping[str, Any]) -> None:
        """Something happened to a board: ``live``, ``lease``, ``renewal``, ``died`` or ``ended``."""
        labels = (name, self._origin.get(name, ""))
        if what == "live":
            for key, gauge in self._live.items():
                value = content["live"].get(key)
                gauge.labels(*labels).set(float("nan") if value is None else value)
        elif what == "lease":
            self._held.labels(*labels).set(content["state"] == "taken")
            if content["state"] == "taken":
                self._taken.labels(*labels).inc()
            elif content["state"] == "lost":
                self._lost.labels(*labels).inc()
        elif what == "renewal":
            self._renewals.labels(*labels, content["outcome"]).inc()
        elif what == "died":
            self._deaths.labels(*labels).inc()
        elif what == "ended":
            self._ended.labels(*labels, content["state"]).inc()
            self._busy.labels(*labels).inc(content["seconds"])
            cost = content["cost"]
            for key, counter in self._costs.items():
                counter.labels(*labels).inc(cost.get(key) or 0.0)
            for verdict in ("valid", "invalid"):
                self._nonces.labels(*labels, verdict).inc(cost.get(verdict, 0))

    def serve(self, host: str, port: int) -> int:
        """Answer Prometheus from a thread; the port, which the kernel chose where 0 was asked for.

        Raises:
            UsageError: the address cannot be listened on.
        """
        try:
            server, _ = start_http_server(port, host, self.registry)
        except OSError as error:
            raise UsageError(f"--metrics-port {port} on {host}: {error.strerror or error}") from None
        return int(server.server_port)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(f"asic_reservoir_worker_{name}", text, LABELS, registry=self.registry)

    def _counter(self, name: str, text: str, *more: str) -> Counter:
        return Counter(f"asic_reservoir_worker_{name}", text, [*LABELS, *more], registry=self.registry)


class _Disk:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        free = shutil.disk_usage(self._folder).free
        yield GaugeMetricFamily("asic_reservoir_worker_free_bytes", "Free space in the worker's folder.", value=free)
