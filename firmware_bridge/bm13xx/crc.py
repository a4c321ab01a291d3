"""Checksums of the BM13xx serial protocol.

CRC-5: polynomial x^5 + x^2 + 1, start 0x1F, most significant bit first, no reflection, no final xor (the CRC-5/USB
polynomial with another framing). CRC-16: polynomial 0x1021, start 0xFFFF (CRC-16/IBM-3740, "CCITT-FALSE").
Sources: bitaxeorg/ESP-Miner ``crc.c``, GPTechinno/bm13xx-rs ``crc.rs``; the reply checksum of the BM1387 from
braiins/braiins ``crc5_resp_serial.vhd``.
"""

from __future__ import annotations

from binascii import crc_hqx
from collections.abc import Iterable

_CRC5_POLYNOMIAL = 0x05
_CRC5_START = 0x1F
_BM1387_START = {False: 0x03, True: 0x1B}
"""Start of the reply checksum of the BM1387: register replies, work replies."""


def _step(state: int, bit: int) -> int:
    """One bit through the CRC-5 register."""
    top = state >> 4
    state = (state << 1) & 0x1F
    return state ^ _CRC5_POLYNOMIAL if top ^ bit else state


def crc5_bits(bits: Iterable[int]) -> int:
    """CRC-5 of single bits, first bit first. Needed where a message ends inside a byte, as the replies do.

    >>> hex(crc5_bits(bits_of(b"123456789")))
    '0xf'
    """
    state = _CRC5_START
    for bit in bits:
        state = _step(state, bit & 1)
    return state


def bits_of(data: bytes) -> Iterable[int]:
    """The bits of ``data``, most significant bit of every byte first.

    >>> list(bits_of(b"\\xa0"))
    [1, 0, 1, 0, 0, 0, 0, 0]
    """
    return (byte >> shift & 1 for byte in data for shift in range(7, -1, -1))


def _byte_table() -> bytes:
    """Next state after a whole byte, indexed by (state << 3) ^ byte; the state is kept shifted left by 3."""
    table = bytearray(256)
    for index in range(256):
        state = index >> 3
        # The upper 5 bits already hold state ^ data: feeding zeros for them and the 3 low data bits as they are.
        for bit in (0, 0, 0, 0, 0, index >> 2 & 1, index >> 1 & 1, index & 1):
            state = _step(state, bit)
        table[index] = state << 3
    return bytes(table)


CRC5_TABLE = _byte_table()
"""256 entries: ``table[(state << 3) ^ byte]`` is the next state, shifted left by 3."""


def crc5(data: bytes) -> int:
    """CRC-5 of whole bytes, 0..31.

    Over a reply of a BM1366 from its third byte to its last, inclusive, it is 0.

    >>> hex(crc5(b"123456789"))
    '0xf'
    """
    state = _CRC5_START << 3
    for byte in data:
        state = CRC5_TABLE[state ^ byte]
    return state >> 3


def crc5_reply(body: bytes, kind: int) -> int:
    """CRC-5 of a reply of the BM136x family: the bytes after the preamble, then the three type bits.

    Args:
        body: reply without preamble and without its last byte.
        kind: 0 for a register reply, 4 for a nonce reply.

    >>> hex(crc5_reply(bytes.fromhex("1366000000000000"), 0))  # the answer of a BM1366 to "who is there"
    '0x5'
    """
    state = crc5(body)
    for shift in (2, 1, 0):
        state = _step(state, kind >> shift & 1)
    return state


def crc16(data: bytes) -> int:
    """CRC-16 of a job, sent high byte first.

    >>> hex(crc16(b"123456789"))
    '0x29b1'
    """
    return crc_hqx(data, 0xFFFF)


def crc5_bm1387_reply(data: bytes, work: bool) -> int:
    """Checksum of a BM1387 reply over its first six bytes. Not the CRC-5 of the commands.

    Args:
        data: the reply without its last byte.
        work: True for a nonce (work) reply, False for a register reply.

    >>> hex(crc5_bm1387_reply(bytes.fromhex("138790000000"), False))
    '0x7'
    """
    state = _BM1387_START[work]
    for bit in bits_of(data):
        feedback = bit ^ state >> 4
        shifted = state << 1 & 0x1F
        # c0 = feedback, c1 = c0, c2 = c1 ^ feedback, c3 = c2 ^ bit, c4 = c3
        state = shifted ^ (feedback << 2) ^ (bit << 3) | feedback
    return state
