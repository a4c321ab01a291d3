"""What kind of thing a device is, from recorded runs: eight answers, of which one is «reservoir»."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asic_reservoir.baselines import delay_line
from asic_reservoir.capacity import Capacities, LagFunctions, capacities, consistency
from asic_reservoir.controls._intervals import block_bootstrap_difference
from asic_reservoir.evaluation import Interval, Split, evaluate
from asic_reservoir.synthetic import DeviceRuns

FloatArray = NDArray[np.float64]
HOST_TAPS = 50
DEVICE_LABELS = (
    "host echo",
    "off",
    "decoupled",
    "wire",
    "inconsistent",
    "linear memory only",
    "weak reservoir",
    "reservoir",
)


@dataclass(frozen=True, slots=True)
class DeviceRules:
    """Decision rules. Fixed before a run is looked at."""

    least_memory: float = 0.5
    """Capacity for earlier inputs below this: no memory."""
    least_consistency: float = 0.8
    """Mean γ² over states below this: the device does not forget its start."""
    least_nonlinear: float = 0.5
    """Capacity of degree 2 below this: linear."""
    least_gain: float = 0.01
    """Fall of NRMSE that the states must add to a 50-tap delay line of the host."""
    level: float = 0.99
    """Of the block bootstrap interval of that fall, which must lie above 0."""


@dataclass(frozen=True, slots=True)
class DeviceClass:
    """The answer, and what it rests on."""

    label: str
    """One of :data:`DEVICE_LABELS`."""
    reason: str
    input_capacity: Capacities
    gamma_squared: float
    """Mean consistency over states."""
    gain: Interval | None
    """NRMSE of the 50 taps minus NRMSE of taps and states; None where an earlier question had settled it."""


def classify_device(
    runs: DeviceRuns, target: FloatArray, split: Split, rules: DeviceRules = DeviceRules()
) -> DeviceClass:
    """Tell what a device is.

    The questions in their order, each of which can end it: Does the host give the input away without the device? Do the
    states hold any function of the input? Any of an earlier input? Are they the same twice? Is any of it nonlinear?
    Does it improve the delay line of a host?

    Args:
        runs: Two runs of one input of independent draws, and one with the line to the device cut.
        target: (n_steps,) target that belongs to ``runs.u``.
        split: Washout of at least 50 steps.
        rules: Decision rules.

    Raises:
        UsageError: the washout is shorter than the lags looked at.
        DataError: shapes that do not fit.
    """
    rows = split.n_steps
    u, first, second = runs.u[:rows], runs.first[:rows], runs.second[:rows]
    functions = LagFunctions.of(u, washout=split.washout)
    held = capacities(first, functions)
    gamma = float(consistency(first, second, washout=split.washout).mean())
    given_away = capacities(runs.without_device[:rows], functions)
    if given_away.total > 0:
        return DeviceClass(
            "host echo", f"capacity {given_away.total:.2f} without the device: it is the host's", held, gamma, None
        )
    if held.total == 0:
        if gamma > rules.least_consistency:
            return DeviceClass("decoupled", f"no capacity for the input, yet γ² {gamma:.2f}", held, gamma, None)
        return DeviceClass("off", f"no capacity for the input, γ² {gamma:.2f}", held, gamma, None)
    if held.memory < rules.least_memory:
        return DeviceClass("wire", f"capacity {held.memory:.2f} for earlier inputs", held, gamma, None)
    if gamma < rules.least_consistency:
        return DeviceClass("inconsistent", f"γ² {gamma:.2f} over two runs of one input", held, gamma, None)
    if held.of_degree(2) < rules.least_nonlinear:
        return DeviceClass("linear memory only", f"capacity of degree 2 {held.of_degree(2):.2f}", held, gamma, None)
    line = delay_line(u, HOST_TAPS)
    alone, with_states = evaluate(line, target, split), evaluate(np.concatenate([line, first], axis=1), target, split)
    fall = block_bootstrap_difference(alone, with_states, level=rules.level)
    if fall.low > 0 and fall.mean > rules.least_gain:
        return DeviceClass("reservoir", f"improves a {HOST_TAPS}-tap delay line by {fall}", held, gamma, fall)
    return DeviceClass("weak reservoir", f"changes a {HOST_TAPS}-tap delay line by {fall}", held, gamma, fall)
