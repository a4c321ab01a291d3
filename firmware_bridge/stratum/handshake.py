"""The Single-Word Handshake: one job in flight, and the time from each request to its answer.

A job is sent; its first good share is its answer, and only then goes the next job out. Requests and answers are
therefore one to one: an answer to a job that is not the open one is counted and belongs to nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from asic_reservoir.errors import UsageError


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and its answer."""

    job: int
    sent_ns: int
    answered_ns: int

    @property
    def delta_ns(self) -> int:
        """The published observable: time from request to answer."""
        return self.answered_ns - self.sent_ns


class HandshakeLedger:
    """Keeps requests and answers one to one. Pure: it is told the times.

    >>> ledger = HandshakeLedger()
    >>> ledger.sent(0, 1000)
    >>> ledger.answered(0, 1700).delta_ns
    700
    >>> ledger.answered(0, 1800) is None, ledger.surplus
    (True, 1)
    """

    def __init__(self) -> None:
        self._open: tuple[int, int] | None = None
        self._last = -1
        self.exchanges = 0
        self.given_up = 0
        """Requests that got no answer in their time."""
        self.surplus = 0
        """Answers that came for a job that was not open: late ones, and second ones."""

    @property
    def in_flight(self) -> int | None:
        """Number of the job that is open."""
        return None if self._open is None else self._open[0]

    def sent(self, job: int, time_ns: int) -> None:
        """A request went out.

        Raises:
            UsageError: another is still open, or the number is not new: both would break one to one.
        """
        if self._open is not None:
            raise UsageError(
                f"handshake job {job}: job {self._open[0]} is in flight, must be answered or given up first"
            )
        if job <= self._last:
            raise UsageError(f"handshake job {job}: used before, must be above {self._last}")
        self._open, self._last = (job, time_ns), job

    def answered(self, job: int, time_ns: int) -> Exchange | None:
        """A good share came; the exchange that it completes, or None where it completes none."""
        if self._open is None or self._open[0] != job:
            self.surplus += 1
            return None
        exchange = Exchange(job, self._open[1], time_ns)
        self._open = None
        self.exchanges += 1
        return exchange

    def give_up(self) -> None:
        """The open request will not be waited for any longer."""
        if self._open is not None:
            self._open = None
            self.given_up += 1
