"""Which of the works of its id a nonce belongs to: what counts as evidence, and how much of it is enough.

Ids go round, so a reply names a handful of works. A work answers for a reply when the reply repeats one that it gave
before, or when its hash proves it. It cannot answer before it was sent. Where a proof is weak, as on an emulated board
that asks for a few zero bits, works before the last one would now and then prove a wrong nonce by chance: there only
the last one that can have answered is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

STRONG_BITS = 20
"""Zero bits from which a proof by chance is rarer than one in a million."""


class Sent(Protocol):
    """A work that was sent."""

    sent_ns: int
    """Board time right before it left."""
    superseded_ns: int | None
    """Board time when another work took its place; None for the newest."""
    seen: dict[tuple[int, int], int]
    """Nonces that it gave, by what tells them apart, and whether they were valid."""


S = TypeVar("S", bound=Sent)


def candidates(
    occupants: Sequence[S], key: tuple[int, int], time_ns: int, late_ns: int, proof_bits: int
) -> tuple[S | None, list[S]]:
    """The work that gave this very reply before, and the works that may prove it, in the order of asking.

    Args:
        occupants: works of the id, the newest first.
        key: what tells a nonce from others of its work.
        time_ns: when the reply was complete.
        late_ns: how long after its successor was sent a work may still answer.
        proof_bits: zero bits that a valid nonce has at the present difficulty.
    """
    sent = [work for work in occupants if work.sent_ns <= time_ns]
    repeated = next((work for work in sent if key in work.seen), None)
    asked = [
        work
        for place, work in enumerate(sent)
        if not place or (proof_bits >= STRONG_BITS and time_ns - (work.superseded_ns or time_ns) <= late_ns)
    ]
    return repeated, asked
