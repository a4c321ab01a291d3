"""Plot data to SVG. Every picture carries the word simulated, replayed or measured.

Equal data gives equal bytes with one version of Matplotlib: element ids come from a fixed salt, glyphs are drawn as
paths, and no date is written.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import ScalarFormatter
from numpy.typing import NDArray

from asic_reservoir.board import Origin
from asic_reservoir.report.model import Curve, Figure, LinePlot, MapPlot, RasterPlot, Reference, Row
from asic_reservoir.report.words import title_of

WIDTH_IN = 7.2
ROW_IN = 0.34
"""Height of one row of the ladder."""
COLOURS = ("#1a1a1a", "#0072b2", "#d55e00", "#009e73", "#8f4f9f", "#b07d00", "#56879f", "#7a3b00")
"""Dark first (the target), then hues that stay apart for colour-blind readers (after Okabe and Ito)."""
GREY = "#6b7280"
SILICON, HOST, CONTROL, BOTH = "#0072b2", "#4b5563", "#b45309", "#00735a"
GROUPS = {
    "silicon": SILICON,
    "silicon_present_only": SILICON,
    "host_silicon": BOTH,
    "difference": BOTH,
    "decoupled": CONTROL,
    "shuffled": CONTROL,
    "poisson_twin": CONTROL,
}
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "asic-reservoir",
    "svg.fonttype": "path",
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#9ca3af",
    "axes.labelcolor": "#374151",
    "xtick.color": "#374151",
    "ytick.color": "#374151",
    "axes.grid": True,
    "grid.color": "#e5e7eb",
    "grid.linewidth": 0.7,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "lines.markersize": 4.0,
    "image.cmap": "viridis",
}


def draw(figure: Figure, origin: Origin) -> bytes:
    """One figure as SVG.

    >>> from asic_reservoir.report.model import Curve, LinePlot
    >>> plot = LinePlot(id="line", title="A line", curves=[Curve.of("y", [0, 1], [0, 1])])
    >>> draw(plot, Origin.SIMULATED) == draw(plot, Origin.SIMULATED)
    True
    """
    with matplotlib.style.context(["default", STYLE]):
        if isinstance(figure, RasterPlot):
            return _svg(_raster(figure), origin)
        if isinstance(figure, MapPlot):
            return _svg(_map(figure), origin)
        return _svg(_lines(figure), origin)


def draw_ladder(rows: Sequence[Row], origin: Origin) -> bytes:
    """The rows from worst to best as dots with intervals; the added value below on an axis of its own."""
    ladder = [row for row in rows if row.name != "difference"]
    added = [row for row in rows if row.name == "difference"]
    with matplotlib.style.context(["default", STYLE]):
        heights = [ROW_IN * max(len(ladder), 1) + 0.6] + ([ROW_IN + 0.75] if added else [])
        canvas = _canvas(sum(heights))
        axes = canvas.subplots(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
        _dots(axes[0], sorted(ladder, key=lambda row: -row.nrmse.mean))
        axes[0].set_xlabel("NRMSE on the test part (smaller is better)")
        axes[0].set_xlim(left=0)
        if added:
            _dots(axes[1], added)
            axes[1].axvline(0, color="#111827", linewidth=1)
            axes[1].set_xlabel("change of NRMSE, paired (below 0: it adds)")
        return _svg(canvas, origin)


def _dots(axes: Axes, rows: Sequence[Row]) -> None:
    for y, row in enumerate(rows):
        colour = GROUPS.get(row.name, HOST)
        axes.plot([row.nrmse.low, row.nrmse.high], [y, y], color=colour, linewidth=2.2, solid_capstyle="butt")
        if row.values:
            axes.plot(row.values, [y] * len(row.values), "|", color=colour, alpha=0.45, markersize=7)
        axes.plot(row.nrmse.mean, y, "o", color=colour, markersize=5.5)
        axes.annotate(
            f"{row.nrmse.mean:.3f}".replace("-", "−"),
            (row.nrmse.high, y),
            xytext=(7, 0),
            textcoords="offset points",
            va="center",
            fontsize=8.5,
            color=colour,
        )
    axes.set_yticks(range(len(rows)), [title_of(row.name) for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.margins(x=0.12)
    axes.grid(False, axis="y")


def _lines(plot: LinePlot) -> Canvas:
    canvas = _canvas(3.5 if not plot.lower else 4.6)
    panels = canvas.subplots(2 if plot.lower else 1, 1, sharex=True, squeeze=False)[:, 0]
    _curves(panels[0], plot.curves, plot.references)
    panels[0].set_ylabel(plot.y_label)
    if plot.lower:
        _curves(panels[1], plot.lower, [])
        panels[1].set_ylabel(plot.lower_label)
    panels[-1].set_xlabel(plot.x_label)
    for panel in panels:
        if plot.x_log:
            panel.set_xscale("log")
            panel.xaxis.set_major_formatter(ScalarFormatter())
    if plot.y_log:
        panels[0].set_yscale("log")
    return canvas


def _curves(axes: Axes, curves: Sequence[Curve], references: Sequence[Reference]) -> None:
    for index, curve in enumerate(curves):
        colour = COLOURS[index % len(COLOURS)] if len(curves) > 1 else SILICON
        x, y = _array(curve.x), _array(curve.y)
        if curve.low is not None and curve.high is not None:
            axes.fill_between(x, _array(curve.low), _array(curve.high), color=colour, alpha=0.18, linewidth=0)
        if curve.style == "bars":
            width = 0.9 * float(np.diff(x).min()) if x.size > 1 else 0.8
            axes.bar(x, y, width=width, color=colour, alpha=0.75, label=curve.name)
        elif curve.style == "steps":
            axes.step(x, y, where="mid", color=colour, label=curve.name)
        else:
            form = {"line": "-", "points": "o", "line+points": "o-"}[curve.style]
            axes.plot(x, y, form, color=colour, label=curve.name)
    for index, reference in enumerate(references):
        dash = ((0, (5, 3)), (0, (1, 2)), (0, (5, 2, 1, 2)))[index % 3]
        axes.axhline(reference.value, color=GREY, linestyle=dash, linewidth=1.2, label=reference.name)
    if len(curves) + len(references) > 1:
        axes.legend(
            loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=3, fontsize=8.5, borderaxespad=0.2, handlelength=1.8
        )


def _raster(plot: RasterPlot) -> Canvas:
    canvas = _canvas(3.6)
    axes = canvas.subplots()
    time_s, row, mark = _array(plot.time_s), np.asarray(plot.row), np.asarray(plot.mark)
    for index, name in enumerate(plot.marks):
        chosen = mark == index
        if chosen.any():
            size = 2.5 if index == 0 else 9.0
            axes.scatter(
                time_s[chosen],
                row[chosen],
                s=size,
                marker="o" if index == 0 else "x",
                linewidths=0.0 if index == 0 else 0.9,
                color=(SILICON, "#d55e00", "#b07d00", "#8f4f9f")[index % 4],
                label=f"{name} ({int(chosen.sum()):,})",
                rasterized=True,
            )
    if time_s.size:
        axes.legend(
            loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=4, fontsize=8.5, markerscale=1.6, borderaxespad=0.2
        )
    axes.set_xlabel(plot.x_label)
    axes.set_ylabel(plot.y_label)
    axes.grid(False)
    return canvas


def _map(plot: MapPlot) -> Canvas:
    grid = np.array([[np.nan if value is None else value for value in row] for row in plot.values], dtype=np.float64)
    n_rows, n_columns = grid.shape
    canvas = _canvas(float(np.clip(WIDTH_IN * 0.8 * n_rows / n_columns, 1.8, 6.5)) + 0.5)
    axes = canvas.subplots()
    image = axes.imshow(grid, aspect="auto", origin="lower", interpolation="nearest")
    axes.set_facecolor("#f3f4f6")
    axes.grid(False)
    canvas.colorbar(image, ax=axes, label=plot.value_label, pad=0.02)
    for ticks, labels in ((axes.set_xticks, plot.x_ticks), (axes.set_yticks, plot.y_ticks)):
        if labels:
            every = max(1, -(-len(labels) // 16))
            ticks(range(0, len(labels), every), labels[::every])
    if plot.annotate:
        _annotate(axes, grid)
    axes.set_xlabel(plot.x_label)
    axes.set_ylabel(plot.y_label)
    return canvas


def _annotate(axes: Axes, grid: NDArray[np.float64]) -> None:
    middle = np.nanmean([np.nanmin(grid), np.nanmax(grid)]) if np.isfinite(grid).any() else 0.0
    for (y, x), value in np.ndenumerate(grid):
        if np.isfinite(value):
            axes.text(
                x, y, f"{value:.3g}", ha="center", va="center", fontsize=8, color="white" if value < middle else "black"
            )


def _canvas(height_in: float) -> Canvas:
    canvas = Canvas(figsize=(WIDTH_IN, height_in + 0.35), layout="constrained", facecolor="white")
    FigureCanvasSVG(canvas)
    return canvas


def _svg(canvas: Canvas, origin: Origin) -> bytes:
    """The canvas with its origin in the upper left corner, as SVG."""
    canvas.suptitle(
        origin.value.upper(),
        x=0.012,
        ha="left",
        fontsize=8.5,
        fontweight="bold",
        color={"simulated": "#9a3412", "replayed": "#5b21b6", "measured": "#065f46"}[origin.value],
    )
    out = io.BytesIO()
    canvas.savefig(out, format="svg", dpi=150, metadata={"Date": None, "Creator": None})
    return out.getvalue()


def _array(values: Sequence[float | None]) -> NDArray[np.float64]:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
