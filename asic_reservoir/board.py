"""The words everybody speaks: what is asked of a board, and what comes back.

One call is the heart: ``Board.step(step) -> Observation``. A :class:`Step` says the operating point, the work
and how long; an :class:`Observation` says exactly when it began and ended, which nonces came, and the telemetry.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import TracebackType
from typing import Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from asic_reservoir.errors import LimitError, UsageError
from asic_reservoir.nonces import DTYPES, NonceBatch, NonceFlag

__all__ = [
    "DTYPES",
    "Board",
    "BoardInfo",
    "ChipCounts",
    "Detail",
    "Limits",
    "NonceBatch",
    "NonceFlag",
    "Observation",
    "OperatingPoint",
    "Origin",
    "Range",
    "Resumable",
    "Step",
    "Telemetry",
    "TimestampSource",
    "Work",
    "WorkMode",
]

FloatOrArray = float | NDArray[np.float64]


class Origin(StrEnum):
    """Where an observation comes from. The word travels with it to the last plot and metric label."""

    SIMULATED = "simulated"
    """A twin made it."""
    REPLAYED = "replayed"
    """A recording of something measured."""
    MEASURED = "measured"
    """A real board, now."""


class TimestampSource(StrEnum):
    """Who stamped the nonces of an observation."""

    VIRTUAL = "virtual"
    """The twin's own clock."""
    DEVICE = "device"
    KERNEL = "kernel"
    """The receiving kernel (SO_TIMESTAMPNS)."""
    HOST = "host"
    """This process, right after the read returned."""


class Detail(StrEnum):
    """How much of the nonces a step needs. The distribution of what comes back is the same either way."""

    COUNTS = "counts"
    """Only numbers a chip (``Observation.counts``); ``Observation.nonces`` may be empty."""
    NONCES = "nonces"
    """Every nonce with its time, chip, core and value."""


class WorkMode(StrEnum):
    """How work is handed out."""

    PIPELINED = "pipelined"
    """A steady flow of jobs; the chips never idle."""
    HANDSHAKE = "handshake"
    """Exactly one job in flight; the next is sent after an answer (the Single-Word Handshake)."""


@dataclass(frozen=True, slots=True, eq=False)
class OperatingPoint:
    """What can be set on a board. ``None`` leaves a setting as it is.

    Arrays are per chip (``frequency_mhz``) or per hashboard (``voltage_mv``); a float holds for all.
    """

    frequency_mhz: FloatOrArray | None = None
    """Clock of the hash cores in MHz: a float, or shape (n_chips,) where the board has a PLL a chip."""
    voltage_mv: FloatOrArray | None = None
    """Supply in mV as the board's regulator takes it: of the chip on a BM1366 board (1,200), of the whole chain of
    domains on an S9 hashboard (8,800). A float, or shape (n_hashboards,)."""
    difficulty: int | None = None
    """Share filter asked for, in units of 2^32 hashes. Where the chip's own ticket mask is stricter, that one holds."""
    fan_percent: float | None = None
    """Fan drive, 0 to 100."""

    def merged(self, newer: OperatingPoint) -> OperatingPoint:
        """This point with every setting of ``newer`` that is not ``None``."""
        given = {
            name: value
            for name in ("frequency_mhz", "voltage_mv", "difficulty", "fan_percent")
            if (value := getattr(newer, name)) is not None
        }
        return replace(self, **given)


@dataclass(frozen=True, slots=True)
class Work:
    """The work of a step.

    Without a header the board hashes work of its own making; the nonces then carry the chip and core of where they
    were found and nothing else. With a header (80 bytes; 112 for LBRY) they belong to it.
    """

    mode: WorkMode = WorkMode.PIPELINED
    clean: bool = False
    """Withdraw the job before: costs its dead time, makes late nonces of the old job stale."""
    header: bytes | None = None
    """Block header whose nonce field is searched."""
    extranonce2: bytes | None = None
    """Word of the job that carries the input in the published encoding."""


@dataclass(frozen=True, slots=True)
class Step:
    """One request to a board.

    Raises:
        UsageError: the duration is not positive.

    >>> Step(OperatingPoint(frequency_mhz=650.0), duration_ns=1_000_000_000).detail.value
    'counts'
    """

    operating_point: OperatingPoint
    duration_ns: int
    """How long, on the board's time line. With ``until_nonces``: how long at most."""
    work: Work = field(default_factory=Work)
    detail: Detail = Detail.COUNTS
    until_nonces: int | None = None
    """End the step as soon as so many nonces have arrived."""

    def __post_init__(self) -> None:
        if self.duration_ns <= 0:
            raise UsageError(f"step duration_ns: {self.duration_ns}, must be positive")
        if self.until_nonces is not None and self.until_nonces < 1:
            raise UsageError(f"step until_nonces: {self.until_nonces}, must be at least 1")


@dataclass(frozen=True, slots=True, eq=False)
class ChipCounts:
    """Nonces of a step, counted per chip. Every array is int64 of shape (n_chips,).

    Where a board cannot attribute nonces to chips, index 0 carries all of them (``BoardInfo.n_counters`` is 1).
    """

    valid: NDArray[np.int64]
    """Nonces whose hash meets the difficulty, duplicates and stale ones not counted."""
    invalid: NDArray[np.int64]
    """Hardware errors: reported by the chip, refused on checking."""
    duplicate: NDArray[np.int64]
    stale: NDArray[np.int64]

    @property
    def total(self) -> NDArray[np.int64]:
        """Everything the chips reported, shape (n_chips,)."""
        return self.valid + self.invalid + self.duplicate + self.stale

    @classmethod
    def of(cls, nonces: NonceBatch, n_counters: int) -> ChipCounts:
        """Counted from the nonces themselves. Rows whose chip is not known (-1) count at index 0."""
        index = np.clip(nonces.chip, 0, None) if n_counters > 1 else np.zeros(len(nonces), np.int16)
        duplicate, stale = nonces.has(NonceFlag.DUPLICATE), nonces.has(NonceFlag.STALE)
        fresh = ~(duplicate | stale)

        def count(rows: NDArray[np.bool_]) -> NDArray[np.int64]:
            return np.bincount(index[rows], minlength=n_counters).astype(np.int64)

        return cls(
            valid=count(fresh & nonces.valid),
            invalid=count(fresh & ~nonces.valid),
            duplicate=count(duplicate),
            stale=count(stale & ~duplicate),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Telemetry:
    """Samples of the board's sensors during a step, k of them. NaN where the board has no such sensor."""

    time_ns: NDArray[np.int64]
    """Shape (k,)."""
    chip_temperature_c: NDArray[np.float64]
    """As the sensors report it (noise and quantisation included), shape (k, n_counters)."""
    board_temperature_c: NDArray[np.float64]
    """Heatsink or printed-circuit sensor, shape (k, n_hashboards)."""
    voltage_mv: NDArray[np.float64]
    """Read-back of the supply, shape (k, n_hashboards)."""
    power_w: NDArray[np.float64]
    """Power of the whole board, shape (k,)."""
    fan_rpm: NDArray[np.float64]
    """Shape (k,)."""


@dataclass(frozen=True, slots=True, eq=False)
class Observation:
    """What a board answered to one step.

    Times are int64 nanoseconds on the board's time line: virtual for a twin, recorded for a replay,
    CLOCK_MONOTONIC_RAW of this host for a real board.
    """

    origin: Origin
    board: str
    """Identity of the board: its URI without options that do not change it."""
    index: int
    """Number of the step since the board was opened, from 0."""
    begin_ns: int
    end_ns: int
    applied: OperatingPoint
    """The operating point that held: after PLL steps, regulator codes and read-back."""
    counts: ChipCounts
    nonces: NonceBatch
    """Every nonce in order of arrival, if the step asked for ``Detail.NONCES``; else empty."""
    telemetry: Telemetry
    timestamp_source: TimestampSource
    lost: int = 0
    """Nonces that are known to be lost between chip and host (link loss, CRC errors). Never silently 0 where unknown
    losses happened: a driver that cannot know raises at the link instead."""

    @property
    def duration_s(self) -> float:
        return (self.end_ns - self.begin_ns) * 1e-9


@dataclass(frozen=True, slots=True)
class Range:
    """A closed interval.

    >>> Range(200.0, 900.0).contains(650.0)
    True
    """

    low: float
    high: float

    def contains(self, value: FloatOrArray) -> bool:
        if isinstance(value, np.ndarray):
            if not value.size:
                return True  # nothing is outside; that the shape is wrong is for the board to say
            return bool(value.min() >= self.low and value.max() <= self.high)  # a NaN fails both
        return self.low <= value <= self.high


@dataclass(frozen=True, slots=True)
class Limits:
    """The safe region of a board. Every write passes :meth:`check` first.

    >>> Limits(Range(200, 900), Range(7950, 9400), 110.0).check(OperatingPoint(frequency_mhz=1000.0))
    Traceback (most recent call last):
    asic_reservoir.errors.LimitError: frequency_mhz: 1000 MHz, must be 200 to 900 MHz
    """

    frequency_mhz: Range
    voltage_mv: Range
    chip_temperature_c: float
    """Above it the board goes to its safe state."""
    power_w: float | None = None
    fan_percent: Range = Range(0.0, 100.0)

    def check(self, point: OperatingPoint) -> None:
        """Raises LimitError that names the setting, the value and the range; never clips."""
        for name, unit, allowed in (
            ("frequency_mhz", "MHz", self.frequency_mhz),
            ("voltage_mv", "mV", self.voltage_mv),
            ("fan_percent", "%", self.fan_percent),
        ):
            value = getattr(point, name)
            if value is None or allowed.contains(value):
                continue
            values = np.atleast_1d(np.asarray(value, dtype=np.float64))
            bad = values[~((values >= allowed.low) & (values <= allowed.high))][0]
            raise LimitError(f"{name}: {bad:g} {unit}, must be {allowed.low:g} to {allowed.high:g} {unit}")
        if point.difficulty is not None and point.difficulty < 1:
            raise LimitError(f"difficulty: {point.difficulty}, must be at least 1")


@dataclass(frozen=True, slots=True)
class BoardInfo:
    """What a board is and can do."""

    uri: str
    family: str
    """``s9``, ``lv06``, ``lb-box`` or ``bm1366``."""
    model: str
    chip: str
    """``BM1387``, ``BM1366``, …"""
    algorithm: str
    """``sha256d`` or ``lbry``."""
    origin: Origin
    timestamp_source: TimestampSource
    n_chips: int
    n_counters: int
    """Number of counters that nonces can be attributed to: n_chips, or 1 where the path does not tell chips apart."""
    cores_per_chip: int
    n_hashboards: int
    n_domains: int
    """Voltage domains in series on one hashboard."""
    hashes_per_clock: int
    """Hashes a chip makes in one clock: hashrate = frequency * hashes_per_clock."""
    ticket_mask: int
    """Difficulty below which the chip reports nothing."""
    ticket_mask_settable: bool
    per_chip_frequency: bool
    limits: Limits
    nominal: OperatingPoint
    """Operating point at which the board is opened."""
    firmware: str = ""
    voltage_settable: bool = True
    """Whether this path can set the supply at all."""
    reports_invalid: bool = True
    """Whether wrong nonces reach the host, at least as a number; else they are only missing."""
    findings: tuple[str, ...] = ()
    """Known troubles that the board was found in when it was opened, by name: ``overheat-fallback``."""
    physical: dict[str, str] = field(default_factory=dict)
    """Further facts for people: path, serial number, seed."""

    def chip_rate_hz(self, frequency_mhz: float, difficulty: int | None = None) -> float:
        """Expected nonces a second of one chip: hashrate / (difficulty * 2^32), the stricter of mask and request.

        For LBRY, whose scale is 256 times easier, difficulty counts 2^24 hashes.
        """
        unit = 2.0**24 if self.algorithm == "lbry" else 2.0**32
        effective = max(self.ticket_mask if not self.ticket_mask_settable or difficulty is None else 1, difficulty or 1)
        return frequency_mhz * 1e6 * self.hashes_per_clock / (effective * unit)


@runtime_checkable
class Board(Protocol):
    """A board, real, simulated or replayed. Synchronous: one process owns one board.

    ``step`` raises LimitError before anything is written, SafetyError when the board had to be made safe,
    TimeoutExpiredError when the device is silent, DataError at the end of a replay.
    """

    @property
    def info(self) -> BoardInfo: ...

    def step(self, step: Step) -> Observation: ...

    def close(self) -> None:
        """Leave the board in its safe state and give it back. May be called twice."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


@runtime_checkable
class Resumable(Protocol):
    """A board whose state can be kept and put back, as a twin's: a killed run continues bit by bit."""

    def snapshot(self) -> bytes: ...

    def restore(self, state: bytes) -> None:
        """Raises DataError where ``state`` belongs to another board or version."""
        ...
