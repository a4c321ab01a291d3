"""What a result says of a published claim.

A verdict is never given without a control: a run whose controls were left out says nothing.
"""

from __future__ import annotations

from typing import Any

from asic_reservoir.kept import KeptClaim
from asic_reservoir.report.model import Interval, ReportData


def of_experiment(report: ReportData, *, published_setting: bool) -> KeptClaim | None:
    """What a run of NARMA-10 says of its claim; None without controls, or for another task."""
    if not report.controls or report.task != "narma10":
        return None
    control_names = ("decoupled", "shuffled", "host_lags_50", "constant")
    rows = {row.name: row.nrmse for row in report.rows}
    wanted = ("silicon", "difference")
    if not all(name in rows for name in wanted) or not any(name in rows for name in control_names[:2]):
        return None
    measured: dict[str, Any] = {name: _interval(rows[name]) for name in wanted}
    measured["control"] = {name: _interval(rows[name]) for name in control_names if name in rows}
    name = "narma10-dialogue" if published_setting else "reservoir"
    return _judged(name, report, measured)


def of_leak(report: ReportData) -> KeptClaim | None:
    """What a leakage curve says of its claim; None without its positive control."""
    if not report.controls:
        return None
    checks = {check.name: check.passed for check in report.verdict.checks}
    return _judged("tpf-rounds", report, {"criteria": checks, "control": "reduced rounds, in the same report"})


def _judged(name: str, report: ReportData, measured: dict[str, Any]) -> KeptClaim:
    """The report's own verdict: its rules know what the controls must show."""
    measured |= {"sentence": report.verdict.sentence}
    return KeptClaim(claim=name, measured=measured, verdict=report.verdict.label)


def _interval(interval: Interval) -> dict[str, float]:
    return {"value": interval.mean, "low": interval.low, "high": interval.high}
