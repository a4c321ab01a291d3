"""Frames of the BM1366 family against vectors of ESP-Miner, bm13xx-rs and mujina."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asic_reservoir.errors import DataError, UsageError
from asic_reservoir.headers import difficulty_of, hash_of, swap_words
from firmware_bridge.bm13xx.bm1366 import (
    COMMAND_SIZE,
    NonceReply,
    RegisterReply,
    address_field_of_nonce,
    core_of_nonce,
    decode_command,
    decode_reply,
    encode_command,
    encode_reply,
    nonce_at,
)
from firmware_bridge.bm13xx.commands import ChainInactive, Command, ReadRegister, SetAddress, WriteRegister
from firmware_bridge.bm13xx.crc import crc5
from firmware_bridge.bm13xx.jobs import (
    HeaderJob,
    MidstateJob,
    decode_header_job,
    decode_midstate_job,
    encode_header_job,
    encode_midstate_job,
    job_id_of_reply,
    next_job_id,
)


def write(register: int, value: int, chip: int | None = None) -> WriteRegister:
    return WriteRegister(register, value, chip)


COMMANDS: list[tuple[Command, str]] = [
    # ESP-Miner bm1366.c and bm13xx-rs command.rs
    (ReadRegister(0x00), "55AA520500000A"),
    (ReadRegister(0x4C), "55AA5205004C14"),
    (ReadRegister(0x88), "55AA5205008809"),
    (ReadRegister(0x89), "55AA520500890C"),
    (ReadRegister(0x8A), "55AA5205008A03"),
    (ReadRegister(0x8B), "55AA5205008B06"),
    (ReadRegister(0x8C), "55AA5205008C1D"),
    (ReadRegister(0x1C, 0x40), "55AA4205401C0B"),
    (ChainInactive(), "55AA5305000003"),
    (SetAddress(0x00), "55AA400500001C"),
    (SetAddress(0x02), "55AA4005020001"),
    (SetAddress(0x04), "55AA4005040003"),  # mujina's table says 15, its tests 03
    (SetAddress(0x06), "55AA400506001E"),
    (SetAddress(0x08), "55AA4005080007"),
    (SetAddress(0x40), "55AA400540001A"),
    (SetAddress(0x80), "55AA4005800010"),
    (SetAddress(0xDC), "55AA4005DC0001"),
    (write(0xA4, 0x9000FFFF), "55AA510900A49000FFFF1C"),
    (write(0xA8, 0x00070000), "55AA510900A80007000003"),
    (write(0x18, 0xFF0FC100), "55AA51090018FF0FC10000"),
    (write(0x18, 0xF000C100), "55AA51090018F000C10004"),
    (write(0x3C, 0x80008540), "55AA5109003C800085400C"),
    (write(0x3C, 0x80008020), "55AA5109003C8000802019"),
    (write(0x14, 0x000000FF), "55AA51090014000000FF08"),
    (write(0x54, 0x00000003), "55AA51090054000000031D"),
    (write(0x58, 0x02111111), "55AA510900580211111106"),
    (write(0x2C, 0x007C0003, 0), "55AA4109002C007C000303"),
    (write(0x28, 0x11300200), "55AA510900281130020003"),
    (write(0x10, 0x0000151C), "55AA510900100000151C02"),
    (write(0x10, 0x0000115A), "55AA510900100000115A04"),
    (write(0x10, 0x00001EB5), "55AA5109001000001EB50F"),
    (write(0x10, 0x00100000), "55AA510900100010000008"),
    (write(0x10, 0x000D3224), "55AA51090010000D322410"),
    (write(0xA8, 0x000701F0, 0), "55AA410900A8000701F015"),
    (write(0x18, 0xF000C100, 0), "55AA41090018F000C1000C"),
    (write(0x3C, 0x80008540, 0), "55AA4109003C8000854004"),
    (write(0x3C, 0x80008020, 0), "55AA4109003C8000802011"),
    (write(0x3C, 0x800082AA, 0), "55AA4109003C800082AA05"),
    (write(0xA8, 0x000701F0, 0x80), "55AA410980A8000701F00D"),
    (write(0x3C, 0x800082AA, 0x80), "55AA4109803C800082AA1D"),
    (write(0x80, 0x00000000), "55AA51090080000000001C"),
    (write(0x18, 0x00007A31, 0x40), "55AA4109401800007A3111"),
    (write(0x18, 0x00007A31), "55AA5109001800007A3115"),
    # bm13xx-rs, core reset
    (write(0xA8, 0x0007000F), "55AA510900A80007000F15"),
    (write(0x18, 0x0000C100), "55AA510900180000C1001D"),
    (write(0xA8, 0x00070100), "55AA510900A8000701001F"),
    # ESP-Miner bm1366.c, PLL of 485 MHz and of 450 MHz
    (write(0x08, 0x50C20240), "55AA5109000850C202401C"),
    (write(0x08, 0x40900230), "55AA510900084090023013"),
    # version masks 1fffe000, 1fff0000
    (write(0xA4, 0x900007FF), "55AA510900A4900007FF1D"),
    (write(0xA4, 0x9000FFF8), "55AA510900A49000FFF807"),
    # ticket masks 1, 2, 4, 16, 64, 128, 1024, 2048, 65536 (ESP-Miner asic_common.c)
    (write(0x14, 0x00000000), "55AA51090014000000001C"),
    (write(0x14, 0x00000080), "55AA510900140000008012"),
    (write(0x14, 0x000000C0), "55AA51090014000000C015"),
    (write(0x14, 0x000000F0), "55AA51090014000000F01E"),
    (write(0x14, 0x000000FC), "55AA51090014000000FC07"),
    (write(0x14, 0x000000FE), "55AA51090014000000FE0D"),
    (write(0x14, 0x0000C0FF), "55AA510900140000C0FF02"),
    (write(0x14, 0x0000E0FF), "55AA510900140000E0FF01"),
    (write(0x14, 0x0000FFFF), "55AA510900140000FFFF17"),
]


@pytest.mark.parametrize(("command", "frame"), COMMANDS)
def test_command_vector(command: Command, frame: str) -> None:
    wire = bytes.fromhex(frame)
    assert encode_command(command) == wire
    assert decode_command(wire) == command


REPLIES = [
    # bm13xx-rs response.rs, ESP-Miner asic_common.c
    (RegisterReply(0x13660000, 0, 0), "AA55136600000000000005"),
    (RegisterReply(0x13667000, 0, 0), "AA55136670000000000007"),
    (RegisterReply(0x13660000, 0, 0, None), "AA551366000000000C"),
    (RegisterReply(0x13620300, 0, 0), "AA5513620300000000001E"),
    (RegisterReply(0x13700000, 0, 0), "AA55137000000000000010"),
    (RegisterReply(0x13700000, 0, 0, None), "AA5513700000000006"),
    (RegisterReply(0x13971800, 0, 0, None), "AA5513971800000006"),
    (RegisterReply(0x0000C100, 0, 0x18, None), "AA550000C100001802"),
    (RegisterReply(0x12345678, 0, 0x8C), "AA5512345678008C000001"),
    (RegisterReply(1, 0, 0x8C), "AA5500000001008C00000B"),
    (RegisterReply(0, 0, 0x4C), "AA5500000000004C000002"),
    # bm13xx-rs response.rs; mujina captures
    (NonceReply(0xCE96D52F, 0x02, 0x93, 0x94FB), "AA552FD596CE029394FB86"),
    (NonceReply(0xCFCD3507, 0x02, 0x5E, 0x002E), "AA550735CDCF025E002E96"),
    (NonceReply(0x7552034C, 0x0C, 0xD2, 0x05A2), "AA554C0352750CD205A29C"),
    (NonceReply(0x40A60018, 0x02, 0x99, 0x22F9), "AA551800A640029922F991"),
    (NonceReply(0xB628C397, 0x01, 0x63, None), "AA5597C328B601639C"),
]


@pytest.mark.parametrize(("reply", "frame"), REPLIES)
def test_reply_vector(reply: RegisterReply | NonceReply, frame: str) -> None:
    wire = bytes.fromhex(frame)
    assert encode_reply(reply) == wire
    assert decode_reply(wire) == reply


def test_what_a_nonce_reply_says() -> None:
    """The captures of bm13xx-rs and mujina, field by field."""
    reply = decode_reply(bytes.fromhex("AA552FD596CE029394FB86"))
    assert isinstance(reply, NonceReply)
    assert (reply.job_id, reply.small_core, reply.version_bits) == (0x90, 3, 0x129F6000)
    assert (core_of_nonce(reply.nonce), address_field_of_nonce(reply.nonce)) == (23, 0xEA)
    assert (job_id_of_reply(0xD2, "BM1370"), 0x05A2 << 13, core_of_nonce(0x7552034C)) == (0x68, 0x00B44000, 38)
    assert 0x002E << 13 == 0x0005C000


def test_an_identity_without_checksum_is_refused() -> None:
    """bm13xx-rs response.rs: the variant that ends in 00 is no frame."""
    with pytest.raises(DataError, match="residue"):
        decode_reply(bytes.fromhex("AA55136600000000000000"))


# bm13xx-rs command.rs: mainnet work, hashes in display order
J1 = HeaderJob(
    job_id=0xA8,
    version=0x20000000,
    previous=bytes.fromhex("0000000000000000000286ff0ea5a45bfc00d35556d50eae1ad876d71f99e138")[::-1],
    root=bytes.fromhex("7475192d462163667e7a71b835ec83fea4f396c0da86d8c02e700ea87196e9ed")[::-1],
    ntime=0x6570DE83,
    nbits=0x17042450,
)
J1_WIRE = bytes.fromhex(
    "55AA2136A801000000005024041783DE70652D19757466632146B8717A7EFE83EC35C096F3A4C0D886DAA80E702EEDE99671"
    "0000000000000000FF8602005BA4A50E55D300FCAE0ED556D776D81A38E1991F0000002030B9"
)
# mujina test_data.rs: captured from a Bitaxe
J2_WIRE = bytes.fromhex(
    "55AA2156680100000000043A0217D76854685519A7CB044F88726355919E61A98BCF71A0C28795EA54DB8C36414B06DDF5F0"
    "0000000000000000965201001D3996BCA3F4670DFCD4F201C162B96DFD55646B00000020721C"
)


def test_factory_job() -> None:
    assert encode_header_job(J1, length_byte=0x36) == J1_WIRE
    assert decode_header_job(J1_WIRE) == J1


def test_captured_job_and_its_share() -> None:
    """The job of mujina's capture; with the nonce and version of its share it hashes to difficulty 29588."""
    job = decode_header_job(J2_WIRE)
    assert encode_header_job(job) == J2_WIRE
    assert (job.job_id, f"{job.ntime:08x}", f"{job.nbits:08x}") == (0x68, "685468d7", "17023a04")
    prevhash = "6b6455fd6db962c101f2d4fc0d67f4a3bc96391d000152960000000000000000"
    assert swap_words(job.previous).hex() == prevhash
    assert int(difficulty_of(hash_of(job.header(0x7552034C, 0x00B44000)))) == 29588


def test_captured_job_for_another_id_or_length() -> None:
    job = decode_header_job(J2_WIRE)
    assert encode_header_job(replace(job, job_id=0x08)) == J2_WIRE[:4] + b"\x08" + J2_WIRE[5:-2] + b"\xba\x60"
    assert encode_header_job(job, length_byte=0x36)[-2:] == b"\x56\x58"


def test_one_midstate_job() -> None:
    """bm13xx-rs: a BM1397 job."""
    wire = bytes.fromhex(
        "55AA2136000100000000159E071775328E63A2B36A70DE604A09E9301DE1256D7EB80EA1E64382DF61141503966C185F502F5574D4BA"
        "D3DC"
    )
    job = decode_midstate_job(wire)
    assert (job.job_id, job.nbits, job.ntime, job.root_tail) == (0, 0x17079E15, 0x638E3275, 0x706AB3A2)
    assert job.midstates[0][7] == 0xDE604A09
    assert encode_midstate_job(job, preamble=True) == wire


def test_job_ids() -> None:
    """ESP-Miner bm1366.c: 08, 10, … 78, 00: 16 ids whose low three bits are free for the small core."""
    ids, current = [], 0
    for _ in range(16):
        current = next_job_id(current)
        ids.append(current)
    assert ids == [*range(8, 128, 8), 0]
    assert all(job_id_of_reply(job_id | small) == job_id for job_id in ids for small in range(8))
    assert next_job_id(0x78, "BM1370") == 0x10
    assert next_job_id(0x7C, "BM1397") == 0


u8, u32 = st.integers(0, 255), st.integers(0, 2**32 - 1)
commands: st.SearchStrategy[Command] = st.one_of(
    st.builds(SetAddress, u8),
    st.just(ChainInactive()),
    st.builds(ReadRegister, u8, st.none() | u8),
    st.builds(WriteRegister, u8, u32, st.none() | u8),
)
replies = st.one_of(
    st.builds(RegisterReply, u32, u8, u8, st.none() | st.integers(0, 0xFFFF)),
    st.builds(NonceReply, u32, u8, u8, st.none() | st.integers(0, 0xFFFF)),
)
hashes = st.binary(min_size=32, max_size=32)
jobs = st.builds(HeaderJob, u8, u32, hashes, hashes, u32, u32, u32, u8)


@pytest.mark.parametrize("body", ["40050401", "53050100", "53050001", "52050800", "5109040000000000"])
def test_a_byte_that_has_no_use_must_be_zero(body: str) -> None:
    """``encode_of_decode`` in lean/AsicReservoir/Frames.lean: a decoder that takes nothing but what was encoded."""
    frame = bytes.fromhex("55aa" + body)
    with pytest.raises(DataError, match="must be 00 where it has no use"):
        decode_command(frame + bytes([crc5(frame[2:])]))


@given(st.sampled_from(sorted(COMMAND_SIZE)), st.binary(min_size=8, max_size=8))
def test_what_is_decoded_is_the_frame_of_its_command(kind: int, data: bytes) -> None:
    size = COMMAND_SIZE[kind]
    body = bytes([kind, size - 2]) + data[: size - 5]
    frame = b"\x55\xaa" + body + bytes([crc5(body)])
    with contextlib.suppress(DataError):
        assert encode_command(decode_command(frame)) == frame


@given(commands)
def test_commands_come_back(command: Command) -> None:
    assert decode_command(encode_command(command)) == command


@given(replies)
def test_replies_come_back(reply: RegisterReply | NonceReply) -> None:
    assert decode_reply(encode_reply(reply)) == reply


@given(jobs, st.sampled_from([0x36, 0x56]))
def test_header_jobs_come_back(job: HeaderJob, length: int) -> None:
    assert decode_header_job(encode_header_job(job, length)) == job


@given(
    st.builds(
        MidstateJob,
        u8,
        u32,
        u32,
        u32,
        st.sampled_from([1, 2, 4]).flatmap(lambda n: st.tuples(*[st.tuples(*[u32] * 8)] * n)),
        u32,
    ),
    st.booleans(),
)
def test_midstate_jobs_come_back(job: MidstateJob, preamble: bool) -> None:
    assert decode_midstate_job(encode_midstate_job(job, preamble)) == job


@given(st.integers(0, 127), st.integers(0, 2**25 - 1))
def test_nonces_know_their_core(core: int, counter: int) -> None:
    assert core_of_nonce(nonce_at(core, counter)) == core


@given(
    st.binary(max_size=100)
    | st.binary(max_size=9).map(lambda b: b"\x55\xaa" + b)
    | st.binary(max_size=9).map(lambda b: b"\xaa\x55" + b)
    | st.binary(min_size=85, max_size=85).map(lambda b: b"\x55\xaa\x21" + b)
)
def test_any_bytes_give_a_value_or_a_typed_error(data: bytes) -> None:
    for decode in (decode_command, decode_reply, decode_header_job, decode_midstate_job):
        with contextlib.suppress(DataError):
            decode(data)


@pytest.mark.parametrize(
    "command",
    [SetAddress(256), ReadRegister(-1), WriteRegister(0, 2**32), WriteRegister(0, 0, 300)],
)
def test_fields_that_do_not_fit_are_refused(command: Command) -> None:
    with pytest.raises(UsageError, match="must be an integer from 0 to"):
        encode_command(command)
