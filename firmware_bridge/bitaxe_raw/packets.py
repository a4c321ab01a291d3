"""Packets of the control port.

Request: ``length LE16 (whole packet) | id | bus 00 | page | command | data``.
Response, version 0: ``length LE16 (data only) | id | data``.
Response, version 1: ``length LE16 (whole packet) | id | status | data``; status 0 is good.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from asic_reservoir.errors import DataError, ServerError, UsageError

USB_VENDOR, USB_PRODUCT, USB_PRODUCT_BIRDS = 0xC0DE, 0xCAFE, 0xB17D
MAX_PACKET = 4096
"""Longer lengths are taken for garbage; the firmware's own buffers are far smaller."""
REQUEST_HEADER = 6
PARTIAL_REQUEST_TIMEOUT_S = 0.004
"""The firmware throws a request away that is not complete after this time."""
RESPONSE_TIMEOUT_S = 1.0
DRAIN_S = 0.010
"""Silence to wait for after a response that made no sense."""


class PacketError(DataError):
    """Bytes that are no packet of the control port."""


class DeviceError(ServerError):
    """The firmware answered a request with an error."""


class Page(IntEnum):
    """Groups of commands."""

    I2C = 0x05
    GPIO = 0x06
    ADC = 0x07
    LED = 0x08
    SYSTEM = 0x09
    """On a "Bonanza" board this page is the fan: see :func:`fan_set`."""


class I2c(IntEnum):
    """Commands of page 05."""

    SET_FREQUENCY = 0x10
    WRITE = 0x20
    READ = 0x30
    WRITE_READ = 0x40


class ErrorCode(IntEnum):
    """Statuses of a response."""

    TIMEOUT = 0x10
    INVALID_COMMAND = 0x11
    BUFFER_OVERFLOW = 0x12
    CUSTOM = 0xFF
    """A text follows."""


RESET_PIN = 0
"""GPIO of the chips' reset line, active low."""
ADC_VDD = 0x50
REBOOT = bytes.fromhex("deadbeef")
BOOTLOADER = bytes.fromhex("b00710ad")


@dataclass(frozen=True, slots=True)
class Request:
    """One request. ``request_id`` comes back in the response."""

    request_id: int
    page: int
    command: int
    data: bytes = b""
    bus: int = 0


@dataclass(frozen=True, slots=True)
class Response:
    """One response."""

    request_id: int
    data: bytes = b""
    status: int = 0
    """0, or an :class:`ErrorCode`."""

    def good_data(self) -> bytes:
        """The data of a response without error.

        Raises:
            DeviceError: the firmware reports an error.
        """
        if self.status == 0:
            return self.data
        try:
            name = ErrorCode(self.status).name.lower().replace("_", " ")
        except ValueError:
            name = "unknown"
        text = self.data.decode("ascii", "replace")
        raise DeviceError(f"bitaxe-raw request {self.request_id}: error {self.status:02x} ({name}) {text}".rstrip())


def _byte(name: str, value: int) -> int:
    if not 0 <= value <= 255:
        raise UsageError(f"{name}: {value}, must be an integer from 0 to 255")
    return value


def encode_request(request: Request) -> bytes:
    """The packet of a request.

    Raises:
        UsageError: a field does not fit a byte, or there is too much data.

    >>> encode_request(gpio_set(1, RESET_PIN, False)).hex(" ")
    '07 00 01 00 06 00 00'
    """
    length = REQUEST_HEADER + len(request.data)
    if length > MAX_PACKET:
        raise UsageError(f"request data: {len(request.data)} bytes, must be at most {MAX_PACKET - REQUEST_HEADER}")
    head = (
        _byte("request_id", request.request_id),
        _byte("bus", request.bus),
        _byte("page", request.page),
        _byte("command", request.command),
    )
    return length.to_bytes(2, "little") + bytes(head) + request.data


def decode_request(packet: bytes) -> Request:
    """The request in a packet.

    Raises:
        PacketError: shorter than its header, or its length is not its size.
    """
    if len(packet) < REQUEST_HEADER or int.from_bytes(packet[:2], "little") != len(packet):
        raise PacketError(
            f"request: {packet[:8].hex()} of {len(packet)} bytes, must begin with its own size, 6 or more"
        )
    return Request(packet[2], packet[4], packet[5], packet[6:], packet[3])


def encode_response(response: Response, version: int) -> bytes:
    """The packet of a response. Version 0 has no status: an error is ``FF code`` in front of its data.

    Raises:
        UsageError: a field does not fit, too much data, or another version than 0 and 1.
    """
    head = _byte("request_id", response.request_id)
    status = _byte("status", response.status)
    if len(response.data) > MAX_PACKET - 4:
        raise UsageError(f"response data: {len(response.data)} bytes, must be at most {MAX_PACKET - 4}")
    if _version(version) == 0:
        data = bytes([ErrorCode.CUSTOM, status]) + response.data if status else response.data
        return len(data).to_bytes(2, "little") + bytes([head]) + data
    return (4 + len(response.data)).to_bytes(2, "little") + bytes([head, status]) + response.data


def decode_response(packet: bytes, version: int, expected: int | None = None) -> Response:
    """The response in a packet.

    Args:
        packet: exactly one.
        version: 0 or 1.
        expected: number of data bytes that a good answer has. In version 0 only this tells an error (``FF code``)
            from data that begins with FF; an error that happens to have that size is taken for data, as on any
            host of that version.

    Raises:
        PacketError: length and size disagree, or (version 0) neither a good answer nor an error.
        UsageError: another version than 0 and 1.

    >>> decode_response(bytes.fromhex("04004211"), 1)
    Response(request_id=66, data=b'', status=17)
    """
    header = 3 if _version(version) == 0 else 4
    length = int.from_bytes(packet[:2], "little") + (3 if version == 0 else 0)
    if version == 0 and 5 <= len(packet) < length and packet[3] == ErrorCode.CUSTOM and packet[4] in set(ErrorCode):
        return Response(packet[2], b"", packet[4])  # errors carry the length of the firmware's whole buffer
    if len(packet) < header or length != len(packet):
        raise PacketError(f"response: {packet[:8].hex()} of {len(packet)} bytes, its length field says {length}")
    if version == 1:
        return Response(packet[2], packet[4:], packet[3])
    data = packet[3:]
    if expected is None or len(data) == expected:
        return Response(packet[2], data)
    if len(data) >= 2 and data[0] == ErrorCode.CUSTOM and data[1] != 0:
        return Response(packet[2], data[2:], data[1])
    raise PacketError(
        f"response {packet[2]}: {len(data)} data bytes, must be {expected}, or begin with ff and an error"
    )


def response_size(head: bytes, version: int) -> int | None:
    """Bytes of the response that begins with ``head``; None if more bytes are needed to tell.

    Raises:
        PacketError: a size that no response has.
        UsageError: another version than 0 and 1.
    """
    _version(version)
    if len(head) < 2:
        return None
    length = int.from_bytes(head[:2], "little")
    size = length + 3 if version == 0 else length
    if not 3 + version <= size <= MAX_PACKET:
        raise PacketError(f"response length: {length}, must be {4 * version} to {MAX_PACKET}")
    return size


def _version(version: int) -> int:
    if version not in (0, 1):
        raise UsageError(f"bitaxe-raw protocol version: {version}, must be 0 or 1")
    return version


def version_of_device(bcd_device: int) -> int:
    """Protocol version from the USB field bcdDevice 0xJJMN: 1 where the minor number M is at least 1."""
    return 1 if bcd_device >> 4 & 0xF else 0


class RequestParser:
    """Requests in the bytes that a device receives. The device calls :meth:`expire` after 4 ms of silence."""

    def __init__(self) -> None:
        self._rest = b""
        self.discarded_bytes = 0

    def feed(self, data: bytes) -> list[Request]:
        """The requests that are complete with ``data``; bytes that cannot begin one are thrown away."""
        self._rest += data
        found = []
        while len(self._rest) >= 2:
            length = int.from_bytes(self._rest[:2], "little")
            if not REQUEST_HEADER <= length <= MAX_PACKET:
                self.discarded_bytes += 1
                self._rest = self._rest[1:]
                continue
            if len(self._rest) < length:
                break
            found.append(decode_request(self._rest[:length]))
            self._rest = self._rest[length:]
        return found

    @property
    def pending(self) -> int:
        """Bytes of a request that is not complete."""
        return len(self._rest)

    def expire(self) -> None:
        """Throw a partial request away, as the firmware does."""
        self.discarded_bytes += len(self._rest)
        self._rest = b""


def i2c_set_frequency(request_id: int, hertz: int) -> Request:
    """Set the clock of the I2C bus; the answer repeats the 4 bytes."""
    if not 0 < hertz < 1 << 32:
        raise UsageError(f"I2C frequency: {hertz} Hz, must be from 1 to 2^32 - 1")
    return Request(request_id, Page.I2C, I2c.SET_FREQUENCY, hertz.to_bytes(4, "little"))


def i2c_write(request_id: int, address: int, data: bytes) -> Request:
    """Write ``data`` to a device; the answer is the number of bytes."""
    return Request(request_id, Page.I2C, I2c.WRITE, bytes([_byte("I2C address", address)]) + data)


def i2c_read(request_id: int, address: int, count: int) -> Request:
    """Read ``count`` bytes from a device."""
    return Request(request_id, Page.I2C, I2c.READ, bytes([_byte("I2C address", address), _byte("count", count)]))


def i2c_write_read(request_id: int, address: int, data: bytes, count: int) -> Request:
    """Write, then read after a repeated start."""
    head, tail = bytes([_byte("I2C address", address)]), bytes([_byte("count", count)])
    return Request(request_id, Page.I2C, I2c.WRITE_READ, head + data + tail)


def gpio_set(request_id: int, pin: int, high: bool) -> Request:
    """Drive a pin; the answer is its level."""
    return Request(request_id, Page.GPIO, _byte("pin", pin), bytes([high]))


def gpio_get(request_id: int, pin: int) -> Request:
    """Ask for the level of a pin."""
    return Request(request_id, Page.GPIO, _byte("pin", pin))


def adc_read(request_id: int, channel: int = ADC_VDD) -> Request:
    """Ask for a voltage; the answer is LE16."""
    return Request(request_id, Page.ADC, _byte("channel", channel))


def led_set(request_id: int, red: int, green: int, blue: int) -> Request:
    """Colour of the light."""
    return Request(request_id, Page.LED, 0x10, bytes(_byte("colour", c) for c in (red, green, blue)))


def fan_set(request_id: int, percent: int) -> Request:
    """Fan of a Bonanza board, 0 to 100."""
    if not 0 <= percent <= 100:
        raise UsageError(f"fan_percent: {percent}, must be from 0 to 100")
    return Request(request_id, Page.SYSTEM, 0x10, bytes([percent]))


def fan_tach(request_id: int) -> Request:
    """Ask a Bonanza board for the speed of its fan."""
    return Request(request_id, Page.SYSTEM, 0x20)


def reboot(request_id: int) -> Request:
    """Start the firmware again; there is no answer. Not for a Bonanza board."""
    return Request(request_id, Page.SYSTEM, 0x01, REBOOT)


def bootloader(request_id: int) -> Request:
    """Stop in the bootloader; there is no answer. Not for a Bonanza board."""
    return Request(request_id, Page.SYSTEM, 0x02, BOOTLOADER)
