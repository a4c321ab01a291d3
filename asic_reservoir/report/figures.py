"""Builders of the figures that a run's report has. Arrays in, plot data out; nothing is drawn here.

Every builder takes plain arrays, so that a run, a replay and a claim's ledger can use the same figure. Long inputs are
cut to what an eye can tell apart, and the caption says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from asic_reservoir.board import Observation
from asic_reservoir.errors import UsageError
from asic_reservoir.nonces import NonceBatch, NonceFlag
from asic_reservoir.report.model import Curve, Interval, LinePlot, MapPlot, RasterPlot, Reference, numbers

PREDICTION_STEPS = 200
"""Steps of the test part that the first figure shows."""
RASTER_NONCES = 6_000
"""Dots of a raster."""
TELEMETRY_POINTS = 600
MARKS = ["valid", "invalid", "stale", "duplicate"]


def prediction(target: ArrayLike, predictions: Mapping[str, ArrayLike], first_step: int = 0) -> LinePlot:
    """Target of the test part against what the readouts said, the first :data:`PREDICTION_STEPS` steps.

    Args:
        target: Shape (n_steps,).
        predictions: Name to array of shape (n_steps,).
        first_step: Number of the first step in the run.
    """
    goal = _column("target", target)
    shown = min(goal.size, PREDICTION_STEPS)
    steps = first_step + np.arange(shown)
    curves = [Curve.of("target", steps, goal[:shown])]
    for name, values in predictions.items():
        curves.append(Curve.of(name, steps, _column(name, values, goal.size)[:shown]))
    return LinePlot(
        id="prediction",
        title="Target and prediction",
        caption=f"The first {shown} of {goal.size} steps of the test part; the readout never saw them in training.",
        x_label="step",
        y_label="y",
        curves=curves,
    )


def capacity(lags: ArrayLike, curves: Mapping[str, ArrayLike], threshold: ArrayLike | None = None) -> LinePlot:
    """Linear memory capacity r²(u[t−k]) against the lag k.

    Args:
        lags: Shape (n_lags,).
        curves: Name to capacities of shape (n_lags,).
        threshold: Level that a shuffled input reaches in 1 of 100 cases: one number, or shape (n_lags,).
    """
    x = _column("lags", lags)
    drawn = [Curve.of(name, x, _column(name, y, x.size), style="line+points") for name, y in curves.items()]
    references = []
    if threshold is not None:
        level = np.asarray(threshold, dtype=np.float64)
        if level.ndim == 0:
            references.append(Reference(name="99 % of shuffled inputs", value=float(level)))
        else:
            drawn.append(Curve.of("99 % of shuffled inputs", x, _column("threshold", level, x.size)))
    return LinePlot(
        id="capacity",
        title="Memory capacity a lag",
        caption="How much of the input k steps ago a linear readout recovers (1: all of it). Below the threshold it is "
        "what chance gives.",
        x_label="lag k (steps)",
        y_label="capacity r²",
        curves=drawn,
        references=references,
    )


def lag_error(lags: ArrayLike, curves: Mapping[str, ArrayLike]) -> LinePlot:
    """Error of the task against the number of lags that the host adds to the states.

    Args:
        lags: Lags kept by the host, shape (n_lags,).
        curves: Name to NRMSE of shape (n_lags,).
    """
    x = _column("lags", lags)
    return LinePlot(
        id="lag-error",
        title="Error against lag",
        caption="Test error when the host adds its own memory of the last k inputs. Where the lines meet, the board "
        "adds nothing that the host does not have.",
        x_label="lags kept by the host",
        y_label="NRMSE",
        curves=[Curve.of(name, x, _column(name, y, x.size), style="line+points") for name, y in curves.items()],
    )


def nonce_budget(
    nonces_per_step: ArrayLike,
    curves: Mapping[str, Sequence[Interval]],
    references: Mapping[str, float] | None = None,
) -> LinePlot:
    """NRMSE against the nonces that a chip gives in one step: the price of counting noise.

    Args:
        nonces_per_step: Shape (n_points,), positive.
        curves: Name to intervals, one a point.
        references: Name to NRMSE of what needs no nonces: the host's delay lines.
    """
    x = _column("nonces_per_step", nonces_per_step)
    drawn = []
    for name, intervals in curves.items():
        if len(intervals) != x.size:
            raise UsageError(f"curve {name!r}: {len(intervals)} intervals, must be {x.size} as in 'nonces_per_step'")
        drawn.append(
            Curve.of(
                name,
                x,
                [interval.mean for interval in intervals],
                low=[interval.low for interval in intervals],
                high=[interval.high for interval in intervals],
                style="line+points",
            )
        )
    return LinePlot(
        id="nonce-budget",
        title="Error against nonces a step",
        caption="A state is a count of random arrivals, so its noise falls as 1/√count: longer steps or easier shares "
        "buy accuracy. Bands: 95 % over seeds.",
        x_label="nonces a chip a step",
        y_label="NRMSE",
        x_log=True,
        curves=drawn,
        references=[Reference(name=name, value=value) for name, value in (references or {}).items()],
    )


def raster(nonces: NonceBatch, begin_ns: int | None = None, row_label: str = "chip") -> RasterPlot:
    """Arrivals as dots, time against chip, at most :data:`RASTER_NONCES` of them from the beginning."""
    shown = nonces.select(slice(0, RASTER_NONCES))
    start = int(begin_ns if begin_ns is not None else (shown.time_ns[0] if len(shown) else 0))
    stale, duplicate = shown.has(NonceFlag.STALE), shown.has(NonceFlag.DUPLICATE)
    mark = np.select([duplicate, stale, ~shown.valid], [3, 2, 1], default=0)
    some = "" if len(nonces) <= RASTER_NONCES else f"The first {RASTER_NONCES:,} of {len(nonces):,} nonces. "
    return RasterPlot(
        id="raster",
        title="Raster of nonces",
        caption=some + "One dot a nonce, at the time it arrived and the chip that found it.",
        x_label="time (s)",
        y_label=row_label,
        time_s=numbers(np.round((shown.time_ns - start) * 1e-9, 6)),
        row=shown.chip.tolist(),
        mark=mark.tolist(),
        marks=MARKS,
    )


def telemetry(observations: Sequence[Observation]) -> LinePlot | None:
    """Rate of nonces and, below, chip temperature over the run; ``None`` where nothing was observed.

    A board without sensors gives the rate alone.
    """
    if not observations:
        return None
    chosen = observations[:: max(1, -(-len(observations) // TELEMETRY_POINTS))]
    start = observations[0].begin_ns
    time_s = np.array([(o.begin_ns + o.end_ns) / 2 - start for o in chosen]) * 1e-9
    rate = np.array([o.counts.total.sum() / o.duration_s for o in chosen])
    temperature = np.array([_mean_of_finite(o.telemetry.chip_temperature_c) for o in chosen])
    hottest = np.array([_max_of_finite(o.telemetry.chip_temperature_c) for o in chosen])
    lower = []
    if np.isfinite(temperature).any():
        lower.append(Curve.of("mean of the chips", time_s, temperature))
        lower.append(Curve.of("hottest chip", time_s, hottest))
    return LinePlot(
        id="telemetry",
        title="Rates and temperatures",
        caption="What the board did while it computed. A drift here is a drift of the states."
        + ("" if lower else " The board has no temperature sensor that this path can read."),
        x_label="time (s)",
        y_label="nonces/s, whole board",
        curves=[Curve.of("nonces", time_s, rate)],
        lower=lower,
        lower_label="chip temperature (°C)",
    )


def heat_map(
    values: ArrayLike,
    *,
    id: str,
    title: str,
    caption: str = "",
    x_label: str = "",
    y_label: str = "",
    value_label: str = "",
) -> MapPlot:
    """A grid of numbers, shape (n_rows, n_columns); NaN is a cell that does not exist."""
    grid = np.asarray(values, dtype=np.float64)
    if grid.ndim != 2:
        raise UsageError(f"map {id!r}: {grid.ndim} dimensions, must be 2")
    return MapPlot(
        id=id,
        title=title,
        caption=caption,
        x_label=x_label,
        y_label=y_label,
        value_label=value_label,
        values=[numbers(row) for row in grid],
    )


def _column(name: str, values: ArrayLike, size: int | None = None) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim == 2 and 1 in array.shape:
        array = array.ravel()
    if array.ndim != 1 or (size is not None and array.size != size):
        wanted = "one column" if size is None else f"one column of {size}"
        raise UsageError(f"{name}: an array of shape {array.shape}, must be {wanted}")
    return array


def _mean_of_finite(values: NDArray[np.float64]) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if finite.size else float("nan")


def _max_of_finite(values: NDArray[np.float64]) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.max()) if finite.size else float("nan")
