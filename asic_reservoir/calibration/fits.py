"""The two curves of a calibration: the edge of a chip, and the cooling of a heatsink."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_NEWTON_STEPS = 60


@dataclass(frozen=True, slots=True)
class Edge:
    """Logistic curve p(wrong) = 1 / (1 + exp(-(f - edge) / width))."""

    edge_mhz: float
    standard_error_mhz: float
    width_mhz: float


def fit_edge(frequency_mhz: NDArray[np.float64], wrong: NDArray[np.float64], total: NDArray[np.float64]) -> Edge | None:
    """Maximum likelihood of a logistic edge; None where the data do not hold one.

    Args:
        frequency_mhz: shape (n,).
        wrong, total: wrong nonces and all nonces at each frequency, shape (n,).

    Raises nothing: data without errors, or with errors only, give None.
    """
    if total.sum() <= 0 or wrong.sum() < 3 or (total - wrong).sum() < 3:
        return None
    centre = float(np.average(frequency_mhz, weights=np.maximum(total, 1e-9)))
    scale = 0.027 * centre
    x = (frequency_mhz - centre) / scale
    # parameters: a + b x with b > 0; a weak normal prior holds ln b near 0 (the usual width) where data are few
    a, log_b = float(np.log((wrong.sum() + 0.5) / (total.sum() - wrong.sum() + 0.5))), 0.0
    precision = 1.0 / 0.5**2
    for _ in range(_NEWTON_STEPS):
        b = np.exp(log_b)
        p = 1.0 / (1.0 + np.exp(-np.clip(a + b * x, -40, 40)))
        residual = wrong - total * p
        weight = total * p * (1.0 - p)
        gradient = np.array([residual.sum(), (residual * b * x).sum() - precision * log_b])
        information = np.array(
            [
                [weight.sum(), (weight * b * x).sum()],
                [(weight * b * x).sum(), (weight * (b * x) ** 2).sum() + precision],
            ]
        )
        try:
            move = np.linalg.solve(information + 1e-9 * np.eye(2), gradient)
        except np.linalg.LinAlgError:
            return None
        move = np.clip(move, -1.0, 1.0)
        a, log_b = a + float(move[0]), float(np.clip(log_b + move[1], -3.0, 3.0))
        if np.abs(move).max() < 1e-8:
            break
    b = float(np.exp(log_b))
    covariance = np.linalg.inv(information + 1e-9 * np.eye(2))
    place = -a / b
    slope = np.array([-1.0 / b, -place])  # of place with respect to a and ln b
    variance = float(slope @ covariance @ slope)
    return Edge(centre + scale * place, scale * float(np.sqrt(max(variance, 0.0))), scale / b)


@dataclass(frozen=True, slots=True)
class Cooling:
    """T(t) = end + (begin - end) exp(-t / time_constant)."""

    time_constant_s: float
    standard_error_s: float
    begin_c: float
    end_c: float


def fit_cooling(time_s: NDArray[np.float64], temperature_c: NDArray[np.float64]) -> Cooling | None:
    """Least squares of one exponential; None where there is no decay to see.

    The time constant is searched on a logarithmic grid and then by golden section; the two levels are linear.
    """
    if len(time_s) < 6 or np.ptp(time_s) <= 0:
        return None

    def solve(tau: float) -> tuple[float, NDArray[np.float64]]:
        design = np.column_stack([np.ones_like(time_s), np.exp(-time_s / tau)])
        levels, *_ = np.linalg.lstsq(design, temperature_c, rcond=None)
        return float(((design @ levels - temperature_c) ** 2).sum()), levels

    span = float(np.ptp(time_s))
    grid = np.geomspace(span / 100, span * 3, 80)
    errors = [solve(float(tau))[0] for tau in grid]
    best = int(np.argmin(errors))
    if best in (0, len(grid) - 1):
        return None
    low, high = float(grid[best - 1]), float(grid[best + 1])
    ratio = (np.sqrt(5.0) - 1.0) / 2.0
    for _ in range(60):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if solve(left)[0] < solve(right)[0]:
            high = right
        else:
            low = left
    tau = 0.5 * (low + high)
    error, levels = solve(tau)
    noise = np.sqrt(error / max(1, len(time_s) - 3))
    end, drop = float(levels[0]), float(levels[1])
    if abs(drop) < 5 * noise:
        return None
    decay = np.exp(-time_s / tau)
    jacobian = np.column_stack([np.ones_like(time_s), decay, drop * decay * time_s / tau**2])
    covariance = np.linalg.pinv(jacobian.T @ jacobian) * noise**2
    return Cooling(tau, float(np.sqrt(covariance[2, 2])), end + drop, end)
