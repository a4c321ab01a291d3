"""Registers of the FPGA on an S9's control board: the core ``axi_bm13xx`` that feeds a chain, fans, lines of the board.

Source: braiins/braiins FPGA README and ``axi_bm13xx/hdl``. The bits of the status registers are in no source read, so
there is no codec for them. The words of the work and result FIFOs are in :mod:`.bm1387`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from asic_reservoir.errors import UsageError
from firmware_bridge.bm13xx.commands import FrameError, check_width
from firmware_bridge.bm13xx.jobs import MIDSTATE_COUNTS

VERSION = 0x00901000
"""What register ``VERSION`` reads."""
CLOCK_HZ = 50_000_000
"""Of the core: baud rates and work times are counted in it."""
CORE_BASE = {6: 0x43C00000, 7: 0x43C10000, 8: 0x43C20000}
"""Physical address of the core of each hashboard connector."""
I2C_BASE, FAN_BASE = 0x41600000, 0x42800000
FAN_PWM = 0x10
"""Offset of the fans' duty register, percent at 25 kHz; the tachometers of four fans are at 0, 4, 8 and C."""
GPIO_RED_LED, GPIO_GREEN_LED, GPIO_BUZZER, GPIO_RESET_BUTTON, GPIO_IP_BUTTON = 943, 944, 945, 953, 957
"""Numbers in sysfs."""


class Register(IntEnum):
    """Offsets from the base of a core."""

    VERSION = 0x0000
    BUILD_ID = 0x0004
    CONTROL = 0x0008
    BAUD = 0x0010
    WORK_TIME = 0x0014
    ERROR_COUNTER = 0x0018
    COMMAND_RX = 0x1000
    COMMAND_TX = 0x1004
    COMMAND_CONTROL = 0x1008
    COMMAND_STATUS = 0x100C
    WORK_RX = 0x2000
    WORK_TX = 0x3004
    WORK_TX_THRESHOLD = 0x3010
    WORK_TX_LAST_ID = 0x3014


FIFO_WORDS = {
    Register.COMMAND_RX: 256,
    Register.COMMAND_TX: 1024,
    Register.WORK_RX: 1024,
    Register.WORK_TX: 2048,
}
"""Depths in words of 32 bits, in the order of the README: 256, 1024, 1024, 2048."""


@dataclass(frozen=True, slots=True)
class Control:
    """Register ``CONTROL``."""

    enabled: bool
    midstates: int
    """1, 2 or 4."""
    bm139x: bool = False
    """Frames carry the preambles 55 AA and AA 55."""
    clear_errors: bool = False


def encode_control(control: Control) -> int:
    """The word: bit 4 BM139x, bit 3 enable, bits 2..1 log2 of the midstates, bit 0 clears the error counter.

    Raises:
        UsageError: not 1, 2 or 4 midstates.

    >>> hex(encode_control(Control(enabled=True, midstates=4)))
    '0xc'
    """
    if control.midstates not in MIDSTATE_COUNTS:
        raise UsageError(f"midstates: {control.midstates}, must be 1, 2 or 4")
    log2 = control.midstates.bit_length() - 1
    return control.bm139x << 4 | control.enabled << 3 | log2 << 1 | control.clear_errors


def decode_control(word: int) -> Control:
    """The settings in a word.

    Raises:
        FrameError: bits set that have no meaning, or log2 of the midstates is 3.
    """
    if not 0 <= word < 1 << 5 or word >> 1 & 3 == 3:
        raise FrameError(f"FPGA control: {word:x}, must be below 20 with bits 2..1 of 0, 1 or 2")
    return Control(bool(word >> 3 & 1), 1 << (word >> 1 & 3), bool(word >> 4), bool(word & 1))


def encode_command_control(*, interrupt: bool = False, reset_tx: bool = False, reset_rx: bool = False) -> int:
    """Register ``COMMAND_CONTROL``: bit 2 interrupt, bit 1 empties the FIFO to the chips, bit 0 that from them."""
    return interrupt << 2 | reset_tx << 1 | reset_rx


def encode_baud(baud: float) -> int:
    """Register ``BAUD`` for a rate: the nearest of 50 MHz / (8 · (reg + 1)).

    Raises:
        UsageError: no register value comes within 5 % of it.

    >>> encode_baud(1_562_500), encode_baud(115_740)
    (3, 53)
    """
    value = max(0, round(CLOCK_HZ / (8.0 * baud)) - 1) if baud > 0 else 0
    if baud <= 0 or value >= 1 << 16 or abs(decode_baud(value) / baud - 1.0) > 0.05:
        raise UsageError(f"FPGA baud: {baud:g}, must be within 5 % of 6250000/(n+1) for n from 0 to 65535")
    return value


def decode_baud(value: int) -> float:
    """The rate that a register value makes. Raises UsageError where it is not 16 bits."""
    return CLOCK_HZ / (8.0 * (check_width("FPGA baud register", value, 16) + 1))


def fan_rpm(revolutions_per_s: int) -> int:
    """Turns a minute from a tachometer register, which counts a second's.

    Raises:
        UsageError: not 32 bits.
    """
    return 60 * check_width("fan register", revolutions_per_s, 32)


def gpio_reset(connector: int) -> int:
    """Number of the reset line of a hashboard connector, 1 to 9.

    >>> [gpio_reset(6), gpio_plug(6)]
    [893, 902]
    """
    return 888 + _connector(connector) - 1


def gpio_plug(connector: int) -> int:
    """Number of the line that tells whether a hashboard is plugged in."""
    return 897 + _connector(connector) - 1


def _connector(number: int) -> int:
    if not 1 <= number <= 9:
        raise UsageError(f"hashboard connector: {number}, must be from 1 to 9")
    return number
