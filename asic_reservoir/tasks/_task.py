"""The words of a task: an input series, the target that belongs to each of its steps, and where they came from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from asic_reservoir.errors import UsageError

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Series:
    """One draw of a task, aligned for a readout.

    A state ``x[t]`` that has seen ``input[0..t]`` is asked for ``target[t]``. Of a recursion ``y[t+1] = f(y, u[..t])``
    the target of step ``t`` is therefore ``y[t+1]``, and no past ``y`` is given to anybody.
    """

    input: FloatArray
    """(n_steps,) float64: what the board is driven with, in the units of the task."""
    target: FloatArray
    """(n_steps,) float64: what the readout is to give after step t."""
    redraws: int
    """How many draws were thrown away before this one (diverged or left the stated range)."""
    definition: str
    """The formula or file in one line: two tasks of one name and different definition are different tasks."""
    input_range: tuple[float, float]
    """Lowest and highest value that the input takes by its definition; of a file: in that file."""
    classes: tuple[float, ...] | None = None
    """The values of the target where it is a symbol, else None."""

    def __len__(self) -> int:
        return len(self.input)


class Task(Protocol):
    """A source of series. One seed gives one series, bit for bit."""

    @property
    def name(self) -> str:
        """Name by which :func:`asic_reservoir.tasks.open_task` finds it."""

    def generate(self, seed: int, n_steps: int) -> Series:
        """Draw a series of ``n_steps`` steps. Raises UsageError for a seed or a length that cannot be."""


def check_draw(name: str, seed: int, n_steps: int, shortest: int = 1, longest: int = 10_000_000) -> None:
    """Raises UsageError when ``seed`` or ``n_steps`` is out of range."""
    if not 0 <= seed < 2**63:
        raise UsageError(f"task {name}: seed {seed}, must be from 0 to 2^63 - 1")
    if not shortest <= n_steps <= longest:
        raise UsageError(f"task {name}: {n_steps} steps, must be from {shortest} to {longest}")


def draw_generator(seed: int, redraw: int) -> np.random.Generator:
    """Generator of draw number ``redraw`` of ``seed``.

    A redraw takes the next child of the seed, not ``seed + 1``: a study over seeds 0, 1, 2, … must not meet the
    series of one seed again as the redraw of its neighbour.
    """
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(redraw,) if redraw else ()))
