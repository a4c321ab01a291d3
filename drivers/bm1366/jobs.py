"""Which job a nonce belongs to: the book of all jobs that may still answer.

A chip names jobs by 16 ids. An id that comes round again while old nonces are under way would give them to the wrong
job, so every slot remembers its occupant and the one before, and evidence decides between them
(:mod:`drivers.evidence`).
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field

from asic_reservoir.board import NonceFlag, Work
from asic_reservoir.errors import UsageError
from asic_reservoir.headers import sha256d
from drivers.evidence import candidates
from firmware_bridge.bm13xx.bm1366 import NonceReply
from firmware_bridge.bm13xx.jobs import HeaderJob, next_job_id

_VERSION = 0x20000000
"""Of jobs of our own making: BIP 9, all rolled bits clear."""
_EASY_BITS = 0x1D00FFFF
LATE_NS = 1_000_000_000
"""No nonce arrives later than so long after its job was superseded: far above any pipeline and line."""


@dataclass
class Job:
    """A job that was sent."""

    number: int
    """Counted from 0."""
    wire: HeaderJob
    sent_ns: int = 0
    """On the board's time line, as the next."""
    superseded_ns: int | None = None
    """When the next job was sent, on the board's time line; None while it is the newest."""
    withdrawn: bool = False
    seen: dict[tuple[int, int], int] = field(default_factory=dict)
    """Nonce and version of what it gave, with the flags of the first time."""


@dataclass(frozen=True, slots=True)
class Attribution:
    """What a reply turned out to be."""

    job: int
    """Number of its job; -1 where no job of ours explains its id."""
    flags: int


def parse_work(work: Work, number: int, salt: bytes) -> HeaderJob:
    """The job for a Step's work, without an id yet. Without a header: one of our own, different for every number.

    Raises:
        UsageError: the header is not 80 bytes.
    """
    if work.header is None:
        root = sha256d(salt + number.to_bytes(8, "little") + (work.extranonce2 or b""))
        previous = hashlib.sha256(salt).digest()
        return HeaderJob(0, _VERSION, previous, root, int(time.time()) & 0xFFFFFFFF, _EASY_BITS)
    header = work.header
    if len(header) != 80:
        raise UsageError(f"work header: {len(header)} bytes, must be 80")

    def word(at: int) -> int:
        return int.from_bytes(header[at : at + 4], "little")

    return HeaderJob(0, word(0), header[4:36], header[36:68], word(68), word(72))


class JobBook:
    """The jobs of one board.

    Args:
        zero_bits: leading zero bits in the hash of a nonce of difficulty 1: 32, fewer for an emulated board.
    """

    def __init__(self, zero_bits: int) -> None:
        self._zero_bits = zero_bits
        self.one_answer = False
        """Single-Word Handshake: the first valid answer ends its job, whatever comes after it is stale."""
        self._slots: dict[int, list[Job]] = {}
        self._last_id = 0
        self._newest: Job | None = None
        self.count = 0
        self.unattributed = 0
        """Replies that no job explains."""

    def add(self, wire: HeaderJob, withdraw: bool, now_ns: int) -> Job:
        """Book a job that is about to be sent; gives it its number and id.

        Args:
            wire: with any id.
            withdraw: all jobs before it are withdrawn: late nonces of theirs are stale.
        """
        if withdraw:
            self.withdraw_all()
        self._last_id = next_job_id(self._last_id)
        numbered = HeaderJob(
            self._last_id, wire.version, wire.previous, wire.root, wire.ntime, wire.nbits, wire.start_nonce
        )
        job = Job(self.count, numbered, sent_ns=now_ns)
        if self._newest is not None:
            self._newest.superseded_ns = now_ns
        self._newest = job
        self.count += 1
        self._slots[self._last_id] = [job, *self._slots.get(self._last_id, [])][:2]
        return job

    def withdraw_all(self) -> None:
        """Nothing that was sent so far is wanted any more."""
        for jobs in self._slots.values():
            for job in jobs:
                job.withdrawn = True

    def forget(self) -> None:
        """The chip was reset: no job of before can answer."""
        self._slots.clear()
        self._last_id, self._newest = 0, None

    def attribute(self, reply: NonceReply, difficulty: int, time_ns: int, possible: bool) -> Attribution:
        """Job and flags of a reply.

        Args:
            reply: what came.
            difficulty: the chip's ticket mask.
            time_ns: when it was complete.
            possible: whether a core of the chip can have found it.
        """
        occupants = self._slots.get(reply.job_id, [])
        key = reply.nonce, reply.version_bits
        bits = self._zero_bits + difficulty.bit_length() - 1
        repeated, asked = candidates(occupants, key, time_ns, LATE_NS, bits)
        if repeated is not None:
            return self._found(repeated, repeated.seen[key] | NonceFlag.DUPLICATE, repeated is not occupants[0])
        limit = (1 << 256 - self._zero_bits) // difficulty
        for job in asked:
            header = job.wire.header(reply.nonce, reply.version_bits)
            if int.from_bytes(sha256d(header), "little") < limit:
                job.seen[key] = int(NonceFlag.VALID)
                return self._found(job, int(NonceFlag.VALID), job is not occupants[0])
        if not asked or not possible:
            self.unattributed += 1
            return Attribution(-1, 0)
        asked[0].seen[key] = 0
        return self._found(asked[0], 0, late=False)

    def _found(self, job: Job, flags: int, late: bool) -> Attribution:
        if job.withdrawn or late:
            flags |= NonceFlag.STALE
        if self.one_answer and flags == NonceFlag.VALID:
            job.withdrawn = True
        return Attribution(job.number, flags)
