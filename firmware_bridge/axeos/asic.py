"""``GET /api/system/asic`` and ``GET /api/system/statistics`` of the live generation."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

from asic_reservoir.errors import DataError
from firmware_bridge.fields import as_integer, as_list, as_number, as_text, load_object, shown


@dataclass(frozen=True, slots=True)
class AsicOptions:
    """What the board's own page offers."""

    model: str
    device: str
    count: int
    default_frequency_mhz: float
    frequencies_mhz: tuple[float, ...]
    default_voltage_mv: float
    voltages_mv: tuple[float, ...]


BM1366_OPTIONS = AsicOptions(
    model="BM1366",
    device="Ultra",
    count=1,
    default_frequency_mhz=485,
    frequencies_mhz=(400, 425, 450, 475, 485, 500, 525, 550, 575),
    default_voltage_mv=1200,
    voltages_mv=(1100, 1150, 1200, 1250, 1300),
)
"""ESP-Miner ``device_config.h``."""


def encode_asic(options: AsicOptions) -> bytes:
    """The body as the board sends it."""
    return json.dumps(
        {
            "ASICModel": options.model,
            "deviceModel": options.device,
            "swarmColor": "blue",
            "asicCount": options.count,
            "defaultFrequency": options.default_frequency_mhz,
            "frequencyOptions": options.frequencies_mhz,
            "defaultVoltage": options.default_voltage_mv,
            "voltageOptions": options.voltages_mv,
        },
        separators=(",", ":"),
    ).encode()


def parse_asic(body: bytes | str) -> AsicOptions:
    """Raises DataError naming the key.

    >>> parse_asic(encode_asic(BM1366_OPTIONS)) == BM1366_OPTIONS
    True
    """
    keys = load_object(body, "AxeOS asic")

    def numbers(name: str) -> tuple[float, ...]:
        return tuple(as_number(item, f"AxeOS asic {name}", 0) for item in as_list(keys.get(name), f"AxeOS asic {name}"))

    return AsicOptions(
        as_text(keys.get("ASICModel"), "AxeOS asic ASICModel"),
        as_text(keys.get("deviceModel", ""), "AxeOS asic deviceModel"),
        as_integer(keys.get("asicCount"), "AxeOS asic asicCount", 0, 65535),
        as_number(keys.get("defaultFrequency"), "AxeOS asic defaultFrequency", 0),
        numbers("frequencyOptions"),
        as_number(keys.get("defaultVoltage"), "AxeOS asic defaultVoltage", 0),
        numbers("voltageOptions"),
    )


STATISTICS_LABELS = (
    "hashrate",
    "hashrate_1m",
    "hashrate_10m",
    "hashrate_1h",
    "errorPercentage",
    "asicTemp",
    "asicTemp2",
    "vrTemp",
    "asicVoltage",
    "voltage",
    "power",
    "current",
    "fanSpeed",
    "fanRpm",
    "fan2Rpm",
    "wifiRssi",
    "freeHeap",
    "responseTime",
)
"""Columns that can be asked for."""


@dataclass(frozen=True, slots=True)
class Statistics:
    """Samples that the board kept; empty until its ``statsFrequency`` is above 0."""

    now_ms: int
    """Since boot, when it answered."""
    labels: tuple[str, ...]
    """Names of the columns; the last is ``timestamp`` (ms since boot)."""
    rows: tuple[tuple[float, ...], ...]

    def column(self, label: str) -> tuple[float, ...]:
        """All samples of one label. Raises DataError where the board did not send it."""
        if label not in self.labels:
            raise DataError(f"AxeOS statistics: no column {label!r}, must be one of {', '.join(self.labels)}")
        index = self.labels.index(label)
        return tuple(row[index] for row in self.rows)


def encode_statistics(statistics: Statistics) -> bytes:
    """The body as the board sends it."""
    return json.dumps(
        {"currentTimestamp": statistics.now_ms, "labels": statistics.labels, "statistics": statistics.rows},
        separators=(",", ":"),
    ).encode()


def parse_statistics(body: bytes | str) -> Statistics:
    """Raises DataError naming the key; ``null`` samples become NaN.

    >>> body = '{"currentTimestamp":9,"labels":["power","timestamp"],"statistics":[[11.5,8]]}'
    >>> parse_statistics(body).column("power")
    (11.5,)
    """
    keys = load_object(body, "AxeOS statistics")
    labels = tuple(as_text(item, "AxeOS statistics label") for item in as_list(keys.get("labels"), "AxeOS labels"))
    rows = []
    for row in as_list(keys.get("statistics"), "AxeOS statistics rows"):
        items = as_list(row, "AxeOS statistics row")
        if len(items) != len(labels):
            raise DataError(f"AxeOS statistics row: {shown(items)}, must have {len(labels)} items")
        rows.append(tuple(math.nan if v is None else as_number(v, "AxeOS statistics sample") for v in items))
    now_ms = as_integer(keys.get("currentTimestamp"), "AxeOS currentTimestamp", 0, 2**63)
    return Statistics(now_ms, labels, tuple(rows))
