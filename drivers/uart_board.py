"""What every board has that is driven at the UART of its chips: one loop, one life cycle, one guard.

A subclass knows the wires: how to bring the chips up, set them, hand them work, and read nonces from them.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from types import TracebackType
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from asic_reservoir.board import (
    BoardInfo,
    ChipCounts,
    Detail,
    Limits,
    NonceBatch,
    NonceFlag,
    Observation,
    OperatingPoint,
    Origin,
    Step,
    Telemetry,
    TimestampSource,
    WorkMode,
)
from asic_reservoir.errors import AsicReservoirError, SafetyError, TimeoutExpiredError, UsageError
from drivers.clock import BoardClock
from drivers.guard import Guard, Plan
from drivers.losses import Losses
from firmware_bridge.clocks import TimeLine, monotonic_raw_ns
from firmware_bridge.serial_port import LinkError

_SILENT_FROM = 20
"""A step that should have brought so many nonces and brought no byte asks whether the chips still live."""
_POLL_S = 0.05
_TRIPLE_EVERY_NS = 5_000_000_000


class Row(NamedTuple):
    """One nonce, as the columns of a :class:`NonceBatch`."""

    time_ns: int
    chip: int
    core: int
    job: int
    nonce: int
    version: int
    flags: int


@dataclass(frozen=True, slots=True)
class UartSettings:
    """What is common to all boards at a UART."""

    uri: str
    limits: Limits
    origin: Origin
    nominal: OperatingPoint
    zero_bits: int = 32
    """Leading zero bits in the hash of a nonce of difficulty 1; fewer for an emulated board."""
    speed: float = 1.0
    """Seconds of the board in a second here; other than 1 for an emulated board only."""


class UartBoard(ABC):
    """One board; opens in its nominal operating point.

    Time stamps are taken by this host right after the read that brought a reply, and dated back by the bytes behind
    it.
    """

    def __init__(self, common: UartSettings, n_chips: int) -> None:
        self._common, self._n_chips = common, n_chips
        self._clock = BoardClock(common.speed)
        self._point = common.nominal
        self._index = 0
        self._current_work: object = None
        self._tripped = ""
        self._connected = self._closed = False
        self._guard: Guard | None = None
        self.between_steps = 0
        """Nonces that came while no step was running; they belong to no observation."""
        self.reconnects = 0
        self._broken_before = 0
        self._gone_at: float | None = None
        self._away_s = 0.0
        self.time_line = TimeLine()
        """Clock triples, taken at opening and every few seconds of stepping: they put this board's times on others'."""
        self._connect()
        self._info = self._describe()

    # -- what a subclass knows ------------------------------------------------------------------------------------

    @abstractmethod
    def _open_wires(self) -> Plan:
        """Open the ports, energise nothing; the plan makes the board safe when this process is no more."""

    @abstractmethod
    def _bring_up(self) -> None:
        """From the safe state to chips that hash at ``self._point``, without work."""

    @abstractmethod
    def _make_wires_safe(self) -> None:
        """Put the board into its safe state, whatever state it is in. Raises what failed."""

    @abstractmethod
    def _close_wires(self) -> None:
        """Give the ports back. May be called twice."""

    @abstractmethod
    def _check(self, point: OperatingPoint) -> None:
        """Raises UsageError for what the limits do not see: shapes, settings that the board does not have."""

    @abstractmethod
    def _apply(self, point: OperatingPoint) -> None:
        """Move from ``self._point`` to ``point`` (complete) in a safe order, read back."""

    @abstractmethod
    def _start_job(self, step: Step, withdraw: bool, one_answer: bool) -> None:
        """Hand out a fresh job; ``withdraw``: earlier ones are not wanted any more; ``one_answer``: the first valid
        nonce ends it."""

    @abstractmethod
    def _keep_working(self, step: Step) -> float:
        """Hand out what is due; gives the host seconds until it must be called again."""

    @abstractmethod
    def _pump(self, timeout_s: float) -> bool:
        """Wait for bytes and take them in; False if none came."""

    @abstractmethod
    def _take_rows(self) -> list[Row]:
        """Nonces that were taken in since the last call."""

    @abstractmethod
    def _broken_total(self) -> int:
        """Frames that came and could not be read since the wires were opened."""

    @abstractmethod
    def _unattributed_total(self) -> int:
        """Replies that no job explains since the board was opened."""

    @abstractmethod
    def _traffic_total(self) -> int:
        """Any number that changes when bytes come."""

    @abstractmethod
    def _ask_whether_alive(self) -> None:
        """Raises TimeoutExpiredError where the chips do not answer."""

    @abstractmethod
    def _applied(self) -> OperatingPoint:
        """What holds after dividers, codes and masks."""

    @abstractmethod
    def _telemetry(self) -> Telemetry:
        """One sample. Raises SafetyError beyond a limit."""

    @abstractmethod
    def _describe(self) -> BoardInfo:
        """Facts of the board; asked once after bring-up."""

    # -- Board ----------------------------------------------------------------------------------------------------

    @property
    def info(self) -> BoardInfo:
        return self._info

    @property
    def losses(self) -> Losses:
        """What is known to be lost, and how often and how long the line was away."""
        return Losses(
            unattributed=self._unattributed_total(),
            broken=self._broken_before + (self._broken_total() if self._connected else 0),
            outages=self.reconnects,
            away_s=self._away_s,
            between_steps=self.between_steps,
        )

    def step(self, step: Step) -> Observation:
        """Set the point, hand out the work, and watch.

        Raises:
            LimitError: outside the limits; nothing was written.
            SafetyError: too hot, or settings that do not read back; the board is safe and stays stopped.
            TimeoutExpiredError: the line or the chips fell silent. The next step connects again.
        """
        if self._tripped:
            raise SafetyError(f"board {self._info.uri}: stopped, {self._tripped}")
        if self._closed:
            raise UsageError(f"board {self._info.uri}: closed")
        self._common.limits.check(step.operating_point)
        self._check(step.operating_point)
        if not self._connected:
            self._connect()
            self.reconnects += 1
            if self._gone_at is not None:
                self._away_s += time.monotonic() - self._gone_at
                self._gone_at = None
        try:
            return self._run(step)
        except LinkError:
            self._disconnect()
            raise
        except TimeoutExpiredError:
            self._make_safe()
            self._disconnect()
            raise
        except SafetyError as error:
            self._tripped = str(error)
            self._make_safe()
            raise

    def close(self) -> None:
        """Into the safe state, and give the ports back. May be called twice."""
        if not self._closed:
            self._closed = True
            self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- life cycle -----------------------------------------------------------------------------------------------

    def _connect(self) -> None:
        """Guard first, safe state second, then everything else."""
        try:
            plan = self._open_wires()
            before, self._guard = self._guard, Guard(plan)
            if before is not None:
                before.release()
            self._connected = True
            self._make_wires_safe()
            self._bring_up()
            self._current_work = None
        except BaseException:
            self._end()
            raise

    def _make_safe(self) -> bool:
        """Whether the board took it."""
        if not self._connected:
            return False
        try:
            self._make_wires_safe()
        except AsicReservoirError:
            return False
        return True

    def _disconnect(self) -> None:
        """Give the ports back. The guard stays: should this process end now, it waits for the board to come back."""
        if self._connected:
            self._broken_before += self._broken_total()
            self._gone_at = time.monotonic()
        self._connected = False
        self._close_wires()

    def _end(self) -> None:
        """Safe and released; where the board did not take it, the guard goes on trying."""
        safe = self._make_safe()
        self._disconnect()
        if self._guard is not None:
            if safe:
                self._guard.release()
            else:
                self._guard.abandon()
            self._guard = None

    # -- a step ---------------------------------------------------------------------------------------------------

    def _run(self, step: Step) -> Observation:
        point = self._point.merged(step.operating_point)
        self._apply(point)
        self._point = point
        if monotonic_raw_ns() - self.time_line.triples[-1].monotonic_raw_ns > _TRIPLE_EVERY_NS:
            self.time_line.record()
        while self._pump(0.0):
            pass
        self.between_steps += len(self._take_rows())
        handshake = step.work.mode is WorkMode.HANDSHAKE
        key = (step.work.header, step.work.extranonce2)
        fresh = handshake or step.work.clean or self._current_work != key
        if fresh:
            self._start_job(step, withdraw=True, one_answer=handshake)
            self._current_work = key
        lost_before, traffic_before = self.losses.nonces, self._traffic_total()
        begin = self._clock.now_ns()
        rows, end = self._watch(step, begin, handshake)
        if self._traffic_total() == traffic_before and self._expected(step) >= _SILENT_FROM:
            self._ask_whether_alive()
        nonces = _batch(rows)
        observation = Observation(
            origin=self._common.origin,
            board=self._info.uri,
            index=self._index,
            begin_ns=begin,
            end_ns=end,
            applied=self._applied(),
            counts=ChipCounts.of(nonces, self._info.n_counters),
            nonces=nonces if step.detail is Detail.NONCES else NonceBatch.empty(),
            telemetry=self._telemetry(),
            timestamp_source=TimestampSource.HOST,
            lost=self.losses.nonces - lost_before,
        )
        self._index += 1
        return observation

    def _watch(self, step: Step, begin: int, handshake: bool) -> tuple[list[Row], int]:
        """Rows of the step in order of time, and its end."""
        end = begin + step.duration_ns
        rows: list[Row] = []
        while (now := self._clock.now_ns()) < end:
            wait_s = min(self._keep_working(step), self._clock.host_s(end - now), _POLL_S)
            if not self._pump(wait_s):
                continue
            fresh = self._take_rows()
            rows += [row for row in fresh if begin <= row.time_ns <= end]
            if handshake and any(row.flags & NonceFlag.VALID and not row.flags & NonceFlag.STALE for row in fresh):
                self._start_job(step, withdraw=True, one_answer=True)
            if step.until_nonces is not None and len(rows) >= step.until_nonces:
                rows = sorted(rows)[: step.until_nonces]
                return rows, max(begin + 1, rows[-1].time_ns)
        return sorted(rows), end

    def _expected(self, step: Step) -> float:
        """Nonces that the step should bring."""
        clocks = np.broadcast_to(np.asarray(self._applied().frequency_mhz, np.float64), (self._n_chips,))
        rate = sum(self._info.chip_rate_hz(float(mhz), self._granted_difficulty()) for mhz in clocks)
        return rate * step.duration_ns * 1e-9

    def _granted_difficulty(self) -> int:
        """The chip's mask: the largest power of two not above what was asked for."""
        return 1 << ((self._point.difficulty or 1).bit_length() - 1)

    @staticmethod
    def _shape_check(name: str, value: float | NDArray[np.float64] | None, n: int) -> None:
        if value is None or np.ndim(value) == 0:
            return
        if np.shape(value) != (n,):
            raise UsageError(f"{name}: shape {np.shape(value)}, must be a number or ({n},)")

    def _clocks(self, point: OperatingPoint) -> list[float]:
        """The clock of every chip."""
        return [float(f) for f in np.broadcast_to(np.asarray(point.frequency_mhz, np.float64), (self._n_chips,))]


def scalar(value: object) -> float:
    """The one value of a setting that a board has once."""
    return float(np.asarray(value, np.float64).reshape(-1)[0])


def _batch(rows: list[Row]) -> NonceBatch:
    if not rows:
        return NonceBatch.empty()
    return NonceBatch.from_columns(**dict(zip(Row._fields, zip(*rows, strict=True), strict=True)))
