"""Registers of the S9's FPGA and tables of its PIC (protocols.md 2.3, 2.4), works of two and four midstates."""

from __future__ import annotations

import binascii
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asic_reservoir.errors import DataError, UsageError
from asic_reservoir.headers import header_bytes
from firmware_bridge.bm13xx import fpga
from firmware_bridge.bm13xx.bm1387 import work_from_words, work_time_ticks, work_to_words
from firmware_bridge.bm13xx.jobs import MidstateJob, decode_midstate_job, encode_midstate_job
from firmware_bridge.bm13xx.sha256 import midstate
from firmware_bridge.pic16 import flash
from firmware_bridge.pic16.protocol import Command


def test_control_words() -> None:
    """Bits of the FPGA README: 4 BM139x, 3 enable, 2..1 log2 of the midstates, 0 error clear."""
    words = {
        0x00: fpga.Control(False, 1),
        0x08: fpga.Control(True, 1),
        0x0A: fpga.Control(True, 2),
        0x0C: fpga.Control(True, 4),
        0x1D: fpga.Control(True, 4, bm139x=True, clear_errors=True),
    }
    for word, control in words.items():
        assert fpga.encode_control(control) == word
        assert fpga.decode_control(word) == control
    with pytest.raises(UsageError, match="midstates: 3"):
        fpga.encode_control(fpga.Control(True, 3))
    with pytest.raises(DataError, match="FPGA control: 6"):
        fpga.decode_control(0x06)
    assert fpga.encode_command_control(interrupt=True, reset_rx=True) == 5


def test_baud_work_time_and_lines() -> None:
    assert [fpga.decode_baud(fpga.encode_baud(rate)) for rate in (1_562_500, 3_125_000)] == [1_562_500, 3_125_000]
    assert abs(fpga.decode_baud(fpga.encode_baud(115_740)) / 115_740 - 1) < 1e-4
    for wrong in (0.0, -5.0, 20e6, 1.0):
        with pytest.raises(UsageError, match="FPGA baud"):
            fpga.encode_baud(wrong)
    assert fpga.Register.WORK_TIME == 0x14
    assert work_time_ticks(550e6, 4) * 20e-6 == pytest.approx(3.432, abs=1e-3)  # ms
    assert fpga.fan_rpm(95) == 5700
    assert [fpga.gpio_reset(board) for board in (6, 7, 8)] == [893, 894, 895]
    assert [fpga.gpio_plug(board) for board in (6, 7, 8)] == [902, 903, 904]
    with pytest.raises(UsageError, match="connector: 0"):
        fpga.gpio_plug(0)


@given(st.integers(-1, 40))
def test_any_control_word_gives_a_value_or_a_typed_error(word: int) -> None:
    with contextlib.suppress(DataError):
        assert fpga.encode_control(fpga.decode_control(word)) == word


def test_a_table_is_read_sixteen_bytes_at_a_time() -> None:
    messages = flash.reads(flash.FREQUENCIES_AT, flash.FREQUENCIES_WORDS)
    assert [m.data.hex() for m in messages if m.command is Command.SET_FLASH_POINTER] == [
        f"{word:04x}" for word in range(0xFA0, 0xFE0, 8)
    ]
    assert sum(m.command is Command.READ_FLASH for m in messages) == 8
    with pytest.raises(UsageError, match="12 words"):
        flash.reads(0, 12)


def test_clock_table() -> None:
    """Byte 0 holds the step down (3F: none), byte 1 is 7D, chip i at byte 3 + 2i (protocols.md 2.4)."""
    raw = bytearray(128)
    raw[0], raw[1] = 0xC2, 0x7D  # the two upper bits of the step down are not its own
    raw[2], raw[4], raw[6], raw[8] = 0xA1, 0xB2, 0x03, 0x04
    for chip in range(63):
        raw[3 + 2 * chip] = 40 + chip
    table = flash.decode_frequencies(bytes(raw))
    assert (table.step_down, table.temperature_offset, table.base_index) == (2, 0x12, 0x34)
    assert table.chips == tuple(38 + chip for chip in range(63))
    raw[0] = 0x3F
    assert flash.decode_frequencies(bytes(raw)).chips[0] == 40
    raw[0], raw[3] = 5, 4
    with pytest.raises(DataError, match="chip 0 at -1"):
        flash.decode_frequencies(bytes(raw))
    with pytest.raises(DataError, match="byte 1 is 00, must be 7d"):
        flash.decode_frequencies(bytes(128))


@given(
    st.integers(0, 62),
    st.integers(0, 255),
    st.integers(0, 255),
    st.lists(st.integers(0, 190), min_size=63, max_size=63).map(tuple),
)
def test_clock_tables_come_back(step: int, offset: int, base: int, chips: tuple[int, ...]) -> None:
    table = flash.Frequencies(step, offset, base, chips)
    assert flash.decode_frequencies(flash.encode_frequencies(table)) == table


@given(st.lists(st.integers(0, 15), min_size=63, max_size=63).map(tuple))
def test_bad_core_tables_come_back(bad: tuple[int, ...]) -> None:
    assert flash.decode_bad_cores(flash.encode_bad_cores(bad)) == bad
    assert flash.encode_bad_cores(bad)[0] == 0x23


@given(st.binary(max_size=130))
def test_any_bytes_give_a_table_or_a_typed_error(data: bytes) -> None:
    for decode in (flash.decode_bad_cores, flash.decode_frequencies):
        with contextlib.suppress(DataError):
            decode(data)


@pytest.mark.parametrize(("count", "size", "words"), [(1, 54, 12), (2, 86, 20), (4, 150, 36)])
def test_works_of_several_midstates(count: int, size: int, words: int) -> None:
    """Versions rolled over the header of block 125552.

    The testbench of the FPGA names the checksums C118, 4F35 and A662 of works of two midstates and 370A of one of four;
    their contents are in no source read, so they cannot be vectors here. The checksum is compared with the CRC-16 of
    the standard library instead, and every midstate with that of its own header.
    """
    headers = [
        header_bytes(
            version=1 | index << 13,
            previous=bytes.fromhex("00000000000008a3a41b85b8b29ad444def299fee21793cd8b9e567eab02cd81")[::-1],
            root=bytes.fromhex("2b12fcf1b09288fcaff797d71e950e71ae42b91e8bdb2304758dfcffc2b620e3")[::-1],
            ntime=0x4DD7F5C7,
            nbits=0x1A44B9F2,
            nonce=0,
        )
        for index in range(count)
    ]
    job = MidstateJob.of_headers(4 * count, headers)
    wire = encode_midstate_job(job, preamble=False)
    assert len(wire) == wire[1] == size
    assert int.from_bytes(wire[-2:]) == binascii.crc_hqx(wire[:-2], 0xFFFF)
    assert wire[20:-2] == b"".join(
        b"".join(word.to_bytes(4) for word in reversed(midstate(header[:64]))) for header in headers
    )
    assert decode_midstate_job(wire) == job
    assert len(work_to_words(job)) == words
    assert work_from_words(work_to_words(job)) == job
