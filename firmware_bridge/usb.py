"""Finding boards on USB, and resetting them. Data runs over the serial ports that the kernel makes of them.

pyusb is an optional dependency (extra ``usb``): without it, boards are used by the path of their serial ports.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from serial.tools import list_ports

from asic_reservoir.errors import NotFoundError, ServerError, UsageError
from firmware_bridge.bitaxe_raw.packets import USB_PRODUCT, USB_PRODUCT_BIRDS, USB_VENDOR, version_of_device


@dataclass(frozen=True, slots=True)
class UsbBoard:
    """A board with bitaxe-raw firmware on this host's USB."""

    bus: int
    address: int
    product: str
    serial_number: str
    """8 hex digits made from the board's network address."""
    board_revision: int
    protocol: int
    """Version of the control protocol, 0 or 1."""
    control_port: str | None
    """Serial port of the control packets; None where the kernel has made none."""
    chip_port: str | None
    """Serial port of the chips' UART."""


def _core() -> Any:
    try:
        import usb.core
    except ImportError:
        raise UsageError(
            "USB: pyusb is not installed, install the extra 'usb' or give the paths of the ports"
        ) from None
    return usb.core


def _backend(backend: object | None) -> object | None:
    """The backend asked for, or libusb as the package ``libusb-package`` brings it, or what the system has."""
    if backend is not None:
        return backend
    try:
        import libusb_package
    except ImportError:
        return None
    found: object | None = libusb_package.get_libusb1_backend()
    return found


@contextmanager
def _errors() -> Iterator[None]:
    core = _core()
    try:
        yield
    except core.NoBackendError:
        raise UsageError("USB: no libusb found, install the extra 'usb' or give the paths of the ports") from None
    except core.USBError as error:
        raise ServerError(f"USB: {error}, may need rights on /dev/bus/usb") from None


def find_boards(backend: object | None = None) -> list[UsbBoard]:
    """Every board with bitaxe-raw firmware, in order of bus and address.

    Raises:
        UsageError: pyusb or libusb is not there.
        ServerError: the bus cannot be read.
    """
    with _errors():
        boards = [_describe(device) for device in _devices(backend)]
    return sorted(boards, key=lambda board: (board.bus, board.address))


def _devices(backend: object | None) -> Iterator[Any]:
    for product in (USB_PRODUCT, USB_PRODUCT_BIRDS):
        yield from _core().find(find_all=True, idVendor=USB_VENDOR, idProduct=product, backend=_backend(backend))


def _describe(device: Any) -> UsbBoard:
    product, serial_number = _strings(device) or ("", "")
    ports = sorted(
        (port.location or "", port.device)
        for port in list_ports.comports()
        if port.vid == USB_VENDOR and port.pid == device.idProduct and (port.serial_number or "") == serial_number
    )
    paths = [path for _, path in ports]
    return UsbBoard(
        bus=int(device.bus or 0),
        address=int(device.address or 0),
        product=product,
        serial_number=serial_number,
        board_revision=int(device.bcdDevice) >> 8,
        protocol=version_of_device(int(device.bcdDevice)),
        control_port=paths[0] if paths else None,
        chip_port=paths[1] if len(paths) > 1 else None,
    )


def _strings(device: Any) -> tuple[str, str] | None:
    """Product and serial number; None where this user may not open the device."""
    try:
        return str(device.product or ""), str(device.serial_number or "")
    except ValueError:  # pyusb's word for "no string could be read"
        return None


def reset_board(serial_number: str, backend: object | None = None) -> None:
    """Reset the USB port of a board: its firmware starts again, its serial ports vanish and come back.

    Raises:
        NotFoundError: no board of that serial number.
        UsageError: pyusb or libusb is not there.
        ServerError: the reset failed, or boards are there that this user may not open.
    """
    closed = 0
    with _errors():
        for device in _devices(backend):
            strings = _strings(device)
            closed += strings is None
            if strings is not None and strings[1] == serial_number:
                device.reset()
                return
    if closed:
        raise ServerError(f"USB: {closed} boards may not be opened, needs rights on /dev/bus/usb")
    raise NotFoundError(f"USB board {serial_number!r}: not on this host")
