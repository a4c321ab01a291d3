"""What a difficulty means for the rate of shares, and how the firmwares read it."""

from __future__ import annotations

import math

HASHES_PER_DIFFICULTY = 2.0**32
"""Mean number of SHA-256d hashes for one share of difficulty 1."""
HASHES_PER_DIFFICULTY_LBRY = 2.0**24
"""The same on the scale of LBRY pools, 256 times easier."""


def mean_interval_s(difficulty: float, hashrate_ghs: float, hashes: float = HASHES_PER_DIFFICULTY) -> float:
    """Mean time between shares: difficulty * 2^32 / hashrate (exponentially distributed: its CV is 1 by nature).

    >>> round(mean_interval_s(256, 433.6), 2)
    2.54
    """
    return difficulty * hashes / (hashrate_ghs * 1e9)


def effective_difficulty(asked: float, mask: int) -> float:
    """The difficulty that decides what is seen: a filter in the chip (``mask``) hides easier shares whatever is asked.

    >>> effective_difficulty(128, 256), effective_difficulty(512, 256)
    (256, 512)
    """
    return max(asked, mask)


def ticket_mask_for(difficulty: float) -> int:
    """Largest power of two not above ``difficulty`` and at least 1: what a chip's mask can hold.

    >>> ticket_mask_for(255), ticket_mask_for(256)
    (128, 256)
    """
    return 1 << max(0, math.ceil(difficulty).bit_length() - 1)


def as_integer_firmware(difficulty: float) -> int:
    """Pool difficulty as the v2.1.8 generation stores it: cut to an integer, so 0.5 becomes 0 and everything passes.

    >>> as_integer_firmware(0.5), as_integer_firmware(512.9)
    (0, 512)
    """
    return int(difficulty)
