"""What a result says of a published claim.

A verdict is never given without a control: a run whose controls were left out says nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asic_reservoir.claim_trials.trial import LEVEL, label_of
from asic_reservoir.kept import KeptClaim
from asic_reservoir.report.model import Check, Interval, ReportData

if TYPE_CHECKING:
    from asic_reservoir.tpf.board_windows import WindowResult


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
    measured["effect"] = {"name": "change of the host's NRMSE by the silicon", **measured["difference"], "null": 0.0}
    name = "narma10-dialogue" if published_setting else "reservoir"
    return _judged(name, report, measured)


def of_leak(report: ReportData) -> KeptClaim | None:
    """What a leakage curve says of its claim; None without its positive control."""
    if not report.controls:
        return None
    checks = {check.name: {"passed": check.passed, "sentence": check.sentence} for check in report.verdict.checks}
    return _judged("tpf-rounds", report, {"criteria": checks, "control": "reduced rounds, in the same report"})


def of_windows(result: WindowResult, checks: list[Check], p: float) -> KeptClaim | None:
    """What windows of a board say of its claim; None without controls, or where a leak was planted on purpose.

    Args:
        checks: those of :func:`asic_reservoir.tpf.window_controls.control`.
        p: of the AUC among labels that were shifted in time.
    """
    if not checks or result.settings.plant:
        return None
    failed = [check for check in checks if not check.passed]
    label = label_of(
        controls=not failed,
        shown=result.label.value == "supported" and p <= LEVEL,
        excluded=result.label.value == "not supported",
    )
    gain, auc = result.energy and result.energy.gain, result.evaluation.auc
    sentence = result.sentence
    if label != result.label.value:
        why = (
            f"the control «{failed[0].name}» failed: {failed[0].sentence}" if failed else f"labels shifted: p {p:.3f}."
        )
        sentence = f"Undecided: {why}"
    measured: dict[str, Any] = {
        "sentence": sentence,
        "effect": gain
        and {"name": "shares a joule", "value": gain.value, "low": gain.low, "high": gain.high, "null": 1.0},
        "auc": auc and {"value": auc.value, "low": auc.low, "high": auc.high, "p": p},
        "control": {check.name: {"passed": check.passed, "sentence": check.sentence} for check in checks},
    }
    return KeptClaim(claim="tpf-timing", measured=measured, verdict=label)


def _judged(name: str, report: ReportData, measured: dict[str, Any]) -> KeptClaim:
    """The report's own verdict: its rules know what the controls must show."""
    measured |= {"sentence": report.verdict.sentence}
    return KeptClaim(claim=name, measured=measured, verdict=report.verdict.label)


def _interval(interval: Interval) -> dict[str, float]:
    return {"value": interval.mean, "low": interval.low, "high": interval.high}
