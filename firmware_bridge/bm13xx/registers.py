"""What the registers of the BM1366 and BM1387 mean, and the arithmetic of their values.

Sources: ESP-Miner ``bm1366.c``, ``asic_common.c``; bm13xx-rs ``bm1366/src/lib.rs``; mujina ``REFERENCE.md``;
braiins ``bm1387.rs``.
"""

from __future__ import annotations

import math
from enum import IntEnum

from asic_reservoir.errors import UsageError
from firmware_bridge.bm13xx.commands import check_width

CRYSTAL_HZ = 25_000_000


class Bm1366Register(IntEnum):
    """Registers of a BM1366 that are used here."""

    CHIP_ID = 0x00
    HASH_RATE = 0x04
    PLL0 = 0x08
    NONCE_OFFSET = 0x0C
    HASH_COUNTING_NUMBER = 0x10
    """0: the cores stand still."""
    TICKET_MASK = 0x14
    MISC_CONTROL = 0x18
    """Bits 31..28 let the core sections report nonces; 0 after reset."""
    I2C_CONTROL = 0x1C
    FAST_UART = 0x28
    UART_RELAY = 0x2C
    CORE_NUMBER = 0x30
    CORE_MAILBOX = 0x3C
    CORE_REGISTER_VALUE = 0x40
    ERROR_COUNTER = 0x4C
    ANALOG_MUX = 0x54
    IO_DRIVER_STRENGTH = 0x58
    PLL1 = 0x60
    PLL0_DIVIDER = 0x70
    DOMAIN_0_COUNTER = 0x88
    DOMAIN_1_COUNTER = 0x89
    DOMAIN_2_COUNTER = 0x8A
    DOMAIN_3_COUNTER = 0x8B
    TOTAL_COUNTER = 0x8C
    """Hashes done, in units of 2^32."""
    VERSION_ROLLING = 0xA4
    SOFT_RESET = 0xA8


BM1366_RESET_VALUES: dict[int, int] = {
    Bm1366Register.CHIP_ID: 0x13660000,
    Bm1366Register.HASH_RATE: 0x00012A89,
    Bm1366Register.PLL0: 0xC0540165,
    Bm1366Register.NONCE_OFFSET: 0,
    Bm1366Register.HASH_COUNTING_NUMBER: 0,
    Bm1366Register.TICKET_MASK: 0,
    Bm1366Register.MISC_CONTROL: 0x0000C100,
    Bm1366Register.I2C_CONTROL: 0,
    Bm1366Register.FAST_UART: 0x01301A00,
    Bm1366Register.UART_RELAY: 0x000F0000,
    Bm1366Register.CORE_NUMBER: 0x00000070,
    Bm1366Register.CORE_MAILBOX: 0,
    Bm1366Register.CORE_REGISTER_VALUE: 0x1EAF5FBE,
    Bm1366Register.ERROR_COUNTER: 0,
    Bm1366Register.ANALOG_MUX: 0,
    Bm1366Register.IO_DRIVER_STRENGTH: 0x00012111,
    Bm1366Register.PLL1: 0x20500174,
    Bm1366Register.PLL0_DIVIDER: 0,
    Bm1366Register.DOMAIN_0_COUNTER: 0,
    Bm1366Register.DOMAIN_1_COUNTER: 0,
    Bm1366Register.DOMAIN_2_COUNTER: 0,
    Bm1366Register.DOMAIN_3_COUNTER: 0,
    Bm1366Register.TOTAL_COUNTER: 0,
    Bm1366Register.VERSION_ROLLING: 0x0000FFFF,
    Bm1366Register.SOFT_RESET: 0x00070000,
}
"""Values after the reset line was released (bm13xx-rs)."""


class Bm1387Register(IntEnum):
    """Registers of a BM1387 that are used here."""

    CHIP_ID = 0x00
    HASH_RATE = 0x08
    """Unit 2^24 hashes."""
    PLL = 0x0C
    """Reads back with bit 31 set."""
    HASH_COUNTING = 0x14
    TICKET_MASK = 0x18
    MISC_CONTROL = 0x1C
    I2C_CONTROL = 0x20


def bm1366_ticket_mask(difficulty: float) -> int:
    """Register 14 for the largest power of two not above ``difficulty``.

    d = ceil(difficulty), N = floor(log2 d), mask = 2^N - 1 with the bits of every byte reversed.

    Raises:
        UsageError: not from 1 to 2^32.

    >>> [f"{bm1366_ticket_mask(d):08x}" for d in (1, 2, 255, 256, 1024)]
    ['00000000', '00000080', '000000fe', '000000ff', '0000c0ff']
    """
    if not 1 <= difficulty < 2**32:
        raise UsageError(f"ticket mask difficulty: {difficulty}, must be a number from 1 to below 2^32")
    bits = math.ceil(difficulty).bit_length() - 1 if difficulty > 1 else 0
    return _reverse_bits_of_bytes((1 << bits) - 1)


def bm1366_ticket_difficulty(register: int) -> int:
    """Difficulty that a value of register 14 demands: the product over its set bits, 2 to their number.

    Raises:
        UsageError: more than 32 bits.
    """
    return 1 << check_width("ticket mask", register, 32).bit_count()


def bm1387_ticket_mask(difficulty: int) -> int:
    """Register 18 for a difficulty that is a power of two: the 32 bits of (difficulty - 1) reversed, bytes swapped.

    Raises:
        UsageError: not a power of two below 2^32.

    >>> [f"{bm1387_ticket_mask(d):x}" for d in (1, 2, 64, 512, 2048)]
    ['0', '80', 'fc', '80ff', 'e0ff']
    """
    if not 1 <= difficulty < 2**32 or difficulty & (difficulty - 1):
        raise UsageError(f"ticket mask difficulty: {difficulty}, must be a power of two from 1 to 2^31")
    return _reverse_bits_of_bytes(difficulty - 1)


def _reverse_bits_of_bytes(value: int) -> int:
    return int.from_bytes(bytes(int(f"{byte:08b}"[::-1], 2) for byte in value.to_bytes(4)))


def version_rolling(mask: int) -> int:
    """Register A4 that lets the chip roll the version bits of ``mask``. Bits below 13 are lost, and refused here.

    Raises:
        UsageError: bits outside 28..13.

    >>> f"{version_rolling(0x1FFFE000):08x}"
    '9000ffff'
    """
    if mask & ~0x1FFFE000:
        raise UsageError(f"version mask: {mask:08x}, must lie within 1fffe000 (the chip takes bits 28 to 13)")
    return 0x9000_0000 | mask >> 13


def version_mask_of(register: int) -> int:
    """Version bits that a value of register A4 lets roll; 0 without bit 31."""
    return (register & 0xFFFF) << 13 if register >> 31 else 0


def hash_counting_number(frequency_mhz: float, n_chips: int = 1, cores: int = 112, part: float = 1.0) -> int:
    """Register 10: ticks of 25 MHz that one batch lasts.

    floor(part · (2^32 / np2(cores) / np2(chips)) · 25 / f · 0.5), np2 the next power of two (ESP-Miner ``bm1366.c``).

    Raises:
        UsageError: a frequency, a number of chips or a part that is not positive.

    >>> f"{hash_counting_number(485.0):x}"
    'd3224'
    """
    if not (frequency_mhz > 0 and n_chips >= 1 and cores >= 1 and 0 < part <= 1):
        raise UsageError(
            f"hash counting: {frequency_mhz} MHz, {n_chips} chips, {cores} cores, part {part}, all positive"
        )
    space = 2**32 // _next_power_of_two(cores) // _next_power_of_two(n_chips)
    return check_width("hash counting number", int(part * space * 25.0 / frequency_mhz * 0.5), 32)


def _next_power_of_two(value: int) -> int:
    return 1 << (value - 1).bit_length()


def uart_divider(baud: int) -> int:
    """Baud divider d of both families, baud = 25 MHz / (8 · (d + 1)), nearest, at most 26.

    Raises:
        UsageError: faster than 3,125,000 or not positive.

    >>> uart_divider(115_200), uart_divider(1_000_000), uart_divider(1_562_500)
    (26, 2, 1)
    """
    if not 0 < baud <= CRYSTAL_HZ // 8:
        raise UsageError(f"baud: {baud}, must be from 1 to {CRYSTAL_HZ // 8}")
    return min(max(round(CRYSTAL_HZ / (8 * baud)) - 1, 0), 26)


def baud_of_divider(divider: int) -> float:
    """Baud of a divider: 25 MHz / (8 · (d + 1)).

    >>> round(baud_of_divider(2))
    1041667
    """
    return CRYSTAL_HZ / (8 * (divider + 1))


def fast_uart(baud: int) -> int:
    """Register 28 of a BM1366 for ``baud`` (bits 15..8 are the divider).

    >>> f"{fast_uart(1_000_000):08x}"
    '11300200'
    """
    return 0x1130_0000 | uart_divider(baud) << 8


def address_interval(n_chips: int) -> int:
    """Distance of the chip addresses on a BM1366 chain: 256 // n.

    Raises:
        UsageError: not from 1 to 128 chips.
    """
    if not 1 <= n_chips <= 128:
        raise UsageError(f"chips: {n_chips}, must be from 1 to 128")
    return 256 // n_chips
