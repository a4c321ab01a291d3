"""Record a board: every nonce and every sample of it, as a run of the store.

What ``asic-reservoir store record`` does here, and a task of kind ``record`` does in a service. A nonce is in the
store before it is counted; what was recorded stays, however the recording ends.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from asic_reservoir.board import BoardInfo, Detail, Observation, OperatingPoint, Step
from asic_reservoir.errors import DataError, LimitError, UsageError
from asic_reservoir.kept import KeptRecording
from asic_reservoir.kinds import TaskContext, TaskKind, TaskOutcome
from asic_reservoir.observe import expected_hz
from asic_reservoir.registry import open_board

if TYPE_CHECKING:
    from asic_reservoir.store.recorder import Recorder

SECONDS = 60.0
"""At a point, where nothing is said."""
RESERVE_BYTES = 256 << 20
"""Left free on the disk of the store: it is not the recording's alone."""
LOOK_S = 1.0
"""Between two looks at the disk."""
Frequency = Field(default=None, gt=0, le=1e6, description="Clock of the cores in MHz; as it is where left out.")
Voltage = Field(default=None, gt=0, le=1e6, description="Supply in mV; as it is where left out.")
Difficulty = Field(default=None, ge=1, le=2**32, description="Share filter, units of 2^32 hashes.")


class Point(BaseModel):
    """One operating point; what is left out stays as it is."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    frequency_mhz: float | None = Frequency
    voltage_mv: float | None = Voltage
    difficulty: int | None = Difficulty

    @property
    def operating_point(self) -> OperatingPoint:
        """As a step takes it."""
        return OperatingPoint(self.frequency_mhz, self.voltage_mv, self.difficulty)


class RecordSettings(Point):
    """Where to hold the board, for how long, and how much that may take.

    >>> RecordSettings(seconds=2.5).steps_a_point, RecordSettings(seconds=0.2).step_ns
    (3, 200000000)
    """

    seconds: float | None = Field(
        default=None,
        ge=1e-3,
        le=31_536_000,
        description=f"Board time at a point in s, in whole steps; {SECONDS:g} where n_steps is left out too.",
    )
    n_steps: int | None = Field(default=None, ge=1, le=100_000_000, description="Steps at a point, instead of seconds.")
    step_seconds: float = Field(default=1.0, ge=1e-3, le=3600.0, description="Board time of a step in s.")
    points: tuple[Point, ...] = Field(
        default=(), max_length=64, description="Several operating points, one after the other, instead of the one."
    )
    max_mb: float = Field(
        default=1000.0,
        ge=1.0,
        le=1_000_000.0,
        description="The recording fails before it has written more MB (10^6 bytes, not yet compressed) than this.",
    )

    @model_validator(mode="after")
    def _one_way(self) -> RecordSettings:
        if self.seconds is not None and self.n_steps is not None:
            raise ValueError(f"n_steps: {self.n_steps} beside seconds = {self.seconds:g}, must be one of them")
        if self.points and (self.frequency_mhz, self.voltage_mv, self.difficulty) != (None, None, None):
            raise ValueError("points: beside frequency_mhz, voltage_mv or difficulty, must stand alone")
        return self

    @property
    def step_ns(self) -> int:
        """Board time of a step: the whole time, where that is shorter."""
        seconds = self.step_seconds if self.n_steps is not None else min(self.step_seconds, self.seconds or SECONDS)
        return round(seconds * 1e9)

    @property
    def steps_a_point(self) -> int:
        """At least the time that was asked for, in whole steps."""
        return self.n_steps or max(1, -(-round((self.seconds or SECONDS) * 1e9) // self.step_ns))

    @property
    def operating_points(self) -> tuple[OperatingPoint, ...]:
        """In their order."""
        return tuple(point.operating_point for point in self.points or (self,))


@dataclass(slots=True)
class _Tally:
    """What came at one operating point."""

    asked: OperatingPoint
    n_steps: int = 0
    seconds: float = 0.0
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("valid", "invalid", "duplicate", "stale"), 0))
    applied: OperatingPoint | None = None

    def add(self, observation: Observation) -> None:
        self.n_steps += 1
        self.seconds += observation.duration_s
        self.applied = observation.applied
        for name in self.counts:
            self.counts[name] += int(getattr(observation.counts, name).sum())

    def document(self, info: BoardInfo) -> dict[str, Any]:
        came = self.counts["valid"] + self.counts["invalid"]
        return {
            "asked": _document(self.asked),
            "applied": _document(self.applied or self.asked),
            "n_steps": self.n_steps,
            "seconds": self.seconds,
            **self.counts,
            "rate_hz": came / self.seconds,
            "expected_rate_hz": expected_hz(info, self.applied or self.asked),
            "error_rate": self.counts["invalid"] / came if came else 0.0,
        }


def record(settings: RecordSettings, context: TaskContext) -> TaskOutcome:
    """Record the board into a new run.

    Raises:
        UsageError: nothing is there to record into; or the time that was asked for takes more than ``max_mb``.
        LimitError: a point is outside the limits of the board; the refusal is recorded, and no step is made.
        StoreWriteError: the disk is full or nearly so; what is on it stays.
        DataError: ``max_mb`` is reached; what was recorded stays.
    """
    from asic_reservoir.provenance import collect

    if context.recordings is None:
        raise UsageError("record: no store to record into, must run in a worker or as 'store record'")
    points = settings.operating_points
    total = settings.steps_a_point * len(points)
    chosen = settings.model_dump(exclude={"points"}) | {"points": json.dumps(settings.model_dump()["points"])}
    with open_board(context.board) as board:
        _check_size(settings, board.info)
        room = _Room(context, settings)
        recorder = context.recordings.record(board, collect(settings=chosen).model_dump(mode="json"))
        tallies: list[_Tally] = []
        done = 0
        with recorder:
            _check_points(recorder, points)
            for point in points:
                step = Step(point, settings.step_ns, detail=Detail.NONCES)
                tallies.append(_Tally(point))
                for _ in range(settings.steps_a_point):
                    context.stop_if_cancelled()
                    room.check(recorder)
                    tallies[-1].add(recorder.step(step))
                    done += 1
                    context.progress(done, total, f"recording {recorder.record.run_id}: {recorder.nonces:,} nonces")
        return _outcome(recorder, board.info, tallies)


class _Room:
    """How much a recording may still take."""

    def __init__(self, context: TaskContext, settings: RecordSettings) -> None:
        assert context.recordings is not None
        self._root, self._most = context.recordings.root, settings.max_mb
        self._due_s = 0.0
        self._largest = self._before = 0
        self._look("nothing was recorded")

    def check(self, recorder: Recorder) -> None:
        """Raises DataError before a step that is not to go on the disk any more."""
        written = recorder.written_bytes
        self._largest = max(self._largest, written - self._before)
        self._before = written
        # the next step takes about as much as the largest so far
        if written + self._largest > self._most * 1e6:
            raise DataError(
                f"max_mb: {self._most:g}, is reached after {recorder.nonces:,} nonces in "
                f"{recorder.observed_ns / 1e9:g} s, must be larger; what was recorded stays"
            )
        if time.monotonic() >= self._due_s:
            self._look(f"the recording ends after {recorder.nonces:,} nonces, which stay")

    def _look(self, end: str) -> None:
        from asic_reservoir.store.errors import StoreWriteError

        self._due_s = time.monotonic() + LOOK_S
        free = shutil.disk_usage(self._root).free
        if free < RESERVE_BYTES:
            raise StoreWriteError(
                f"{self._root}: {free / 1e6:.0f} MB are free, must be {RESERVE_BYTES / 1e6:.0f} at least; {end}"
            )


def _check_points(recorder: Recorder, points: tuple[OperatingPoint, ...]) -> None:
    """All of them before the first step: the last one is not to fail after hours. A refusal is kept, as one in a step
    is."""
    from asic_reservoir.store.recorder import SafetyDecision

    for point in points:
        try:
            recorder.info.limits.check(point)
        except LimitError as error:
            recorder.safety(SafetyDecision(0, type(error).__name__, "refused", str(error)))
            raise


def _check_size(settings: RecordSettings, info: BoardInfo) -> None:
    """Raises UsageError where what was asked for cannot fit: nonces at the rate of the clocks, counts and samples."""
    from asic_reservoir.store.events.kinds import NONCE_BYTES

    a_step = 8 * (info.n_chips + 4 * info.n_counters)
    expected, rates = 0.0, []
    for point in settings.operating_points:
        clock = info.nominal.frequency_mhz if point.frequency_mhz is None else point.frequency_mhz
        difficulty = info.nominal.difficulty if point.difficulty is None else point.difficulty
        rates.append(expected_hz(info, OperatingPoint(clock, difficulty=difficulty)) or 0.0)
        expected += settings.steps_a_point * (a_step + rates[-1] * settings.step_ns * 1e-9 * NONCE_BYTES)
    if expected > settings.max_mb * 1e6:
        steps = settings.steps_a_point * len(rates)
        raise UsageError(
            f"max_mb: {settings.max_mb:g}, must be about {math.ceil(expected * 1.5e-6)} for {steps:,} steps of "
            f"{settings.step_ns * 1e-9:g} s at {np.mean(rates):,.0f} nonces a second"
        )


def _outcome(recorder: Recorder, info: BoardInfo, tallies: list[_Tally]) -> TaskOutcome:
    """What the sealed folder says; raises DataError where that is not all that was counted."""
    from asic_reservoir.store.registration import describe

    run = describe(recorder.folder)
    run_id = run.record.run_id
    if run.nonces != recorder.nonces:
        raise DataError(f"{recorder.folder.path}: {run.nonces:,} nonces are sealed, must be {recorder.nonces:,}")
    rows = [tally.document(info) for tally in tallies]
    came = sum(row["valid"] + row["invalid"] for row in rows)
    error_rate = sum(row["invalid"] for row in rows) / came if came else 0.0
    data = {
        "recording": run_id,
        "host": run.values["host"],
        "folder": run.values["folder"],
        "board": info.uri,
        "n_steps": sum(row["n_steps"] for row in rows),
        "seconds": sum(row["seconds"] for row in rows),
        "nonces": run.nonces,
        "bytes": run.bytes,
        "begin_ns": run.values["begin_ns"],
        "end_ns": run.values["end_ns"],
        "points": rows,
    }
    summary = {"recording": run_id, "nonces": run.nonces, "error_rate": round(error_rate, 6)}
    return TaskOutcome(run.record.origin, data, summary, (KeptRecording(run=run_id),))


def _document(point: OperatingPoint) -> dict[str, Any]:
    """One number where all chips or domains have the same."""
    document: dict[str, Any] = {"difficulty": point.difficulty}
    for name in ("frequency_mhz", "voltage_mv"):
        value = getattr(point, name)
        if isinstance(value, np.ndarray):
            value = float(value[0]) if np.all(value == value[0]) else value.tolist()
        document[name] = value
    return document


def kind() -> TaskKind[RecordSettings]:
    """The kind, for the entry point."""
    return TaskKind(
        name="record",
        title="Record a board",
        description="Every nonce and sample at one operating point or several, as a recording to inspect and download.",
        params=RecordSettings,
        run=record,
        example={"seconds": 10.0, "step_seconds": 1.0},
    )
