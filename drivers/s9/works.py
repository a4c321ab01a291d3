"""Works for BM1387 chips, and the book that gives every nonce to the work it belongs to.

A hashboard exhausts one work in a few milliseconds (2^19 clocks and midstate), so works are made by the hundred a
second. A job of our own rolls the time field, which lies behind the midstate: all its works share one set of
midstates. A header of the user must stay as it is, so there the version rolls, four midstates a work.
"""

from __future__ import annotations

import hashlib
import time
from collections import deque
from dataclasses import dataclass, field

from asic_reservoir.board import NonceFlag, Work
from asic_reservoir.errors import UsageError
from asic_reservoir.headers import sha256d
from drivers.evidence import candidates
from firmware_bridge.bm13xx.bm1387 import WorkReply
from firmware_bridge.bm13xx.jobs import MidstateJob
from firmware_bridge.bm13xx.sha256_compiled import midstate

MIDSTATES = 4
WORK_IDS = 128
"""Seven bits on the chip; consecutive works are so many ids apart as they have midstates."""
_VERSION = 0x20000000
_VERSION_SHIFT = 13
_VERSION_FIELD = 1 << 16
_EASY_BITS = 0x1D00FFFF
LATE_NS = 300_000_000
"""No nonce arrives later than so long after its work was superseded: far above pipeline and line."""
_REMEMBERED = 4
"""Works of one id that are remembered: the 32 ids go round in about 0.1 s."""


@dataclass
class SentWork:
    """One work on the chips."""

    job: int
    headers: tuple[bytes, ...]
    """The first 76 bytes of the header of every midstate."""
    version_bits: tuple[int, ...]
    sent_ns: int = 0
    superseded_ns: int | None = None
    seen: dict[tuple[int, int], int] = field(default_factory=dict)
    """Midstate and nonce of what it gave, with the flags of the first time."""


class WorkSource:
    """An endless row of works of one job.

    Args:
        work: what the step asks for.
        salt: makes the jobs of one board different from those of others.
        number: of the job.

    Raises:
        UsageError: the header is not 80 bytes.
    """

    def __init__(self, work: Work, salt: bytes, number: int) -> None:
        self.number = number
        self._user = work.header is not None
        if work.header is None:
            root = sha256d(salt + number.to_bytes(8, "little") + (work.extranonce2 or b""))
            previous = hashlib.sha256(salt).digest()
            ntime = int(time.time()) & 0xFFFFFFFF
            base = _VERSION.to_bytes(4, "little") + previous + root + ntime.to_bytes(4, "little")
            self._base = base + _EASY_BITS.to_bytes(4, "little")
        elif len(work.header) == 80:
            self._base = work.header[:76]
        else:
            raise UsageError(f"work header: {len(work.header)} bytes, must be 80")
        self._count = 0
        self._fixed: tuple[tuple[int, ...], ...] | None = None

    def _versions(self, first: int) -> tuple[int, ...]:
        return tuple((first + i) % _VERSION_FIELD << _VERSION_SHIFT for i in range(MIDSTATES))

    def take(self, work_id: int) -> tuple[MidstateJob, SentWork]:
        """The next work, under an id of the chips."""
        bits = self._versions(MIDSTATES * self._count if self._user else 0)
        own = int.from_bytes(self._base[:4], "little")
        base = self._base
        if not self._user:
            ntime = (int.from_bytes(base[68:72], "little") + self._count) & 0xFFFFFFFF
            base = base[:68] + ntime.to_bytes(4, "little") + base[72:]
        headers = tuple((own ^ bit).to_bytes(4, "little") + base[4:] for bit in bits)
        if self._user or self._fixed is None:
            self._fixed = tuple(midstate(header[:64]) for header in headers)
        self._count += 1

        def word(at: int) -> int:
            return int.from_bytes(base[at : at + 4], "little")

        wire = MidstateJob(work_id, nbits=word(72), ntime=word(68), root_tail=word(64), midstates=self._fixed)
        return wire, SentWork(self.number, headers, bits)


@dataclass(frozen=True, slots=True)
class Found:
    """What a reply turned out to be."""

    job: int
    """Number of its job; -1 where no work explains it."""
    version: int
    flags: int


@dataclass
class WorkBook:
    """Works of one board by their ids.

    Args:
        zero_bits: leading zero bits in the hash of a nonce of difficulty 1.
    """

    zero_bits: int
    unattributed: int = 0
    """Replies that no work explains."""
    one_answer: bool = False
    """Single-Word Handshake: the first valid answer ends its job."""
    _slots: dict[int, deque[SentWork]] = field(default_factory=dict)
    _newest: SentWork | None = None
    _withdrawn_below: int = 0

    def add(self, work_id: int, sent: SentWork, now_ns: int) -> None:
        """A work is about to be sent."""
        if self._newest is not None:
            self._newest.superseded_ns = now_ns
        self._newest = sent
        sent.sent_ns = now_ns
        slot = self._slots.setdefault(work_id // MIDSTATES, deque(maxlen=_REMEMBERED))
        slot.appendleft(sent)

    def withdraw_below(self, job: int) -> None:
        """Nonces of jobs before this one are stale from now on."""
        self._withdrawn_below = max(self._withdrawn_below, job)

    def forget(self) -> None:
        """The chips were reset."""
        self._slots.clear()
        self._newest = None

    def attribute(self, reply: WorkReply, difficulty: int, time_ns: int, possible: bool) -> Found:
        """Job, version bits and flags of a reply.

        Args:
            reply: what came.
            difficulty: the chips' ticket mask.
            time_ns: when it was complete.
            possible: whether a chip and a core of the board can have found it.
        """
        index = reply.work_id % MIDSTATES
        key = index, reply.nonce
        bits = self.zero_bits + difficulty.bit_length() - 1
        slot = self._slots.get(reply.work_id // MIDSTATES, ())
        repeated, asked = candidates(tuple(slot), key, time_ns, LATE_NS, bits)
        if repeated is not None:
            return self._found(repeated, index, repeated.seen[key] | NonceFlag.DUPLICATE)
        limit = (1 << 256 - self.zero_bits) // difficulty
        tail = reply.nonce.to_bytes(4, "little")
        for sent in asked:
            if int.from_bytes(sha256d(sent.headers[index] + tail), "little") < limit:
                sent.seen[key] = int(NonceFlag.VALID)
                return self._found(sent, index, int(NonceFlag.VALID))
        if not asked or not possible:
            self.unattributed += 1
            return Found(-1, 0, 0)
        asked[0].seen[key] = 0
        return self._found(asked[0], index, 0)

    def _found(self, sent: SentWork, index: int, flags: int) -> Found:
        if sent.job < self._withdrawn_below:
            flags |= NonceFlag.STALE
        if self.one_answer and flags == NonceFlag.VALID:
            self.withdraw_below(sent.job + 1)
        return Found(sent.job, sent.version_bits[index], flags)
