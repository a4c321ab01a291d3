"""A board around a board that keeps everything it says."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa

from asic_reservoir.board import Board, BoardInfo, Observation, OperatingPoint, Resumable, Step
from asic_reservoir.errors import DataError, LimitError, SafetyError, UsageError
from asic_reservoir.store.documents import board_document
from asic_reservoir.store.events.folder import RunFolder, RunRecord
from asic_reservoir.store.events.kinds import Kind
from asic_reservoir.store.events.log import EventLog, Events, LogOptions
from asic_reservoir.store.events.reader import RunReader
from asic_reservoir.store.events.recover import Recovery
from asic_reservoir.store.observations import digest, point_rows, same_point, step_row, telemetry_rows

CLOCK_INTERVAL_S = 60.0
"""Between two clock triples. Between them, UTC is off by what the host's clock drifts in a minute: microseconds."""


@dataclass(frozen=True, slots=True)
class SafetyDecision:
    """What whoever guards a board decided, and why."""

    time_ns: int
    """On the time line of the board."""
    rule: str
    """Which rule, for instance ``chip_temperature_c``."""
    action: str
    """What was done, for instance ``cut-off``."""
    message: str
    value: float = math.nan
    """What was seen, in the unit of the rule."""
    limit: float = math.nan


class Recorder:
    """Keeps every observation before it hands it on: ``Recorder(open_board(uri), "out/run")``.

    An observation that ``step`` returned survives a killed process (and a loss of power, a tenth of a second later).
    What the board decided for safety is kept too. On a folder that has a run of the same board already, recording
    goes on: steps that are there must come again as they were, and are not kept twice; that is how a killed run of a
    resumable board continues.

    Args:
        board: whose observations to keep. The recorder closes it.
        folder: a new folder, or the one of a run to continue.
        provenance: goes into the record: seed, settings, versions.
        options: when to sync and to seal.
        on_close: called with the folder when everything is sealed.

    Raises:
        BusyError: somebody else writes to the folder.
        DataError: the folder has the run of another board.
        StoreWriteError: disk full.
    """

    def __init__(
        self,
        board: Board,
        folder: Path | str,
        provenance: dict[str, Any] | None = None,
        options: LogOptions | None = None,
        on_close: Callable[[RunFolder], None] | None = None,
    ) -> None:
        self.board = board
        document = board_document(board.info)
        path = Path(folder)
        self._digests: dict[int, int] = {}
        if (path / "run.json").exists():
            self.folder = RunFolder.at(path)
            _check_same_board(self.folder, document)
        else:
            self.folder = RunFolder.create(path, RunRecord.new(board.info.origin, document, provenance))
        self.record = self.folder.record()
        self._log = EventLog(self.folder, options)
        try:
            if self._log.next_row(Kind.STEPS):
                self._digests = _recorded(self.folder)
        except BaseException:
            self._log.close()
            raise
        self._on_close = on_close
        self._points: dict[str, tuple[int, OperatingPoint]] = {}
        self._now_ns = 0
        self._observed_ns = 0
        self._clock_due_s = -math.inf
        self._boot_id = _boot_id()
        self._closed = False

    @property
    def info(self) -> BoardInfo:
        """What the board is."""
        return self.board.info

    @property
    def recovery(self) -> Recovery:
        """What a crash had left in the folder."""
        return self._log.recovery

    @property
    def nonces(self) -> int:
        """Nonces that the run has: they are in the log, or sealed."""
        return self._log.next_row(Kind.NONCES)

    @property
    def observed_ns(self) -> int:
        """Board time of the steps that were kept since the recorder was opened."""
        return self._observed_ns

    @property
    def written_bytes(self) -> int:
        """What went into the log since the recorder was opened; sealed, it takes about half of that or less."""
        return self._log.written_bytes

    def step(self, step: Step) -> Observation:
        """One step of the board, kept.

        Raises:
            DataError: a step that was recorded before comes differently now, or with another origin.
            StoreWriteError: disk full; the observation is not handed on.
            whatever the board raises; a SafetyError is recorded first.
        """
        try:
            observation = self.board.step(step)
        except (SafetyError, LimitError) as error:
            self.safety(SafetyDecision(self._now_ns, type(error).__name__, "refused", str(error)))
            raise
        if observation.origin is not self.record.origin:
            raise DataError(f"step {observation.index}: origin {observation.origin}, must be {self.record.origin}")
        self._now_ns = observation.end_ns
        if observation.index in self._digests:
            if self._digests[observation.index] != digest(observation):
                raise DataError(
                    f"{self.folder.path}: step {observation.index} differs from the one that was recorded; "
                    "the run cannot be continued, record into a new folder"
                )
            return observation
        events, points = self._rows(step, observation)
        self._log.append_all(events)
        self._points = points  # now that their rows are there
        self._observed_ns += observation.end_ns - observation.begin_ns
        return observation

    def safety(self, decision: SafetyDecision) -> None:
        """Keep a decision of whoever guards the board."""
        row = {
            "time_ns": [decision.time_ns], "board": [self.board.info.uri], "rule": [decision.rule],
            "value": [float(decision.value)], "limit": [float(decision.limit)], "action": [decision.action],
            "message": [decision.message],
        }  # fmt: skip
        self._log.append(Kind.SAFETY, pa.RecordBatch.from_pydict(row, schema=Kind.SAFETY.schema))

    def flush(self) -> None:
        """Sync to the disk, now."""
        self._log.flush()

    def close(self) -> None:
        """Close the board, and seal the run. May be called twice."""
        if self._closed:
            return
        self._closed = True
        try:
            self.board.close()
        finally:
            try:
                self._log.append(Kind.CLOCK, self._clock_row())
            finally:
                self._log.close()
        if self._on_close is not None:
            self._on_close(self.folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _rows(self, step: Step, observation: Observation) -> tuple[list[Events], dict[str, tuple[int, OperatingPoint]]]:
        """Everything of an observation, kept with one append; and the operating points with their rows after it."""
        events: list[Events] = []
        points = dict(self._points)
        changed: list[tuple[str, OperatingPoint]] = []
        first_point = self._log.next_row(Kind.OPERATING_POINTS)
        for role, point in (("requested", step.operating_point), ("applied", observation.applied)):
            if role not in points or not same_point(points[role][1], point):
                points[role] = (first_point + len(changed), point)
                changed.append((role, point))
        if changed:
            events.append((Kind.OPERATING_POINTS, point_rows(observation.begin_ns, changed)))
        events.append((Kind.NONCES, observation.nonces))
        events.append((Kind.TELEMETRY, telemetry_rows(observation.telemetry)))
        row = step_row(
            step,
            observation,
            points["requested"][0],
            points["applied"][0],
            self._log.next_row(Kind.NONCES),
            self._log.next_row(Kind.TELEMETRY),
        )
        events.append((Kind.STEPS, row))
        if time.monotonic() >= self._clock_due_s:
            self._clock_due_s = time.monotonic() + CLOCK_INTERVAL_S
            events.append((Kind.CLOCK, self._clock_row()))
        return events, points

    def _clock_row(self) -> pa.RecordBatch:
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
        utc = time.time_ns()
        after = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
        row = {
            "time_ns": [self._now_ns], "monotonic_ns": [(before + after) // 2], "utc_ns": [utc],
            "error_ns": [(after - before + 1) // 2], "boot_id": [self._boot_id],
        }  # fmt: skip
        return pa.RecordBatch.from_pydict(row, schema=Kind.CLOCK.schema)


class ResumableRecorder(Recorder):
    """A recorder around a board whose state can be kept and put back."""

    board: Any

    def snapshot(self) -> bytes:
        """State of the board."""
        return bytes(self.board.snapshot())

    def restore(self, state: bytes) -> None:
        """Put the state of the board back; steps that were recorded after it must come again as they were."""
        self.board.restore(state)


def record(board: Board, folder: Path | str, **options: Any) -> Recorder:
    """A recorder around ``board``; one that is resumable where the board is."""
    return (ResumableRecorder if isinstance(board, Resumable) else Recorder)(board, folder, **options)


def new_run(runs: Path, board: Board, provenance: dict[str, Any] | None = None) -> RunFolder:
    """A new folder in ``runs``, named by the identifier of the run, for a recording of ``board``.

    Raises:
        StoreWriteError: disk full.
    """
    fresh = RunRecord.new(board.info.origin, board_document(board.info), provenance)
    return RunFolder.create(runs / fresh.run_id, fresh)


def _check_same_board(folder: RunFolder, document: dict[str, Any]) -> None:
    recorded = folder.record().board
    for name in ("uri", "origin", "n_counters"):
        if recorded.get(name) != document[name]:
            raise DataError(
                f"{folder.path}: has a run of the board with {name} {recorded.get(name)!r}, must be {document[name]!r}"
            )


def _recorded(folder: RunFolder) -> dict[int, int]:
    """Digest of every step that is there, by its index."""
    with RunReader(folder.path) as reader:
        steps = reader.table(Kind.STEPS, partial=True)
    return dict(zip(steps.column("index").to_pylist(), steps.column("digest").to_pylist(), strict=True))


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError as error:
        raise UsageError(f"boot identity of this machine: {error.strerror}") from None
