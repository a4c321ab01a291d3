"""Voltages, temperatures and powers as the parts on a BM1366 board and the S9's voltage controller code them."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asic_reservoir.errors import DataError, LimitError, UsageError
from firmware_bridge.pic16 import protocol as pic16
from firmware_bridge.regulators import ds4432u, emc2101, ina260, tps546


@pytest.mark.parametrize(
    ("millivolts", "code"),
    [(1000, 0xFC), (1100, 0xE1), (1150, 0xD4), (1200, 0xC6), (1300, 0xAB), (1450, 0x83), (1500, 0x0C)],
)
def test_ds4432u_code(millivolts: float, code: int) -> None:
    """ESP-Miner DS4432U.c."""
    assert ds4432u.encode(millivolts) == code


@pytest.mark.parametrize(
    ("code", "millivolts"),
    [(0xFF, 988.6), (0xFC, 999.7), (0xC6, 1199.4), (0x80, 1458.4), (0x00, 1458.4), (0x7F, 1928.3)],
)
def test_ds4432u_voltage(code: int, millivolts: float) -> None:
    assert ds4432u.decode(code) == pytest.approx(millivolts, abs=0.06)


@pytest.mark.parametrize("millivolts", [850.0, 900.0, 950.0, 988.5, 989.9, 1921.0, 0.0, float("nan")])
def test_ds4432u_refuses_what_would_wrap(millivolts: float) -> None:
    """The firmware's own formula gives A5, 97, 8A for 850, 900, 950 mV: 1,322 to 1,421 mV at the chip."""
    with pytest.raises(LimitError, match="990 to 1920 mV"):
        ds4432u.encode(millivolts)


@given(st.floats(990, 1920))
def test_ds4432u_makes_what_was_asked_within_a_step(millivolts: float) -> None:
    assert ds4432u.decode(ds4432u.encode(millivolts)) == pytest.approx(millivolts, abs=3.8)


@pytest.mark.parametrize(
    ("millivolts", "word"),
    [(1000, 0x200), (1100, 0x233), (1150, 0x24C), (1166, 0x254), (1200, 0x266), (1300, 0x299), (2000, 0x400)],
)
def test_tps546_vout(millivolts: float, word: int) -> None:
    """ESP-Miner TPS546.c, exponent -9."""
    assert int.from_bytes(tps546.encode_vout(millivolts, 0x97), "little") == word
    assert tps546.decode_vout(word.to_bytes(2, "little"), 0x97) == pytest.approx(millivolts, abs=1.954)


@pytest.mark.parametrize(("word", "value"), [(0xCA80, 5.0), (0xDB20, 25.0), (0xE2D8, 45.5), (0xD320, 12.5)])
def test_tps546_telemetry(word: int, value: float) -> None:
    assert tps546.decode_linear11(word.to_bytes(2, "little")) == value
    assert tps546.decode_linear11(tps546.encode_linear11(value)) == value


@given(st.floats(-1e6, 1e6))
def test_linear11_holds_ten_bits(value: float) -> None:
    assert tps546.decode_linear11(tps546.encode_linear11(value)) == pytest.approx(value, rel=2**-9, abs=2**-16)


@given(st.floats(-128, 126.8))
def test_emc2101_diode(celsius: float) -> None:
    assert emc2101.decode_external(*emc2101.encode_external(celsius)) == pytest.approx(celsius, abs=0.0626)


@pytest.mark.parametrize(("msb", "lsb", "fault"), [(0x7F, 0x00, "open"), (0x7F, 0xE0, "shorted")])
def test_emc2101_names_a_broken_diode(msb: int, lsb: int, fault: str) -> None:
    with pytest.raises(DataError, match=fault):
        emc2101.decode_external(msb, lsb)


def test_emc2101_fan_and_tach() -> None:
    """Fan 0..63; the count FFFF means a standing fan, not 82 turns a minute."""
    assert [emc2101.encode_fan(p) for p in (0, 50, 100)] == [0, 31, 63]
    assert emc2101.decode_tach(0xFF, 0xFF) == 0.0
    assert emc2101.encode_tach(0.0) == (0xFF, 0xFF)
    assert emc2101.decode_tach(*emc2101.encode_tach(4480.0)) == pytest.approx(4480, rel=1e-3)
    assert [emc2101.decode_internal(emc2101.encode_internal(t)) for t in (-5, 56)] == [-5.0, 56.0]


@given(st.floats(0, 40_000), st.floats(0, 40_000), st.floats(0, 600))
def test_ina260_words(current: float, voltage: float, power: float) -> None:
    assert ina260.decode_current_ma(ina260.encode_current_ma(current)) == pytest.approx(current, abs=0.626)
    assert ina260.decode_voltage_mv(ina260.encode_voltage_mv(voltage)) == pytest.approx(voltage, abs=0.626)
    assert ina260.decode_power_w(ina260.encode_power_w(power)) == pytest.approx(power, abs=0.00501)


@pytest.mark.parametrize(
    ("volts", "code"),
    [(9.4, 6), (9.2, 41), (9.0, 75), (8.9, 92), (8.7, 126), (8.6, 143), (8.3, 194), (8.0, 245), (7.95, 254)],
)
def test_pic16_voltage(volts: float, code: int) -> None:
    """braiins power.rs."""
    assert pic16.encode_voltage(volts * 1000) == code
    assert pic16.decode_voltage(code) == pytest.approx(volts * 1000, abs=3.0)


def test_pic16_scale_ends() -> None:
    assert pic16.decode_voltage(0) == pytest.approx(9437.8, abs=0.1)
    assert pic16.decode_voltage(255) == pytest.approx(7941.5, abs=0.1)
    for millivolts in (7900.0, 9450.0, float("nan")):
        with pytest.raises(UsageError, match="voltage_mv"):
            pic16.encode_voltage(millivolts)


messages = st.sampled_from(list(pic16.Command)).flatmap(
    lambda c: st.builds(pic16.Message, st.just(c), st.binary(min_size=(n := pic16.DATA_SIZE.get(c, 0)), max_size=n))
)


@settings(max_examples=40)
@given(st.lists(messages, max_size=5))
def test_pic16_messages_come_back_byte_by_byte(sent: list[pic16.Message]) -> None:
    parser = pic16.Parser()
    bytes_ = [single for message in sent for single in pic16.encode(message)]
    assert all(len(single) == 1 for single in bytes_)
    assert [m for single in bytes_ if (m := parser.feed(single[0]))] == sent


def test_pic16_misses_a_message_after_a_repeated_55() -> None:
    """braiins power.rs: its parser fails on `55 55 AA`, which is why bring-up begins with a flush."""
    parser = pic16.Parser()
    heartbeat = b"".join(pic16.encode(pic16.Message(pic16.Command.HEARTBEAT)))
    assert [parser.feed(byte) for byte in b"\x55" + heartbeat] == [None] * 4
    flush = pic16.encode(pic16.Message(pic16.Command.NOTHING, bytes(16)))
    for single in flush:
        parser.feed(single[0])
    assert [parser.feed(byte) for byte in heartbeat][-1] == pic16.Message(pic16.Command.HEARTBEAT)


@given(st.binary(max_size=60))
def test_pic16_survives_any_bytes(data: bytes) -> None:
    parser = pic16.Parser()
    for byte in data:
        with contextlib.suppress(DataError):
            parser.feed(byte)


@given(st.binary(max_size=4), st.integers(-300, 300))
def test_any_register_gives_a_value_or_a_typed_error(data: bytes, number: int) -> None:
    for decode in (
        lambda: tps546.decode_linear11(data),
        lambda: tps546.decode_vout(data, number & 0xFF),
        lambda: ina260.decode_current_ma(data),
        lambda: ina260.decode_power_w(data),
        lambda: ina260.decode_voltage_mv(data),
        lambda: emc2101.decode_external(number & 0xFF, number >> 3 & 0xFF),
    ):
        with contextlib.suppress(DataError):
            decode()
    for decode in (lambda: ds4432u.decode(number), lambda: pic16.decode_voltage(number), lambda: pic16.address(number)):
        with contextlib.suppress(UsageError):
            decode()
