"""What a board is, as a JSON document and back."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from asic_reservoir.board import BoardInfo, FloatOrArray, Limits, OperatingPoint, Origin, Range, TimestampSource
from asic_reservoir.errors import DataError

_PLAIN = (
    "uri", "family", "model", "chip", "algorithm", "n_chips", "n_counters", "cores_per_chip", "n_hashboards",
    "n_domains", "hashes_per_clock", "ticket_mask", "ticket_mask_settable", "per_chip_frequency", "firmware",
)  # fmt: skip


def board_document(info: BoardInfo) -> dict[str, Any]:
    """``info`` as a document; :func:`parse_board` makes the same of it again."""
    limits = info.limits
    return {name: getattr(info, name) for name in _PLAIN} | {
        "origin": info.origin.value,
        "timestamp_source": info.timestamp_source.value,
        "physical": dict(info.physical),
        "nominal": {
            "frequency_mhz": _setting(info.nominal.frequency_mhz),
            "voltage_mv": _setting(info.nominal.voltage_mv),
            "difficulty": info.nominal.difficulty,
            "fan_percent": _setting(info.nominal.fan_percent),
        },
        "limits": {
            "frequency_mhz": _range(limits.frequency_mhz),
            "voltage_mv": _range(limits.voltage_mv),
            "fan_percent": _range(limits.fan_percent),
            "chip_temperature_c": _number(limits.chip_temperature_c),
            "power_w": None if limits.power_w is None else _number(limits.power_w),
        },
    }


def parse_board(document: dict[str, Any], source: str) -> BoardInfo:
    """Raises DataError that names ``source`` and what is wrong."""
    try:
        nominal, limits = document["nominal"], document["limits"]
        return BoardInfo(
            **{name: document[name] for name in _PLAIN},
            origin=Origin(document["origin"]),
            timestamp_source=TimestampSource(document["timestamp_source"]),
            physical=dict(document["physical"]),
            nominal=OperatingPoint(
                _parse_setting(nominal["frequency_mhz"]),
                _parse_setting(nominal["voltage_mv"]),
                nominal["difficulty"],
                None if nominal["fan_percent"] is None else _parse_number(nominal["fan_percent"]),
            ),
            limits=Limits(
                _parse_range(limits["frequency_mhz"]),
                _parse_range(limits["voltage_mv"]),
                _parse_number(limits["chip_temperature_c"]),
                None if limits["power_w"] is None else _parse_number(limits["power_w"]),
                _parse_range(limits["fan_percent"]),
            ),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise DataError(f"{source}: board is not described as it should be ({type(error).__name__}: {error})") from None


def _number(value: float) -> float | str:
    """JSON has no infinity: those become words that float() reads. A whole number stays one."""
    number = value if isinstance(value, int) else float(value)
    return number if math.isfinite(number) else str(number)


def _parse_number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise TypeError(f"{value!r} is not a number")
    return float(value) if isinstance(value, str) else value


def _setting(value: FloatOrArray | None) -> object:
    if value is None:
        return None
    if isinstance(value, np.ndarray) and value.ndim:
        return [_number(item) for item in value]
    return _number(float(value) if isinstance(value, np.ndarray) else value)


def _parse_setting(value: Any) -> FloatOrArray | None:
    if value is None:
        return None
    if isinstance(value, list):
        return np.array([float(item) for item in value], np.float64)
    return _parse_number(value)


def _range(value: Range) -> list[float | str]:
    return [_number(value.low), _number(value.high)]


def _parse_range(value: Any) -> Range:
    low, high = value
    return Range(_parse_number(low), _parse_number(high))
