"""Checksums against the published check values and captured frames."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.bm13xx.crc import bits_of, crc5, crc5_bits, crc5_bm1387_reply, crc5_reply, crc16


def test_check_values() -> None:
    """The check word of both algorithms: CRC-5 as in ESP-Miner `crc.c`, CRC-16/CCITT-FALSE."""
    assert crc5(b"123456789") == 0x0F
    assert crc16(b"123456789") == 0x29B1


@pytest.mark.parametrize(
    ("reply", "work"),
    [(h, False) for h in ("13879000000007", "13879004000010", "1387900800000C", "1387900C00001B", "138790F400001C")]
    + [(h, True) for h in ("7203EA83000398", "7203EA8300049E", "E16BF809016F9C", "48063C08001299")],
)
def test_bm1387_reply_checksum(reply: str, work: bool) -> None:
    """The nine replies of the test bench of the S9's FPGA (braiins `axi_bm13xx_tb.sv`)."""
    frame = bytes.fromhex(reply)
    assert crc5_bm1387_reply(frame[:6], work) == frame[6] & 0x1F


@given(st.binary(max_size=40))
def test_table_agrees_with_bits(data: bytes) -> None:
    assert crc5(data) == crc5_bits(bits_of(data))


@given(st.binary(max_size=12), st.integers(0, 7))
def test_a_finished_reply_leaves_no_residue(body: bytes, kind: int) -> None:
    assert crc5(body + bytes([kind << 5 | crc5_reply(body, kind)])) == 0


@given(st.binary(min_size=1, max_size=90), st.integers(0))
def test_every_single_bit_error_is_seen(data: bytes, position: int) -> None:
    position %= 8 * len(data)
    wrong = bytearray(data)
    wrong[position // 8] ^= 0x80 >> position % 8
    assert crc5(bytes(wrong)) != crc5(data)
    assert crc16(bytes(wrong)) != crc16(data)


@given(st.binary(min_size=6, max_size=6), st.integers(0, 47), st.booleans())
def test_every_single_bit_error_is_seen_in_a_bm1387_reply(data: bytes, position: int, work: bool) -> None:
    wrong = bytearray(data)
    wrong[position // 8] ^= 0x80 >> position % 8
    assert crc5_bm1387_reply(bytes(wrong), work) != crc5_bm1387_reply(data, work)
