"""Identifiers and times of facts."""

from __future__ import annotations

import os
import random
import time
import uuid

_RANDOM = random.Random()  # seeded by the system; asking the system for every identifier costs more than the rest
os.register_at_fork(after_in_child=_RANDOM.seed)


def now_ns() -> int:
    """The time of day in UTC, ns since 1970. Facts carry it for people; the order of events never hangs on it."""
    return time.time_ns()


def new_id(utc_ns: int | None = None) -> str:
    """A UUID of version 7 (RFC 9562 section 5.7): its text sorts by the time it was made.

    >>> new_id(0)[:15], len(new_id()), new_id(1_000_000) > new_id(0)
    ('00000000-0000-7', 36, True)
    """
    milliseconds = (now_ns() if utc_ns is None else utc_ns) // 1_000_000
    value = (milliseconds & (1 << 48) - 1) << 80 | _RANDOM.getrandbits(80)
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return str(uuid.UUID(int=value))
