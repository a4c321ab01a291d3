"""How an emulated device says that it is one.

Every HTTP answer of an emulated device carries the header :data:`HEADER`, its cgminer ``version`` the key :data:`KEY`,
its Stratum ``subscribe`` the same text behind the agent. A driver that sees one of them labels what it observes as
simulated, for good. Everything else on the wire is what a real device would send.

The announcement also carries two numbers that make an emulation practical: ``speed`` (seconds of the device in one
second of the host) and ``scale``: difficulties in Stratum messages are multiplied by it, so that real shares can be
found by hashing in software.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from asic_reservoir.errors import DataError
from firmware_bridge.fields import as_number, shown

HEADER = "X-Simulated"
KEY = "Simulated"
_TEXT = re.compile(r"asic-reservoir-twin; speed=([0-9.e+-]{1,24}); scale=([0-9.e+-]{1,24})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Announcement:
    """What an emulated device says about itself."""

    speed: float = 1.0
    scale: float = 1.0

    def __str__(self) -> str:
        return f"asic-reservoir-twin; speed={self.speed!r}; scale={self.scale!r}"

    @classmethod
    def parse(cls, text: str) -> Announcement:
        """Raises DataError.

        >>> Announcement.parse(str(Announcement(20.0, 2**-36))) == Announcement(20.0, 2**-36)
        True
        """
        match = _TEXT.fullmatch(text.strip())
        if match is None:
            raise DataError(f"{HEADER}: {shown(text)}, must be {str(Announcement())!r} or absent")
        numbers = []
        for group, name in ((1, "speed"), (2, "scale")):
            try:
                number = float(match[group])
            except ValueError:
                raise DataError(f"{HEADER} {name}: {shown(match[group])}, must be a number") from None
            numbers.append(as_number(number, f"{HEADER} {name}", 1e-18, 1e6))
        return cls(*numbers)


def of_headers(headers: Mapping[str, str]) -> Announcement | None:
    """The announcement in the headers of an HTTP answer; None for a real device. Raises DataError."""
    for name, value in headers.items():
        if name.lower() == HEADER.lower():
            return Announcement.parse(value)
    return None


def of_agent(agent: str) -> Announcement | None:
    """The announcement behind the agent of a Stratum subscribe. Raises DataError.

    >>> of_agent("bitaxe/BM1366/v2.10.0") is None
    True
    >>> of_agent(with_agent("bitaxe/BM1366/v2.10.0", Announcement(2.0, 0.5)))
    Announcement(speed=2.0, scale=0.5)
    """
    at = agent.find(" [asic-reservoir-twin;")
    return None if at < 0 else Announcement.parse(agent[at + 2 :].removesuffix("]"))


def with_agent(agent: str, announcement: Announcement) -> str:
    """The agent with the announcement behind it."""
    return f"{agent} [{announcement}]"
