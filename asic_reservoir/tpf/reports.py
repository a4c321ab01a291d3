"""Reports of training, of filters at work, of recordings, and of energy. Each says what its joules assume."""

from __future__ import annotations

import math
from collections.abc import Sequence

from asic_reservoir.board import Origin
from asic_reservoir.provenance import collect
from asic_reservoir.report.model import Check, Curve, Figure, LinePlot, Reference, ReportData, Scalar, Table, Verdict
from asic_reservoir.tpf import energy
from asic_reservoir.tpf.accounting import BlockCounts, EnergyEstimate, Estimate, account
from asic_reservoir.tpf.board_windows import WindowResult
from asic_reservoir.tpf.curve import Label
from asic_reservoir.tpf.energy import MINING_N, PUBLISHED_K, PUBLISHED_N, Architecture, EnergyModel
from asic_reservoir.tpf.information import Auc, clopper_pearson
from asic_reservoir.tpf.leak_report import BOARD
from asic_reservoir.tpf.policy import FilterPolicy
from asic_reservoir.tpf.predictors import Evaluation
from asic_reservoir.tpf.recorded import PUBLISHED_DIFFICULTY, SHORT_WINDOW_S, RecordedResult
from asic_reservoir.tpf.training import Trained, TrainSettings

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
_WITHHELD = "No share that was found is withheld: the filter decides about hashing, never about handing in."


def train_report(trained: Trained, settings: TrainSettings) -> ReportData:
    """What a filter was made of, and what other predictors see in the same states."""
    policy = trained.policy
    where = f"round {policy.round} of the {'second' if policy.compression else 'first'} hash"
    blind = trained.auc.contains_half
    label = Label.NOT_SUPPORTED if blind else Label.SUPPORTED
    sentence = (
        f"Not supported: after {where} the score knows nothing of a share, AUC {trained.auc.value:.4f} "
        f"({trained.auc.low:.4f} to {trained.auc.high:.4f})."
        if blind
        else f"Supported: after {where} the score tells shares apart, AUC {trained.auc.value:.5f} "
        f"({trained.auc.low:.5f} to {trained.auc.high:.5f})."
    )
    flat: Settings = {
        "compression": settings.compression,
        "round": settings.round,
        "zero bits of a share": settings.zero_bits,
        "score": settings.kind.value,
        "jobs": settings.jobs,
        "threshold rule": settings.rule.value,
        "bound": settings.bound,
        "seed": settings.seed,
    }
    own: list[Scalar] = [
        f"filter ({settings.kind.value})",
        trained.auc.value,
        trained.auc.low,
        trained.auc.high,
        trained.auc.n_positive,
    ]
    return ReportData(
        origin=Origin.MEASURED,
        board=BOARD,
        task="tpf train",
        title=f"A filter after {where}",
        summary=f"Learnt, tuned and judged on {trained.n_headers:,} headers; on the last quarter of the jobs it keeps "
        f"{trained.recall:.4f} of the shares and {trained.keep_rate:.4f} of the rest.",
        rows=[],
        verdict=Verdict(label=label.value, sentence=sentence),
        settings=flat,
        figures=[
            _auc_figure(
                ["filter", *(e.predictor for e in trained.others if e.auc)],
                [trained.auc, *(e.auc for e in trained.others if e.auc)],
            )
        ],
        tables=[
            Table(
                title="Predictors on later jobs",
                columns=["predictor", "AUC", "low", "high", "shares"],
                rows=[own, *_evaluation_rows(trained.others)],
                caption="Interval: 95 %, DeLong. Jobs are never on both sides.",
            )
        ],
        notes=[THEOREMS, _WITHHELD],
        provenance=collect(seeds=[settings.seed], settings=flat),
    )


def _evaluation_rows(evaluations: Sequence[Evaluation]) -> list[list[Scalar]]:
    rows: list[list[Scalar]] = []
    for e in evaluations:
        if e.auc is None:
            rows.append([f"{e.predictor}: refused", None, None, None, None])
        else:
            rows.append([e.predictor, e.auc.value, e.auc.low, e.auc.high, e.auc.n_positive])
    return rows


def miner_accounts(policy: FilterPolicy, blocks: Sequence[BlockCounts], seed: int = 0) -> dict[str, EnergyEstimate]:
    """The account of a filter for every architecture."""
    return {name: account(blocks, policy.k, model, seed=seed) for name, model in ARCHITECTURES.items()}


def miner_label(sequential: EnergyEstimate) -> Label:
    """Supported where the whole interval of the gain lies above 1, not supported where it does not."""
    return Label.SUPPORTED if sequential.gain.low > 1 else Label.NOT_SUPPORTED


def miner_report(policy: FilterPolicy, blocks: Sequence[BlockCounts], share_bits: int, seed: int) -> ReportData:
    """A filter at work in a software miner, its rounds counted one by one."""
    accounts = miner_accounts(policy, blocks, seed)
    first = next(iter(accounts.values()))
    label = miner_label(first)
    predicted = sum(b.begun * policy.k + (MINING_N - policy.k) * b.continued for b in blocks)
    flat: Settings = {
        "compression": policy.compression,
        "round": policy.round,
        "zero bits of a share": share_bits,
        "threshold rule": policy.rule.value,
        "bound": policy.bound,
        "jobs": len(blocks),
        "seed": seed,
    }
    return ReportData(
        origin=Origin.MEASURED,
        board=BOARD,
        task="tpf evaluate",
        title=f"The filter at work: decision after round {policy.k} of {MINING_N}",
        summary=f"{first.begun:,} hashes begun in {first.n_blocks} jobs; {first.found:,} shares found, "
        f"{first.missed:,} lost to the filter (an audit hashed the aborted ones again, outside the count).",
        rows=[],
        verdict=Verdict(
            label=label.value,
            sentence=f"{label.value.capitalize()}: {_text(first.gain)} shares a joule against no filter on a "
            f"sequential core; recall {_text(first.recall)}, break-even recall {first.break_even_recall:.4f}.",
            checks=[
                Check(
                    name="rounds counted as derived",
                    passed=first.rounds_counted == predicted,
                    sentence=f"executed {first.rounds_counted:,}, k + (n - k) q gives {predicted:,}.",
                )
            ],
        ),
        settings=flat,
        figures=[_break_even(policy.k, MINING_N, first.continue_probability.value, first.recall.value)],
        tables=[_account_table(accounts), published_table()],
        notes=[ASSUMPTIONS, THEOREMS, _WITHHELD, "Intervals: 95 %, jobs drawn again."],
        provenance=collect(seeds=[seed], settings=flat),
    )


def _text(estimate: Estimate) -> str:
    return f"{estimate.value:.4f} ({estimate.low:.4f} to {estimate.high:.4f})"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _account_table(accounts: dict[str, EnergyEstimate]) -> Table:
    rows: list[list[Scalar]] = []
    for name, a in accounts.items():
        rows.append(
            [
                name,
                _text(a.gain),
                a.savings,
                a.recall.value,
                a.continue_probability.value,
                _finite(a.rounds_per_found.value),
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


def _break_even(k: int, n: int, keep: energy.Exact, recall: energy.Exact) -> LinePlot:
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


def _auc_figure(names: Sequence[str], values: Sequence[Auc]) -> LinePlot:
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


def recorded_report(result: RecordedResult, seed: int) -> ReportData:
    """A recording of real shares."""
    honest = [e for e in result.honest if e.auc is not None]
    power = max((e.smallest_auc or 1.0 for e in honest), default=1.0)
    label = result.label
    flat: Settings = {"difficulty of a good share": PUBLISHED_DIFFICULTY, "seed": seed}
    return ReportData(
        origin=Origin.REPLAYED,
        board=f"replay://{result.name}",
        task="tpf evaluate",
        title="Timing against the quality of real shares",
        summary=f"{result.n_shares:,} shares of {result.n_jobs:,} jobs in {result.duration_s:.1f} s. Every header was "
        f"rebuilt and hashed; {result.n_positive} shares have a difficulty above {PUBLISHED_DIFFICULTY:.0f}.",
        rows=[],
        verdict=Verdict(
            label=label.value,
            sentence=f"{label.value.capitalize()}: time since the job was sent against difficulty, AUC "
            f"{result.jitter.value:.4f} ({result.jitter.low:.4f} to {result.jitter.high:.4f}); models on later shares "
            f"would have shown an AUC of {power:.3f}.",
            checks=[
                Check(
                    name="labels rebuilt",
                    passed=result.n_invalid == 0,
                    sentence=f"{result.n_invalid} shares fail their own header; the least difficulty is "
                    f"{result.least_difficulty:.2f}: every label 0 is a real share below {PUBLISHED_DIFFICULTY:.0f}.",
                ),
                Check(
                    name="published window model refused",
                    passed=result.published_window.refused,
                    sentence=f"{result.published_window_problem}; with windows of {SHORT_WINDOW_S * 1e3:.0f} ms: "
                    f"{result.published_window.sentence()}",
                ),
            ],
        ),
        settings=flat,
        figures=[
            _auc_figure(
                ["jitter alone, all shares", *(e.predictor for e in honest)],
                [result.jitter, *(e.auc for e in honest if e.auc)],
            )
        ],
        tables=[
            Table(
                title="Models on honest labels, later shares",
                columns=["model", "AUC", "low", "high", "good shares"],
                rows=_evaluation_rows(result.honest),
                caption="Features of the ten shares before, label of the next; jobs never on both sides.",
            )
        ],
        notes=[
            f"The published network 3-16-8-4-2 has {result.n_parameters} parameters; the paper prints 297.",
            "The published labels of this recording were all 0: the previous hash was hashed in Stratum's byte order.",
            (
                f"Information of the timing: {result.jitter_information.bits:.4f} bits "
                f"(permutation p {result.jitter_information.p_value:.3f})."
            ),
            "252 s of one machine bound effects to about 0.03 in AUC; they prove nothing smaller.",
        ],
        provenance=collect(seeds=[seed], settings=flat),
    )


def windows_report(result: WindowResult) -> ReportData:
    """Windows of a board."""
    s = result.settings
    flat: Settings = {
        "windows": s.windows,
        "seconds a window": s.window_s,
        "decision after": f"{s.k} of {s.n} parts",
        "zero bits above the board's own": s.good_bits,
        "planted leak": s.plant,
        "predictor": s.predictor.value,
        "keep rate chosen": result.keep_rate,
        "seed": s.seed,
    }
    planted = f"A leak of {s.plant:g} was planted by this experiment." if s.plant else "Nothing was planted."
    tables: list[Table] = []
    figures: list[Figure] = []
    if result.energy:
        tables.append(_account_table({"windows in turn": result.energy}))
        figures.append(_break_even(s.k, s.n, result.energy.continue_probability.value, result.energy.recall.value))
    return ReportData(
        origin=result.origin,
        board=result.board,
        task="tpf evaluate",
        title="Windows of a board, judged by the timing of their first part",
        summary=f"{planted} {result.evaluation.sentence()}",
        rows=[],
        verdict=Verdict(label=result.label.value, sentence=result.sentence),
        settings=flat,
        figures=figures,
        tables=tables,
        notes=[
            "The filter only advises: the board works on, so that what would have been missed is counted.",
            "Shares of the first part are found either way: without information the gain is 1, less the cost of a job.",
            _WITHHELD,
            THEOREMS,
        ],
        provenance=collect(seeds=[s.seed], settings=flat),
    )


def energy_report(
    k: int,
    n: int,
    keep: energy.Exact,
    recall: energy.Exact,
    joules_per_th: energy.Exact = "98",
    difficulty: energy.Exact = 1,
) -> ReportData:
    """The formulas at one point, and over all keep rates; joules at so many a 10^12 whole hashes."""
    value = float(energy.gain(k, n, keep, recall))
    threshold = float(energy.break_even_recall(k, n, keep))
    label = Label.SUPPORTED if value > 1 else Label.NOT_SUPPORTED
    per_hash = energy.exact("joules_per_th", joules_per_th) / 10**12
    plain = float(ARCHITECTURES["proxy"].joules_per_share(k, n, 1, 1, per_hash, difficulty))
    rows: list[list[Scalar]] = []
    for name, model in ARCHITECTURES.items():
        gain, energy_left = float(model.gain(k, n, keep, recall)), float(model.energy_per_hash(k, n, keep))
        rows.append([name, gain, 1 - energy_left, _finite(plain / gain if gain else math.inf)])
    flat: Settings = {"k": k, "n": n, "continue probability": str(keep), "recall": str(recall)}
    flat |= {"joules a 10^12 hashes": str(joules_per_th), "difficulty of a share": str(difficulty)}
    return ReportData(
        origin=Origin.SIMULATED,
        board="formulas://tpf",
        task="tpf energy",
        title=f"Deciding after {k} of {n} rounds: does it pay?",
        summary="Arithmetic, no measurement. Savings are the rounds left out; what counts is shares a joule.",
        rows=[],
        verdict=Verdict(
            label=label.value,
            sentence=f"A recall of {float(energy.exact('recall', recall)):g} at keep rate "
            f"{float(energy.exact('keep', keep)):g} gives {value:.6g} shares a joule against no filter; it pays "
            f"above a recall of {threshold:.8g}.",
        ),
        settings=flat,
        figures=[
            _break_even(k, n, energy.exact("keep", keep), energy.exact("recall", recall)),
        ],
        tables=[
            Table(
                title="By architecture",
                columns=["joules assume", "shares a joule, relative", "energy left out", "joules a share"],
                rows=rows,
                caption=f"Without a filter a share of difficulty {difficulty} takes {plain:.6g} J at {joules_per_th} J "
                "a 10^12 hashes.",
            ),
            published_table(),
        ],
        notes=[ASSUMPTIONS, THEOREMS],
        provenance=collect(settings=flat),
    )
