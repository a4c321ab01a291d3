"""The lease of a board as a state machine with fencing tokens: the reference that the service is tested against.

The same machine, event by event, is defined in chapter Lease of ``lean/``, and there it is proven for every list of
events: at most one lease is live (``Lease.live_count_le_one``), its holder is never fenced out
(``Lease.holder_writes``), and after a write with a token no older token writes again (``Lease.stale_write_refused``).

>>> run([Acquire(1), Expire(1), Acquire(2), Write(2), Write(1)])
[True, True, True, True, False]
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Acquire:
    """A holder asks for the board; granted where no lease is live."""

    holder: int


@dataclass(frozen=True, slots=True)
class Renew:
    """The holder of a token asks to keep it."""

    token: int


@dataclass(frozen=True, slots=True)
class Expire:
    """The term of a token ends. It may come at any time: clocks and crashes decide, not the holder."""

    token: int


@dataclass(frozen=True, slots=True)
class Release:
    """The holder of a token gives it back."""

    token: int


@dataclass(frozen=True, slots=True)
class Write:
    """A command with a token reaches the driver."""

    token: int


Event = Acquire | Renew | Expire | Release | Write


@dataclass(slots=True)
class LeaseModel:
    """One board. ``step`` says whether an event was accepted; a refused one changes nothing.

    Attributes:
        live: token of the lease that is live, None where there is none.
        last: the highest token that was granted.
        fence: the highest token that the driver has accepted a command with.
        holders: holder of every token granted, the first token first.
    """

    live: int | None = None
    last: int = 0
    fence: int = 0
    holders: list[int] = field(default_factory=list)

    def step(self, event: Event) -> bool:
        """Take one event."""
        match event:
            case Acquire(holder):
                if self.live is not None:
                    return False
                self.last += 1
                self.live = self.last
                self.holders.append(holder)
                return True
            case Renew(token):
                return self.live == token
            case Expire(token) | Release(token):
                held = self.live == token
                if held:
                    self.live = None
                return held
            case Write(token):
                # nobody holds a token that was not granted, and 0 is none
                if not (self.fence <= token <= self.last and token > 0):
                    return False
                self.fence = token
                return True


def run(events: Iterable[Event]) -> list[bool]:
    """What a board without a lease answers to a list of events."""
    model = LeaseModel()
    return [model.step(event) for event in events]
