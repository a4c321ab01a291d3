"""Tables that an S9's hashboard carries in the flash of its PIC: cores that do not work, and the clock of every chip.

Source: braiins/braiins ``power.rs`` as restated in protocols.md 2.4, which names offsets and no capture. Where it
leaves a choice, the reading taken here is named as an assumption.
"""

from __future__ import annotations

from dataclasses import dataclass

from asic_reservoir.errors import DataError, UsageError
from firmware_bridge.pic16.protocol import Command, Message

CHIPS = 63
WORDS_PER_READ = 8
"""The PIC's buffer has 16 bytes: two a word."""
BAD_CORES_AT, BAD_CORES_WORDS, BAD_CORES_MAGIC = 0xF80, 0x20, 0x23
FREQUENCIES_AT, FREQUENCIES_WORDS, FREQUENCIES_MAGIC = 0xFA0, 0x40, 0x7D
_NO_STEP_DOWN = 0x3F


def reads(word: int, words: int) -> list[Message]:
    """The commands that read a table: pointer, then buffer, for every 16 bytes.

    Raises:
        UsageError: not a multiple of 8 words, or beyond 16 bits.

    >>> [(m.command.name, m.data.hex()) for m in reads(0xF80, 16)][:3]
    [('SET_FLASH_POINTER', '0f80'), ('READ_FLASH', ''), ('SET_FLASH_POINTER', '0f88')]
    """
    if words <= 0 or words % WORDS_PER_READ or not 0 <= word <= 0x10000 - words:
        raise UsageError(f"PIC flash: {words} words at {word:x}, must be a multiple of 8 within 16 bits of address")
    messages = []
    for pointer in range(word, word + words, WORDS_PER_READ):
        messages += [Message(Command.SET_FLASH_POINTER, pointer.to_bytes(2)), Message(Command.READ_FLASH)]
    return messages


def decode_bad_cores(table: bytes) -> tuple[int, ...]:
    """Bad cores of every chip, 0 to 15 each, from the 64 bytes at word F80.

    [assumption] One nibble a byte, in its low half: 64 bytes less the first leave exactly 63.

    Raises:
        DataError: another size, or the first byte is not 23.
    """
    _check(table, 2 * BAD_CORES_WORDS, 0, BAD_CORES_MAGIC, "bad cores")
    return tuple(byte & 0x0F for byte in table[1:])


def encode_bad_cores(bad: tuple[int, ...]) -> bytes:
    """The 64 bytes. Raises UsageError where there are not 63 numbers from 0 to 15."""
    if len(bad) != CHIPS or any(not 0 <= count <= 15 for count in bad):
        raise UsageError(f"bad cores: {len(bad)} numbers, must be {CHIPS} from 0 to 15")
    return bytes([BAD_CORES_MAGIC, *bad])


@dataclass(frozen=True, slots=True)
class Frequencies:
    """The clock table, as indices into the list of clocks of the firmware (which no source read gives)."""

    step_down: int
    """Steps by which the whole board was slowed; 0 to 62."""
    temperature_offset: int
    """[assumption] Low nibbles of bytes 2 and 4, the high one first."""
    base_index: int
    """[assumption] Low nibbles of bytes 6 and 8, the high one first."""
    chips: tuple[int, ...]
    """Index of every chip, the step down already taken off."""


def decode_frequencies(table: bytes) -> Frequencies:
    """The clock table from the 128 bytes at word FA0.

    Raises:
        DataError: another size, byte 1 is not 7D, or a chip lies below the step down.
    """
    _check(table, 2 * FREQUENCIES_WORDS, 1, FREQUENCIES_MAGIC, "frequencies")
    step = table[0] & 0x3F
    step = 0 if step == _NO_STEP_DOWN else step
    chips = tuple(table[3 + 2 * chip] - step for chip in range(CHIPS))
    if min(chips) < 0:
        raise DataError(f"PIC frequencies: chip {chips.index(min(chips))} at {min(chips)}, must be at least 0")
    return Frequencies(step, _nibbles(table, 2), _nibbles(table, 6), chips)


def encode_frequencies(table: Frequencies) -> bytes:
    """The 128 bytes. Raises UsageError where something does not fit."""
    indices = [index + table.step_down for index in table.chips]
    fits = 0 <= table.step_down < _NO_STEP_DOWN and 0 <= table.temperature_offset < 256 and 0 <= table.base_index < 256
    if not fits or len(indices) != CHIPS or any(not table.step_down <= index < 256 for index in indices):
        raise UsageError(f"PIC frequencies: {table}, must be {CHIPS} indices and numbers that fit a byte")
    data = bytearray(2 * FREQUENCIES_WORDS)
    data[0], data[1] = table.step_down or _NO_STEP_DOWN, FREQUENCIES_MAGIC
    for at, value in ((2, table.temperature_offset), (6, table.base_index)):
        data[at], data[at + 2] = value >> 4, value & 0x0F
    for chip, index in enumerate(indices):
        data[3 + 2 * chip] = index
    return bytes(data)


def _nibbles(table: bytes, at: int) -> int:
    return (table[at] & 0x0F) << 4 | table[at + 2] & 0x0F


def _check(table: bytes, size: int, at: int, magic: int, name: str) -> None:
    if len(table) != size:
        raise DataError(f"PIC {name}: {len(table)} bytes, must be {size}")
    if table[at] != magic:
        raise DataError(f"PIC {name}: byte {at} is {table[at]:02x}, must be {magic:02x}")
