"""Real shares for an emulated device: a nonce with the chip and core of where it was found, and a hash that says so.

The twin says when a nonce comes, from which chip and core, and whether it is right. Here it gets a value: nonces of
the job at hand are hashed until one meets the device's mask (or, for a wrong one, does not). The mask is scaled down,
so this takes a few hashes; harder shares then turn up as often among these as they do among real ones.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from asic_reservoir.twin.spec import TwinSpec
from firmware_bridge.stratum.work import Hashable

_MAX_TRIES = 1 << 20


@dataclass(frozen=True, slots=True)
class FoundShare:
    """A share as the device found it."""

    extranonce2: bytes
    ntime: int
    nonce: int
    version_bits: int
    hash_value: int


def find_share(
    work: Hashable,
    extranonce2: bytes,
    *,
    target: int,
    valid: bool,
    spec: TwinSpec,
    chip: int,
    core: int,
    version_mask: int,
    rng: random.Random,
) -> FoundShare:
    """Search the job for a nonce of that chip and core.

    Args:
        target: Hashes at most this meet the device's mask.
        core: Index of the core; its number in the nonce comes from the twin's table.
    """
    number = spec.core_numbers[core]
    for _ in range(_MAX_TRIES):
        nonce = _nonce(spec, chip, number, rng)
        bits = rng.getrandbits(32) & version_mask
        value = work.hash_value(extranonce2, work.ntime, nonce, bits)
        if (value <= target) == valid:
            break
    return FoundShare(extranonce2, work.ntime, nonce, bits, value)


def _nonce(spec: TwinSpec, chip: int, core_number: int, rng: random.Random) -> int:
    """Chip and core where the parts have them (protocols.md 1.12 and 2.2)."""
    free = rng.getrandbits(32)
    if spec.chip.name == "BM1387":
        return (free & 0x80FFFF03) | (chip % spec.chips_per_hashboard) << 2 | core_number << 24
    if spec.chip.name == "BM1366":
        big = (free & 0x01FFFFFF) | core_number << 25
        return int.from_bytes(big.to_bytes(4, "big"), "little")
    return free
