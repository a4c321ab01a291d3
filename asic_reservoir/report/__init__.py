"""Reports: the model that other programs read, its plots, and one self-contained page."""

from asic_reservoir.report.model import (
    Check,
    Curve,
    Interval,
    LinePlot,
    MapPlot,
    RasterPlot,
    Reference,
    ReportData,
    Row,
    Table,
    Verdict,
)

__all__ = [
    "Check",
    "Curve",
    "Interval",
    "LinePlot",
    "MapPlot",
    "RasterPlot",
    "Reference",
    "ReportData",
    "Row",
    "Table",
    "Verdict",
]
