"""Chaotic flows as forecasting tasks: the input is the series itself, the target the series some steps later."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from asic_reservoir.tasks._task import FloatArray, Series, check_draw, draw_generator

LONGEST = 1_000_000


@dataclass(frozen=True, slots=True)
class Forecast:
    """Direct forecast of a flow ``horizon`` samples ahead. The seed draws the initial condition."""

    name: str
    horizon: int
    definition: str
    input_range: tuple[float, float]
    """Covers the attractor; the widest value seen in 10^6 samples, rounded outwards."""
    flow: Callable[[np.random.Generator, int], FloatArray]
    """(generator, number of samples) -> samples on the attractor."""

    def generate(self, seed: int, n_steps: int) -> Series:
        """Integrate ``n_steps + horizon`` samples. Raises UsageError for a seed or a length out of range."""
        check_draw(self.name, seed, n_steps, longest=LONGEST)
        samples = self.flow(draw_generator(seed, 0), n_steps + self.horizon)
        return Series(samples[:n_steps].copy(), samples[self.horizon :].copy(), 0, self.definition, self.input_range)


def mackey_glass(generator: np.random.Generator, n_samples: int) -> FloatArray:
    """x' = 0.2 x(t-17) / (1 + x(t-17)^10) - 0.1 x, sampled every 1 (Mackey & Glass, Science 197 (1977) 287).

    Runge-Kutta 4 at h = 0.1; the delayed value at half a step is the mean of its neighbours. 1000 samples are dropped.
    """
    steps_per_sample, delay_steps, dropped, h = 10, 170, 1000, 0.1
    x = (1.2 + 0.2 * generator.uniform(-1.0, 1.0, delay_steps + 1)).tolist()

    def slope(now: float, delayed: float) -> float:
        return 0.2 * delayed / (1.0 + delayed**10) - 0.1 * now

    for _ in range((dropped + n_samples) * steps_per_sample):
        now, start, end = x[-1], x[-delay_steps - 1], x[-delay_steps]
        middle = 0.5 * (start + end)
        k1 = slope(now, start)
        k2 = slope(now + 0.5 * h * k1, middle)
        k3 = slope(now + 0.5 * h * k2, middle)
        k4 = slope(now + h * k3, end)
        x.append(now + h / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4))
    return np.asarray(x[-n_samples * steps_per_sample :: steps_per_sample], dtype=np.float64)


def lorenz(generator: np.random.Generator, n_samples: int) -> FloatArray:
    """First coordinate of Lorenz-63 (10, 28, 8/3), sampled every 0.02 (Lorenz, J. Atmos. Sci. 20 (1963) 130).

    Runge-Kutta 4 at h = 0.01; 1000 samples are dropped.
    """
    dropped, h = 1000, 0.01
    x, y = (float(value) for value in generator.uniform(-10.0, 10.0, 2))
    z = 25.0
    out = []

    def slope(x: float, y: float, z: float) -> tuple[float, float, float]:
        return 10.0 * (y - x), x * (28.0 - z) - y, x * y - 8.0 / 3.0 * z

    for step in range((dropped + n_samples) * 2):
        a1, b1, c1 = slope(x, y, z)
        a2, b2, c2 = slope(x + 0.5 * h * a1, y + 0.5 * h * b1, z + 0.5 * h * c1)
        a3, b3, c3 = slope(x + 0.5 * h * a2, y + 0.5 * h * b2, z + 0.5 * h * c2)
        a4, b4, c4 = slope(x + h * a3, y + h * b3, z + h * c3)
        x += h / 6.0 * (a1 + 2.0 * a2 + 2.0 * a3 + a4)
        y += h / 6.0 * (b1 + 2.0 * b2 + 2.0 * b3 + b4)
        z += h / 6.0 * (c1 + 2.0 * c2 + 2.0 * c3 + c4)
        if step % 2 and step >= 2 * dropped:
            out.append(x)
    return np.asarray(out, dtype=np.float64)


FLOW_TASKS = (
    Forecast(
        "mackey-glass",
        1,
        "Mackey-Glass, delay 17, sampled every 1: x[t+1] from x[t]; ten linear taps reach 0.001, so this task hardly "
        "tells reservoirs apart: prefer mackey-glass-84",
        (0.2, 1.4),
        mackey_glass,
    ),
    Forecast(
        "mackey-glass-84",
        84,
        "Mackey-Glass, delay 17, sampled every 1: x[t+84] from x[t], direct",
        (0.2, 1.4),
        mackey_glass,
    ),
    Forecast(
        "lorenz",
        25,
        "Lorenz-63 (10, 28, 8/3), first coordinate, sampled every 0.02: x[t+25] from x[t], direct; the flow is "
        "polynomial, so polynomial lags of the host are a strong baseline",
        (-20.5, 20.5),
        lorenz,
    ),
)
