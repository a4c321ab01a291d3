"""Figures in words, for readers who do not see them. Made of the data, so that it cannot drift from the picture."""

from __future__ import annotations

from collections.abc import Sequence

from asic_reservoir.board import Origin
from asic_reservoir.report.model import Curve, Figure, MapPlot, RasterPlot, Row
from asic_reservoir.report.words import title_of


def describe(figure: Figure, origin: Origin) -> str:
    """One or two sentences.

    >>> from asic_reservoir.report.model import Curve, LinePlot
    >>> curve = Curve.of("s", [1, 2], [0.5, 0.4])
    >>> describe(LinePlot(id="a", title="Error", x_label="k", y_label="NRMSE", curves=[curve]), Origin.SIMULATED)
    'Line plot (simulated): NRMSE against k. s: 2 points, 0.4 to 0.5.'
    """
    if isinstance(figure, RasterPlot):
        kinds = ", ".join(
            f"{figure.mark.count(index):,} {name}" for index, name in enumerate(figure.marks) if index in figure.mark
        )
        return f"Raster ({origin}): {figure.y_label} against {figure.x_label}. {kinds or 'No nonces'}."
    if isinstance(figure, MapPlot):
        cells = [value for row in figure.values for value in row if value is not None]
        span = f"{min(cells):.4g} to {max(cells):.4g}" if cells else "all empty"
        return (
            f"Map ({origin}): {figure.value_label or 'value'} for {figure.y_label} (rows) and {figure.x_label} "
            f"(columns); {len(cells):,} cells, {span}."
        )
    text = f"Line plot ({origin}): {figure.y_label} against {figure.x_label}. " + _curves(figure.curves)
    if figure.lower:
        text += f" Below, {figure.lower_label}. " + _curves(figure.lower)
    if figure.references:
        text += " For comparison: " + ", ".join(f"{r.name} {r.value:.4g}" for r in figure.references) + "."
    return text


def describe_ladder(rows: Sequence[Row], origin: Origin) -> str:
    """The ladder from worst to best, in one sentence."""
    ordered = sorted((row for row in rows if row.name != "difference"), key=lambda row: -row.nrmse.mean)
    return f"Ladder of errors ({origin}), worst first: " + "; ".join(
        f"{title_of(row.name)} {row.nrmse.mean:.3f} ({row.nrmse.low:.3f} to {row.nrmse.high:.3f})" for row in ordered
    )


def _curves(curves: Sequence[Curve]) -> str:
    parts = []
    for curve in curves:
        values = [value for value in curve.y if value is not None]
        span = f"{min(values):.4g} to {max(values):.4g}" if values else "no values"
        parts.append(f"{curve.name}: {len(values)} points, {span}")
    return "; ".join(parts) + "."
