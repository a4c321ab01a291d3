"""Where each chip of a board begins to err: found by asking the board, before a run.

The chips are swept through their clock range together and the hardware errors counted; the share of wrong nonces of
each chip is a logistic curve of ln(f) whose middle is its edge and whose slope is its width. On boards with voltage
domains in series a chip that runs faster takes voltage from its neighbours: that coupling is measured too.
Encoders centre their signals on these figures.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from asic_reservoir.board import Board, BoardInfo, OperatingPoint, Step
from asic_reservoir.errors import DataError

FloatArray = NDArray[np.float64]
Measure = Callable[[FloatArray, float], tuple[FloatArray, FloatArray]]

WANTED_COUNTS = 250
"""Nonces a counter and point of the sweep."""
SWEEP_POINTS = 13
SWEEP_REACH = 0.15
"""A sweep covers so much of ln(f) on either side of each edge."""
ROUNDS = 4
FIRST_COUPLING = 0.6
"""Guess that the first round divides by; every later round uses what was measured."""
SETTLE_NS = 8_000_000_000
WARM_STEPS = 4
BISECTIONS = 10
PRIOR_WIDTH = 0.03
"""Width that a chip with few counts is drawn to."""
PRIOR_WEIGHT = 20.0
COUPLING_CHANGE = 0.03


@dataclass(frozen=True, slots=True, eq=False)
class EdgeMap:
    """What was found. Arrays float64 of shape (n_counters,)."""

    voltage_mv: float
    """Supply that it holds for."""
    edge_mhz: FloatArray
    """Clock at which half of the counter's nonces are wrong."""
    width: FloatArray
    """Logistic width of the edge in ln(f)."""
    coupling: float
    """Relative fall of a chip's edge for a relative rise of the clock of one chip in its domain; 0 without domains."""
    board_seconds: float
    """Board time that the search took."""
    source: str = ""
    """``search`` at a wire, or which calibration; empty for a twin, which is always searched."""


@lru_cache(maxsize=16)
def _domains(n_chips: int, n_hashboards: int, n_domains: int) -> NDArray[np.intp]:
    per_board = n_chips // n_hashboards
    per_domain = max(1, per_board // n_domains)
    chip = np.arange(n_chips)
    return (chip // per_board) * n_domains + (chip % per_board) // per_domain


def domains_of(info: BoardInfo) -> NDArray[np.intp]:
    """Number of the voltage domain of each chip over the whole board, shape (n_chips,)."""
    return _domains(info.n_chips, info.n_hashboards, info.n_domains)


def find_edges(board: Board, reach: float) -> EdgeMap:
    """Choose a voltage at which all chips can be driven ``reach`` (in ln f) beyond their edge, and find the edges.

    The voltage is never above the nominal one. Where the limits leave less room than ``reach``, the edge is put as
    near to the middle of the clock range as the voltage allows.

    Raises:
        DataError: the board errs nowhere, or everywhere, within its limits.
    """
    info, begin_ns, end_ns = board.info, -1, 0
    limits = info.limits
    nominal_mv = float(np.asarray(info.nominal.voltage_mv))
    rate = info.chip_rate_hz(float(np.asarray(info.nominal.frequency_mhz)), info.nominal.difficulty)
    rate *= info.n_chips / info.n_counters
    step_ns = max(1, round(WANTED_COUNTS / rate * 1e9))

    def measure(frequency_mhz: float | FloatArray, voltage_mv: float) -> tuple[FloatArray, FloatArray]:
        nonlocal begin_ns, end_ns
        point = OperatingPoint(frequency_mhz=frequency_mhz, voltage_mv=voltage_mv, difficulty=info.nominal.difficulty)
        settling = board.step(Step(point, duration_ns=SETTLE_NS))  # clocks and regulators move at their own speed
        seen = board.step(Step(point, duration_ns=step_ns))
        begin_ns = settling.begin_ns if begin_ns < 0 else begin_ns
        end_ns = seen.end_ns
        counts = seen.counts
        return counts.invalid.astype(np.float64), (counts.valid + counts.invalid).astype(np.float64)

    def board_error(frequency_mhz: float, voltage_mv: float) -> float:
        wrong, total = measure(frequency_mhz, voltage_mv)
        return float(wrong.sum() / max(total.sum(), 1.0))

    low, high = limits.frequency_mhz.low, limits.frequency_mhz.high
    # the edge that leaves equal room, in ln f, below the upper limit
    wanted_mhz = max(high * np.exp(-reach), np.sqrt(low * high))
    lowest_mv, highest_mv = limits.voltage_mv.low, min(nominal_mv, limits.voltage_mv.high)
    if not info.voltage_settable:
        lowest_mv = highest_mv
    if board_error(wanted_mhz, lowest_mv) > 0.5:
        for _ in range(BISECTIONS):
            middle = 0.5 * (lowest_mv + highest_mv)
            if board_error(wanted_mhz, middle) > 0.5:
                lowest_mv = middle
            else:
                highest_mv = middle
        voltage_mv = highest_mv
    else:
        voltage_mv = lowest_mv
    bottom, top = low, high
    if board_error(top, voltage_mv) < 0.02:
        raise DataError(
            f"board {info.uri}: fewer than 2 % errors at {top:g} MHz and {voltage_mv:g} mV, no edge within its limits"
        )
    for _ in range(BISECTIONS):
        middle = 0.5 * (bottom + top)
        if board_error(middle, voltage_mv) > 0.5:
            top = middle
        else:
            bottom = middle
    rough = 0.5 * (bottom + top)
    if rough < 1.02 * low:
        raise DataError(
            f"board {info.uri}: half of the nonces are wrong at {rough:g} MHz, {voltage_mv:g} mV; no room below"
        )
    for _ in range(WARM_STEPS):
        measure(rough, voltage_mv)
    edge, width = np.full(info.n_counters, np.log(rough)), np.full(info.n_counters, PRIOR_WIDTH)
    apart = info.per_chip_frequency and info.n_counters == info.n_chips
    coupled = apart and info.n_domains > 1
    coupling = FIRST_COUPLING if coupled else 0.0
    for _ in range(ROUNDS if apart else 1):
        # Each chip is swept around its own edge: where domains are in series, an edge depends on the clocks of the
        # others, so it has to be found with all chips at their edges. Hence the rounds.
        offsets = np.linspace(-SWEEP_REACH, SWEEP_REACH, SWEEP_POINTS)
        wrong = np.empty((SWEEP_POINTS, info.n_counters))
        total = np.empty_like(wrong)
        clocks = np.clip(np.exp(edge + offsets[:, None]), low, high)
        # the middle first, then outward on both sides in turn: the board stays near the temperature of a run
        for k in np.argsort(np.abs(offsets), kind="stable"):
            wrong[k], total[k] = measure(clocks[k] if apart else float(clocks[k, 0]), voltage_mv)
        shift, width = fit_edges(np.log(clocks) - edge, wrong, total)
        shift = np.clip(shift, -SWEEP_REACH, SWEEP_REACH)
        edge = np.clip(edge + (decoupled(info, coupling, shift) if coupled else shift), np.log(low), np.log(high))
        if coupled:
            found = EdgeMap(voltage_mv, np.exp(edge), width, coupling, 0.0)
            coupling = _coupling(info, found, measure)
    return EdgeMap(voltage_mv, np.exp(edge), width, coupling, (end_ns - begin_ns) * 1e-9)


def decoupled(info: BoardInfo, coupling: float, wanted: FloatArray) -> FloatArray:
    """Changes of ln(f) that make every chip *see* ``wanted``: the inverse of (1 + c J) in each domain.

    A chip whose domain runs faster gets less voltage, which moves its edge down: it sees its own change plus c times
    the sum of its domain's. Shape (n_chips,) in and out.
    """
    domain = domains_of(info)
    total = np.bincount(domain, weights=wanted)
    return wanted - (coupling * total / (1.0 + coupling * np.bincount(domain)))[domain]


def fit_edges(log_mhz: FloatArray, wrong: FloatArray, total: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Logistic curve of each counter: (middle in ln f, width), both of shape (n_counters,).

    Maximum likelihood by Newton's method on p = 1 / (1 + exp(-(x - e)/w)), with a weak prior on the slope, for
    ``wrong`` of ``total`` nonces at ``log_mhz``, all of shape (n_points, n_counters).

    >>> x = np.linspace(6.3, 6.7, 9)[:, None]
    >>> e, w = fit_edges(x, 1e6 / (1 + np.exp(-(x - 6.5) / 0.04)), np.full((9, 1), 1e6))
    >>> round(float(e[0]), 3), round(float(w[0]), 3)
    (6.5, 0.04)
    """
    share = wrong.sum(axis=0) / np.maximum(total.sum(axis=0), 1.0)
    centre = log_mhz.mean(axis=0)
    x = log_mhz - centre
    slope = np.full(wrong.shape[1], 1.0 / PRIOR_WIDTH)
    # the share of wrong nonces over the whole sweep places the edge
    offset = -slope * np.ptp(log_mhz, axis=0) * (0.5 - share)
    prior = PRIOR_WEIGHT * PRIOR_WIDTH**2
    for _ in range(60):
        p = 1.0 / (1.0 + np.exp(-np.clip(offset + slope * x, -60, 60)))
        residual, weight = wrong - total * p, total * p * (1.0 - p)
        g0, g1 = residual.sum(axis=0), (residual * x).sum(axis=0) - prior * (slope - 1.0 / PRIOR_WIDTH)
        h00, h01 = weight.sum(axis=0) + 1e-6, (weight * x).sum(axis=0)
        h11 = (weight * x * x).sum(axis=0) + prior
        determinant = h00 * h11 - h01 * h01
        move0 = (h11 * g0 - h01 * g1) / determinant
        move1 = (h00 * g1 - h01 * g0) / determinant
        damp = np.minimum(1.0, 0.5 * slope / np.maximum(np.abs(move1), 1e-12))
        offset, slope = offset + damp * move0, slope + damp * move1
        if float(np.abs(damp * move1).max()) < 1e-9 * float(slope.max()):
            break
    return centre - offset / slope, 1.0 / slope


def _coupling(info: BoardInfo, edges: EdgeMap, measure: Measure) -> float:
    """Move the first chip of every other domain up and of the others down; see what its neighbours' errors do."""
    limits = info.limits.frequency_mhz
    room = min(np.log(limits.high / edges.edge_mhz.max()), np.log(edges.edge_mhz.min() / limits.low))
    size = min(COUPLING_CHANGE, 0.95 * float(room))
    if size < 0.2 * COUPLING_CHANGE:
        return 0.0  # the limits leave no room to measure it; the encoder then does not compensate
    domain = domains_of(info)
    first = np.concatenate([[True], np.diff(domain) != 0])
    even = domain % 2 == 0
    shifts = []
    for sign in (1.0, -1.0, -1.0, 1.0):  # there and back, so that a drift cancels
        change = np.where(first, np.where(even, sign, -sign) * size, 0.0)
        wrong, total = measure(edges.edge_mhz * np.exp(change), edges.voltage_mv)
        share = (wrong + 0.5) / (total + 1.0)
        logit = np.log(share / (1.0 - share)) * edges.width
        shifts.append(sign * (logit[even & ~first].mean() - logit[~even & ~first].mean()) / 2.0)
    return max(0.0, float(np.mean(shifts)) / size)
