"""EMC2101: fan controller with its own thermometer and one for the chip's diode (ESP-Miner ``EMC2101.c``)."""

from __future__ import annotations

import math
from enum import IntEnum

from asic_reservoir.errors import DataError, UsageError

ADDRESS = 0x4C
PRODUCT_IDS = (0x16, 0x28)
MAKER_ID = 0x5D
INTERNAL_OFFSET_C = 5.0
"""Boards without a diode read the internal sensor and add this (ESP-Miner)."""
FAN_STEPS = 63
TACH_NUMERATOR = 5_400_000
TACH_STOPPED = 0xFFFF


class Register(IntEnum):
    """Registers used here. Of a pair the low byte of the tachometer must be read first: it latches the other."""

    INTERNAL_TEMPERATURE = 0x00
    EXTERNAL_MSB = 0x01
    CONFIG = 0x03
    EXTERNAL_LSB = 0x10
    IDEALITY = 0x17
    BETA = 0x18
    TACH_LSB = 0x46
    TACH_MSB = 0x47
    FAN_CONFIG = 0x4A
    FAN_SETTING = 0x4C
    PRODUCT_ID = 0xFD
    MAKER_ID = 0xFE


CONFIG_TACH_PIN = 0x04
FAN_CONFIG_PWM = 0x23
_FAULT_OPEN, _FAULT_SHORT = 0x3F8, 0x3FF


def decode_external(msb: int, lsb: int) -> float:
    """Temperature of the chip's diode in °C, eighths: ((MSB << 8 | LSB) >> 5) / 8, 11 bits, signed.

    Raises:
        DataError: the part reports an open or shorted diode.

    >>> decode_external(0x37, 0x20)
    55.125
    """
    code = (msb & 0xFF) << 3 | (lsb & 0xFF) >> 5
    if code in (_FAULT_OPEN, _FAULT_SHORT):
        raise DataError(f"EMC2101 diode: code {code:03x}, {'open' if code == _FAULT_OPEN else 'shorted'}")
    return (code - 2048 if code & 0x400 else code) / 8.0


def encode_external(celsius: float) -> tuple[int, int]:
    """The two bytes of a temperature, for a device.

    Raises:
        UsageError: outside -128 to 126.875 °C (above, the codes mean faults).
    """
    if not -128.0 <= celsius <= 126.875:
        raise UsageError(f"temperature: {celsius} °C, must be from -128 to 126.875")
    code = round(celsius * 8) & 0x7FF
    return code >> 3, (code & 7) << 5


def decode_internal(byte: int) -> float:
    """Temperature of the part itself in °C, whole degrees, signed."""
    byte &= 0xFF
    return float(byte - 256 if byte & 0x80 else byte)


def encode_internal(celsius: float) -> int:
    """The byte of its own temperature, for a device. Raises UsageError outside -128 to 127 °C."""
    if not -128.0 <= celsius <= 127.0:
        raise UsageError(f"temperature: {celsius} °C, must be from -128 to 127")
    return round(celsius) & 0xFF


def encode_fan(percent: float) -> int:
    """Fan setting: trunc(63 · percent / 100).

    Raises:
        UsageError: outside 0 to 100.

    >>> encode_fan(100), encode_fan(50)
    (63, 31)
    """
    if not 0.0 <= percent <= 100.0:
        raise UsageError(f"fan_percent: {percent}, must be from 0 to 100")
    return math.trunc(FAN_STEPS * percent / 100.0)


def decode_fan(setting: int) -> float:
    """Percent of a fan setting; bits above 63 are not used."""
    return 100.0 * (setting & 0x3F) / FAN_STEPS


def decode_tach(lsb: int, msb: int) -> float:
    """Speed of the fan in turns a minute: 5,400,000 / count; 0 for the count FFFF that a standing fan gives.

    >>> decode_tach(0xFF, 0xFF), decode_tach(0xE8, 0x03)
    (0.0, 5400.0)
    """
    count = (msb & 0xFF) << 8 | lsb & 0xFF
    return 0.0 if count in (TACH_STOPPED, 0) else TACH_NUMERATOR / count


def encode_tach(rpm: float) -> tuple[int, int]:
    """Low and high byte of the tachometer, for a device; FFFF below 83 turns a minute.

    Raises:
        UsageError: not a number from 0.
    """
    if not 0.0 <= rpm < 1e9:
        raise UsageError(f"fan_rpm: {rpm}, must be a number from 0")
    count = TACH_STOPPED if rpm < 83 else max(1, round(TACH_NUMERATOR / rpm))
    return count & 0xFF, count >> 8
