"""Frames of the BM1387 (Antminer S9) as they run on the wire between FPGA and chips, and the FPGA's FIFO words.

Commands have no preamble: ``cmd len addr reg [value] CRC-5``. Replies are 7 bytes with a checksum of their own.
Sources: braiins/braiins ``axi_bm13xx_tb.sv``, ``crc5_resp_serial.vhd``, ``bm1387.rs``, FPGA README.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import pack

from asic_reservoir.errors import UsageError
from firmware_bridge.bm13xx.commands import (
    ChainInactive,
    Command,
    FrameError,
    ReadRegister,
    SetAddress,
    WriteRegister,
    check_width,
)
from firmware_bridge.bm13xx.crc import crc5, crc5_bm1387_reply
from firmware_bridge.bm13xx.jobs import MIDSTATE_COUNTS, MidstateJob

N_CHIPS = 63
ADDRESS_STEP = 4
REPLY_SIZE = 7
CORE_NUMBERS = (*range(57), *range(64, 121))
"""The 114 cores in their space of 128 numbers."""
COMMAND_SIZE = {0x41: 5, 0x44: 5, 0x48: 9, 0x54: 5, 0x55: 5, 0x58: 9}
"""Bytes of every command, checksum included, by its first byte."""


def encode_command(command: Command) -> bytes:
    """The frame of a command.

    Raises:
        UsageError: an address, register or value does not fit.

    >>> encode_command(ReadRegister(0x00)).hex()
    '5405000019'
    """
    match command:
        case SetAddress(address):
            body = bytes([0x41, 5, check_width("chip address", address, 8), 0])
        case ChainInactive():
            body = bytes([0x55, 5, 0, 0])
        case ReadRegister(register, chip):
            body = bytes([0x54 if chip is None else 0x44, 5, *_target(chip, register)])
        case WriteRegister(register, value, chip):
            head = bytes([0x58 if chip is None else 0x48, 9, *_target(chip, register)])
            body = head + pack(">I", check_width("register value", value, 32))
    return body + bytes([crc5(body)])


def _target(chip: int | None, register: int) -> tuple[int, int]:
    return check_width("chip address", chip or 0, 8), check_width("register", register, 8)


def decode_command(frame: bytes) -> Command:
    """The command in a frame. Nothing but what :func:`encode_command` makes is taken.

    Raises:
        FrameError: unknown command, wrong size or checksum, or an unused byte that is not 0.
    """
    kind = frame[0] if frame else -1
    size = COMMAND_SIZE.get(kind)
    if size is None:
        raise FrameError(f"command: {frame[:9].hex()}, must begin with {', '.join(f'{t:02x}' for t in COMMAND_SIZE)}")
    if len(frame) != size or frame[1] != size:
        raise FrameError(f"command {kind:02x}: {len(frame)} bytes, must be {size} with that length byte")
    if crc5(frame[:-1]) != frame[-1]:
        raise FrameError(f"command checksum: {frame[-1]:02x}, must be {crc5(frame[:-1]):02x}")
    if encode_command(command := _command(frame)) != frame:
        raise FrameError(f"command {kind:02x}: bytes {frame[2]:02x} {frame[3]:02x}, must be 00 where it has no use")
    return command


def _command(frame: bytes) -> Command:
    kind = frame[0]
    chip = None if kind & 0x10 else frame[2]
    match kind & 0x0F:
        case 1:
            return SetAddress(frame[2])
        case 5:
            return ChainInactive()
        case 4:
            return ReadRegister(frame[3], chip)
        case _:
            return WriteRegister(frame[3], int.from_bytes(frame[4:8]), chip)


@dataclass(frozen=True, slots=True)
class RegisterReply:
    """Answer of a chip to a read. Neither chip nor register are in it: it answers the read before it."""

    value: int


@dataclass(frozen=True, slots=True)
class WorkReply:
    """A nonce that a chip found."""

    nonce: int
    """The header's nonce field as a number (bytes 76..79 little-endian)."""
    solution: int
    """Number of this nonce among those of its work."""
    work_id: int
    """Id of the work on the chip, 7 bits; its low bits number the midstate (:func:`split_work_id`)."""


Reply = RegisterReply | WorkReply


def encode_reply(reply: Reply) -> bytes:
    """The 7 bytes as a chip sends them.

    Raises:
        UsageError: a field does not fit.

    >>> encode_reply(RegisterReply(0x13879000)).hex()
    '13879000000007'
    """
    if isinstance(reply, RegisterReply):
        body = pack(">IH", check_width("register value", reply.value, 32), 0)
        return body + bytes([crc5_bm1387_reply(body, work=False)])
    body = pack("<I", check_width("nonce", reply.nonce, 32))
    body += bytes([check_width("solution", reply.solution, 8), check_width("work_id", reply.work_id, 7)])
    return body + bytes([0x80 | crc5_bm1387_reply(body, work=True)])


def decode_reply(frame: bytes) -> Reply:
    """The reply in 7 bytes.

    Raises:
        FrameError: another size, or a wrong checksum, or bits set that are never set.
    """
    if len(frame) != REPLY_SIZE:
        raise FrameError(f"reply: {len(frame)} bytes, must be {REPLY_SIZE}")
    work = frame[6] >= 0x80
    expected = crc5_bm1387_reply(frame[:6], work) | 0x80 * work
    if frame[6] != expected:
        raise FrameError(f"reply: {frame.hex()}, last byte {frame[6]:02x}, must be {expected:02x}")
    if work:
        if frame[5] > 0x7F:
            raise FrameError(f"reply: {frame.hex()}, work id {frame[5]:02x}, must be below 80")
        return WorkReply(int.from_bytes(frame[:4], "little"), frame[4], frame[5])
    if frame[4] or frame[5]:
        raise FrameError(f"reply: {frame.hex()}, bytes 5 and 6 must be 0 in a register reply")
    return RegisterReply(int.from_bytes(frame[:4]))


def chip_of_nonce(nonce: int) -> int:
    """Index of the chip that searched ``nonce``, 0..63; 63 does not exist on an S9.

    >>> chip_of_nonce(0x2A105D5D), core_of_nonce(0x2A105D5D)
    (23, 42)
    """
    return nonce >> 2 & 0x3F


def core_of_nonce(nonce: int) -> int:
    """Core that searched ``nonce``: a number in a space of 128 with holes, 114 are there."""
    return nonce >> 24 & 0x7F


def nonce_at(chip: int, core: int, counter: int) -> int:
    """A nonce of ``core`` of ``chip``: the inverse, for a chip. ``counter`` fills the other 19 bits.

    Raises:
        UsageError: something does not fit.
    """
    check_width("counter", counter, 19)
    middle, low, high = counter >> 3, counter & 3, counter >> 2 & 1
    return high << 31 | check_width("core", core, 7) << 24 | middle << 8 | check_width("chip", chip, 6) << 2 | low


def work_to_words(job: MidstateJob) -> list[int]:
    """A job as the FPGA's work FIFO takes it: 12, 20 or 36 words of 32 bits.

    Raises:
        UsageError: not 1, 2 or 4 midstates, or a field that does not fit.
    """
    if len(job.midstates) not in MIDSTATE_COUNTS:
        raise UsageError(f"midstate job: {len(job.midstates)} midstates, must be 1, 2 or 4")
    words = [job.job_id, job.nbits, job.ntime, job.root_tail]
    for state in job.midstates:
        words += reversed(state)
    return [check_width("FIFO word", word, 32) for word in words]


def work_from_words(words: list[int]) -> MidstateJob:
    """The job in the words of the work FIFO.

    Raises:
        FrameError: not 12, 20 or 36 words.
    """
    count, rest = divmod(len(words) - 4, 8)
    if rest or count not in MIDSTATE_COUNTS or any(not 0 <= word < 1 << 32 for word in words):
        raise FrameError(f"work FIFO: {len(words)} words, must be 12, 20 or 36 of 32 bits")
    states = tuple(tuple(reversed(words[4 + 8 * i : 12 + 8 * i])) for i in range(count))
    return MidstateJob(words[0], words[1], words[2], words[3], states)


@dataclass(frozen=True, slots=True)
class FifoResult:
    """A nonce as the FPGA's result FIFO gives it."""

    nonce: int
    solution: int
    extended_id: int
    """16 bits: work id and midstate number (:func:`split_work_id`)."""


def result_to_words(result: FifoResult) -> tuple[int, int]:
    """The two words of a result: nonce; ``crc8 | extended id << 8 | solution`` with the chip's last byte on top.

    Raises:
        UsageError: a field does not fit.
    """
    nonce = check_width("nonce", result.nonce, 32)
    extended = check_width("extended_id", result.extended_id, 16)
    body = nonce.to_bytes(4, "little") + bytes([check_width("solution", result.solution, 8), extended & 0x7F])
    last = 0x80 | crc5_bm1387_reply(body, work=True)
    return nonce, last << 24 | extended << 8 | result.solution


def result_from_words(first: int, second: int) -> FifoResult:
    """The nonce in two words of the result FIFO. The FPGA has checked the CRC already.

    Raises:
        FrameError: a word is not 32 bits, or the second is no nonce (bit 31 clear).

    >>> result_from_words(0x83EA0372, 0x98000300)
    FifoResult(nonce=2213151602, solution=0, extended_id=3)
    """
    if not (0 <= first < 1 << 32 and 1 << 31 <= second < 1 << 32):
        raise FrameError(f"result FIFO: {first:x} {second:x}, must be two words of 32 bits, bit 31 of the second set")
    return FifoResult(first, second & 0xFF, second >> 8 & 0xFFFF)


def split_work_id(extended_id: int, midstates: int) -> tuple[int, int]:
    """Work number and midstate index from the id of a result.

    Raises:
        UsageError: ``midstates`` is not 1, 2 or 4.

    >>> [split_work_id(0x1235, n) for n in (1, 2, 4)] == [(0x1235, 0), (0x91A, 1), (0x48D, 1)]
    True
    """
    if midstates not in MIDSTATE_COUNTS:
        raise UsageError(f"midstates: {midstates}, must be 1, 2 or 4")
    return divmod(extended_id, midstates)


def work_time_s(frequency_hz: float, midstates: int) -> float:
    """Seconds after which the FPGA sends the next work: 0.9 · midstates · 2^19 / f.

    >>> round(work_time_s(650e6, 4) * 1e3, 3), work_time_ticks(650e6, 4)
    (2.904, 145187)
    """
    return 0.9 * midstates * 2**19 / frequency_hz


def work_time_ticks(frequency_hz: float, midstates: int) -> int:
    """The same for the FPGA's WORK_TIME register: ticks of 50 MHz, 24 bits.

    Raises:
        UsageError: it does not fit.
    """
    return check_width("work time in ticks of 50 MHz", int(work_time_s(frequency_hz, midstates) * 50e6), 24)
