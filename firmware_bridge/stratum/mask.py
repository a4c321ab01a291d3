"""Finds the share filter inside a chip from the difficulties of the shares that come through.

A pool may ask for difficulty 4; a chip whose ticket mask is 256 shows nothing below 256. Of shares that pass a filter
m, a fraction m/x is harder than x, so n shares that are all harder than x say that the filter is stricter than the one
asked for, with error probability (asked/x)^n.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from firmware_bridge.stratum.difficulty import ticket_mask_for

MAX_ERROR = 1e-6
"""Probability to name a mask that is too strict by a factor of two, or to see one that is not there."""


@dataclass(frozen=True, slots=True)
class MaskFinding:
    """What the shares say about the filter."""

    asked: float
    """Difficulty that the pool asked for."""
    smallest: float
    """Of all shares seen."""
    n_shares: int
    mask: int | None
    """The filter in the chip, a power of two; None where the difficulty asked for is what decides."""
    certain: bool
    """False: too few shares to tell."""

    def __str__(self) -> str:
        if not self.certain:
            return f"difficulty {self.asked:g} asked for, {self.n_shares} shares: too few to see a mask"
        if self.mask is None:
            return f"difficulty {self.asked:g} asked for, and that is what decides ({self.n_shares} shares)"
        return (
            f"difficulty {self.asked:g} asked for, but no share of {self.n_shares} is below {self.smallest:.1f}: "
            f"the chip hides what is easier than its mask of {self.mask}"
        )


def find_mask(difficulties: Sequence[float], asked: float) -> MaskFinding:
    """The filter behind shares of these difficulties.

    >>> find_mask([256 * (1 + k / 30) for k in range(30)], asked=4).mask
    256
    """
    n = len(difficulties)
    if n == 0:
        return MaskFinding(asked, float("inf"), 0, None, False)
    smallest = min(difficulties)
    mask = ticket_mask_for(smallest) if smallest >= 1 else 1
    if 0.5**n > MAX_ERROR:
        return MaskFinding(asked, smallest, n, None, False)
    hidden = mask > asked and (asked / mask) ** n <= MAX_ERROR
    return MaskFinding(asked, smallest, n, mask if hidden else None, True)
