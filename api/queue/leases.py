"""One holder a board: leases with fencing tokens that no clock can break.

A holder renews its lease by raising a counter, ``beat``. Whoever wants the lease of another must have *seen* the same
token and beat for a whole term on its own monotonic clock, and takes it by a conditional update. The holder stops
driving one term after it *began* its last successful renewal, less a margin for clocks of different pace. As the
contender cannot have seen a beat before it was written, the holder has stopped before the contender may begin,
however the time of day jumps on either side. The token grows with every taking; commands and results that carry an
old one are refused.

Where the contender holds the device lock of the holder's own domain (a file lock in the same folder, in the same
boot of the same machine), the holder's process is known to be dead, and no term is waited for.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa

from asic_reservoir.errors import BusyError
from asic_reservoir.store.facts import leases, now_ns

TERM_S = 10.0
"""A lease that was not renewed for so long may be taken."""
MARGIN_S = 1.0
"""The holder stops so much earlier: allows clocks to differ in pace by a tenth, and a write to reach the device."""
RENEW_S = 2.0
"""Between two renewals."""

Clock = Callable[[], float]
"""Monotonic seconds; only differences count."""


def boot_clock() -> float:
    """Seconds since this machine was started, sleep included: the same in all its processes, never stepped."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class StaleTokenError(BusyError):
    """The lease has gone to another holder. Nothing was written."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to drive a board, while ``clock() < valid_until``."""

    board_id: str
    token: int
    holder: str
    valid_until: float
    """On the monotonic clock of the holder."""


def take(
    connection: sa.Connection,
    board_id: str,
    holder: str,
    domain: str,
    watch: LeaseWatch,
    *,
    holder_is_dead: bool = False,
) -> Lease | None:
    """Take the lease of a board that is free, or whose holder is past its term; None where it is held.

    Args:
        connection: in a transaction that may write.
        board_id: of the table ``boards``.
        holder: name of the worker, for people.
        domain: where the device lock of this worker can be seen.
        watch: what this contender saw before; keep it between calls.
        holder_is_dead: the caller has the device lock of its own domain.
    """
    began = watch.clock()
    row = connection.execute(
        sa.select(leases.c.token, leases.c.beat, leases.c.holder, leases.c.domain).where(leases.c.board_id == board_id)
    ).one_or_none()
    if row is None:
        fresh = {"board_id": board_id, "token": 1, "beat": 0, "holder": holder, "domain": domain}
        try:
            with connection.begin_nested():
                connection.execute(leases.insert(), fresh | {"renewed_utc_ns": now_ns()})
        except sa.exc.IntegrityError:
            return None  # somebody was faster
        return Lease(board_id, 1, holder, began + watch.term_s - watch.margin_s)
    dead = holder_is_dead and row.domain == domain
    if row.holder is not None and not dead and not watch.past_term(row.token, row.beat):
        return None
    taken = connection.execute(
        leases.update()
        .where(leases.c.board_id == board_id, leases.c.token == row.token, leases.c.beat == row.beat)
        .values(token=row.token + 1, beat=0, holder=holder, domain=domain, renewed_utc_ns=now_ns())
    )
    if taken.rowcount != 1:
        return None
    return Lease(board_id, row.token + 1, holder, began + watch.term_s - watch.margin_s)


class LeaseWatch:
    """What a contender saw of a lease, and since when, on its own monotonic clock."""

    def __init__(self, clock: Clock = boot_clock, term_s: float = TERM_S, margin_s: float = MARGIN_S) -> None:
        self.clock, self.term_s, self.margin_s = clock, term_s, margin_s
        self._seen: tuple[int, int] | None = None
        self._since = 0.0

    def past_term(self, token: int, beat: int) -> bool:
        """Note what is seen now; whether it has been the same for a whole term."""
        now = self.clock()
        if self._seen != (token, beat):
            self._seen, self._since = (token, beat), now
            return False
        return now - self._since >= self.term_s


def renew(connection: sa.Connection, lease: Lease, watch: LeaseWatch, began: float | None = None) -> Lease:
    """Renew; the new term counts from ``began`` (when the renewal was asked for), not from when it was written.

    Raises:
        StaleTokenError: the lease is another's.
    """
    began = watch.clock() if began is None else began
    renewed = connection.execute(
        leases.update()
        .where(leases.c.board_id == lease.board_id, leases.c.token == lease.token, leases.c.holder == lease.holder)
        .values(beat=leases.c.beat + 1, renewed_utc_ns=now_ns())
    )
    if renewed.rowcount != 1:
        raise _stale(lease)
    return Lease(lease.board_id, lease.token, lease.holder, began + watch.term_s - watch.margin_s)


def hold(connection: sa.Connection, lease: Lease) -> None:
    """Make sure, until the end of this transaction, that nobody else has the lease.

    Raises:
        StaleTokenError: the lease is another's.
    """
    row = connection.execute(
        sa.select(leases.c.token, leases.c.holder).where(leases.c.board_id == lease.board_id).with_for_update()
    ).one_or_none()
    if row is None or row.token != lease.token or row.holder != lease.holder:
        raise _stale(lease)


def free(connection: sa.Connection, lease: Lease) -> bool:
    """Give the lease back; whether it was still held. The token stays, so that the next is greater."""
    freed = connection.execute(
        leases.update()
        .where(leases.c.board_id == lease.board_id, leases.c.token == lease.token, leases.c.holder == lease.holder)
        .values(holder=None, domain=None, renewed_utc_ns=now_ns())
    )
    return bool(freed.rowcount == 1)


def _stale(lease: Lease) -> StaleTokenError:
    return StaleTokenError(
        f"lease of board {lease.board_id}: token {lease.token} of {lease.holder} is stale, must be the newest"
    )
