"""The point process: when each nonce arrives, and where it was found.

Arrivals are Poisson with the rates that physics gives, seen through the exposure of the job: nothing for a dead time
after a clean job, then a linear ramp. Counts are drawn first, times and places given the counts: a run that asks for
counts only draws the same counts from the same stream.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asic_reservoir.twin.chips import Chips
from asic_reservoir.twin.spec import JobSpec


@dataclass(frozen=True, slots=True)
class Exposure:
    """E(t) = expected share of plateau time within t after the start of the step, in s."""

    dead_s: float
    ramp_s: float

    @classmethod
    def of(cls, job: JobSpec, fresh: bool) -> Exposure:
        """Of a step that begins with a fresh job, or goes on with a steady flow of work."""
        return cls(job.dead_s, job.ramp_s) if fresh else cls(0.0, 0.0)

    def until(self, t_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """E(t), elementwise; non-decreasing, E(0) = 0."""
        past = np.maximum(t_s - self.dead_s, 0.0)
        if self.ramp_s == 0.0:
            return past
        return np.where(past < self.ramp_s, past * past / (2.0 * self.ramp_s), past - 0.5 * self.ramp_s)

    def inverse(self, e_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """t with E(t) = e, for e > 0."""
        half = 0.5 * self.ramp_s
        return self.dead_s + np.where(e_s < half, np.sqrt(2.0 * self.ramp_s * e_s), e_s + half)


@dataclass(frozen=True, slots=True, eq=False)
class Arrivals:
    """Nonces of one step in order of their discovery, all arrays of shape (n,)."""

    offset_s: NDArray[np.float64]
    """Time since the start of the step."""
    chip: NDArray[np.intp]
    core: NDArray[np.intp]
    """Index of the core within its chip."""
    valid: NDArray[np.bool_]


def place(
    rng: np.random.Generator,
    chips: Chips,
    valid: NDArray[np.int64],
    invalid: NDArray[np.int64],
    valid_hz: NDArray[np.float64],
    invalid_hz: NDArray[np.float64],
    relative: NDArray[np.float64],
    bounds_s: NDArray[np.float64],
    exposure: Exposure,
) -> Arrivals:
    """Times and cores for given counts per chip.

    ``valid`` and ``invalid`` have shape (n_chips,), the rates and relative frequencies (n_substeps, n_chips),
    ``bounds_s`` (n_substeps + 1,) the edges of the substeps.
    """
    edges = exposure.until(bounds_s)
    parts = []
    for counts, rate, good in ((valid, valid_hz, True), (invalid, invalid_hz, False)):
        chip = np.repeat(np.arange(len(counts)), counts)
        weight = np.cumsum(np.diff(edges)[:, None] * rate, axis=0)  # (n_substeps, n_chips)
        target = rng.random(len(chip)) * weight[-1, chip]
        part = np.minimum((weight[:, chip] <= target).sum(axis=0), len(weight) - 1)
        below = np.where(part > 0, weight[part - 1, chip], 0.0)
        share = (target - below) / np.maximum(weight[part, chip] - below, 1e-300)
        offset = exposure.inverse(edges[part] + np.clip(share, 0.0, 1.0) * (edges[part + 1] - edges[part]))
        core = _cores(rng, chips, chip, relative[part, chip], good)
        parts.append((np.clip(offset, 0.0, bounds_s[-1]), chip, core, np.full(len(chip), good)))
    offset, chip, core, flag = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(offset, kind="stable")
    return Arrivals(offset[order], chip[order], core[order], flag[order])


def _cores(
    rng: np.random.Generator, chips: Chips, chip: NDArray[np.intp], x: NDArray[np.float64], good: bool
) -> NDArray[np.intp]:
    """A core for each nonce: with probability proportional to its share of right (or wrong) hashes."""
    core = np.empty(len(chip), np.intp)
    for start in range(0, len(chip), 4096):  # bounds the (nonces, cores) table
        rows = slice(start, start + 4096)
        error = chips.core_error(chip[rows], x[rows])
        weight = np.cumsum(1.0 - error if good else error, axis=1)
        target = rng.random(len(weight)) * weight[:, -1]
        core[rows] = np.minimum((weight <= target[:, None]).sum(axis=1), weight.shape[1] - 1)
    return core
