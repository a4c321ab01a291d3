"""Frames of the BM1366 family (also BM1362/68/70; BM1397 with its 9-byte nonce replies).

Host to chip: ``55 AA | type | length | payload | CRC-5``; jobs end in a CRC-16 (:mod:`.jobs`).
Chip to host: ``AA 55 | 6 or 8 bytes | kind << 5 | CRC-5``: 9 bytes until version rolling is switched on, 11 after.
Sources: ESP-Miner ``bm1366.c``, bm13xx-rs ``command.rs`` and ``response.rs``, mujina ``protocol.rs``.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import pack

from firmware_bridge.bm13xx.commands import (
    ChainInactive,
    Command,
    FrameError,
    ReadRegister,
    SetAddress,
    WriteRegister,
    check_width,
)
from firmware_bridge.bm13xx.crc import crc5, crc5_reply
from firmware_bridge.bm13xx.jobs import PREAMBLE, job_id_of_reply

REPLY_PREAMBLE = b"\xaa\x55"
SHORT_REPLY = 9
LONG_REPLY = 11
"""Bytes of a reply once register A4 has been written."""
REGISTER_KIND, NONCE_KIND = 0, 4
COMMAND_SIZE = {0x40: 7, 0x41: 11, 0x42: 7, 0x51: 11, 0x52: 7, 0x53: 7}
"""Bytes of every command frame on the wire, by its type byte."""


def encode_command(command: Command) -> bytes:
    """The frame of a command.

    Raises:
        UsageError: an address, register or value does not fit.

    >>> encode_command(ReadRegister(0x00)).hex()
    '55aa520500000a'
    """
    match command:
        case SetAddress(address):
            body = bytes([0x40, 5, check_width("chip address", address, 8), 0])
        case ChainInactive():
            body = bytes([0x53, 5, 0, 0])
        case ReadRegister(register, chip):
            body = bytes([0x52 if chip is None else 0x42, 5, *_target(chip, register)])
        case WriteRegister(register, value, chip):
            head = bytes([0x51 if chip is None else 0x41, 9, *_target(chip, register)])
            body = head + pack(">I", check_width("register value", value, 32))
    return PREAMBLE + body + bytes([crc5(body)])


def _target(chip: int | None, register: int) -> tuple[int, int]:
    return check_width("chip address", chip or 0, 8), check_width("register", register, 8)


def decode_command(frame: bytes) -> Command:
    """The command in a frame. Nothing but what :func:`encode_command` makes is taken, as the decoder of
    ``lean/AsicReservoir/Frames.lean``, of which that is proven.

    Raises:
        FrameError: no preamble, unknown type, wrong size or checksum, or an unused byte that is not 0.
    """
    if len(frame) < 7 or frame[:2] != PREAMBLE:
        raise FrameError(f"command: {frame[:11].hex()}, must begin with 55aa and have at least 7 bytes")
    kind, size = frame[2], COMMAND_SIZE.get(frame[2])
    if size is None:
        raise FrameError(f"command type: {kind:02x}, must be one of {', '.join(f'{t:02x}' for t in COMMAND_SIZE)}")
    if len(frame) != size or frame[3] != size - 2:
        raise FrameError(
            f"command {kind:02x}: {len(frame)} bytes, length byte {frame[3]}, must be {size} and {size - 2}"
        )
    if crc5(frame[2:-1]) != frame[-1]:
        raise FrameError(f"command checksum: {frame[-1]:02x}, must be {crc5(frame[2:-1]):02x}")
    if encode_command(command := _command(frame)) != frame:
        raise FrameError(f"command {kind:02x}: bytes {frame[4]:02x} {frame[5]:02x}, must be 00 where it has no use")
    return command


def _command(frame: bytes) -> Command:
    kind = frame[2]
    if kind == 0x40:
        return SetAddress(frame[4])
    if kind == 0x53:
        return ChainInactive()
    chip = None if kind & 0x10 else frame[4]
    if kind & 0x0F == 2:
        return ReadRegister(frame[5], chip)
    return WriteRegister(frame[5], int.from_bytes(frame[6:10]), chip)


@dataclass(frozen=True, slots=True)
class RegisterReply:
    """Answer of one chip to a read."""

    value: int
    chip: int
    """Address of the chip that answers."""
    register: int
    extra: int | None = 0
    """Two further bytes of the 11-byte form, 0 in every capture known; None in the 9-byte form."""


@dataclass(frozen=True, slots=True)
class NonceReply:
    """A nonce that a chip found."""

    nonce: int
    """The header's nonce field as a number (bytes 76..79 little-endian): ``%08x`` of it is Stratum's string."""
    excess: int
    """Difficulty above the ticket mask in half-bit steps; a hint only. A midstate index on a BM1397."""
    id_byte: int
    """Job id and small core, packed differently on every chip."""
    version_field: int | None
    """Bits 28..13 of the version that the chip rolled; None in the 9-byte form."""

    @property
    def version_bits(self) -> int:
        """The rolled bits in their place in the version. OR them into the version of the job."""
        return (self.version_field or 0) << 13

    @property
    def job_id(self) -> int:
        """Id of the job on a BM1366 (bits 7..3)."""
        return job_id_of_reply(self.id_byte)

    @property
    def small_core(self) -> int:
        """Small core of a BM1366, 0..7."""
        return self.id_byte & 7


Reply = RegisterReply | NonceReply


def encode_reply(reply: Reply) -> bytes:
    """The reply as a chip sends it: 11 bytes, or 9 where ``extra`` or ``version_field`` is None.

    Raises:
        UsageError: a field does not fit.

    >>> encode_reply(RegisterReply(0x13660000, 0, 0)).hex()
    'aa55136600000000000005'
    """
    if isinstance(reply, RegisterReply):
        kind, tail = REGISTER_KIND, reply.extra
        body = pack(">I", check_width("register value", reply.value, 32)) + bytes(_target(reply.chip, reply.register))
    else:
        kind, tail = NONCE_KIND, reply.version_field
        body = pack("<I", check_width("nonce", reply.nonce, 32))
        body += bytes([check_width("excess", reply.excess, 8), check_width("id_byte", reply.id_byte, 8)])
    if tail is not None:
        body += pack(">H", check_width("extra or version_field", tail, 16))
    return REPLY_PREAMBLE + body + bytes([kind << 5 | crc5_reply(body, kind)])


def decode_reply(frame: bytes) -> Reply:
    """The reply in 9 or 11 bytes.

    Raises:
        FrameError: another size, no preamble, unknown kind, or a checksum that leaves a residue.
    """
    if len(frame) not in (SHORT_REPLY, LONG_REPLY) or frame[:2] != REPLY_PREAMBLE:
        raise FrameError(f"reply: {frame[:11].hex()}, must be aa55 and 7 or 9 more bytes")
    if residue := crc5(frame[2:]):
        raise FrameError(f"reply: {frame.hex()}, checksum residue {residue:02x}, must be 0")
    tail = int.from_bytes(frame[8:10]) if len(frame) == LONG_REPLY else None
    kind = frame[-1] >> 5
    if kind == REGISTER_KIND:
        return RegisterReply(int.from_bytes(frame[2:6]), frame[6], frame[7], tail)
    if kind == NONCE_KIND:
        return NonceReply(int.from_bytes(frame[2:6], "little"), frame[6], frame[7], tail)
    raise FrameError(f"reply kind: {kind}, must be 0 (register) or 4 (nonce)")


def core_of_nonce(nonce: int) -> int:
    """Core that searched ``nonce``, 0..127; 112 and above do not exist on a BM1366 (ESP-Miner ``bm1366.c``).

    The chip counts the nonce big-endian: the core is in the top bits of the first byte on the wire.

    >>> core_of_nonce(0xCE96D52F)
    23
    """
    return nonce >> 1 & 0x7F


def address_field_of_nonce(nonce: int) -> int:
    """Bits that hold the chip address on a chain of many chips, as ESP-Miner reads them.

    ``field // (256 // n_chips)`` is the index of the chip; on a board of one chip the field is part of the counter.

    >>> f"{address_field_of_nonce(0xCE96D52F):02x}"
    'ea'
    """
    return int.from_bytes(nonce.to_bytes(4, "little")) >> 17 & 0xFF


def nonce_at(core: int, counter: int) -> int:
    """The nonce of ``core`` at its ``counter`` (25 bits): the inverse of :func:`core_of_nonce`, for a chip.

    Raises:
        UsageError: core or counter out of range.
    """
    word = check_width("core", core, 7) << 25 | check_width("counter", counter, 25)
    return int.from_bytes(word.to_bytes(4), "little")
