"""Work on blocks in several threads, a few blocks ahead of who takes the results, in their order."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

THREADS = min(8, len(os.sched_getaffinity(0)))
"""Threads that decode, a reader: one for each processor that this process may use."""
AHEAD = THREADS + 1
"""Blocks that are decoded or being decoded while one is in use: what bounds the memory of a stream."""
FEW = 2
"""So few blocks are read one after the other: Arrow decodes the columns of each side by side anyway."""


class Ahead:
    """Threads for one reader, started when there is something for them to do.

    >>> with Ahead() as ahead:
    ...     list(ahead.map(lambda n: n * n, range(6)))
    [0, 1, 4, 9, 16, 25]
    """

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None

    def map(self, work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """``work`` of every item, in their order. The items are taken in the thread of the caller.

        What ``work`` raises comes where its result would have come, after the results before it.
        """
        taken = iter(items)
        first = list(islice(taken, FEW + 1))
        if len(first) <= FEW or THREADS == 1:
            yield from map(work, chain(first, taken))
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(THREADS, "store-read")
        pending: deque[Future[Result]] = deque()
        try:
            for item in chain(first, taken):
                pending.append(self._pool.submit(work, item))
                if len(pending) > AHEAD:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()

    def close(self) -> None:
        """Wait for what is under way. May be called twice."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    def __enter__(self) -> Ahead:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
