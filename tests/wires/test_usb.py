"""Discovery on USB against a bus made of descriptors: the kernel here offers no gadget to plug in."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import usb.backend
import usb.core

from asic_reservoir.errors import NotFoundError, ServerError
from firmware_bridge.usb import find_boards, reset_board

STRINGS = {1: "OSMU", 2: "Bitaxe", 3: "2b7e1516"}


class Bus(usb.backend.IBackend):
    """Two boards and a mouse."""

    def __init__(self, refuse: bool = False) -> None:
        self.refuse = refuse
        self.resets: list[int] = []

    def enumerate_devices(self):
        yield from (
            SimpleNamespace(product=0xCAFE, version=0x0210, address=7),
            SimpleNamespace(product=0xB17D, version=0x0104, address=5),
            SimpleNamespace(product=0x0001, version=0x0100, address=3),
        )

    def get_device_descriptor(self, device):
        return SimpleNamespace(
            bLength=18, bDescriptorType=1, bcdUSB=0x200, bDeviceClass=239, bDeviceSubClass=2, bDeviceProtocol=1,
            bMaxPacketSize0=64, idVendor=0xC0DE if device.product > 1 else 1, idProduct=device.product,
            bcdDevice=device.version, iManufacturer=1, iProduct=2, iSerialNumber=3, bNumConfigurations=1,
            address=device.address, bus=1, port_number=1, port_numbers=(1,), speed=2,
        )  # fmt: skip

    def open_device(self, device):
        if self.refuse:
            raise usb.core.USBError("Access denied (insufficient permissions)", errno=13)
        return device

    def close_device(self, handle):
        pass

    def ctrl_transfer(self, handle, request_type, request, value, index, data, timeout):
        text = STRINGS.get(value & 0xFF)
        body = b"\x09\x04" if text is None else text.encode("utf-16-le")
        answer = bytes([len(body) + 2, 3]) + body
        data[: len(answer)] = type(data)("B", answer)
        return len(answer)

    def reset_device(self, handle):
        self.resets.append(handle.address)


def test_boards_are_found_and_described() -> None:
    boards = find_boards(Bus())
    assert [(b.bus, b.address, b.protocol, b.board_revision) for b in boards] == [(1, 5, 0, 1), (1, 7, 1, 2)]
    assert {b.serial_number for b in boards} == {"2b7e1516"}
    assert boards[0].product == "Bitaxe"
    assert (boards[0].control_port, boards[0].chip_port) == (None, None)


def test_a_board_is_reset_by_its_serial_number() -> None:
    bus = Bus()
    reset_board("2b7e1516", bus)
    assert bus.resets == [7]
    with pytest.raises(NotFoundError, match="not on this host"):
        reset_board("00000000", bus)


def test_missing_rights_are_named() -> None:
    with pytest.raises(ServerError, match="rights on /dev/bus/usb"):
        reset_board("2b7e1516", Bus(refuse=True))
