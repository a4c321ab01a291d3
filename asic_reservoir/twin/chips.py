"""The chips of one board: what process variation made of each, drawn from the seed of the board."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asic_reservoir.twin.spec import TwinSpec

X_LOW, X_HIGH, X_POINTS = 0.6, 1.6, 401
"""Grid of the error table: frequency relative to the chip's own edge, in quarters of a core's width."""


@dataclass(frozen=True, slots=True, eq=False)
class Chips:
    """Per-chip parameters, float64 of shape (n_chips,) unless said otherwise."""

    edge_mhz: NDArray[np.float64]
    """f_edge at reference voltage and temperature."""
    threshold_v: NDArray[np.float64]
    capacitance_w: NDArray[np.float64]
    """Switching power per MHz and V^2."""
    leakage_w: NDArray[np.float64]
    """At reference voltage and temperature."""
    core_edge: NDArray[np.float64]
    """Edge of each core relative to the chip's, shape (n_chips, cores)."""
    error_table: NDArray[np.float32]
    """Probability that a hash is wrong on the grid of relative frequency, float32 of shape (n_chips, X_POINTS):
    the mean over the chip's cores, so that counting per chip and simulating per core are the same distribution."""
    path_width: float

    def core_error(self, chip: NDArray[np.intp], relative_frequency: NDArray[np.float64]) -> NDArray[np.float64]:
        """Error probability of every core for given chips at given f / f_edge, shape (len(chip), cores)."""
        return logistic((relative_frequency[:, None] - self.core_edge[chip]) / self.path_width)


def logistic(z: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 / (1 + exp(-z)) without overflow."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * z)))


def draw_chips(spec: TwinSpec, seed: int) -> Chips:
    """The chips of the board with this seed; the same for ever."""
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, 0xC41B])))
    chip, n = spec.chip, spec.n_chips
    core_edge = 1.0 + chip.core_spread * rng.standard_normal((n, chip.cores))
    x = np.linspace(X_LOW, X_HIGH, X_POINTS)
    table = np.empty((n, X_POINTS), np.float32)  # half the cache; an error of 1e-7 is far below a count
    for i in range(n):
        table[i] = logistic((x[:, None] - core_edge[i]) / chip.path_width).mean(axis=1)
    nominal_mhz = float(np.asarray(spec.nominal.frequency_mhz))
    return Chips(
        edge_mhz=chip.edge_mhz * (1.0 + chip.speed_spread * rng.standard_normal(n)),
        threshold_v=chip.threshold_v + chip.threshold_spread_v * rng.standard_normal(n),
        capacitance_w=np.full(n, chip.dynamic_w / (nominal_mhz * chip.reference_v**2)),
        leakage_w=chip.leakage_w * np.exp(chip.leakage_spread * rng.standard_normal(n)),
        core_edge=core_edge,
        error_table=table,
        path_width=chip.path_width,
    )
