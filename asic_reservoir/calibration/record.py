"""The record of a calibration: versioned JSON, read by encoders and limits."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from asic_reservoir.board import Limits, Origin, Range
from asic_reservoir.errors import DataError, NotFoundError

VERSION = 1
EDGE_MARGIN = 0.97
"""A tightened limit stays so far below the edge: about half the width of a chip's own edge."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class MaskResult(_Part):
    """The share filter that really holds."""

    requested: int
    measured: int
    """Nearest power of two of ``estimate``."""
    estimate: float
    """Hashes done, by the rate law, for every nonce reported, in units of 2^32."""
    nonces: int


class RateResult(_Part):
    """Nonces a second against the law f · hashes per clock / (difficulty · 2^32)."""

    frequency_mhz: list[float]
    ratio: list[float]
    """Measured over expected at each frequency."""
    overall: float
    standard_error: float
    """Of ``overall``, from counting."""


class FrequencyResult(_Part):
    """How a change of the clock arrives."""

    from_mhz: float
    to_mhz: float
    actual_mhz: float
    """From the rate of nonces, once settled."""
    settling_s: float
    """Length of a linear ramp that loses as many nonces as were missing; 0 within counting noise."""
    settling_error_s: float


class VoltageResult(_Part):
    """What the board's own reading says for every voltage that was set; NaN-free: a board without one has none."""

    set_mv: list[float]
    read_mv: list[float]
    slope: float
    """Read over set, by a straight line."""


class EdgeResult(_Part):
    """Edge of stability at one voltage: where half of the nonces are wrong."""

    voltage_mv: float
    edge_mhz: float | None
    """None: not reached within the limits, and too few errors to extrapolate."""
    standard_error_mhz: float | None
    extrapolated: bool
    """The edge lies above the highest frequency that was tried."""
    width_mhz: float | None
    """Logistic width of the edge."""
    highest_tried_mhz: float
    error_at_highest: float
    temperature_c: float | None
    chip_edge_mhz: list[float | None] = Field(default_factory=list)
    """The same for every chip, where the path tells chips apart."""


class ThermalResult(_Part):
    """One exponential, fitted to the temperature after a step of power, its first seconds left out."""

    time_constant_s: float
    standard_error_s: float
    from_c: float
    to_c: float
    samples: int


class TimestampResult(_Part):
    """What the times of arrival are worth."""

    source: str
    nonces: int
    same_read_share: float
    """Nonces that came in the same read as the one before."""
    smallest_gap_us: float
    grain_us: float
    """Times are multiples of about this; 0 where no grid is visible."""
    exponential_p: float
    """Kolmogorov-Smirnov p of the gaps against an exponential of the same mean."""


class Calibration(_Part):
    """Everything that was found about one board. Sections that were not done are None."""

    version: int = VERSION
    board: str
    family: str
    model: str
    origin: Origin
    code_version: str
    created_utc: str
    """ISO 8601."""
    mask: MaskResult | None = None
    rate: RateResult | None = None
    frequency: FrequencyResult | None = None
    voltage: VoltageResult | None = None
    edges: list[EdgeResult] | None = None
    thermal: ThermalResult | None = None
    timestamps: TimestampResult | None = None
    findings: list[str] = Field(default_factory=list)
    """Named troubles: ``overheat-fallback``, ``voltage-ignored``, ``mask-stricter-than-asked``, ``stopped: …``,
    ``repeated: …`` (steps that a broken link or a restart of the firmware spoiled, and that were made again)."""
    cannot: dict[str, str] = Field(default_factory=dict)
    """Quantities that the path to this board cannot give, and why."""

    def sections(self) -> list[str]:
        """Names of what it holds."""
        names = ("mask", "rate", "frequency", "voltage", "edges", "thermal", "timestamps", "findings")
        return [name for name in names if getattr(self, name)]

    def edge_mhz(self, voltage_mv: float) -> float | None:
        """The edge at a voltage, by a straight line between those measured; None outside of them."""
        known = sorted((e.voltage_mv, e.edge_mhz) for e in self.edges or [] if e.edge_mhz is not None)
        if not known or not known[0][0] <= voltage_mv <= known[-1][0]:
            return None
        volts, edges = zip(*known, strict=True)
        return float(np.interp(voltage_mv, volts, edges))

    def tightened(self, limits: Limits, voltage_mv: float) -> Limits:
        """``limits`` with their highest frequency below the edge at a voltage; unchanged where it is not known."""
        edge = self.edge_mhz(voltage_mv)
        if edge is None:
            return limits
        high = min(limits.frequency_mhz.high, EDGE_MARGIN * edge)
        low = limits.frequency_mhz.low
        return Limits(
            Range(low, max(low, high)),
            limits.voltage_mv,
            limits.chip_temperature_c,
            limits.power_w,
            limits.fan_percent,
        )


def save_calibration(record: Calibration, path: Path) -> None:
    """Write the record whole or not at all."""
    part = path.with_name(path.name + ".part")
    part.write_text(record.model_dump_json(indent=2) + "\n")
    os.replace(part, path)


def load_calibration(path: Path) -> Calibration:
    """Read a record.

    Raises:
        NotFoundError: no such file.
        DataError: it is no record, or one of another version.
    """
    try:
        text = path.read_text()
    except FileNotFoundError:
        raise NotFoundError(f"calibration {str(path)!r}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"calibration {str(path)!r}: {error}") from None
    try:
        record = Calibration.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "file"
        raise DataError(f"calibration {str(path)!r}, {where}: {first['msg']}") from None
    if record.version != VERSION:
        raise DataError(f"calibration {str(path)!r}: version {record.version}, must be {VERSION}")
    return record
