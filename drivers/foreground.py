"""A device that runs in the foreground: what ends it."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

ENDS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def at_end_signals(end: Callable[[], None]) -> Iterator[None]:
    """Ctrl-C and SIGTERM call ``end``, in the main thread, as often as they come, and raise nothing.

    An exception that strikes within a finaliser is lost, and with it the one Ctrl-C that there was.

    Args:
        end: leaves a mark for who runs; must take no lock, since it interrupts the thread that may hold it.
    """
    before = {number: signal.signal(number, lambda *_: end()) for number in ENDS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
