"""Eight synthetic devices with a known answer: what the verdict has to tell apart.

Each gives 50 states at 30 dB. None models a board; they are the ways in which a board can look like a reservoir.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.signal import lfilter

from asic_reservoir.echo_state import EchoStateNetwork, EsnSettings
from asic_reservoir.errors import NotFoundError

FloatArray = NDArray[np.float64]
N_STATES = 50
SNR = 1000.0
"""30 dB, relative to the variance of each state."""


@dataclass(frozen=True, slots=True, eq=False)
class DeviceRuns:
    """What is recorded of a device before it is classified: runs of one input, states of shape (n_steps, n_states)."""

    u: FloatArray
    """(n_steps,): what the host means the device to see."""
    first: FloatArray
    second: FloatArray
    """Another start, other noise, the same input."""
    without_device: FloatArray
    """The same pipeline on the host with the input line to the device cut: what the host's own path gives away."""


def synthetic_device(name: str, u: FloatArray, seed: int) -> DeviceRuns:
    """Record a synthetic device.

    Args:
        name: One of :data:`SYNTHETIC_DEVICES`.
        u: (n_steps,) input in [0, 0.5].
        seed: Draws structure, starts and noise.

    Raises:
        NotFoundError: no such device.
    """
    if name not in SYNTHETIC_DEVICES:
        raise NotFoundError(f"synthetic device {name!r}: unknown, must be one of {', '.join(SYNTHETIC_DEVICES)}")
    device = SYNTHETIC_DEVICES[name]
    scaled = 4.0 * u - 1.0
    children = [np.random.SeedSequence(seed, spawn_key=(run,)) for run in range(3)]
    runs = [_with_noise(device(scaled, seed, np.random.default_rng(child), True), child) for child in children[:2]]
    cut = _with_noise(device(scaled, seed, np.random.default_rng(children[2]), False), children[2])
    return DeviceRuns(u, runs[0], runs[1], cut)


def _with_noise(states: FloatArray, child: np.random.SeedSequence) -> FloatArray:
    generator = np.random.default_rng(child.spawn(1)[0])
    noise = generator.standard_normal(states.shape)
    centred = states - states.mean(axis=0)
    noise *= np.sqrt(np.einsum("ij,ij->j", centred, centred) / (len(states) * SNR))
    noise += states
    return noise


def _structure(seed: int) -> np.random.Generator:
    """What stays the same over runs of one device."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(1000,)))


def _independent(u: FloatArray, generator: np.random.Generator, connected: bool) -> FloatArray:
    """What arrives at the device: the input, or where its line is cut something else of the same distribution."""
    return u if connected else generator.uniform(-1.0, 1.0, len(u))


def memoryless_drift(u: FloatArray, seed: int, run: np.random.Generator, connected: bool) -> FloatArray:
    """Device A: bent wires that see u[t] only, under three random walks that differ from run to run."""
    shape = _structure(seed)
    seen = _independent(u, run, connected)[:, None]
    wire = shape.normal(size=N_STATES) * seen + 0.5 * shape.normal(size=N_STATES) * (seen**2 - 1 / 3)
    walks = np.cumsum(run.normal(size=(len(u), 3)), axis=0)
    walks /= walks.std(axis=0)
    drift = walks @ shape.normal(size=(3, N_STATES))
    states: FloatArray = wire / wire.std(axis=0) + 0.7 * drift / drift.std(axis=0)
    return states


def heat_filters(u: FloatArray, seed: int, run: np.random.Generator, connected: bool) -> FloatArray:
    """Device B: first-order low-pass filters, time constants 0.5 to 30 steps: memory, no nonlinearity."""
    constants = np.exp(_structure(seed).uniform(np.log(0.5), np.log(30.0), N_STATES))
    seen = _independent(u, run, connected)
    starts = run.normal(size=N_STATES)
    columns = []
    for constant, start in zip(constants, starts, strict=True):
        keep = float(np.exp(-1.0 / constant))
        columns.append(lfilter([1.0 - keep], [1.0, -keep], seen, zi=[keep * start])[0])
    return np.stack(columns, axis=1)


def delay_loop(u: FloatArray, seed: int, run: np.random.Generator, connected: bool) -> FloatArray:
    """Device C: one Mackey-Glass node with a delay loop as long as the input period, as it comes, untuned.

    Exponential response between virtual nodes after Appeltant et al., Nat. Commun. 2 (2011) 468.
    """
    mask = _structure(seed).choice(np.array([-1.0, 1.0]), N_STATES)
    seen = _independent(u, run, connected)
    states: FloatArray = _loop(seen, mask, run.uniform(0.5, 1.5, N_STATES), 2.0, 0.25, 0.2)
    return states


@njit(cache=True)
def _loop(
    u: FloatArray, mask: FloatArray, start: FloatArray, feedback: float, gain: float, spacing: float
) -> FloatArray:
    n_nodes = len(mask)
    keep = np.exp(-spacing)
    states = np.empty((len(u), n_nodes))
    x = start.copy()
    newest = x[n_nodes - 1]
    for t in range(len(u)):
        for i in range(n_nodes):
            # exponent 1 needs the signed denominator: with |drive| the node is odd and has no quadratic term
            drive = x[i] + gain * mask[i] * u[t]
            newest = keep * newest + (1.0 - keep) * feedback * drive / (1.0 + drive)
            x[i] = newest
            states[t, i] = newest
    return states


def chaotic_network(u: FloatArray, seed: int, run: np.random.Generator, connected: bool) -> FloatArray:
    """Device D: a network far beyond its echo-state range: rich, driven, and another answer at every start."""
    network = EchoStateNetwork(N_STATES, seed, EsnSettings(spectral_radius=2.3, input_scale=1.2, bias=0.3, leak=1.0))
    return network.run(_independent(u, run, connected), run.uniform(-1.0, 1.0, N_STATES))


def good_reservoir(u: FloatArray, seed: int, run: np.random.Generator, connected: bool) -> FloatArray:
    """A shift register of 25 cells and 25 multipliers between cells nine apart, mixed: fading memory and products."""
    depth, span = N_STATES // 2, 9
    register = np.concatenate([run.uniform(-1.0, 1.0, depth + span), _independent(u, run, connected)])
    line = np.lib.stride_tricks.sliding_window_view(register, depth + span)[1:, ::-1]
    cells = np.concatenate([line[:, :depth], line[:, :depth] * line[:, span : span + depth]], axis=1)
    rotation = np.linalg.qr(_structure(seed).normal(size=(N_STATES, N_STATES)))[0]
    states: FloatArray = cells @ rotation
    return states


def switched_off(u: FloatArray, seed: int, run: np.random.Generator, connected: bool) -> FloatArray:
    """A device without power: what its sensors read is noise."""
    return run.normal(size=(len(u), N_STATES))


def decoupled(u: FloatArray, seed: int, run: np.random.Generator, connected: bool) -> FloatArray:
    """A good reservoir that plays a programme of its own, the same at every run; the input does not reach it."""
    programme = _structure(seed).uniform(-1.0, 1.0, len(u))
    return good_reservoir(programme, seed, run, True)


def host_echo(u: FloatArray, seed: int, run: np.random.Generator, connected: bool) -> FloatArray:
    """No device: queues and time stamps of the host carry the input, whether the line to the device is cut or not."""
    shape = _structure(seed)
    taps = np.stack([np.concatenate([np.zeros(lag), u[: len(u) - lag]]) for lag in range(5)], axis=1)
    return taps @ shape.normal(size=(5, N_STATES)) + 0.3 * run.normal(size=(len(u), N_STATES))


SYNTHETIC_DEVICES: dict[str, Callable[[FloatArray, int, np.random.Generator, bool], FloatArray]] = {
    "memoryless drift": memoryless_drift,
    "heat filters": heat_filters,
    "delay loop": delay_loop,
    "chaotic network": chaotic_network,
    "good reservoir": good_reservoir,
    "switched off": switched_off,
    "decoupled": decoupled,
    "host echo": host_echo,
}
