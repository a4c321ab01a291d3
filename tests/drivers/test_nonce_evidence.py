"""A nonce is given to its own work though ids go round: what counts as evidence, at a strong and at a weak proof."""

from __future__ import annotations

import itertools
import struct

from asic_reservoir.board import NonceFlag, Work
from asic_reservoir.headers import sha256d
from drivers.bm1366.jobs import Job, JobBook, parse_work
from drivers.emulated_search import find_nonce
from drivers.evidence import STRONG_BITS, candidates
from drivers.s9.works import LATE_NS, SentWork, WorkBook, WorkSource
from firmware_bridge.bm13xx.bm1366 import NonceReply
from firmware_bridge.bm13xx.bm1387 import WorkReply
from firmware_bridge.bm13xx.sha256_compiled import midstate

MS = 1_000_000
WEAK = 6
VALID, DUPLICATE, STALE = (int(flag) for flag in (NonceFlag.VALID, NonceFlag.DUPLICATE, NonceFlag.STALE))


def zero_bits(header: bytes) -> int:
    return 256 - int.from_bytes(sha256d(header), "little").bit_length()


def nonce_where(proves: list[bytes], fails: list[bytes], bits: int = WEAK) -> int:
    """A nonce that has so many zero bits under some headers of 76 bytes, and has not under others."""
    return next(
        nonce
        for nonce in itertools.count()
        if all(zero_bits(head + nonce.to_bytes(4, "little")) >= bits for head in proves)
        and all(zero_bits(head + nonce.to_bytes(4, "little")) < bits for head in fails)
    )


def book_with_a_reused_id(bits: int) -> tuple[WorkBook, SentWork, SentWork]:
    """Two works under the id 0: one sent at 0 ms and superseded at 1 ms, one sent at 100 ms; each of its own job."""
    book = WorkBook(bits)
    works = []
    for job, (work_id, sent_ns) in enumerate([(0, 0), (4, MS), (0, 100 * MS)]):
        _, sent = WorkSource(Work(), bytes(16), job).take(work_id)
        book.add(work_id, sent, sent_ns)
        works.append(sent)
    return book, works[0], works[2]


def test_a_wrong_nonce_is_not_given_to_an_older_work_that_it_proves_by_chance() -> None:
    book, old, new = book_with_a_reused_id(WEAK)
    nonce = nonce_where([old.headers[0]], [new.headers[0]])
    found = book.attribute(WorkReply(nonce, 0, 0), 1, 101 * MS, possible=True)
    assert (found.job, found.flags) == (new.job, 0)
    again = book.attribute(WorkReply(nonce, 0, 0), 1, 102 * MS, possible=True)
    assert (again.job, again.flags) == (new.job, DUPLICATE)
    assert book.unattributed == 0


def test_what_came_before_a_work_was_sent_is_not_of_that_work() -> None:
    book, old, new = book_with_a_reused_id(WEAK)
    nonce = nonce_where([old.headers[0], new.headers[0]], [])
    found = book.attribute(WorkReply(nonce, 0, 0), 1, 99 * MS, possible=True)
    assert (found.job, found.flags) == (old.job, VALID)
    assert book.attribute(WorkReply(nonce, 0, 4), 1, MS // 2, possible=True).job == -1  # nothing had been sent
    assert book.unattributed == 1


def test_a_repetition_belongs_to_where_it_came_first_however_late() -> None:
    book, old, new = book_with_a_reused_id(WEAK)
    nonce = nonce_where([old.headers[0], new.headers[0]], [])
    assert book.attribute(WorkReply(nonce, 0, 0), 1, 2 * MS, possible=True).flags == VALID
    book.withdraw_below(old.job + 1)
    late = book.attribute(WorkReply(nonce, 0, 0), 1, 150 * MS, possible=True)
    assert (late.job, late.flags) == (old.job, VALID | DUPLICATE | STALE)


def test_a_strong_proof_is_believed_of_a_late_nonce_for_a_while() -> None:
    """The bits of a difficulty count: 6 of the board and 16 of the mask here."""
    difficulty = 1 << 16
    assert WEAK + 16 >= STRONG_BITS
    book, old, new = book_with_a_reused_id(WEAK)
    _, asked = candidates([new, old], (0, 1), 150 * MS, LATE_NS, WEAK + 16)
    assert asked == [new, old]
    _, asked = candidates([new, old], (0, 1), LATE_NS + 2 * MS, LATE_NS, WEAK + 16)
    assert asked == [new]
    assert book.attribute(WorkReply(7, 0, 0), difficulty, 150 * MS, possible=True).flags == 0


def test_a_wrong_nonce_that_no_core_can_have_found_is_counted_as_lost() -> None:
    book, old, new = book_with_a_reused_id(WEAK)
    nonce = nonce_where([], [old.headers[0], new.headers[0]])
    assert book.attribute(WorkReply(nonce, 0, 0), 1, 101 * MS, possible=False).job == -1
    assert book.unattributed == 1
    proven = nonce_where([new.headers[0]], [])
    assert book.attribute(WorkReply(proven, 0, 0), 1, 101 * MS, possible=False).job == new.job


def two_jobs_of_one_id(bits: int) -> tuple[JobBook, Job, Job]:
    """Sent every 10 ms; the ids have gone round once."""
    book = JobBook(bits)
    jobs = [book.add(parse_work(Work(), number, bytes(16)), False, number * 10 * MS) for number in range(17)]
    assert jobs[0].wire.job_id == jobs[16].wire.job_id
    return book, jobs[0], jobs[16]


def test_jobs_of_a_bm1366_that_share_an_id() -> None:
    book, first, last = two_jobs_of_one_id(WEAK)
    heads = [job.wire.header(0)[:76] for job in (first, last)]

    def ask(nonce: int, time_ms: int, possible: bool = True) -> tuple[int, int]:
        found = book.attribute(NonceReply(nonce, 0, first.wire.job_id, 0), 1, time_ms * MS, possible)
        return found.job, found.flags

    assert ask(nonce_where(heads[:1], heads[1:]), 161) == (last.number, 0)  # by chance: not believed
    assert ask(nonce_where(heads, []), 155) == (first.number, VALID | STALE)  # the last was not sent yet
    assert ask(nonce_where(heads, []), 170) == (first.number, VALID | DUPLICATE | STALE)
    assert ask(nonce_where([], heads), 161, possible=False)[0] == -1
    assert book.unattributed == 1


def test_a_late_nonce_with_a_strong_proof_is_stale_and_not_wrong() -> None:
    book, first, last = two_jobs_of_one_id(STRONG_BITS)
    header = first.wire.header(0)
    tail = struct.unpack("<III", header[64:76])
    tries = (
        find_nonce(midstate(header[:64]), tail, 0, 0xFFFFFFFF, STRONG_BITS, True, seed) for seed in itertools.count(1)
    )
    nonce = next(found for found in tries if found is not None)
    found = book.attribute(NonceReply(nonce, 0, first.wire.job_id, 0), 1, 170 * MS, possible=True)
    assert (found.job, found.flags) == (first.number, VALID | STALE)
    unproven = book.attribute(NonceReply(nonce ^ 1, 0, first.wire.job_id, 0), 1, 171 * MS, possible=True)
    assert (unproven.job, unproven.flags) == (last.number, 0)
