"""Commands of the voltage controller: ``55 AA command data…``, one byte an I2C transaction; answers likewise.

Source: braiins/braiins ``bosminer-am1-s9/src/power.rs``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from asic_reservoir.errors import DataError, UsageError

PREAMBLE = b"\x55\xaa"
BASE_ADDRESS = 0x50
"""7-bit I2C address of board 1; boards 6, 7, 8 of an S9 answer at 0x55, 0x56, 0x57."""
SOFTWARE_VERSION = 0x03
HEARTBEAT_S = 1.0
HEARTBEAT_TIMEOUT_S = 10.0
"""About this long without a heartbeat, and the controller cuts the power of its board."""
RESET_S = 0.5
"""After a reset the controller does not acknowledge for this long."""
COMMAND_S = 0.1
"""Time that setting a voltage and the flash commands take."""
RETRIES, RETRY_S = 15, 0.1
"""How often and how far apart every byte is tried again."""
_OFFSET, _SLOPE = 1608.420446, 170.423497
LOWEST_MV, HIGHEST_MV = 7_941.5, 9_437.8
"""Voltages of the codes 255 and 0, cut inward."""


class Command(IntEnum):
    """Commands of the controller."""

    NOTHING = 0x00
    """Followed by 16 zeros it flushes the controller's own parser, which fails on ``55 55 AA``."""
    SET_FLASH_POINTER = 0x01
    SEND_FLASH = 0x02
    READ_FLASH = 0x03
    ERASE_FLASH = 0x04
    WRITE_FLASH = 0x05
    JUMP = 0x06
    """From the loader to the application."""
    RESET = 0x07
    GET_FLASH_POINTER = 0x08
    SET_VOLTAGE = 0x10
    ENABLE = 0x15
    HEARTBEAT = 0x16
    GET_VERSION = 0x17
    GET_VOLTAGE = 0x18
    WRITE_OFFSET = 0x22
    READ_OFFSET = 0x23


DATA_SIZE = {
    Command.NOTHING: 16,
    Command.SET_FLASH_POINTER: 2,
    Command.SEND_FLASH: 16,
    Command.SET_VOLTAGE: 1,
    Command.ENABLE: 1,
    Command.WRITE_OFFSET: 8,
}
"""Data bytes that follow a command; none for those not named."""
ANSWER_SIZE = {
    Command.READ_FLASH: 16,
    Command.GET_FLASH_POINTER: 2,
    Command.GET_VERSION: 1,
    Command.GET_VOLTAGE: 1,
    Command.READ_OFFSET: 8,
}
"""Bytes of the answer, read one a transaction; none for those not named."""


@dataclass(frozen=True, slots=True)
class Message:
    """One command with its data."""

    command: Command
    data: bytes = b""


def address(board: int) -> int:
    """I2C address of the controller of board 1 to 16.

    >>> [hex(address(board)) for board in (6, 7, 8)]
    ['0x55', '0x56', '0x57']
    """
    if not 1 <= board <= 16:
        raise UsageError(f"hashboard: {board}, must be from 1 to 16")
    return BASE_ADDRESS + board - 1


def encode(message: Message) -> list[bytes]:
    """The transactions of a command: a list of single bytes.

    Raises:
        UsageError: another number of data bytes than the command has.

    >>> b"".join(encode(Message(Command.ENABLE, bytes([1])))).hex(" ")
    '55 aa 15 01'
    """
    size = DATA_SIZE.get(message.command, 0)
    if len(message.data) != size:
        raise UsageError(f"PIC {message.command.name}: {len(message.data)} data bytes, must be {size}")
    return [bytes([byte]) for byte in PREAMBLE + bytes([message.command]) + message.data]


def encode_voltage(voltage_mv: float) -> int:
    """Code of a board voltage: round(1608.420446 - 170.423497 · V). A higher code is a lower voltage.

    Raises:
        UsageError: outside 7,941.5 to 9,437.8 mV, where the code saturates.

    >>> encode_voltage(8800.0), encode_voltage(9400.0)
    (109, 6)
    """
    if not LOWEST_MV <= voltage_mv <= HIGHEST_MV:
        raise UsageError(f"voltage_mv: {voltage_mv} mV, must be {LOWEST_MV:g} to {HIGHEST_MV:g} mV")
    return round(_OFFSET - _SLOPE * voltage_mv / 1000.0)


def decode_voltage(code: int) -> float:
    """Board voltage in mV of a code.

    Raises:
        UsageError: not a byte.

    >>> round(decode_voltage(0) / 1000, 4), round(decode_voltage(255) / 1000, 4)
    (9.4378, 7.9415)
    """
    if not 0 <= code <= 255:
        raise UsageError(f"PIC voltage code: {code}, must be an integer from 0 to 255")
    return 1000.0 * (_OFFSET - code) / _SLOPE


class Parser:
    """The controller's view: bytes come one by one, messages come out.

    Like the real one it looks for ``55 AA`` naively: after ``55 55`` it has forgotten the first, waits for a new
    ``55`` and so misses the message in ``55 55 AA …``.
    """

    def __init__(self) -> None:
        self._matched = 0
        self._command: Command | None = None
        self._data = b""
        self.ignored_bytes = 0

    def feed(self, byte: int) -> Message | None:
        """The message that is complete with ``byte``, if any.

        Raises:
            DataError: a command that the controller does not know; it waits for the next preamble then.
        """
        if self._matched < len(PREAMBLE):
            if byte == PREAMBLE[self._matched]:
                self._matched += 1
            else:
                self._matched = 0
                self.ignored_bytes += 1
            return None
        if self._command is None:
            try:
                self._command = Command(byte)
            except ValueError:
                self._matched = 0
                raise DataError(f"PIC command: {byte:02x}, is not known") from None
            self._data = b""
        else:
            self._data += bytes([byte])
        if len(self._data) < DATA_SIZE.get(self._command, 0):
            return None
        message = Message(self._command, self._data)
        self._matched, self._command = 0, None
        return message
