"""NARMA tasks: nonlinear autoregressive moving averages of a uniform input.

Order 10 is the form of Atiya & Parlos, IEEE Trans. Neural Netw. 11 (2000) 697; orders 2, 5, 20 and 30 are forms in use
in the literature on physical reservoirs, each stated in full in the definition of its task. Several packages shift the
window by one lag; scores of the two forms must not be mixed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite, tanh

import numpy as np

from asic_reservoir.errors import UsageError
from asic_reservoir.tasks._task import Series, check_draw, draw_generator

DROPPED_STEPS = 200
"""Steps before the series begins: the start from zero is forgotten by then."""
MOST_REDRAWS = 200
LONGEST = 200_000
"""Of order 10, one draw in a dozen survives this many steps; beyond it, take several shorter sequences."""
INPUT_HIGH = 0.5


@dataclass(frozen=True, slots=True)
class Narma:
    """NARMA of one order, recursion in its standard form, never clipped.

    A sequence that leaves [0, 1] on its way, or diverges, is drawn again and counted: excursions dominate the error,
    and clipping makes another task.

    >>> from asic_reservoir.tasks import open_task
    >>> series = open_task("narma10").generate(seed=0, n_steps=1000)
    >>> series.target.shape, series.redraws
    ((1000,), 0)
    """

    name: str
    order: int
    definition: str
    recursion: Callable[[Sequence[float], int], list[float]]
    """(input, order) -> y, one value longer than the input; shorter where it stopped at a value outside [0, 1]."""

    def generate(self, seed: int, n_steps: int) -> Series:
        """Draw until a sequence stays in [0, 1].

        Raises:
            UsageError: ``seed`` or ``n_steps`` out of range, or no draw stays in range.
        """
        check_draw(self.name, seed, n_steps, longest=LONGEST)
        length = n_steps + DROPPED_STEPS
        for redraw in range(MOST_REDRAWS):
            u = draw_generator(seed, redraw).uniform(0.0, INPUT_HIGH, length)
            y = self.recursion(u.tolist(), self.order)
            if len(y) == length + 1:
                target = np.asarray(y[DROPPED_STEPS + 1 :], dtype=np.float64)
                return Series(u[DROPPED_STEPS:], target, redraw, self.definition, (0.0, INPUT_HIGH))
        raise UsageError(
            f"task {self.name}: no sequence of {n_steps} steps stayed in [0, 1] in {MOST_REDRAWS} draws; "
            "take several shorter ones (up to 10000 steps)"
        )


def in_range(value: float) -> bool:
    """False for what is redrawn: not finite, or outside [0, 1]."""
    return isfinite(value) and 0.0 <= value <= 1.0


def windowed(
    decay: float, product: float, drive: float, constant: float
) -> Callable[[Sequence[float], int], list[float]]:
    """The form of Atiya & Parlos: y[t+1] = a y[t] + b y[t] Σ_{i<n} y[t-i] + c u[t-n+1] u[t] + d."""

    def run(u: Sequence[float], order: int) -> list[float]:
        y = [0.0] * order
        for t in range(order - 1, len(u)):
            value = (
                decay * y[t]
                + product * y[t] * sum(y[t - order + 1 : t + 1])
                + drive * u[t - order + 1] * u[t]
                + constant
            )
            if not in_range(value):
                break
            y.append(value)
        return y

    return run


def saturated(u: Sequence[float], order: int) -> list[float]:
    """The windowed form inside tanh, with constant 0.01: what order 20 needs to stay finite."""
    y = [0.0] * order
    for t in range(order - 1, len(u)):
        window = sum(y[t - order + 1 : t + 1])
        y.append(tanh(0.3 * y[t] + 0.05 * y[t] * window + 1.5 * u[t - order + 1] * u[t] + 0.01))
    return y


def second_order(u: Sequence[float], order: int) -> list[float]:
    """y[t+1] = 0.4 y[t] + 0.4 y[t] y[t-1] + 0.6 u[t]^3 + 0.1."""
    y = [0.0] * order
    for t in range(order - 1, len(u)):
        value = 0.4 * y[t] + 0.4 * y[t] * y[t - 1] + 0.6 * u[t] ** 3 + 0.1
        if not in_range(value):
            break
        y.append(value)
    return y


def _text(order: int, decay: float, product: float, drive: float, constant: float) -> str:
    return (
        f"y[t+1] = {decay:g} y[t] + {product:g} y[t] sum(y[t-i], i=0..{order - 1}) "
        f"+ {drive:g} u[t-{order - 1}] u[t] + {constant:g}, u ~ U(0, 0.5), "
        f"{DROPPED_STEPS} steps dropped, redrawn when y leaves [0, 1]"
    )


NARMA_TASKS = (
    Narma(
        "narma2",
        2,
        "y[t+1] = 0.4 y[t] + 0.4 y[t] y[t-1] + 0.6 u[t]^3 + 0.1, u ~ U(0, 0.5), "
        f"{DROPPED_STEPS} steps dropped, redrawn when y leaves [0, 1]",
        second_order,
    ),
    Narma("narma5", 5, _text(5, 0.3, 0.05, 1.5, 0.1), windowed(0.3, 0.05, 1.5, 0.1)),
    Narma("narma10", 10, _text(10, 0.3, 0.05, 1.5, 0.1), windowed(0.3, 0.05, 1.5, 0.1)),
    Narma(
        "narma20",
        20,
        "y[t+1] = tanh(0.3 y[t] + 0.05 y[t] sum(y[t-i], i=0..19) + 1.5 u[t-19] u[t] + 0.01), u ~ U(0, 0.5), "
        f"{DROPPED_STEPS} steps dropped",
        saturated,
    ),
    Narma("narma30", 30, _text(30, 0.2, 0.04, 1.5, 0.001), windowed(0.2, 0.04, 1.5, 0.001)),
)
