"""What the reports of filters share: what their joules assume, tables and figures."""

from __future__ import annotations

import math
from collections.abc import Sequence

from asic_reservoir.report.model import Curve, LinePlot, Reference, Scalar, Table
from asic_reservoir.tpf import energy
from asic_reservoir.tpf.accounting import EnergyEstimate, Estimate
from asic_reservoir.tpf.energy import PUBLISHED_K, PUBLISHED_N, Architecture, EnergyModel
from asic_reservoir.tpf.information import Auc, clopper_pearson
from asic_reservoir.tpf.predictors import Evaluation

Settings = dict[str, str | bool | int | float | None]

ARCHITECTURES = {
    "sequential core": EnergyModel(Architecture.SEQUENTIAL),
    "unrolled pipeline": EnergyModel(Architecture.PIPELINE, switching="0.6"),
    "proxy": EnergyModel(Architecture.PROXY),
}
"""What the joules of a report assume."""
ASSUMPTIONS = (
    "Joules assume: sequential core, an abort frees time and energy of the rounds left out; unrolled pipeline, an "
    "abort frees 60 % of the energy downstream (an assumption: clock tree, leakage and the slot stay spent); proxy, "
    "the hash is done before the filter sees it, nothing is freed and a withheld share is lost."
)
THEOREMS = (
    "Proved in lean/, chapter Energy: savings_le (savings are at most 1 - k/n), no_free_lunch (recall equal to the "
    "keep rate gives a gain of at most 1), gain_gt_one_iff (it pays exactly where recall > k/n + (1 - k/n) q)."
)
WITHHELD = "No share that was found is withheld: the filter decides about hashing, never about handing in."


def evaluation_rows(evaluations: Sequence[Evaluation]) -> list[list[Scalar]]:
    """A row of a table each: predictor, AUC, its interval, shares."""
    rows: list[list[Scalar]] = []
    for e in evaluations:
        if e.auc is None:
            rows.append([f"{e.predictor}: refused", None, None, None, None])
        else:
            rows.append([e.predictor, e.auc.value, e.auc.low, e.auc.high, e.auc.n_positive])
    return rows


def text_of(estimate: Estimate) -> str:
    """Value and interval."""
    return f"{estimate.value:.4f} ({estimate.low:.4f} to {estimate.high:.4f})"


def finite(value: float) -> float | None:
    """The value, None where a table has no number for it."""
    return value if math.isfinite(value) else None


def account_table(accounts: dict[str, EnergyEstimate]) -> Table:
    """Accounts against no filter, a row each."""
    rows: list[list[Scalar]] = []
    for name, a in accounts.items():
        rows.append(
            [
                name,
                text_of(a.gain),
                a.savings,
                a.recall.value,
                a.continue_probability.value,
                finite(a.rounds_per_found.value),
                a.lost_share_of_income.value,
            ]
        )
    columns = ["joules assume", "shares a joule", "energy left out", "recall", "keep rate"]
    return Table(
        title="Account against no filter",
        columns=[*columns, "rounds a share", "income lost"],
        rows=rows,
        caption="Shares a joule of 1 is no filter; above 1 it pays. «Energy left out» is what is published as savings.",
    )


def published_table() -> Table:
    """The published numbers, exact, with what they find."""
    no_information = energy.gain(PUBLISHED_K, PUBLISHED_N, "0.05", "0.05")
    rows: list[list[Scalar]] = [
        ["1 - 5/64", "92.19 %", f"{float(energy.savings(5, 64, 0)):.6f}", 0.0, 0.0],
        ["64/5", "12.8x", f"{float(energy.equivalent_hashrate(5, 64, 0)):.1f}", 0.0, 0.0],
        ["96 of 100 windows aborted", "88.50 %", f"{float(energy.windowed_savings(5, 64, 96, 100)):.3f}", 0.04, None],
        ["1 - 5/64, keep rate 0.05", "not published", f"{float(energy.savings(5, 64, '0.05')):.8f}", 0.05, None],
    ]
    for row in rows[2:]:
        keep = str(row[3])
        row[4] = float(energy.gain(PUBLISHED_K, PUBLISHED_N, keep, keep))
    perfect = clopper_pearson(30, 30)
    missed = clopper_pearson(0, 7, one_sided=True)
    return Table(
        title="The published numbers as what they are",
        columns=["what", "published", "exact", "recall without information", "shares a joule without information"],
        rows=rows,
        caption="Savings are rounds left out; shares found are the other half. 92.19 % is reached where nothing goes "
        f"on, hence nothing is found. 30 of 30 right bounds the accuracy below by {perfect.low:.4f} (95 %), 0 of 7 "
        f"missed bounds the miss rate above by {missed.high:.4f}. Without information the gain at keep rate 0.05 is "
        f"{float(no_information):.4f}.",
    )


def break_even(k: int, n: int, keep: energy.Exact, recall: energy.Exact) -> LinePlot:
    """The recall above which a filter pays, over the keep rate, and where this filter is."""
    rates = [i / 50 for i in range(1, 51)]
    return LinePlot(
        id="break-even",
        title="Recall that pays",
        caption="Above the line a filter brings more shares a joule than none. A score without information lies on the "
        "diagonal, below the line everywhere but at 1.",
        x_label="continue probability",
        y_label="recall",
        curves=[
            Curve.of("break-even", rates, [float(energy.break_even_recall(k, n, c)) for c in rates]),
            Curve.of("no information", rates, rates),
            Curve.of("this filter", [float(keep)], [float(recall)], style="points"),
        ],
    )


def auc_figure(names: Sequence[str], values: Sequence[Auc]) -> LinePlot:
    """The AUC of every model with its interval."""
    x = list(range(1, len(values) + 1))
    legend = ", ".join(f"{i}: {name}" for i, name in zip(x, names, strict=True))
    return LinePlot(
        id="auc",
        title="AUC of every model",
        caption=f"Intervals: 95 %, DeLong; 0.5 knows nothing. {legend}.",
        x_label="model",
        y_label="AUC",
        curves=[
            Curve.of(
                "AUC",
                x,
                [v.value for v in values],
                low=[v.low for v in values],
                high=[v.high for v in values],
                style="line+points",
            )
        ],
        references=[Reference(name="no information", value=0.5)],
    )
