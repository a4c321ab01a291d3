"""Frames of the BM1387 against the test bench of the S9's FPGA (braiins `axi_bm13xx_tb.sv`) and a real block."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asic_reservoir.errors import DataError
from asic_reservoir.headers import display, hash_of, header_bytes, swap_words
from firmware_bridge.bm13xx import sha256_compiled
from firmware_bridge.bm13xx.bm1387 import (
    FifoResult,
    RegisterReply,
    WorkReply,
    chip_of_nonce,
    core_of_nonce,
    decode_command,
    decode_reply,
    encode_command,
    encode_reply,
    nonce_at,
    result_from_words,
    result_to_words,
    split_work_id,
    work_from_words,
    work_time_ticks,
    work_to_words,
)
from firmware_bridge.bm13xx.commands import ChainInactive, Command, ReadRegister, SetAddress, WriteRegister
from firmware_bridge.bm13xx.crc import crc5
from firmware_bridge.bm13xx.jobs import MidstateJob, decode_midstate_job, encode_midstate_job
from firmware_bridge.bm13xx.sha256 import midstate

COMMANDS: list[tuple[Command, str]] = [
    (ReadRegister(0x00), "5405000019"),
    (ChainInactive(), "5505000010"),
    (SetAddress(0x00), "4105000015"),
    (SetAddress(0x04), "410504000A"),
    (SetAddress(0x08), "410508000E"),
    (SetAddress(0x0C), "41050C0011"),
    (SetAddress(0xF4), "4105F40010"),
    (SetAddress(0xF8), "4105F80014"),
    (SetAddress(0xFC), "4105FC000B"),
    (WriteRegister(0x0C, 0x00680221, 0x00), "4809000C0068022102"),
    (WriteRegister(0x0C, 0x00680221, 0x04), "4809040C0068022119"),
    (WriteRegister(0x0C, 0x00680221, 0x08), "4809080C0068022111"),
    (WriteRegister(0x0C, 0x00680221, 0x0C), "48090C0C006802210A"),
    (WriteRegister(0x0C, 0x00680221), "5809000C006802210A"),
    (WriteRegister(0x0C, 0x00680221, 0xE8), "4809E80C0068022103"),
    (WriteRegister(0x0C, 0x00680221, 0xEC), "4809EC0C0068022118"),
    (WriteRegister(0x0C, 0x00680221, 0xF0), "4809F00C0068022113"),
    (WriteRegister(0x0C, 0x00680221, 0xF4), "4809F40C0068022108"),
    (WriteRegister(0x1C, 0x40209A80), "5809001C40209A8000"),
    (WriteRegister(0x1C, 0x40205AE0), "5809001C40205AE01C"),
    (WriteRegister(0x18, 0x000000FC), "58090018000000FC06"),
    (WriteRegister(0x18, 0x000000FF), "58090018000000FF09"),
    (WriteRegister(0x18, 0x0000E0FF), "580900180000E0FF00"),
    # braiins bm1387.rs, output of the PLL search
    (WriteRegister(0x0C, 0x00610511), "5809000C0061051119"),
    (WriteRegister(0x0C, 0x00280211), "5809000C002802110A"),
    (WriteRegister(0x0C, 0x002C0211), "5809000C002C021105"),
    (WriteRegister(0x0C, 0x00300211), "5809000C003002110D"),
    (WriteRegister(0x0C, 0x00340211), "5809000C0034021102"),
    (WriteRegister(0x0C, 0x00300111), "5809000C003001110C"),
]


@pytest.mark.parametrize(("command", "frame"), COMMANDS)
def test_command_vector(command: Command, frame: str) -> None:
    assert encode_command(command).hex().upper() == frame
    assert decode_command(bytes.fromhex(frame)) == command


REPLIES = [(RegisterReply(0x13879000 | a), f"138790{a:02X}0000{c}") for a, c in ((0, "07"), (4, "10"), (8, "0C"))] + [
    (RegisterReply(0x1387900C), "1387900C00001B"),
    (RegisterReply(0x138790F4), "138790F400001C"),
    (WorkReply(0x83EA0372, 0, 3), "7203EA83000398"),
    (WorkReply(0x83EA0372, 0, 4), "7203EA8300049E"),
    (WorkReply(0x09F86BE1, 1, 0x6F), "E16BF809016F9C"),
    (WorkReply(0x083C0648, 0, 0x12), "48063C08001299"),
]


@pytest.mark.parametrize(("reply", "frame"), REPLIES)
def test_reply_vector(reply: RegisterReply | WorkReply, frame: str) -> None:
    assert encode_reply(reply).hex().upper() == frame
    assert decode_reply(bytes.fromhex(frame)) == reply


@pytest.mark.parametrize(("nonce", "chip", "core"), [(0x2A105D5D, 23, 42), (0xD25738D3, 52, 82), (0x47268D19, 6, 71)])
def test_where_a_nonce_was_found(nonce: int, chip: int, core: int) -> None:
    """braiins bm1387.rs."""
    assert (chip_of_nonce(nonce), core_of_nonce(nonce)) == (chip, core)


ZERO = MidstateJob(0, 0, 0, 0, ((0,) * 8,))


@pytest.mark.parametrize(
    ("job", "crc"),
    [
        (ZERO, "9899"),
        (replace(ZERO, job_id=1), "8aef"),
        (replace(ZERO, nbits=0xFFFFFFFF, ntime=0xFFFFFFFF, root_tail=0xFFFFFFFF), "5fd3"),
    ],
)
def test_work_checksums(job: MidstateJob, crc: str) -> None:
    assert encode_midstate_job(job, preamble=False)[-2:].hex() == crc


# Block 125552 of the Bitcoin main chain, public.
BLOCK = header_bytes(
    version=1,
    previous=bytes.fromhex("00000000000008a3a41b85b8b29ad444def299fee21793cd8b9e567eab02cd81")[::-1],
    root=bytes.fromhex("2b12fcf1b09288fcaff797d71e950e71ae42b91e8bdb2304758dfcffc2b620e3")[::-1],
    ntime=0x4DD7F5C7,
    nbits=0x1A44B9F2,
    nonce=0x9546A142,
)
WORDS = "00000000 1a44b9f2 4dd7f5c7 2b12fcf1 7a78da2d cd5bce69 2f56a9da 07e86e37 2d2810a0 16e669ba 05c56713 9524c593"


def test_block_125552_as_work() -> None:
    assert display(hash_of(BLOCK)) == "00000000000000001e8d6829a8a21adc5d38d0a473b144b6765798e61f98bd1d"
    job = MidstateJob.of_headers(0, [BLOCK])
    assert [f"{word:08x}" for word in work_to_words(job)] == WORDS.split()
    wire = bytes.fromhex(
        "2136000100000000F2B9441AC7F5D74DF1FC122B7A78DA2DCD5BCE692F56A9DA07E86E372D2810A016E669BA05C567139524C593737F"
    )
    assert encode_midstate_job(job, preamble=False) == wire
    assert decode_midstate_job(wire) == job


def test_midstate_of_esp_miner() -> None:
    """ESP-Miner test_mining.c, "Validate midstate generation": Stratum order and header order."""
    prevhash = "bf44fd3513dc7b837d60e5c628b572b448d204a8000007490000000000000000"
    root = "cd1be82132ef0d12053dcece1fa0247fcfdb61d4dbd3eb32ea9ef9b4c604a846"
    expected = "52eadf91 68739f8a 5d490d3d 1574ddd6 cb21cae1 e3591741 5f7d5de0 4d3185f2"
    header = header_bytes(
        version=0x20000004,
        previous=swap_words(bytes.fromhex(prevhash)),
        root=bytes.fromhex(root),
        ntime=0x64658BD8,
        nbits=0x1705DD01,
        nonce=0,
    )
    for state in (midstate(header[:64]), sha256_compiled.midstate(header[:64])):
        assert " ".join(f"{word:08x}" for word in state) == expected


@pytest.mark.parametrize(("midstates", "expected"), [(1, (0x1235, 0)), (2, (0x91A, 1)), (4, (0x48D, 1))])
def test_result_fifo(midstates: int, expected: tuple[int, int]) -> None:
    """FPGA README: 0x98123502 with one, two and four midstates."""
    result = result_from_words(0x83EA0372, 0x98123502)
    assert result.solution == 2
    assert split_work_id(result.extended_id, midstates) == expected


def test_result_words_of_a_reply() -> None:
    assert result_to_words(FifoResult(0x83EA0372, 0, 3)) == (0x83EA0372, 0x98000300)


@pytest.mark.parametrize(("midstates", "ticks"), [(1, 36297), (2, 72594), (4, 145187)])
def test_work_time(midstates: int, ticks: int) -> None:
    """braiins lib.rs at 650 MHz."""
    assert abs(work_time_ticks(650e6, midstates) - ticks) <= 1


@pytest.mark.parametrize("body", ["41050401", "55050100", "54050800", "5809040000000000"])
def test_a_byte_that_has_no_use_must_be_zero(body: str) -> None:
    frame = bytes.fromhex(body)
    with pytest.raises(DataError, match="must be 00 where it has no use"):
        decode_command(frame + bytes([crc5(frame)]))


u8, u32 = st.integers(0, 255), st.integers(0, 2**32 - 1)


@given(
    st.one_of(
        st.builds(SetAddress, u8),
        st.just(ChainInactive()),
        st.builds(ReadRegister, u8, st.none() | u8),
        st.builds(WriteRegister, u8, u32, st.none() | u8),
    )
)
def test_commands_come_back(command: Command) -> None:
    assert decode_command(encode_command(command)) == command


@given(st.builds(RegisterReply, u32) | st.builds(WorkReply, u32, u8, st.integers(0, 127)))
def test_replies_come_back(reply: RegisterReply | WorkReply) -> None:
    assert decode_reply(encode_reply(reply)) == reply


@given(st.integers(0, 62), st.integers(0, 127), st.integers(0, 2**19 - 1))
def test_nonces_know_their_place(chip: int, core: int, counter: int) -> None:
    nonce = nonce_at(chip, core, counter)
    assert (chip_of_nonce(nonce), core_of_nonce(nonce)) == (chip, core)


def test_every_counter_gives_another_nonce() -> None:
    assert len({nonce_at(5, 9, counter) for counter in range(2**10)} | {nonce_at(5, 9, 2**19 - 1)}) == 2**10 + 1


@given(st.builds(FifoResult, u32, u8, st.integers(0, 0xFFFF)))
def test_results_come_back(result: FifoResult) -> None:
    assert result_from_words(*result_to_words(result)) == result


@given(st.binary(max_size=60), st.lists(st.integers(), max_size=40))
def test_anything_gives_a_value_or_a_typed_error(data: bytes, words: list[int]) -> None:
    for decode in (decode_command, decode_reply):
        with contextlib.suppress(DataError):
            decode(data)
    with contextlib.suppress(DataError):
        assert work_to_words(work_from_words(words)) == words
    with contextlib.suppress(DataError):
        result_from_words(*([*words, 0, 0])[:2])
