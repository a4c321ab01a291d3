"""The clock frequencies that a board can really make."""

from __future__ import annotations

from functools import cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

CRYSTAL_MHZ = 25.0


@cache
def grid_mhz(kind: str) -> NDArray[np.float64]:
    """Sorted frequencies of a kind of clock generator, in MHz, float64 of shape (n,).

    ``bm1387``: 25 MHz * fb / (ref * pd1 * pd2) with fb 32..127, ref 1..15 (what fits the register field), pd1 1..7,
    pd2 1..pd1; one frequency per 1 MHz bin, the closest to the bin, as the board's firmware tabulates them.
    ``bm1366``: fb 144..235, ref 1..2, pd1 1..7, pd2 < pd1.
    ``step:25``: multiples of 25 MHz.
    """
    if kind.startswith("step:"):
        step = float(kind.removeprefix("step:"))
        return np.arange(step, 2000.0, step)
    if kind == "bm1387":
        divisors = {ref * pd1 * pd2 for ref in range(1, 16) for pd1 in range(1, 8) for pd2 in range(1, pd1 + 1)}
        values = np.unique([CRYSTAL_MHZ * fb / d for d in divisors for fb in range(32, 128)])
        values = values[(values >= 100.0) & (values <= 1200.0)]
        bins = np.round(values).astype(np.int64)
        order = np.lexsort((np.abs(values - bins), bins))
        _, first = np.unique(bins[order], return_index=True)
        return np.sort(values[order][first])
    if kind == "bm1366":
        divisors = {ref * pd1 * pd2 for ref in (1, 2) for pd1 in range(1, 8) for pd2 in range(1, pd1)}
        values = np.unique([CRYSTAL_MHZ * fb / d for d in divisors for fb in range(144, 236)])
        return values[(values >= 25.0) & (values <= 1200.0)]
    raise ValueError(f"unknown clock generator {kind!r}")


def quantize_mhz(kind: str, frequency_mhz: NDArray[np.float64]) -> NDArray[np.float64]:
    """The nearest frequency that the clock generator can make, elementwise."""
    nearest = np.empty_like(frequency_mhz)
    _nearest(grid_mhz(kind), _midpoints_mhz(kind), frequency_mhz, nearest)
    return nearest


@njit(cache=True)
def _nearest(grid, midpoints, asked, nearest):  # type: ignore[no-untyped-def]
    """As ``grid[np.searchsorted(midpoints, asked)]``, which takes twice the time for the clocks of a whole S9."""
    for i in range(asked.shape[0]):
        low, high = 0, midpoints.shape[0]
        while low < high:
            middle = (low + high) // 2
            if midpoints[middle] < asked[i]:
                low = middle + 1
            else:
                high = middle
        nearest[i] = grid[low]


@cache
def _midpoints_mhz(kind: str) -> NDArray[np.float64]:
    grid = grid_mhz(kind)
    return 0.5 * (grid[1:] + grid[:-1])
