"""Jobs of our own making: headers that nobody else works on, one for every number and word."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from asic_reservoir.errors import UsageError
from asic_reservoir.headers import sha256d
from firmware_bridge.stratum.messages import Notify

NBITS = 0x17023A04
"""Network difficulty as of 2025 (protocols.md 6.3): no share of ours makes a firmware celebrate a block."""
VERSION = 0x20000000
MAX_WORD = 40
"""Longest word in bytes; the script of a coinbase holds at most 100."""
_HEIGHT = 900_000
_TAG_DIGITS, _ID_DIGITS = 4, 12
_TAG = b"asic-reservoir"
_OUTPUT = (1).to_bytes(1) + bytes(8) + b"\x01\x6a" + bytes(4)  # one output of nothing, OP_RETURN; lock time 0


@dataclass(frozen=True, slots=True)
class JobMaker:
    """Makes jobs for one miner.

    A miner counts extranonce2 by itself, so a word that a step carries stands in the coinbase right before the
    extranonces: it goes through the same hash, and every job has a search space of its own.

    Job ids differ between runs as well: a firmware ignores an id that it has seen.

    >>> maker = JobMaker(run=bytes(32))
    >>> job = maker.make(7, ntime=1700000000, word=b"input", clean=True)
    >>> maker.number_of(job.job_id), b"input" in job.coinbase1
    (7, True)
    """

    extranonce1_size: int = 4
    extranonce2_size: int = 4
    run: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    """Makes the headers of this run different from those of any other."""

    def make(self, number: int, *, ntime: int, word: bytes = b"", clean: bool = False) -> Notify:
        """The job of that number. Raises UsageError for a word that is too long."""
        if len(word) > MAX_WORD:
            raise UsageError(f"work extranonce2: {len(word)} bytes, must be at most {MAX_WORD}")
        height = _HEIGHT.to_bytes(3, "little")
        own = bytes([len(height)]) + height + _TAG + number.to_bytes(8, "little") + word
        script = len(own) + self.extranonce1_size + self.extranonce2_size
        coinbase1 = b"\x01\0\0\0\x01" + bytes(32) + b"\xff\xff\xff\xff" + bytes([script]) + own
        return Notify(
            job_id=self.job_id(number),
            prev_hash=sha256d(self.run)[:24] + bytes(8),
            coinbase1=coinbase1,
            coinbase2=b"\xff\xff\xff\xff" + _OUTPUT,
            branches=(),
            version=VERSION,
            nbits=NBITS,
            ntime=ntime,
            clean=clean,
        )

    def job_id(self, number: int) -> str:
        """The id of the job of that number: four digits of the run, eight of the number."""
        return f"{self._tag}{number:08x}"

    def number_of(self, job_id: str) -> int:
        """The number of a job of this run, -1 for anything else. What stands behind the twelve digits is ignored."""
        digits = job_id[_TAG_DIGITS:_ID_DIGITS]
        if not job_id.startswith(self._tag) or len(job_id) < _ID_DIGITS or set(digits) - set("0123456789abcdef"):
            return -1
        return int(digits, 16)

    @property
    def _tag(self) -> str:
        return sha256d(b"job id" + self.run).hex()[:_TAG_DIGITS]

    def claim_trie(self) -> bytes:
        """Root of the claim trie for a LBRY miner, 32 bytes."""
        return sha256d(b"claim trie" + self.run)
