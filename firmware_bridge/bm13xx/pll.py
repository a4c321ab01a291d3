"""From a frequency to the dividers of the chips' PLL, as the firmwares do it.

BM1366: f = 25 MHz · fb / (ref · pd1 · pd2), post dividers stored minus one. Two searches exist: that of today's
ESP-Miner (best fit) and that of its v2.1.8 (first fit within 10 MHz), from which stock LV06 firmware descends.
BM1387: the table search of braiins ``bm1387.rs``, post dividers stored as they are.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from asic_reservoir.errors import UsageError
from firmware_bridge.bm13xx.commands import FrameError

CRYSTAL_MHZ = 25.0
BM1366_FEEDBACK = (144, 235)
BM1370_FEEDBACK = (160, 239)
BM1397_FEEDBACK = (60, 200)
BM1366_RANGE_MHZ = (50.0, 800.0)
"""What the solvers are asked for here; the limits of a board lie inside."""
BM1387_RANGE_HZ = (100_000_000, 1_200_000_000)
_EM218_FALLBACK = (0xA0, 2, 5, 2)
"""200 MHz: what the old firmware sets where it finds nothing."""


@dataclass(frozen=True, slots=True)
class Pll:
    """Dividers of a PLL."""

    feedback: int
    reference: int
    post1: int
    post2: int

    @property
    def vco_mhz(self) -> float:
        """Frequency of the oscillator."""
        return CRYSTAL_MHZ * self.feedback / self.reference

    @property
    def frequency_mhz(self) -> float:
        """Clock of the cores."""
        return self.vco_mhz / (self.post1 * self.post2)


def bm1366_register(pll: Pll) -> int:
    """Register 08: band, feedback, reference, post dividers minus one.

    Raises:
        UsageError: a divider does not fit its field.

    >>> f"{bm1366_register(Pll(0xA8, 2, 7, 6)):08x}"
    '40a80265'
    """
    _check(pll, 255)
    band = 0x50 if pll.vco_mhz >= 2400 else 0x40
    return band << 24 | pll.feedback << 16 | pll.reference << 8 | pll.post1 - 1 << 4 | pll.post2 - 1


def bm1366_pll(register: int) -> Pll:
    """Dividers in a value of register 08.

    Raises:
        FrameError: feedback or reference 0, more than 32 bits.
    """
    feedback, reference = register >> 16 & 0xFF, register >> 8 & 0xFF
    if not 0 <= register < 1 << 32 or not feedback or not reference:
        raise FrameError(f"PLL register: {register:08x}, feedback and reference must not be 0")
    return Pll(feedback, reference, (register >> 4 & 7) + 1, (register & 7) + 1)


def solve_bm1366(frequency_mhz: float, feedback: tuple[int, int] = BM1366_FEEDBACK) -> Pll:
    """Best fit, as today's ESP-Miner (``pll.c``): smallest error, then lowest VCO, then lowest post divider.

    Raises:
        UsageError: outside 50 to 800 MHz, or nothing fits the feedback range.

    >>> solve_bm1366(485.0).frequency_mhz
    485.0
    """
    _check_bm1366(frequency_mhz)
    best: tuple[float, float, int] | None = None
    found: Pll | None = None
    for pll in _candidates(frequency_mhz, feedback, range(7, 0, -1)):
        error = float(np.float32(abs(frequency_mhz - pll.frequency_mhz)))
        key = (error, pll.vco_mhz, pll.post1 * pll.post2)
        # Errors closer than 1e-4 MHz count as equal there, since its arithmetic is 32-bit floating point.
        if best is None or error < best[0] - 1e-4 or (abs(error - best[0]) <= 1e-4 and key[1:] < best[1:]):
            best, found = key, pll
    if found is None:
        raise UsageError(f"frequency_mhz: {frequency_mhz}, no dividers with feedback {feedback[0]} to {feedback[1]}")
    return found


def solve_em218(frequency_mhz: float) -> Pll:
    """First fit within 10 MHz, as ESP-Miner v2.1.8; 200 MHz where nothing fits. 485 MHz becomes 485.417.

    Raises:
        UsageError: outside 50 to 800 MHz.

    >>> round(solve_em218(485.0).frequency_mhz, 3)
    485.417
    """
    _check_bm1366(frequency_mhz)
    for pll in _candidates(frequency_mhz, BM1366_FEEDBACK, range(1, 8)):
        if abs(frequency_mhz - pll.frequency_mhz) < 10.0:
            return pll
    return Pll(*_EM218_FALLBACK)


def _check_bm1366(frequency_mhz: float) -> None:
    low, high = BM1366_RANGE_MHZ
    if not low <= frequency_mhz <= high:
        raise UsageError(f"frequency_mhz: {frequency_mhz}, must be from {low:g} to {high:g}")


def _candidates(frequency_mhz: float, feedback: tuple[int, int], post2_order: range) -> Iterator[Pll]:
    """Dividers in the order of the firmwares: reference 2 then 1, post1 7 to 1, post2 below post1."""
    for reference in (2, 1):
        for post1 in range(7, 0, -1):
            for post2 in post2_order:
                if post2 >= post1:
                    continue
                factor = int(frequency_mhz / CRYSTAL_MHZ * reference * post1 * post2 + 0.5)
                if feedback[0] <= factor <= feedback[1]:
                    yield Pll(factor, reference, post1, post2)


def ramp_mhz(start_mhz: float, target_mhz: float, step_mhz: float = 6.25) -> list[float]:
    """Frequencies from ``start_mhz`` (not included) to the target in steps of 6.25 MHz; the rest is one smaller step.

    >>> ramp_mhz(50.0, 65.0)
    [56.25, 62.5, 65.0]
    """
    steps = int(abs(target_mhz - start_mhz) / step_mhz + 1e-9)
    sign = 1.0 if target_mhz >= start_mhz else -1.0
    ramp = [start_mhz + sign * step_mhz * (i + 1) for i in range(steps)]
    if not ramp or abs(ramp[-1] - target_mhz) > 1e-9:
        ramp.append(target_mhz)
    return ramp if target_mhz != start_mhz else []


def bm1387_register(pll: Pll) -> int:
    """Register 0C of a BM1387; reference is a field of four bits.

    Raises:
        UsageError: a divider does not fit its field.

    >>> f"{bm1387_register(Pll(0x34, 2, 1, 1)):08x}"
    '00340211'
    """
    _check(pll, 15)
    return pll.feedback << 16 | pll.reference << 8 | pll.post1 << 4 | pll.post2


def bm1387_pll(register: int) -> Pll:
    """Dividers in a value of register 0C; bit 31, which a chip sets on reading back, is ignored.

    Raises:
        FrameError: a divider is 0.
    """
    pll = Pll(register >> 16 & 0xFF, register >> 8 & 0xF, register >> 4 & 0xF, register & 0xF)
    if not all((pll.feedback, pll.reference, pll.post1, pll.post2)):
        raise FrameError(f"PLL register: {register:08x}, no divider may be 0")
    return pll


def bm1387_hz(pll: Pll) -> int:
    """Frequency as braiins computes it: whole hertz, cut after every division."""
    return int(CRYSTAL_MHZ * 1e6) * pll.feedback // pll.reference // pll.post1 // pll.post2


@lru_cache(maxsize=2)
def bm1387_table(max_reference: int = 63) -> tuple[tuple[int, ...], tuple[Pll, ...]]:
    """Frequencies in Hz, ascending, and their dividers: of every 1-MHz bin the closest, the first found at a tie.

    Args:
        max_reference: 63 as braiins searches; 15 for what fits the register.
    """
    reference, post2, feedback = np.meshgrid(
        np.arange(1, max_reference + 1), np.arange(1, 8), np.arange(32, 128), indexing="ij"
    )
    bins: dict[int, tuple[int, int, Pll]] = {}
    for post1 in range(1, 8):
        keep = post2 <= post1
        hz = 25_000_000 * feedback[keep].astype(np.int64) // reference[keep] // post1 // post2[keep]
        nearest = (hz + 500_000) // 1_000_000
        error = np.abs(hz - nearest * 1_000_000)
        inside = (nearest >= 100) & (nearest <= 1200)
        index = np.flatnonzero(inside)
        order = index[np.lexsort((index, error[index], nearest[index]))]
        _, first = np.unique(nearest[order], return_index=True)
        for i in order[first]:
            key = int(nearest[i])
            if key not in bins or int(error[i]) < bins[key][0]:
                pll = Pll(int(feedback[keep][i]), int(reference[keep][i]), post1, int(post2[keep][i]))
                bins[key] = int(error[i]), int(hz[i]), pll
    rows = sorted(((hz, pll) for _, hz, pll in bins.values()), key=lambda row: row[0])
    return tuple(hz for hz, _ in rows), tuple(pll for _, pll in rows)


def solve_bm1387(frequency_mhz: float, max_reference: int = 63) -> Pll:
    """Dividers of the nearest frequency in the table, the lower one at a tie.

    Raises:
        UsageError: outside 100 to 1,200 MHz.

    >>> bm1387_hz(solve_bm1387(216.0))
    216071428
    """
    wanted = frequency_mhz * 1e6
    if not BM1387_RANGE_HZ[0] <= wanted <= BM1387_RANGE_HZ[1]:
        raise UsageError(f"frequency_mhz: {frequency_mhz}, must be from 100 to 1200")
    table, plls = bm1387_table(max_reference)
    after = bisect_left(table, wanted)
    if after == len(table):
        return plls[-1]
    if after and wanted - table[after - 1] <= table[after] - wanted:
        return plls[after - 1]
    return plls[after]


def _check(pll: Pll, max_reference: int) -> None:
    if not (
        1 <= pll.feedback <= 255 and 1 <= pll.reference <= max_reference and 1 <= pll.post1 <= 7 and 1 <= pll.post2 <= 7
    ):
        raise UsageError(f"PLL dividers {pll}: feedback to 255, reference to {max_reference}, post dividers to 7")
