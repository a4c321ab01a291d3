"""An I2C bus, whoever drives it: a bitaxe-raw adapter or an adapter of the Linux kernel."""

from __future__ import annotations

import fcntl
import os
from typing import Protocol

from asic_reservoir.errors import NotFoundError
from firmware_bridge.serial_port import LinkError

_I2C_SLAVE = 0x0703
"""ioctl that names the part for the next transfers (linux/i2c-dev.h)."""


class I2cBus(Protocol):
    """Transfers to parts by their 7-bit address; ServerError or LinkError where the part does not answer."""

    def write(self, address: int, data: bytes) -> None: ...

    def read(self, address: int, count: int) -> bytes: ...

    def write_read(self, address: int, data: bytes, count: int) -> bytes:
        """Write, then read ``count`` bytes."""
        ...

    def close(self) -> None: ...


class LinuxI2c:
    """``/dev/i2c-N``.

    Raises:
        NotFoundError: no such adapter.
        LinkError: it cannot be opened.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            raise NotFoundError(f"I2C adapter {path!r}: no such device") from None
        except OSError as error:
            raise LinkError(f"I2C adapter {path!r}: {error.strerror}") from None

    def write(self, address: int, data: bytes) -> None:
        """One transfer to a part."""
        try:
            fcntl.ioctl(self._fd, _I2C_SLAVE, address)
            os.write(self._fd, data)
        except OSError as error:
            raise LinkError(f"I2C part {address:02x} on {self.path!r}: {error.strerror}") from None

    def read(self, address: int, count: int) -> bytes:
        """One transfer from a part."""
        try:
            fcntl.ioctl(self._fd, _I2C_SLAVE, address)
            return os.read(self._fd, count)
        except OSError as error:
            raise LinkError(f"I2C part {address:02x} on {self.path!r}: {error.strerror}") from None

    def write_read(self, address: int, data: bytes, count: int) -> bytes:
        """Two transfers; every part used here keeps its register pointer between them."""
        self.write(address, data)
        return self.read(address, count)

    def close(self) -> None:
        """Give the adapter back. May be called twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
