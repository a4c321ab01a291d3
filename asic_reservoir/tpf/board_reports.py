"""Reports of boards: a recording of real shares, and windows judged by their timing."""

from __future__ import annotations

from asic_reservoir.board import Origin
from asic_reservoir.claim_verdicts import of_windows
from asic_reservoir.kept import KeptClaim
from asic_reservoir.provenance import collect
from asic_reservoir.report.model import Check, Figure, ReportData, Table, Verdict
from asic_reservoir.tpf.board_windows import WindowResult, Windows, WindowSettings, judge
from asic_reservoir.tpf.recorded import PUBLISHED_DIFFICULTY, SHORT_WINDOW_S, RecordedResult
from asic_reservoir.tpf.report_parts import (
    THEOREMS,
    WITHHELD,
    Settings,
    account_table,
    auc_figure,
    break_even,
    evaluation_rows,
)  # fmt: skip
from asic_reservoir.tpf.window_controls import control


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
            auc_figure(
                ["jitter alone, all shares", *(e.predictor for e in honest)],
                [result.jitter, *(e.auc for e in honest if e.auc)],
            )
        ],
        tables=[
            Table(
                title="Models on honest labels, later shares",
                columns=["model", "AUC", "low", "high", "good shares"],
                rows=evaluation_rows(result.honest),
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
        tables.append(account_table({"windows in turn": result.energy}))
        figures.append(break_even(s.k, s.n, result.energy.continue_probability.value, result.energy.recall.value))
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
            WITHHELD,
            THEOREMS,
        ],
        provenance=collect(seeds=[s.seed], settings=flat),
    )


def windows_outcome(seen: Windows, settings: WindowSettings, controls: bool) -> tuple[ReportData, KeptClaim | None]:
    """Windows of a board judged: the report, and what it says of the claim.

    Args:
        seen: what the board answered.
        settings: they were collected with.
        controls: plant a leak and shift the labels too; without controls nothing is said of the claim.
    """
    result = judge(seen, settings)
    report = windows_report(result)
    if not controls:
        return report, None
    checks, p = control(seen, settings)
    claim = of_windows(result, checks, p)
    label = result.label.value if claim is None else claim.verdict
    sentence = result.sentence if claim is None else claim.measured["sentence"]
    return report.model_copy(update={"verdict": Verdict(label=label, sentence=sentence, checks=checks)}), claim
