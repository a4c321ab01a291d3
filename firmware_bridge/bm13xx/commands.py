"""What a host can tell a chain of chips, whatever the dialect, and the error of a frame that is none."""

from __future__ import annotations

from dataclasses import dataclass

from asic_reservoir.errors import DataError, UsageError


class FrameError(DataError):
    """Bytes that are no frame of the protocol they claim to be."""


def check_width(name: str, value: int, bits: int) -> int:
    """``value`` if it fits into ``bits`` bits.

    Raises:
        UsageError: it does not.
    """
    if not 0 <= value < 1 << bits:
        raise UsageError(f"{name}: {value}, must be an integer from 0 to {(1 << bits) - 1}")
    return value


@dataclass(frozen=True, slots=True)
class SetAddress:
    """Give the first chip of the chain that has none this address; it passes commands on from then on."""

    address: int


@dataclass(frozen=True, slots=True)
class ChainInactive:
    """All chips forget their addresses and stop passing commands on."""


@dataclass(frozen=True, slots=True)
class ReadRegister:
    """Ask one chip, or all (``chip`` None), for a register."""

    register: int
    chip: int | None = None


@dataclass(frozen=True, slots=True)
class WriteRegister:
    """Write a 32-bit register of one chip, or of all (``chip`` None)."""

    register: int
    value: int
    chip: int | None = None


Command = SetAddress | ChainInactive | ReadRegister | WriteRegister
