"""Observe a board: hold it at an operating point, and say what it did.

The first thing to ask of a board, and the smallest complete task: counts and their spread over steps and chips,
error rate, temperature, power, each beside what arithmetic expects.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from asic_reservoir.board import Board, BoardInfo, Detail, Observation, OperatingPoint, Step
from asic_reservoir.kinds import TaskContext, TaskKind, TaskOutcome
from asic_reservoir.registry import open_board

RASTER = 5000
"""Nonces kept for the raster plot, at most."""


class ObserveSettings(BaseModel):
    """How to hold the board, and for how long."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    n_steps: int = Field(default=30, ge=1, le=100_000, description="Number of steps.")
    step_seconds: float = Field(default=1.0, ge=1e-3, le=3600.0, description="Board time of a step in s.")
    frequency_mhz: float | None = Field(
        default=None, gt=0, le=5000, description="Clock of the cores in MHz; as it is where left out."
    )
    voltage_mv: float | None = Field(
        default=None, gt=0, le=100_000, description="Supply in mV; as it is where left out."
    )
    difficulty: int | None = Field(default=None, ge=1, le=2**32, description="Share filter, units of 2^32 hashes.")
    raster: bool = Field(default=False, description="Keep the times and chips of the first nonces.")


def observe(settings: ObserveSettings, context: TaskContext) -> TaskOutcome:
    """Run ``n_steps`` steps at one operating point.

    Raises:
        LimitError: the point is outside the limits of the board.
    """
    point = OperatingPoint(settings.frequency_mhz, settings.voltage_mv, settings.difficulty)
    detail = Detail.NONCES if settings.raster else Detail.COUNTS
    step = Step(point, max(1, round(settings.step_seconds * 1e9)), detail=detail)
    seen: list[Observation] = []
    with open_board(context.board) as board:
        board.info.limits.check(point)
        for done in range(settings.n_steps):
            context.stop_if_cancelled()
            seen.append(board.step(step))
            context.progress(done + 1, settings.n_steps, "observing")
        return _outcome(board, seen, settings.raster)


def _outcome(board: Board, seen: list[Observation], raster: bool) -> TaskOutcome:
    info = board.info
    valid = np.array([o.counts.valid for o in seen])
    invalid = np.array([o.counts.invalid for o in seen])
    seconds = sum(o.duration_s for o in seen)
    total = float(valid.sum() + invalid.sum())
    per_step = (valid + invalid).sum(axis=1).astype(np.float64)
    error_rate = float(invalid.sum()) / total if total else 0.0
    expected = expected_hz(info, seen[-1].applied)
    data: dict[str, Any] = {
        "board": info.uri,
        "n_steps": len(seen),
        "seconds": seconds,
        "valid": int(valid.sum()),
        "invalid": int(invalid.sum()),
        "rate_hz": total / seconds,
        "expected_rate_hz": expected,
        "error_rate": error_rate,
        "fano_factor": float(per_step.var(ddof=1) / per_step.mean()) if len(seen) > 1 and total else None,
        "per_step": [int(n) for n in per_step],
        "per_counter": {"valid": valid.sum(axis=0).tolist(), "invalid": invalid.sum(axis=0).tolist()},
        "chip_temperature_c": [_mean(o.telemetry.chip_temperature_c) for o in seen],
        "power_w": [_mean(o.telemetry.power_w) for o in seen],
    }
    if raster:
        rows = [
            [(int(t) - seen[0].begin_ns) * 1e-9, int(chip)]
            for o in seen
            for t, chip in zip(o.nonces.time_ns, o.nonces.chip, strict=True)
        ]
        data["raster"] = rows[:RASTER]
    return TaskOutcome(
        origin=info.origin,
        data=data,
        summary={"rate_hz": round(total / seconds, 3), "error_rate": round(error_rate, 6)},
    )


def expected_hz(info: BoardInfo, applied: OperatingPoint) -> float | None:
    """Nonces a second that the clocks would give without errors and dead time."""
    if applied.frequency_mhz is None:
        return None
    clocks = np.broadcast_to(np.asarray(applied.frequency_mhz, np.float64), (info.n_chips,))
    return float(sum(info.chip_rate_hz(float(clock), applied.difficulty) for clock in clocks))


def _mean(values: NDArray[np.float64]) -> float | None:
    """Mean of the sensors that exist; None where there is none."""
    known = values[np.isfinite(values)]
    mean = float(known.mean()) if known.size else math.nan
    return round(mean, 3) if math.isfinite(mean) else None


def kind() -> TaskKind[ObserveSettings]:
    """The kind, for the entry point."""
    return TaskKind(
        name="observe",
        title="Observe a board",
        description="Hold the board at an operating point; counts, error rate, temperatures, power.",
        params=ObserveSettings,
        run=observe,
        example={"n_steps": 30, "step_seconds": 1.0},
    )
