"""What needs no silicon: the rows that every score of a board stands beside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from asic_reservoir.echo_state import EchoStateNetwork, EsnSettings
from asic_reservoir.errors import UsageError
from asic_reservoir.evaluation import Score, Split, evaluate

FloatArray = NDArray[np.float64]
HOST_LAGS = (10, 20, 50)
NVAR_LAGS = 20
NARMA10_MEMORYLESS_FLOOR = 0.8673
"""Lowest NRMSE on NARMA-10 of any function of u[t] alone: √(1 - 0.0029296875 / Var y), Var y = 0.01183.

The numerator is the variance of E[y[t+1] | u[t]]: 1.5² · (1/16) · (1/48), from y[t+1] = … + 1.5 u[t-9] u[t] with
E u = 1/4 and Var u = 1/48. Var y is a measured moment of sequences that stay in [0, 1] (200 of 10⁴ steps gave 0.0118).
"""

GOOD_STARTS = (
    EsnSettings(1.06, 0.06, 0.4, 1.0),
    EsnSettings(1.0, 0.14, 0.35, 1.0),
    EsnSettings(0.9, 0.5, 0.6, 1.0),
)
"""Settings that searches of 500 trials at 17 and 166 events a node on other seeds (1001, 1002) of NARMA-10 led to."""


def delay_line(u: FloatArray, n_taps: int) -> FloatArray:
    """What a buffer in the host holds: (n_steps, n_taps), column k is u[t - k], zero before the start.

    >>> delay_line(np.array([1.0, 2.0, 3.0]), 2).tolist()
    [[1.0, 0.0], [2.0, 1.0], [3.0, 2.0]]
    """
    u = np.asarray(u, dtype=np.float64)
    padded = np.concatenate([np.zeros(n_taps - 1), u])
    line: FloatArray = np.lib.stride_tricks.sliding_window_view(padded, n_taps)[:, ::-1].copy()
    return line


def quadratic_lags(u: FloatArray, n_taps: int = NVAR_LAGS) -> FloatArray:
    """The delay line and every product of two of its taps: (n_steps, n_taps + n_taps (n_taps + 1) / 2).

    The nonlinear vector autoregression of Gauthier et al., Nat. Commun. 12 (2021) 5564, of degree 2 and stride 1.
    """
    line = delay_line(u, n_taps)
    first, second = np.triu_indices(n_taps)
    return np.concatenate([line, line[:, first] * line[:, second]], axis=1)


def host_ladder(u: FloatArray, y: FloatArray, split: Split) -> dict[str, Score]:
    """Scores of the host alone, by row name, under the same protocol as every board.

    Rows: ``constant``, ``input`` (u[t]), ``host_lags_10``, ``host_lags_20``, ``host_lags_50``, ``host_nvar`` (20 lags
    and their products).

    Args:
        u: (n_steps,) input.
        y: (n_steps,) target.
        split: Its washout must fill the longest delay line.

    Raises:
        UsageError: the washout is shorter than 50 steps.
        DataError: as :func:`asic_reservoir.evaluation.evaluate`.
    """
    if split.washout < max(HOST_LAGS):
        raise UsageError(
            f"split: washout {split.washout}, must be at least {max(HOST_LAGS)} to fill the host's delay line"
        )
    line = delay_line(u, max(HOST_LAGS))
    features = {"constant": np.zeros((len(line), 1)), "input": line[:, :1]}
    features |= {f"host_lags_{n_taps}": line[:, :n_taps] for n_taps in HOST_LAGS}
    features["host_nvar"] = quadratic_lags(u)
    return {name: evaluate(states, y, split) for name, states in features.items()}


def poisson_counts(activity: FloatArray, mean_count: float, split: Split, generator: np.random.Generator) -> FloatArray:
    """States as an event counter sees them: counts of mean ``mean_count`` at full modulation depth.

    Each state is moved to [-1, 1] by its range on the training part (beyond it, clipped): the deepest modulation that a
    rate allows, and so the most that counting can pass on.

    Args:
        activity: (n_steps, n_states).
        mean_count: Events a state and step at mid range, above 0.
        split: Whose training part gives the ranges.
        generator: Draws the events.

    Returns:
        (n_steps, n_states) counts as float64.

    Raises:
        UsageError: ``mean_count`` is not above 0.
    """
    if not 0 < mean_count < 1e12:
        raise UsageError(f"mean count {mean_count:g}, must be above 0 and below 1e12 events a state and step")
    low, high = activity[split.train_rows].min(axis=0), activity[split.train_rows].max(axis=0)
    half = np.where(high > low, (high - low) / 2, 1.0)
    depth = np.clip((activity - (low + high) / 2) / half, -1.0, 1.0)
    counts: FloatArray = generator.poisson(mean_count * (1.0 + depth)).astype(np.float64)
    return counts


def poisson_twin(
    drive: FloatArray,
    y: FloatArray,
    split: Split,
    *,
    mean_count: float,
    n_counters: int = 1,
    seed: int = 0,
) -> Score:
    """The memoryless twin: counters whose rate follows the drive of the same step, and nothing else.

    With ``drive`` = u[t] this is what a board gives that is a wire from input to rate. With the drives of an encoding
    (n_steps, n_counters) it is what that encoding gives through counters that are linear: the rest is the silicon's.

    Args:
        drive: (n_steps,), shared by ``n_counters`` independent counters, or (n_steps, n_counters).
        y: (n_steps,) target.
        split: Protocol.
        mean_count: Events a counter and step, as *counted* on the board: dead time is already in it.
        n_counters: Counters that share a one-dimensional drive.
        seed: Draws the events.

    Raises:
        UsageError: ``mean_count`` is not above 0.
        DataError: as :func:`asic_reservoir.evaluation.evaluate`.
    """
    activity = np.repeat(drive[:, None], n_counters, axis=1) if drive.ndim == 1 else drive
    generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0x701,)))
    return evaluate(poisson_counts(activity, mean_count, split, generator), y, split)


@dataclass(frozen=True, slots=True)
class NoisyEsn:
    """An echo state network whose states are seen through Poisson counts."""

    n_nodes: int
    mean_count: float
    """Events a node and step."""
    settings: EsnSettings = field(default_factory=EsnSettings)

    def states(self, u: FloatArray, input_range: tuple[float, float], split: Split, seed: int) -> FloatArray:
        """(n_steps, n_nodes) counts. ``seed`` draws both the network and the events."""
        low, high = input_range
        scaled = 2.0 * (np.asarray(u, dtype=np.float64) - low) / (high - low) - 1.0
        activity = EchoStateNetwork(self.n_nodes, seed, self.settings).run(scaled)
        generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0xE0,)))
        return poisson_counts(activity, self.mean_count, split, generator)


def esn_same_noise(
    u: FloatArray, y: FloatArray, split: Split, esn: NoisyEsn, *, input_range: tuple[float, float], seed: int
) -> Score:
    """Score of an echo state network with as many nodes as the board has chips, and the same counting noise.

    Raises:
        UsageError: no nodes, or a mean count that is not above 0.
        DataError: as :func:`asic_reservoir.evaluation.evaluate`.
    """
    return evaluate(esn.states(u, input_range, split, seed), y, split)


def tune_esn(
    series: Sequence[tuple[FloatArray, FloatArray]],
    split: Split,
    *,
    n_nodes: int,
    mean_count: float,
    input_range: tuple[float, float],
    n_trials: int = 24,
    seed: int = 0,
) -> NoisyEsn:
    """Tune an echo state network at the noise it will be seen through, on series that are reported nowhere.

    Known good settings first, then random search over spectral radius, input gain, bias and leak. A tuning without
    noise picks weakly driven networks whose nonlinearity drowns in the counts.

    Args:
        series: (input, target) of other seeds than the reported ones.
        split: Protocol of the trials.
        n_nodes: Nodes.
        mean_count: Events a node and step.
        input_range: Of the task.
        n_trials: Settings that are tried.
        seed: Of the search; networks and events take it and the place in ``series``.

    Raises:
        UsageError: no series or no trials.
    """
    if not series or n_trials < 1:
        raise UsageError(f"tune_esn: {len(series)} series and {n_trials} trials, must be at least one of each")
    generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0x70E,)))
    drawn = [
        EsnSettings(
            spectral_radius=float(generator.uniform(0.7, 1.3)),
            input_scale=float(np.exp(generator.uniform(np.log(0.03), np.log(1.5)))),
            bias=float(generator.uniform(0.0, 1.0)),
            leak=float(generator.choice([0.5, 1.0])),
        )
        for _ in range(n_trials)
    ]
    best, lowest = NoisyEsn(n_nodes, mean_count), np.inf
    for settings in (*GOOD_STARTS, *drawn)[:n_trials]:
        trial = NoisyEsn(n_nodes, mean_count, settings)
        score = 0.0
        for place, (u, y) in enumerate(series):
            states = trial.states(u, input_range, split, seed + place)
            score += evaluate(states, y, split, selection="gcv").nrmse / len(series)
        if score < lowest:
            best, lowest = trial, score
    return best
