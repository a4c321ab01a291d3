"""What needs no silicon: the rows that every score of a board stands beside."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from asic_reservoir.errors import UsageError
from asic_reservoir.evaluation import Score, Split, evaluate

FloatArray = NDArray[np.float64]
HOST_LAGS = (10, 20, 50)
NVAR_LAGS = 20


def delay_line(u: FloatArray, n_taps: int) -> FloatArray:
    """What a buffer in the host holds: (n_steps, n_taps), column k is u[t - k], zero before the start.

    >>> delay_line(np.array([1.0, 2.0, 3.0]), 2).tolist()
    [[1.0, 0.0], [2.0, 1.0], [3.0, 2.0]]
    """
    u = np.asarray(u, dtype=np.float64)
    padded = np.concatenate([np.zeros(n_taps - 1), u])
    return np.lib.stride_tricks.sliding_window_view(padded, n_taps)[:, ::-1].copy()


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
