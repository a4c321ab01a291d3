"""What a board said in one step, in the few numbers that a shelf shows while it runs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from asic_reservoir.board import BoardInfo, Observation

SHOWN = 120
"""Nonces of a step that are passed on, at most: they are drawn once a second, and not computed with."""


def live_document(info: BoardInfo, observation: Observation) -> dict[str, Any]:
    """What a board said in one step, for the shelf and the metrics, as plain JSON; a sensor that is absent is None.

    >>> from asic_reservoir.board import Detail
    >>> from asic_reservoir.board import OperatingPoint, Step
    >>> from asic_reservoir.registry import open_board
    >>> with open_board("twin://bm1366?seed=1") as board:
    ...     seen = live_document(board.info, board.step(Step(OperatingPoint(), duration_ns=2_000_000_000)))
    >>> seen["origin"], seen["step_seconds"], len(seen["per_chip"])
    ('simulated', 2.0, 1)
    >>> with open_board("twin://bm1366?seed=1") as board:
    ...     step = Step(OperatingPoint(), duration_ns=2_000_000_000, detail=Detail.NONCES)
    ...     seen = live_document(board.info, board.step(step))
    >>> seen["nonces"]["of"] > len(seen["nonces"]["chip"]) == len(seen["nonces"]["time_s"]) == SHOWN
    True
    """
    telemetry, counts = observation.telemetry, observation.counts
    valid, invalid = int(counts.valid.sum()), int(counts.invalid.sum())
    seconds = max(observation.duration_s, 1e-9)
    chips = telemetry.chip_temperature_c[-1:]
    applied = observation.applied.frequency_mhz
    return {
        "origin": info.origin.value,
        "rate_hz": (valid + invalid) / seconds,
        "valid": valid,
        "invalid": invalid,
        "lost": observation.lost,
        "step_seconds": seconds,
        "chip_temperature_c": _max(chips),
        "board_temperature_c": _max(telemetry.board_temperature_c[-1:]),
        "power_w": _max(telemetry.power_w[-1:]),
        "voltage_mv": _max(telemetry.voltage_mv[-1:]),
        "fan_rpm": _max(telemetry.fan_rpm[-1:]),
        "frequency_mhz": None if applied is None else float(np.mean(applied)),
        "per_chip": [int(n) for n in counts.valid],
        "nonces": _some(observation),
    }


def _some(observation: Observation) -> dict[str, Any] | None:
    """Nonces of the step, spread evenly over it where there are many; None where the step did not ask for them."""
    nonces = observation.nonces
    if not len(nonces.time_ns):
        return None
    chosen = np.unique(np.linspace(0, len(nonces.time_ns) - 1, SHOWN).round().astype(np.int64))
    times = (nonces.time_ns[chosen] - observation.begin_ns) * 1e-9
    return {
        "of": len(nonces.time_ns),
        "time_s": [round(float(time), 4) for time in times],
        "chip": [int(chip) for chip in nonces.chip[chosen]],
    }


def _max(values: np.ndarray[Any, np.dtype[np.float64]]) -> float | None:
    known = values[np.isfinite(values)]
    value = float(known.max()) if known.size else math.nan
    return round(value, 3) if math.isfinite(value) else None
