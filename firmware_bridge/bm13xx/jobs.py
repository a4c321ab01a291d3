"""Jobs as the chips take them.

A *header job* (BM1362/66/68/70) carries the whole header; the chip rolls the version itself. A *midstate job*
(BM1387, BM1397) carries the end of the header and one to four SHA-256 states of its first 64 bytes.
Sources: ESP-Miner ``bm1366.c`` and ``mining.c``, bm13xx-rs ``command.rs``, braiins FPGA README.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import pack, unpack

from asic_reservoir.errors import UsageError
from asic_reservoir.headers import header_bytes, reverse_words
from firmware_bridge.bm13xx.commands import FrameError, check_width
from firmware_bridge.bm13xx.crc import crc16
from firmware_bridge.bm13xx.sha256 import midstate

PREAMBLE = b"\x55\xaa"
JOB_TYPE = 0x21
HEADER_JOB_SIZE = 88
"""Bytes of a header job on the wire, preamble and checksum included."""
LENGTH_ESP_MINER = 0x56
LENGTH_FACTORY = 0x36
"""Length byte that factory firmware and bm13xx-rs send for the same 82-byte job; chips take both."""
MIDSTATE_COUNTS = (1, 2, 4)


@dataclass(frozen=True, slots=True)
class HeaderJob:
    """A job of the full-header kind. Hashes in header order, integers as numbers."""

    job_id: int
    """As sent, 0..127 on the chip's own grid (:func:`next_job_id`)."""
    version: int
    previous: bytes
    """Hash of the previous block, 32 bytes in header order."""
    root: bytes
    """Merkle root, 32 bytes in header order."""
    ntime: int
    nbits: int
    start_nonce: int = 0
    midstates: int = 1
    """Always 1 on the wire."""

    def header(self, nonce: int, version_bits: int = 0) -> bytes:
        """The 80-byte header that a nonce of this job stands for. The chip ORs its version bits in."""
        return header_bytes(
            version=self.version | version_bits,
            previous=self.previous,
            root=self.root,
            ntime=self.ntime,
            nbits=self.nbits,
            nonce=nonce,
        )


def encode_header_job(job: HeaderJob, length_byte: int = LENGTH_ESP_MINER) -> bytes:
    """88 bytes. The order is that of the header backwards: nbits, ntime, root, previous, version.

    Raises:
        UsageError: a field does not fit, a hash is not 32 bytes.
    """
    for name, value, bits in (
        ("job_id", job.job_id, 8),
        ("midstates", job.midstates, 8),
        ("start_nonce", job.start_nonce, 32),
        ("nbits", job.nbits, 32),
        ("ntime", job.ntime, 32),
        ("version", job.version, 32),
        ("length_byte", length_byte, 8),
    ):
        check_width(name, value, bits)
    if len(job.previous) != 32 or len(job.root) != 32:
        raise UsageError(f"header job: hashes of {len(job.previous)} and {len(job.root)} bytes, must be 32 each")
    body = (
        pack("<BBBBIII", JOB_TYPE, length_byte, job.job_id, job.midstates, job.start_nonce, job.nbits, job.ntime)
        + reverse_words(job.root)
        + reverse_words(job.previous)
        + pack("<I", job.version)
    )
    return PREAMBLE + body + pack(">H", crc16(body))


def decode_header_job(frame: bytes) -> HeaderJob:
    """The job in an 88-byte frame; both length bytes are taken.

    Raises:
        FrameError: another size, preamble, type or length byte, or a wrong checksum.
    """
    if len(frame) != HEADER_JOB_SIZE or frame[:3] != PREAMBLE + bytes([JOB_TYPE]):
        raise FrameError(f"header job: {frame[:4].hex()}… of {len(frame)} bytes, must be 55aa21… of {HEADER_JOB_SIZE}")
    if frame[3] not in (LENGTH_ESP_MINER, LENGTH_FACTORY):
        raise FrameError(f"header job length byte: {frame[3]:02x}, must be 56 or 36")
    _check_crc16(frame[2:])
    job_id, midstates, start_nonce, nbits, ntime = unpack("<BBIII", frame[4:18])
    return HeaderJob(
        job_id=job_id,
        version=int.from_bytes(frame[82:86], "little"),
        previous=reverse_words(frame[50:82]),
        root=reverse_words(frame[18:50]),
        ntime=ntime,
        nbits=nbits,
        start_nonce=start_nonce,
        midstates=midstates,
    )


@dataclass(frozen=True, slots=True)
class MidstateJob:
    """A job of the midstate kind."""

    job_id: int
    nbits: int
    ntime: int
    root_tail: int
    """Bytes 64..67 of the header, read little-endian: the last word of the Merkle root."""
    midstates: tuple[tuple[int, ...], ...]
    """One, two or four SHA-256 states H0..H7, one for every version rolled on the host."""
    start_nonce: int = 0

    @classmethod
    def of_headers(cls, job_id: int, headers: list[bytes]) -> MidstateJob:
        """From 80-byte headers that differ in their version only; their nonces are ignored.

        Raises:
            UsageError: not 1, 2 or 4 headers; not 80 bytes; different after byte 64.
        """
        if len(headers) not in MIDSTATE_COUNTS or any(len(header) != 80 for header in headers):
            raise UsageError(f"midstate job: {len(headers)} headers, must be 1, 2 or 4 of 80 bytes each")
        tail, ntime, nbits = unpack("<III", headers[0][64:76])
        if any(header[64:76] != headers[0][64:76] for header in headers):
            raise UsageError("midstate job: headers differ in bytes 64 to 75, must differ in the version only")
        return cls(job_id, nbits, ntime, tail, tuple(midstate(header[:64]) for header in headers))


def midstate_job_size(count: int) -> int:
    """Bytes of a midstate job from its type to its checksum, inclusive: also its length byte."""
    return 22 + 32 * count


def encode_midstate_job(job: MidstateJob, preamble: bool) -> bytes:
    """The frame: with ``55 AA`` for a BM1397, without for a BM1387.

    Raises:
        UsageError: a field does not fit.
    """
    count = len(job.midstates)
    if count not in MIDSTATE_COUNTS or any(len(state) != 8 for state in job.midstates):
        raise UsageError(f"midstate job: {count} midstates, must be 1, 2 or 4 of 8 words each")
    for name, value, bits in (
        ("job_id", job.job_id, 8),
        ("start_nonce", job.start_nonce, 32),
        ("nbits", job.nbits, 32),
        ("ntime", job.ntime, 32),
        ("root_tail", job.root_tail, 32),
    ):
        check_width(name, value, bits)
    head = (JOB_TYPE, midstate_job_size(count), job.job_id, count)
    body = pack("<BBBBIIII", *head, job.start_nonce, job.nbits, job.ntime, job.root_tail)
    for state in job.midstates:
        body += pack(">8I", *(check_width("midstate word", word, 32) for word in reversed(state)))
    return PREAMBLE * preamble + body + pack(">H", crc16(body))


def decode_midstate_job(frame: bytes) -> MidstateJob:
    """The job in a frame, with or without preamble.

    Raises:
        FrameError: wrong type, size, count or checksum.
    """
    body = frame.removeprefix(PREAMBLE)
    if len(body) < 4 or body[0] != JOB_TYPE or body[3] not in MIDSTATE_COUNTS:
        raise FrameError(f"midstate job: {frame[:6].hex()}, must be type 21 with 1, 2 or 4 midstates")
    count = body[3]
    if len(body) != midstate_job_size(count) or body[1] != len(body):
        raise FrameError(f"midstate job: {len(body)} bytes, length byte {body[1]}, must be {midstate_job_size(count)}")
    _check_crc16(body)
    start_nonce, nbits, ntime, tail = unpack("<IIII", body[4:20])
    states = tuple(tuple(reversed(unpack(">8I", body[20 + 32 * i : 52 + 32 * i]))) for i in range(count))
    return MidstateJob(body[2], nbits, ntime, tail, states, start_nonce)


def _check_crc16(body: bytes) -> None:
    """Type to checksum, inclusive."""
    expected = crc16(body[:-2])
    found = int.from_bytes(body[-2:])
    if found != expected:
        raise FrameError(f"job checksum: {found:04x}, must be {expected:04x}")


JOB_ID_STEP = {"BM1366": 8, "BM1368": 24, "BM1370": 24, "BM1397": 4}
"""Distance between the ids of consecutive jobs, ESP-Miner ``bm13xx.c``: the low bits come back as something else."""


def next_job_id(current: int, chip: str = "BM1366") -> int:
    """The id after ``current``, as ESP-Miner counts; the first after power-up follows 0.

    >>> [f"{job_id:02x}" for job_id in (next_job_id(0), next_job_id(0x78), next_job_id(0, "BM1370"))]
    ['08', '00', '18']
    """
    return (current + JOB_ID_STEP[chip]) % 128


def job_id_of_reply(id_byte: int, chip: str = "BM1366") -> int:
    """Id of the job that a nonce reply belongs to, from its ID byte.

    >>> f"{job_id_of_reply(0x93):02x} {job_id_of_reply(0xD2, 'BM1370'):02x} {job_id_of_reply(0x63, 'BM1397'):02x}"
    '90 68 60'
    """
    if chip == "BM1366":
        return id_byte & 0xF8
    if chip == "BM1397":
        return id_byte & 0xFC
    return (id_byte & 0xF0) >> 1
