"""An echo state network in software: the peer that a board is measured against, never a part of one.

x[t] = (1 - leak) x[t-1] + leak tanh(W x[t-1] + input_scale w_in u[t] + bias b)   (Jaeger, GMD report 148, 2001)
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

from asic_reservoir.errors import UsageError

FloatArray = NDArray[np.float64]
LINKS_PER_NODE = 40
"""Denser than usual: through counting noise 40 links a node score better on NARMA-10 than 2, 5, 10 or all of 189."""


@dataclass(frozen=True, slots=True)
class EsnSettings:
    """What is tuned in an echo state network."""

    spectral_radius: float = 0.9
    input_scale: float = 0.5
    """Gain on an input scaled to [-1, 1]."""
    bias: float = 0.3
    leak: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class EchoStateNetwork:
    """A network of ``n_nodes``, 40 links a node, drawn by ``seed``; all settings of one seed share their structure."""

    n_nodes: int
    seed: int
    settings: EsnSettings = EsnSettings()

    def run(self, u: FloatArray, start: FloatArray | None = None) -> FloatArray:
        """States (n_steps, n_nodes) under input ``u`` (n_steps,) scaled to [-1, 1]; x[t] has seen u[t].

        Args:
            u: Input.
            start: (n_nodes,) state before the first step, zero by default.

        Raises:
            UsageError: no nodes.
        """
        if self.n_nodes < 1:
            raise UsageError(f"echo state network: {self.n_nodes} nodes, must be at least 1")
        links, weights, w_in, bias = _structure(self.n_nodes, self.seed)
        before = np.zeros(self.n_nodes) if start is None else np.ascontiguousarray(start, dtype=np.float64)
        states: FloatArray = _run(
            np.ascontiguousarray(u, dtype=np.float64),
            before,
            links,
            weights * self.settings.spectral_radius,
            w_in * self.settings.input_scale,
            bias * self.settings.bias,
            self.settings.leak,
        )
        return states


@lru_cache(maxsize=32)
def _structure(n_nodes: int, seed: int) -> tuple[NDArray[np.int64], FloatArray, FloatArray, FloatArray]:
    """Links (n_nodes, k), their weights at spectral radius 1, input weights and biases (n_nodes,) on [-1, 1]."""
    generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0xE5,)))
    n_links = min(LINKS_PER_NODE, n_nodes)
    links = np.stack([generator.choice(n_nodes, n_links, replace=False) for _ in range(n_nodes)]).astype(np.int64)
    weights = generator.normal(size=(n_nodes, n_links))
    dense = np.zeros((n_nodes, n_nodes))
    np.put_along_axis(dense, links, weights, axis=1)
    radius = float(np.abs(np.linalg.eigvals(dense)).max())
    return links, weights / radius, generator.uniform(-1.0, 1.0, n_nodes), generator.uniform(-1.0, 1.0, n_nodes)


@njit(cache=True)
def _run(
    u: FloatArray,
    start: FloatArray,
    links: NDArray[np.int64],
    weights: FloatArray,
    w_in: FloatArray,
    bias: FloatArray,
    leak: float,
) -> FloatArray:
    n_nodes, n_links = links.shape
    states = np.empty((len(u), n_nodes))
    x = start.copy()
    for t in range(len(u)):
        for i in range(n_nodes):
            drive = w_in[i] * u[t] + bias[i]
            for k in range(n_links):
                drive += weights[i, k] * x[links[i, k]]
            states[t, i] = (1.0 - leak) * x[i] + leak * np.tanh(drive)
        x[:] = states[t]
    return states
