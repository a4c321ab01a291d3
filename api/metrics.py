"""Metrics of the service, of its workers and boards, in base units with bounded labels.

Boards and tasks are read from the database when Prometheus asks: one process answers for all workers. Label sets are
there from the start, so that a panel shows 0 and not nothing.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from api.queue.states import ACTIVE, FINAL, TaskState
from asic_reservoir.store.facts import attempts, boards, calibrations, leases, now_ns, shelf, tasks

if TYPE_CHECKING:
    from api.bus import Bus, FanIn

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
HELD_S = 15.0
"""A lease that was renewed within so many seconds counts as held."""

disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    """The registry of one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._known: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        ProcessCollector(namespace="asic_reservoir", registry=self.registry)
        self.requests = Counter(
            "asic_reservoir_http_requests", "Requests by route template.", ["method", "route", "status"],
            registry=self.registry,
        )  # fmt: skip
        self.seconds = Histogram(
            "asic_reservoir_http_request_duration_seconds", "Time to answer.", ["method", "route"],
            buckets=BUCKETS, registry=self.registry,
        )  # fmt: skip

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        known = self._known.get((method, route, status))
        if known is None:
            labelled = self.requests.labels(method, route, str(status)), self.seconds.labels(method, route)
            known = self._known[method, route, status] = labelled
        known[0].inc()
        known[1].observe(seconds)


class Shelf:
    """A collector that reads boards, leases and tasks from the database."""

    def __init__(self, engine: sa.Engine, data: Path, started: float) -> None:
        self._engine, self._data, self._started = engine, data, started

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        with self._engine.connect() as connection:
            yield from _boards(connection)
            yield from _tasks(connection)
        usage = shutil.disk_usage(self._data)
        yield _gauge("asic_reservoir_store_free_bytes", "Free space where tasks are kept.", usage.free)
        yield _gauge("asic_reservoir_start_time_seconds", "When the service was started, Unix time.", self._started)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


_LIVE = {
    "chip_temperature_c": ("asic_reservoir_board_chip_temperature_celsius", "Hottest chip sensor.", 1.0),
    "board_temperature_c": ("asic_reservoir_board_temperature_celsius", "Hottest board sensor.", 1.0),
    "power_w": ("asic_reservoir_board_power_watts", "Power of the whole board.", 1.0),
    "voltage_mv": ("asic_reservoir_board_voltage_volts", "Read-back of the supply.", 1e-3),
    "frequency_mhz": ("asic_reservoir_board_frequency_hertz", "Mean clock of the cores.", 1e6),
    "fan_rpm": ("asic_reservoir_board_fan_revolutions_per_second", "Fan.", 1 / 60),
    "rate_hz": ("asic_reservoir_board_nonces_per_second", "Nonces in the last step that was kept.", 1.0),
}


def _boards(connection: sa.Connection) -> Iterator[Metric]:
    rows = connection.execute(
        sa.select(
            shelf.c.board_id, shelf.c.name, shelf.c.enabled, shelf.c.stopped, shelf.c.live, shelf.c.live_utc_ns,
            boards.c.model, boards.c.family, boards.c.origin, boards.c.info,
            leases.c.holder, leases.c.token, leases.c.renewed_utc_ns,
        )
        .join(boards, boards.c.id == shelf.c.board_id)
        .outerjoin(leases, leases.c.board_id == shelf.c.board_id)
        .order_by(shelf.c.name)
    ).all()  # fmt: skip
    newest = dict(
        connection.execute(
            sa.select(calibrations.c.board_id, sa.func.max(calibrations.c.created_utc_ns)).group_by(
                calibrations.c.board_id
            )
        ).all()
    )
    names = ["board", "origin"]
    info = GaugeMetricFamily(
        "asic_reservoir_board_info", "What a board is.", labels=[*names, "model", "family", "chip"]
    )
    made: dict[str, GaugeMetricFamily] = {}

    def gauge(name: str, text: str, labels: list[str], value: float) -> None:
        if name not in made:
            made[name] = GaugeMetricFamily(name, text, labels=names)
        made[name].add_metric(labels, value)

    tokens = CounterMetricFamily("asic_reservoir_board_lease_grants", "Times that the lease was taken.", labels=names)
    now = now_ns()
    for row in rows:
        label = [row.name, row.origin]
        info.add_metric([*label, row.model, row.family, row.info["chip"]], 1)
        held = row.holder is not None and now - row.renewed_utc_ns < HELD_S * 1e9
        gauge("asic_reservoir_board_held", "Whether a worker holds the lease.", label, held)
        gauge("asic_reservoir_board_enabled", "Whether it takes tasks.", label, row.enabled)
        gauge("asic_reservoir_board_stopped", "Emergency stop.", label, row.stopped)
        limit = float(row.info["limits"]["chip_temperature_c"])
        gauge("asic_reservoir_board_chip_temperature_limit_celsius", "Above it the board stops.", label, limit)
        expected = _expected_hz(row.info)
        gauge("asic_reservoir_board_nominal_nonces_per_second", "At the nominal point.", label, expected)
        tokens.add_metric(label, row.token or 0)
        live = row.live or {}
        seen = (now - row.live_utc_ns) * 1e-9 if row.live_utc_ns else float("inf")
        gauge("asic_reservoir_board_silence_seconds", "Since the board said something; +Inf: never.", label, seen)
        for key, (name, text, scale) in _LIVE.items():
            value = live.get(key)
            gauge(name, text, label, float("nan") if value is None else value * scale)
        counted = live.get("valid", 0) + live.get("invalid", 0)
        error = live.get("invalid", 0) / counted if counted else 0.0
        gauge("asic_reservoir_board_error_ratio", "Wrong nonces among all, last step that was kept.", label, error)
        made_at = newest.get(row.board_id)
        age = (now - made_at) * 1e-9 if made_at else float("inf")
        gauge("asic_reservoir_board_calibration_age_seconds", "+Inf: never calibrated.", label, age)
    yield info
    yield tokens
    yield from made.values()


def _expected_hz(info: dict[str, Any]) -> float:
    from asic_reservoir.store.documents import parse_board

    board = parse_board(info, "board")
    clock = board.nominal.frequency_mhz
    return 0.0 if clock is None else board.chip_rate_hz(float(clock), board.nominal.difficulty) * board.n_chips


def _tasks(connection: sa.Connection) -> Iterator[Metric]:
    by_state = sa.select(tasks.c.state, sa.func.count()).group_by(tasks.c.state)
    counted: dict[str, int] = dict(connection.execute(by_state).all())
    waiting = GaugeMetricFamily("asic_reservoir_tasks", "Tasks that are not over, by state.", labels=["state"])
    ended = GaugeMetricFamily("asic_reservoir_tasks_ended", "Tasks that are over and kept, by state.", labels=["state"])
    for state in TaskState:
        family = ended if state in FINAL else waiting
        family.add_metric([state.value], counted.get(state.value, 0))
    yield waiting
    yield ended
    oldest = connection.execute(
        sa.select(sa.func.min(tasks.c.created_utc_ns)).where(tasks.c.state == TaskState.QUEUED.value)
    ).scalar()
    age = 0.0 if oldest is None else max(0.0, time.time() - oldest * 1e-9)
    yield _gauge("asic_reservoir_queue_oldest_seconds", "Age of the oldest task that waits.", age)
    tries = connection.execute(sa.select(sa.func.count()).select_from(attempts)).scalar_one()
    yield _gauge("asic_reservoir_attempts_kept", "Attempts of the tasks that are kept.", tries)
    active = sum(counted.get(state.value, 0) for state in ACTIVE)
    yield _gauge("asic_reservoir_tasks_active", "Tasks in the hands of workers.", active)


class BusState:
    """A collector of how the bus fares; zeros where there is none.

    Args:
        bus: an :class:`api.bus.Bus`, or None.
        fan_in: an :class:`api.bus.FanIn`, or None.
    """

    def __init__(self, bus: Bus | None, fan_in: FanIn | None = None) -> None:
        self._bus, self._fan_in = bus, fan_in

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        bus, fan_in = self._bus, self._fan_in
        yield _gauge("asic_reservoir_bus_configured", "Whether there is a bus.", bus is not None)
        yield _gauge("asic_reservoir_bus_connected", "Whether it is there now.", bus is not None and bus.connected)
        yield _gauge("asic_reservoir_bus_waiting", "Messages and tasks not sent yet.", bus.waiting if bus else 0)
        sent = CounterMetricFamily("asic_reservoir_bus_published", "Messages acknowledged.", labels=["about"])
        for about, count in (bus.published if bus else {"tasks": 0, "boards": 0}).items():
            sent.add_metric([about], count)
        yield sent
        dropped = CounterMetricFamily("asic_reservoir_bus_dropped", "Messages that found no room.")
        dropped.add_metric([], bus.dropped if bus else 0)
        yield dropped
        if fan_in is None:
            return
        heard = CounterMetricFamily("asic_reservoir_bus_heard", "Messages of other sites.", labels=["taken"])
        heard.add_metric(["true"], fan_in.heard)
        heard.add_metric(["false"], fan_in.refused)
        yield heard
        yield _gauge("asic_reservoir_bus_sites", "Other sites that were heard.", len(fan_in.sites()))
