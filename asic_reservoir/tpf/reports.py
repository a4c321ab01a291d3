"""Reports of training, of filters at work, and of energy. Each says what its joules assume."""

from __future__ import annotations

import math
from collections.abc import Sequence

from asic_reservoir.board import Origin
from asic_reservoir.provenance import collect
from asic_reservoir.report.model import Check, ReportData, Scalar, Table, Verdict
from asic_reservoir.tpf import energy
from asic_reservoir.tpf.accounting import BlockCounts, EnergyEstimate, account
from asic_reservoir.tpf.curve import Label
from asic_reservoir.tpf.energy import MINING_N
from asic_reservoir.tpf.leak_report import BOARD
from asic_reservoir.tpf.policy import FilterPolicy
from asic_reservoir.tpf.report_parts import (
    ARCHITECTURES,
    ASSUMPTIONS,
    THEOREMS,
    WITHHELD,
    Settings,
    account_table,
    auc_figure,
    break_even,
    evaluation_rows,
    finite,
    published_table,
    text_of,
)  # fmt: skip
from asic_reservoir.tpf.training import Trained, TrainSettings


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
            auc_figure(
                ["filter", *(e.predictor for e in trained.others if e.auc)],
                [trained.auc, *(e.auc for e in trained.others if e.auc)],
            )
        ],
        tables=[
            Table(
                title="Predictors on later jobs",
                columns=["predictor", "AUC", "low", "high", "shares"],
                rows=[own, *evaluation_rows(trained.others)],
                caption="Interval: 95 %, DeLong. Jobs are never on both sides.",
            )
        ],
        notes=[THEOREMS, WITHHELD],
        provenance=collect(seeds=[settings.seed], settings=flat),
    )


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
            sentence=f"{label.value.capitalize()}: {text_of(first.gain)} shares a joule against no filter on a "
            f"sequential core; recall {text_of(first.recall)}, break-even recall {first.break_even_recall:.4f}.",
            checks=[
                Check(
                    name="rounds counted as derived",
                    passed=first.rounds_counted == predicted,
                    sentence=f"executed {first.rounds_counted:,}, k + (n - k) q gives {predicted:,}.",
                )
            ],
        ),
        settings=flat,
        figures=[break_even(policy.k, MINING_N, first.continue_probability.value, first.recall.value)],
        tables=[account_table(accounts), published_table()],
        notes=[ASSUMPTIONS, THEOREMS, WITHHELD, "Intervals: 95 %, jobs drawn again."],
        provenance=collect(seeds=[seed], settings=flat),
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
        rows.append([name, gain, 1 - energy_left, finite(plain / gain if gain else math.inf)])
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
            break_even(k, n, energy.exact("keep", keep), energy.exact("recall", recall)),
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
