"""INA260: current, bus voltage and power, big-endian words (Texas Instruments SBOS656)."""

from __future__ import annotations

from enum import IntEnum

from asic_reservoir.errors import DataError, UsageError

ADDRESS = 0x40
CURRENT_MA_PER_BIT = 1.25
VOLTAGE_MV_PER_BIT = 1.25
POWER_MW_PER_BIT = 10.0


class Register(IntEnum):
    """Registers used here."""

    CURRENT = 0x01
    VOLTAGE = 0x02
    POWER = 0x03


def decode_current_ma(data: bytes) -> float:
    """Current in mA, signed. Raises DataError unless 2 bytes.

    >>> decode_current_ma(bytes.fromhex("0700")), decode_voltage_mv(bytes.fromhex("0fa0"))
    (2240.0, 5000.0)
    """
    return CURRENT_MA_PER_BIT * int.from_bytes(_word(data), signed=True)


def decode_voltage_mv(data: bytes) -> float:
    """Bus voltage in mV. Raises DataError unless 2 bytes."""
    return VOLTAGE_MV_PER_BIT * int.from_bytes(_word(data))


def decode_power_w(data: bytes) -> float:
    """Power in W. Raises DataError unless 2 bytes."""
    return POWER_MW_PER_BIT * int.from_bytes(_word(data)) / 1000.0


def encode_current_ma(value: float) -> bytes:
    """Word of a current, for a device. Raises UsageError where it does not fit."""
    return _encode("current_ma", value, CURRENT_MA_PER_BIT, -0x8000, 0x7FFF)


def encode_voltage_mv(value: float) -> bytes:
    """Word of a bus voltage, for a device. Raises UsageError where it does not fit."""
    return _encode("voltage_mv", value, VOLTAGE_MV_PER_BIT, 0, 0x7FFF)


def encode_power_w(value: float) -> bytes:
    """Word of a power, for a device. Raises UsageError where it does not fit."""
    return _encode("power_w", value, POWER_MW_PER_BIT / 1000.0, 0, 0xFFFF)


def _encode(name: str, value: float, unit: float, low: int, high: int) -> bytes:
    if not low * unit <= value <= high * unit:
        raise UsageError(f"{name}: {value}, must be from {low * unit:g} to {high * unit:g}")
    return round(value / unit).to_bytes(2, signed=low < 0)


def _word(data: bytes) -> bytes:
    if len(data) != 2:
        raise DataError(f"INA260 word: {len(data)} bytes, must be 2")
    return data
