"""Shares checked against the jobs that were handed out: which job, valid, duplicate, stale.

The hot path of every Stratum board: plain values, no models; see ``tests/benchmarks/bench_wires_network.py``.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from enum import StrEnum

from asic_reservoir.headers import target_of_difficulty
from firmware_bridge.stratum.messages import ErrorCode, StratumError, Submit
from firmware_bridge.stratum.work import Hashable

MAX_NTIME_AHEAD_S = 7200
"""A header may lie two hours ahead of the network's time (Bitcoin's ``MAX_FUTURE_BLOCK_TIME``)."""


class Verdict(StrEnum):
    """What became of a share."""

    ACCEPTED = "accepted"
    LOW_DIFFICULTY = "low-difficulty"
    """The hash does not meet the difficulty of its job: a hardware error, or a filter that is too weak."""
    DUPLICATE = "duplicate"
    STALE = "stale"
    """Its job had been withdrawn; the hash itself is good."""
    UNKNOWN_JOB = "unknown-job"
    MALFORMED = "malformed"
    """A field that cannot belong to the job: length of extranonce2, version bits outside the mask, ntime."""


_ERRORS = {
    Verdict.LOW_DIFFICULTY: StratumError(ErrorCode.LOW_DIFFICULTY, "Low difficulty share"),
    Verdict.DUPLICATE: StratumError(ErrorCode.DUPLICATE, "Duplicate share"),
    Verdict.STALE: StratumError(ErrorCode.JOB_NOT_FOUND, "Stale share"),
    Verdict.UNKNOWN_JOB: StratumError(ErrorCode.JOB_NOT_FOUND, "Job not found"),
    Verdict.MALFORMED: StratumError(ErrorCode.OTHER, "Share does not fit its job"),
}


_FRESHNESS = {False: Verdict.ACCEPTED, True: Verdict.STALE}


@dataclass(frozen=True, slots=True)
class Share:
    """A checked share."""

    verdict: Verdict
    job: int
    """Number under which the job was issued; -1 if unknown."""
    difficulty: float
    """Of its hash; 0 where there was no hash to compute."""
    good_hash: bool
    """Whether the hash meets the difficulty of its job, whatever the verdict."""

    @property
    def error(self) -> StratumError | None:
        """What the pool answers; None for an accepted share."""
        return _ERRORS.get(self.verdict)


@dataclass(slots=True)
class _Issued:
    number: int
    work: Hashable
    difficulty: float
    target: int
    version_mask: int
    extranonce2_size: int
    withdrawn: bool = False
    seen: set[tuple[bytes, int, int, int]] = field(default_factory=set)


class ShareBook:
    """The jobs of one connection and every share that came for them.

    Args:
        keep: Withdrawn jobs that are remembered, so that late shares are told from unknown ones.
    """

    def __init__(self, keep: int = 1024) -> None:
        self._keep = keep
        self._jobs: OrderedDict[str, _Issued] = OrderedDict()

    def issue(
        self,
        number: int,
        work: Hashable,
        *,
        difficulty: float,
        version_mask: int,
        extranonce2_size: int,
        clean: bool,
    ) -> None:
        """Note a job that is being sent. ``clean`` withdraws all before; the number goes into every :class:`Share`."""
        if clean:
            self.withdraw()
        target = target_of_difficulty(difficulty, work.difficulty_one)
        self._jobs.pop(work.job_id, None)
        self._jobs[work.job_id] = _Issued(number, work, difficulty, target, version_mask, extranonce2_size)
        while len(self._jobs) > self._keep:
            self._jobs.popitem(last=False)

    def withdraw(self) -> None:
        """Every job issued so far: shares for them are stale from now on."""
        for job in self._jobs.values():
            job.withdrawn = True

    def check(self, submit: Submit) -> Share:
        """The verdict on a share, and the job that it belongs to. Never raises."""
        job = self._jobs.get(submit.job_id)
        if job is None:
            return Share(Verdict.UNKNOWN_JOB, -1, 0.0, False)
        bits, ntime, first = submit.version_bits or 0, submit.ntime, job.work.ntime
        if (
            len(submit.extranonce2) != job.extranonce2_size
            or bits & ~job.version_mask
            or not first <= ntime <= first + MAX_NTIME_AHEAD_S
        ):
            return Share(Verdict.MALFORMED, job.number, 0.0, False)
        value = job.work.hash_value(submit.extranonce2, ntime, submit.nonce, bits)
        good = value <= job.target
        difficulty = job.work.difficulty_one / value if value else float("inf")
        key = (submit.extranonce2, ntime, submit.nonce, bits)
        if key in job.seen:
            verdict = Verdict.DUPLICATE
        else:
            job.seen.add(key)
            verdict = Verdict.LOW_DIFFICULTY if not good else _FRESHNESS[job.withdrawn]
        return Share(verdict, job.number, difficulty, good)
