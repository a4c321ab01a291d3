"""Writes the Grafana dashboards: ``python deploy/grafana/dashboards.py``. The JSON beside it is what is provisioned.

Three dashboards: the shelf, one board, workers and bus. Every expression is run against a real Prometheus by the tests.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "dashboards"
SOURCE = {"type": "prometheus", "uid": "asic-reservoir-prometheus"}
WIDTH = 24
BOARD = '{board=~"$board"}'

Panel = dict[str, Any]


def panel(title: str, unit: str, *queries: tuple[str, str], kind: str = "timeseries", width: int = 8) -> Panel:
    """One panel; queries are (expression, legend)."""
    targets = [
        {"refId": chr(ord("A") + index), "datasource": SOURCE, "expr": expression, "legendFormat": legend}
        for index, (expression, legend) in enumerate(queries)
    ]
    return {
        "type": kind,
        "title": title,
        "datasource": SOURCE,
        "targets": targets,
        "fieldConfig": {"defaults": {"unit": unit}, "overrides": []},
        "gridPos": {"w": width, "h": 8},
        "options": {},
    }


def dashboard(uid: str, title: str, panels: list[Panel], variables: list[dict[str, Any]]) -> dict[str, Any]:
    """Panels in rows, left to right."""
    x = y = 0
    for number, one in enumerate(panels, start=1):
        place = one["gridPos"]
        if x + place["w"] > WIDTH:
            x, y = 0, y + 8
        place["x"], place["y"], one["id"] = x, y, number
        x += place["w"]
    return {
        "uid": uid,
        "title": title,
        "tags": ["asic-reservoir"],
        "schemaVersion": 41,
        "editable": False,
        "refresh": "15s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": variables},
        "panels": panels,
    }


def shelf() -> dict[str, Any]:
    """All boards, the queue, the service."""
    each = "{{board}} ({{origin}})"
    requests = "sum by (route) (rate(asic_reservoir_http_requests_total[$__rate_interval]))"
    panels = [
        panel("Held by a worker", "none", ("asic_reservoir_board_held", each), kind="state-timeline", width=12),
        panel("Emergency stop", "none", ("asic_reservoir_board_stopped", each), kind="state-timeline", width=12),
        panel("Hottest chip", "celsius", ("asic_reservoir_board_chip_temperature_celsius", each)),
        panel("Nonces against nominal", "percentunit",
              ("asic_reservoir_board_nonces_per_second / asic_reservoir_board_nominal_nonces_per_second", each)),
        panel("Wrong nonces", "percentunit", ("asic_reservoir_board_error_ratio", each)),
        panel("Power", "watt", ("asic_reservoir_board_power_watts", each)),
        panel("Calibration age", "s", ("asic_reservoir_board_calibration_age_seconds", each)),
        panel("Lease grants in 15 min", "none", ("increase(asic_reservoir_board_lease_grants_total[15m])", each)),
        panel("Tasks", "none", ("asic_reservoir_tasks", "{{state}}"), ("asic_reservoir_tasks_ended", "{{state}}")),
        panel("Oldest task that waits", "s", ("asic_reservoir_queue_oldest_seconds", "age")),
        panel("Free disk", "bytes", ("asic_reservoir_store_free_bytes", "free")),
        panel("Requests", "reqps", (requests, "{{route}}")),
        panel("Errors", "percentunit", ("asic_reservoir:http_errors:ratio_rate5m", "5xx")),
        panel("Time to answer, p99", "s", ("asic_reservoir:http_duration_seconds:p99_5m", "p99")),
        panel("Memory of the service", "bytes", ("asic_reservoir_process_resident_memory_bytes", "resident")),
    ]  # fmt: skip
    return dashboard("asic-reservoir-shelf", "asic-reservoir: shelf", panels, [])


def board() -> dict[str, Any]:
    """One board, chosen above."""
    info = "* on (board, origin) group_left (model, chip) asic_reservoir_board_info"
    variable = {
        "name": "board",
        "type": "query",
        "datasource": SOURCE,
        "query": "label_values(asic_reservoir_board_info, board)",
        "refresh": 2,
        "includeAll": False,
    }
    panels = [
        panel("What it is", "none", (f"asic_reservoir_board_info{BOARD}", "{{model}} {{origin}}"), kind="stat"),
        panel("Since it said something", "s", (f"asic_reservoir_board_silence_seconds{BOARD}", "silence"), kind="stat"),
        panel("Calibration age", "s", (f"asic_reservoir_board_calibration_age_seconds{BOARD}", "age"), kind="stat"),
        panel("Temperature", "celsius",
              (f"asic_reservoir_board_chip_temperature_celsius{BOARD}", "hottest chip"),
              (f"asic_reservoir_board_temperature_celsius{BOARD}", "board"),
              (f"asic_reservoir_board_chip_temperature_limit_celsius{BOARD}", "limit")),
        panel("Nonces", "none",
              (f"asic_reservoir_board_nonces_per_second{BOARD}", "nonces/s"),
              (f"asic_reservoir_board_nominal_nonces_per_second{BOARD}", "nominal")),
        panel("Wrong nonces", "percentunit", (f"asic_reservoir_board_error_ratio{BOARD}", "wrong")),
        panel("Clock", "hertz", (f"asic_reservoir_board_frequency_hertz{BOARD}", "mean of the cores")),
        panel("Voltage", "volt", (f"asic_reservoir_board_voltage_volts{BOARD}", "read back")),
        panel("Power", "watt", (f"asic_reservoir_board_power_watts{BOARD} {info}", "{{model}}")),
        panel("Fan", "none", (f"60 * asic_reservoir_board_fan_revolutions_per_second{BOARD}", "rpm")),
        panel("Taken by a worker", "none", (f"asic_reservoir_board_held{BOARD}", "held"),
              (f"asic_reservoir_board_enabled{BOARD}", "enabled"), kind="state-timeline"),
    ]  # fmt: skip
    return dashboard("asic-reservoir-board", "asic-reservoir: one board", panels, [variable])


def workers() -> dict[str, Any]:
    """What only the workers know, and the bus."""
    each = "{{board}} ({{origin}})"
    by = "sum by (board, origin)"
    rate = "$__rate_interval"
    attempts = f"sum by (state) (rate(asic_reservoir_worker_attempts_total[{rate}]))"
    joules = f"{by} (rate(asic_reservoir_worker_energy_joules_total[{rate}]))"
    busy = f"{by} (rate(asic_reservoir_worker_busy_seconds_total[{rate}]))"
    failed = f'{by} (rate(asic_reservoir_worker_renewals_total{{outcome="failed"}}[{rate}]))'
    memory = "asic_reservoir_worker_process_resident_memory_bytes"
    panels = [
        panel("Answers", "none", ('up{job="asic-reservoir-workers"}', "{{instance}}"), kind="state-timeline", width=12),
        panel("Holds the lease", "none", ("asic_reservoir_worker_lease_held", each), kind="state-timeline", width=12),
        panel("Renewals that failed", "reqps", (failed, each)),
        panel("Leases taken in 15 min", "none",
              (f"{by} (increase(asic_reservoir_worker_leases_taken_total[15m]))", each),
              (f"{by} (increase(asic_reservoir_worker_leases_lost_total[15m]))", "lost: " + each)),
        panel("Attempts", "reqps", (attempts, "{{state}}")),
        panel("Busy", "percentunit", (busy, each)),
        panel("Steps", "reqps", (f"{by} (rate(asic_reservoir_worker_steps_total[{rate}]))", each)),
        panel("Board time for wall time", "none",
              (f"{by} (rate(asic_reservoir_worker_board_seconds_total[{rate}]))", each)),
        panel("Energy of tasks that ended well", "watt", (joules, each)),
        panel("Nonces of tasks that ended well", "reqps",
              (f"sum by (verdict) (rate(asic_reservoir_worker_nonces_total[{rate}]))", "{{verdict}}")),
        panel("Nonces now", "reqps", ("asic_reservoir_worker_board_nonces_per_second", each)),
        panel("Hottest chip", "celsius", ("asic_reservoir_worker_board_chip_temperature_celsius", each)),
        panel("Power", "watt", ("asic_reservoir_worker_board_power_watts", each)),
        panel("Runners that died in 15 min", "none",
              (f"{by} (increase(asic_reservoir_worker_runner_deaths_total[15m]))", each)),
        panel("Free disk", "bytes", ("asic_reservoir_worker_free_bytes", "{{instance}}")),
        panel("Memory", "bytes", (memory, "{{instance}}")),
        panel("Bus: there", "none", ("asic_reservoir_bus_connected", "{{instance}}"),
              ("asic_reservoir_bus_configured", "wanted: {{instance}}"), kind="state-timeline"),
        panel("Bus: said", "reqps",
              (f"sum by (about) (rate(asic_reservoir_bus_published_total[{rate}]))", "{{about}}")),
        panel("Bus: waits, and dropped in 15 min", "none", ("asic_reservoir_bus_waiting", "waits: {{instance}}"),
              ("increase(asic_reservoir_bus_dropped_total[15m])", "dropped: {{instance}}")),
        panel("Bus: heard of other sites", "reqps",
              (f"sum by (taken) (rate(asic_reservoir_bus_heard_total[{rate}]))", "taken {{taken}}"),
              ("asic_reservoir_bus_sites", "sites")),
    ]  # fmt: skip
    return dashboard("asic-reservoir-workers", "asic-reservoir: workers and bus", panels, [])


def render() -> dict[str, str]:
    """File name and text of every dashboard."""
    return {
        f"{name}.json": json.dumps(content, indent=1, sort_keys=True) + "\n"
        for name, content in (("shelf", shelf()), ("board", board()), ("workers", workers()))
    }


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for file, text in render().items():
        (FOLDER / file).write_text(text, encoding="utf-8")
