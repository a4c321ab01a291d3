"""Packets of the bitaxe-raw control port against the vectors of mujina and of the firmware."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asic_reservoir.errors import DataError, ServerError, UsageError
from firmware_bridge.bitaxe_raw.packets import (
    DeviceError,
    ErrorCode,
    PacketError,
    Request,
    RequestParser,
    Response,
    adc_read,
    bootloader,
    decode_request,
    decode_response,
    encode_request,
    encode_response,
    fan_set,
    fan_tach,
    gpio_get,
    gpio_set,
    i2c_read,
    i2c_set_frequency,
    i2c_write,
    i2c_write_read,
    led_set,
    reboot,
    response_size,
    version_of_device,
)
from firmware_bridge.regulators import ds4432u, emc2101, ina260, tps546

REQUESTS = [
    (gpio_set(0x01, 0, False), "07 00 01 00 06 00 00"),
    (gpio_set(0x02, 0, True), "07 00 02 00 06 00 01"),
    (gpio_get(0x03, 0), "06 00 03 00 06 00"),
    (i2c_set_frequency(0x04, 100_000), "0A 00 04 00 05 10 A0 86 01 00"),
    (i2c_set_frequency(0x05, 400_000), "0A 00 05 00 05 10 80 1A 06 00"),
    (i2c_write(0x06, ds4432u.ADDRESS, bytes([0xF8, ds4432u.encode(1200)])), "09 00 06 00 05 20 48 F8 C6"),
    (i2c_write_read(0x07, ds4432u.ADDRESS, b"\xf8", 1), "09 00 07 00 05 40 48 F8 01"),
    (i2c_write_read(0x08, emc2101.ADDRESS, bytes([emc2101.Register.EXTERNAL_MSB]), 1), "09 00 08 00 05 40 4C 01 01"),
    (i2c_write_read(0x09, emc2101.ADDRESS, bytes([emc2101.Register.EXTERNAL_LSB]), 1), "09 00 09 00 05 40 4C 10 01"),
    (i2c_write_read(0x0A, emc2101.ADDRESS, b"\x00", 1), "09 00 0A 00 05 40 4C 00 01"),
    (i2c_write(0x0B, emc2101.ADDRESS, b"\x03\x04"), "09 00 0B 00 05 20 4C 03 04"),
    (i2c_write(0x0C, emc2101.ADDRESS, b"\x4a\x23"), "09 00 0C 00 05 20 4C 4A 23"),
    (i2c_write(0x0D, emc2101.ADDRESS, bytes([0x4C, emc2101.encode_fan(100)])), "09 00 0D 00 05 20 4C 4C 3F"),
    (i2c_write(0x0E, emc2101.ADDRESS, bytes([0x4C, emc2101.encode_fan(50)])), "09 00 0E 00 05 20 4C 4C 1F"),
    (i2c_write_read(0x0F, emc2101.ADDRESS, bytes([emc2101.Register.TACH_LSB]), 1), "09 00 0F 00 05 40 4C 46 01"),
    (i2c_write(0x10, tps546.ADDRESS, b"\x21" + tps546.encode_vout(1150, 0x97)), "0A 00 10 00 05 20 24 21 4C 02"),
    (i2c_write(0x11, tps546.ADDRESS, b"\x21" + tps546.encode_vout(1200, 0x97)), "0A 00 11 00 05 20 24 21 66 02"),
    (i2c_write(0x12, tps546.ADDRESS, b"\x01\x80"), "09 00 12 00 05 20 24 01 80"),
    (i2c_write(0x13, tps546.ADDRESS, b"\x01\x00"), "09 00 13 00 05 20 24 01 00"),
    (i2c_write_read(0x14, tps546.ADDRESS, bytes([tps546.Command.READ_VOUT]), 2), "09 00 14 00 05 40 24 8B 02"),
    (i2c_write_read(0x15, tps546.ADDRESS, bytes([tps546.Command.READ_TEMPERATURE]), 2), "09 00 15 00 05 40 24 8D 02"),
    (i2c_write_read(0x19, tps546.ADDRESS, bytes([tps546.Command.STATUS_WORD]), 2), "09 00 19 00 05 40 24 79 02"),
    (i2c_write_read(0x16, tps546.ADDRESS, bytes([tps546.Command.VOUT_MODE]), 1), "09 00 16 00 05 40 24 20 01"),
    (i2c_write_read(0x17, tps546.ADDRESS, bytes([tps546.Command.IC_DEVICE_ID]), 7), "09 00 17 00 05 40 24 AD 07"),
    (i2c_write(0x18, tps546.ADDRESS, bytes([tps546.Command.CLEAR_FAULTS])), "08 00 18 00 05 20 24 03"),
    (adc_read(0x1A), "06 00 1A 00 07 50"),
    (led_set(0x1B, 0xFF, 0x80, 0x00), "09 00 1B 00 08 10 FF 80 00"),
    (i2c_write_read(0x1C, ina260.ADDRESS, bytes([ina260.Register.CURRENT]), 2), "09 00 1C 00 05 40 40 01 02"),
    (reboot(0x1D), "0A 00 1D 00 09 01 DE AD BE EF"),
]


@pytest.mark.parametrize(("request_", "packet"), REQUESTS)
def test_request_vector(request_: Request, packet: str) -> None:
    wire = bytes.fromhex(packet)
    assert encode_request(request_) == wire
    assert decode_request(wire) == request_


@pytest.mark.parametrize(
    ("response", "version", "packet"),
    [
        (Response(1, b"\x00"), 0, "01 00 01 00"),
        (Response(1, b"\x00"), 1, "05 00 01 00 00"),
        (Response(2, b"\x01"), 0, "01 00 02 01"),
        (Response(2, b"\x01"), 1, "05 00 02 00 01"),
        (Response(0x42, b"", ErrorCode.INVALID_COMMAND), 1, "04 00 42 11"),
        (Response(0x42, b"bad", ErrorCode.CUSTOM), 1, "07 00 42 FF 62 61 64"),
    ],
)
def test_response_vector(response: Response, version: int, packet: str) -> None:
    wire = bytes.fromhex(packet)
    assert encode_response(response, version) == wire
    assert decode_response(wire, version) == response
    assert response_size(wire[:2], version) == len(wire)


def test_an_error_is_an_exception_with_its_name() -> None:
    with pytest.raises(DeviceError, match=r"request 66: error 11 \(invalid command\)"):
        decode_response(bytes.fromhex("04004211"), 1).good_data()
    with pytest.raises(ServerError, match="bad"):
        decode_response(bytes.fromhex("070042ff626164"), 1).good_data()


def test_version_0_tells_errors_by_their_size_only() -> None:
    """mujina `mod.rs`: data may begin with FF; an error has another size than the answer."""
    assert decode_response(bytes.fromhex("020007ff10"), 0, expected=2) == Response(7, b"\xff\x10")
    assert decode_response(bytes.fromhex("020007ff10"), 0, expected=1) == Response(7, b"", ErrorCode.TIMEOUT)
    with pytest.raises(PacketError, match="must be 3"):
        decode_response(bytes.fromhex("0200071010"), 0, expected=3)


def test_version_0_errors_with_the_length_of_the_buffer() -> None:
    """mujina `mod.rs`: such an error announces more bytes than ever come."""
    assert decode_response(bytes.fromhex("000107ff10"), 0, expected=7) == Response(7, b"", ErrorCode.TIMEOUT)
    with pytest.raises(PacketError):
        decode_response(bytes.fromhex("0001071234"), 0, expected=7)


def test_version_of_device() -> None:
    """bcdDevice 0xJJMN: minor 1 and above speak version 1."""
    assert [version_of_device(bcd) for bcd in (0x0200, 0x0204, 0x0210, 0x6013)] == [0, 0, 1, 1]


def test_the_rest_of_the_commands() -> None:
    assert encode_request(i2c_read(1, 0x48, 2)).hex() == "08000100053048" + "02"
    assert encode_request(fan_set(1, 50)).hex() == "070001000910" + "32"
    assert encode_request(fan_tach(1)).hex() == "060001000920"
    assert encode_request(bootloader(1)).hex() == "0a0001000902b00710ad"


requests = st.builds(Request, *[st.integers(0, 255)] * 3, data=st.binary(max_size=30), bus=st.integers(0, 255))


@given(st.lists(requests, max_size=6), st.integers(1, 9))
def test_requests_come_back_from_pieces(sent: list[Request], piece: int) -> None:
    wire = b"".join(map(encode_request, sent))
    parser = RequestParser()
    found = [r for i in range(0, len(wire), piece) for r in parser.feed(wire[i : i + piece])]
    assert found == sent
    assert (parser.pending, parser.discarded_bytes) == (0, 0)


@given(requests, st.integers(1, 5))
def test_a_partial_request_is_forgotten_after_silence(request_: Request, kept: int) -> None:
    parser = RequestParser()
    assert parser.feed(encode_request(request_)[:kept]) == []
    parser.expire()
    assert parser.feed(encode_request(request_)) == [request_]
    assert parser.discarded_bytes == kept


@given(st.builds(Response, st.integers(0, 255), st.binary(max_size=30), st.integers(0, 255)))
def test_responses_of_version_1_come_back(response: Response) -> None:
    assert decode_response(encode_response(response, 1), 1) == response


@given(st.binary(max_size=40), st.integers(0, 1), st.none() | st.integers(0, 8))
def test_any_bytes_give_a_value_or_a_typed_error(data: bytes, version: int, expected: int | None) -> None:
    for attempt in (
        lambda: decode_request(data),
        lambda: decode_response(data, version, expected),
        lambda: response_size(data, version),
    ):
        with contextlib.suppress(DataError):
            attempt()
    parser = RequestParser()
    parser.feed(data)
    parser.expire()
    assert parser.pending == 0


@pytest.mark.parametrize(
    "attempt",
    [
        lambda: gpio_set(1, 256, True),
        lambda: i2c_write(1, -1, b""),
        lambda: i2c_set_frequency(1, 0),
        lambda: fan_set(1, 101),
        lambda: encode_request(Request(256, 0, 0)),
        lambda: encode_request(Request(0, 0, 0, bytes(5000))),
        lambda: encode_response(Response(0), 2),
    ],
)
def test_fields_that_do_not_fit_are_refused(attempt) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UsageError, match="must be"):
        attempt()
