"""TPS546D24: a PMBus regulator. Output words are ULINEAR16, telemetry words SLINEAR11 (PMBus 1.3, part II, 7 and 8).

The exponent of the output words must be read from VOUT_MODE. STORE_USER_ALL is not offered: its memory wears out.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag

from asic_reservoir.errors import DataError, UsageError

ADDRESS = 0x24
DEVICE_IDS = tuple(bytes.fromhex(f"5449546b24{last}") for last in ("41", "62")) + tuple(
    bytes.fromhex(f"5449546d24{last}") for last in ("41", "62")
)
"""IC_DEVICE_ID of the parts known, without the length byte (ESP-Miner ``TPS546.c``)."""
OPERATION_ON, OPERATION_OFF = 0x80, 0x00


class Command(IntEnum):
    """PMBus commands used here."""

    OPERATION = 0x01
    ON_OFF_CONFIG = 0x02
    CLEAR_FAULTS = 0x03
    VOUT_MODE = 0x20
    VOUT_COMMAND = 0x21
    STATUS_WORD = 0x79
    READ_VIN = 0x88
    READ_VOUT = 0x8B
    READ_IOUT = 0x8C
    READ_TEMPERATURE = 0x8D
    IC_DEVICE_ID = 0xAD


class Status(IntFlag):
    """Bits of STATUS_WORD."""

    VOUT = 0x8000
    IOUT = 0x4000
    INPUT = 0x2000
    POWER_BAD = 0x0800
    OFF = 0x0040
    VOUT_OVER = 0x0020
    IOUT_OVER = 0x0010
    VIN_UNDER = 0x0008
    TEMPERATURE = 0x0004
    COMMUNICATION = 0x0002


def exponent(vout_mode: int) -> int:
    """Exponent in the low five bits of VOUT_MODE, signed.

    >>> exponent(0x97)
    -9
    """
    value = vout_mode & 0x1F
    return value - 32 if value & 0x10 else value


def encode_vout(voltage_mv: float, vout_mode: int) -> bytes:
    """Word of VOUT_COMMAND, little-endian: trunc(V / 2^exponent).

    Raises:
        UsageError: it does not fit 16 bits.

    >>> encode_vout(1150.0, 0x97).hex(" ")
    '4c 02'
    """
    if not 0.0 <= voltage_mv < 1e9:
        raise UsageError(f"voltage_mv: {voltage_mv}, must be a positive number")
    word = int(voltage_mv / 1000.0 / 2.0 ** exponent(vout_mode))
    if word > 0xFFFF:
        raise UsageError(f"voltage_mv: {voltage_mv} with exponent {exponent(vout_mode)}, does not fit 16 bits")
    return word.to_bytes(2, "little")


def decode_vout(data: bytes, vout_mode: int) -> float:
    """Millivolts in a word of READ_VOUT or VOUT_COMMAND.

    Raises:
        DataError: not 2 bytes.
    """
    return 1000.0 * int.from_bytes(_word(data), "little") * 2.0 ** exponent(vout_mode)


def decode_linear11(data: bytes) -> float:
    """Value of a telemetry word: 5 bits of signed exponent, 11 bits of signed mantissa.

    Raises:
        DataError: not 2 bytes.

    >>> decode_linear11(bytes.fromhex("80ca")), decode_linear11(bytes.fromhex("d8e2"))
    (5.0, 45.5)
    """
    word = int.from_bytes(_word(data), "little")
    mantissa = word & 0x7FF
    return float((mantissa - 2048 if mantissa & 0x400 else mantissa) * 2.0 ** exponent(word >> 11))


def encode_linear11(value: float) -> bytes:
    """Telemetry word of a value, with the smallest exponent that holds it: as fine as the format allows.

    Raises:
        UsageError: not a finite number within ±1023 · 2^15.

    >>> encode_linear11(45.5).hex()
    'd8e2'
    """
    for power in range(-16, 16):
        scaled = value / 2.0**power
        if scaled >= -1024.0 and scaled < 1023.5:
            mantissa = round(scaled)
            return ((power & 0x1F) << 11 | mantissa & 0x7FF).to_bytes(2, "little")
    raise UsageError(f"telemetry value: {value}, must be a number within ±1023 · 2^15")


def _word(data: bytes) -> bytes:
    if len(data) != 2:
        raise DataError(f"PMBus word: {len(data)} bytes, must be 2")
    return data
