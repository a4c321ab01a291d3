"""The report of a leakage run: one figure that holds curve and positive control, tables, and the limits in words."""

from __future__ import annotations

import platform
from dataclasses import asdict

from asic_reservoir.board import Origin
from asic_reservoir.provenance import collect
from asic_reservoir.report.model import Check, Curve, LinePlot, Reference, ReportData, Table, Verdict
from asic_reservoir.tpf._constants import ROUNDS
from asic_reservoir.tpf.curve import LAST_BLIND_ROUND, TOLERANCE, ControlPoint, CurvePoint, LeakResult
from asic_reservoir.tpf.leak_scores import CONTROL_ROUNDS
from asic_reservoir.tpf.leakage import LeakSettings

BOARD = "software://sha256"
"""Real SHA-256 on the processor of this machine; no ASIC takes part."""
_DRAWN_CONTROLS = (8, 16, 24, 32)


def leak_report(result: LeakResult, settings: LeakSettings) -> ReportData:
    """Everything that a reader needs to judge a leakage run."""
    flat: dict[str, str | bool | int | float | None] = {
        "headers": settings.headers,
        "headers a job": settings.headers_per_job,
        "jobs to learn from": settings.train_jobs,
        "targets (zero bits)": ", ".join(str(b) for b in settings.zero_bits),
        "scores": ", ".join(kind.value for kind in settings.kinds),
        "one negative tapped in": settings.negative_stride,
        "headers of the control": settings.control_headers,
        "seed": settings.seed,
    }
    return ReportData(
        origin=Origin.MEASURED,
        board=BOARD,
        task="tpf leak",
        title="What a round of SHA-256 tells of a hash's fate",
        summary=(
            f"{result.headers_evaluated:,} block headers were hashed on {platform.machine()} in "
            f"{result.seconds:,.0f} s ({result.cpu_seconds:,.0f} s of processor time), learning and control included. "
            f"The rounds of {result.headers_tapped:,} of them were tapped and scored: of every share, and of one other "
            f"header in {settings.negative_stride}."
        ),
        rows=[],
        verdict=Verdict(
            label=result.verdict.label.value,
            sentence=result.verdict.sentence,
            checks=[Check(name=c.name, passed=c.passed, sentence=c.sentence) for c in result.verdict.criteria],
        ),
        controls=bool(result.control),
        settings=flat,
        figures=[figure for figure in (_curve(result), _zoom(result), _bits(result), _control(result)) if figure],
        tables=[_summary_table(result), _power_table(result)],
        notes=list(NOTES),
        provenance=collect(seeds=[settings.seed], settings=flat),
    )


NOTES = (
    "The hashes are real SHA-256, computed by the processor of this machine; no mining chip took part.",
    (
        "The state after any round from the eighth on determines the digest, so it is never independent of it. What "
        "is measured is whether a score that is cheaper than hashing finds the dependence."
    ),
    (
        "A share is a hash with so many leading zero bits; with 12 of them the carry from the bits between makes the "
        "deciding pattern of e take two values, which a linear score cannot hold; the byte score can."
    ),
    "Rounds 1 to 3 of the first hash are the same for every nonce of a job: a score can only tell jobs apart there.",
    "AUC is used because accuracy shows nothing for rare shares: the best constant guess is nearly always right.",
)


def _place(point: CurvePoint) -> int:
    return point.round + ROUNDS * point.compression


def _series(result: LeakResult) -> dict[tuple[int, str], list[CurvePoint]]:
    series: dict[tuple[int, str], list[CurvePoint]] = {}
    for point in result.points:
        series.setdefault((point.zero_bits, point.kind.value), []).append(point)
    return series


def _curve(result: LeakResult) -> LinePlot:
    curves = [
        Curve.of(
            f"{bits} zero bits, {kind}",
            [_place(p) for p in points],
            [p.auc.value for p in points],
            low=[p.auc.low for p in points],
            high=[p.auc.high for p in points],
        )
        for (bits, kind), points in _series(result).items()
    ]
    for last in _DRAWN_CONTROLS:
        points = [point for point in result.control if point.last == last]
        if points:
            x = [ROUNDS + point.round for point in points]
            curves.append(Curve.of(f"control: second hash cut to {last}", x, [p.auc.value for p in points]))
    return LinePlot(
        id="leakage",
        title="Leakage curve of both hashes, with the positive control",
        caption="AUC of the score after each round; 0.5 knows nothing. Rounds 1 to 64: second block of the first hash; "
        "65 to 128: second hash. The controls, a second hash cut short, must rise at R - 3, and the full hash at 125 "
        "(round 61), not before. Bands: 95 % (DeLong).",
        x_label="round of 128",
        y_label="AUC",
        curves=curves,
        references=[Reference(name="no information", value=0.5)],
    )


def _zoom(result: LeakResult) -> LinePlot:
    common = min(point.zero_bits for point in result.points)
    curves = [
        Curve.of(
            f"{bits} zero bits, {kind}",
            [_place(p) for p in points if p.blind],
            [p.auc.value for p in points if p.blind],
            low=[p.auc.low for p in points if p.blind],
            high=[p.auc.high for p in points if p.blind],
        )
        for (bits, kind), points in _series(result).items()
        if bits == common
    ]
    return LinePlot(
        id="blind-rounds",
        title=f"The blind rounds, enlarged ({common} zero bits)",
        caption="The same before the deciding round. One interval in twenty leaves 0.5 by chance.",
        x_label="round of 128",
        y_label="AUC",
        curves=curves,
        references=[
            Reference(name="no information", value=0.5),
            Reference(name="tolerance set before the run", value=0.5 + TOLERANCE),
            Reference(name="tolerance set before the run, below", value=0.5 - TOLERANCE),
        ],
    )


def _bits(result: LeakResult) -> LinePlot:
    curves = [
        Curve.of(f"{bits} zero bits, {kind}", [_place(p) for p in points], [p.information.bits for p in points])
        for (bits, kind), points in _series(result).items()
    ]
    return LinePlot(
        id="information",
        title="Mutual information of score and share",
        caption="Bits, at the true rate of each target, less what chance gives on average; so it scatters around 0 "
        "where there is none.",
        x_label="round of 128",
        y_label="information (bits)",
        curves=curves,
    )


def _control(result: LeakResult) -> LinePlot | None:
    if not result.control:
        return None

    def at(back: int) -> list[ControlPoint]:
        return [p for last in CONTROL_ROUNDS for p in result.control if p.last == last and p.round == last - back]

    curves = []
    for back in (3, 4, 5):
        points = at(back)
        curves.append(
            Curve.of(
                f"after round R - {back}",
                [p.last for p in points],
                [p.auc.value for p in points],
                low=[p.auc.low for p in points],
                high=[p.auc.high for p in points],
                style="line+points",
            )
        )
    return LinePlot(
        id="control",
        title="Positive control: second hash cut to R rounds",
        caption="The same harness, where prediction must work from round R - 3 on and not before.",
        x_label="R",
        y_label="AUC",
        curves=curves,
        references=[Reference(name="no information", value=0.5)],
    )


def _summary_table(result: LeakResult) -> Table:
    rows: list[list[str | bool | int | float | None]] = []
    for (bits, kind), points in _series(result).items():
        blind = [p for p in points if p.blind]
        worst = max(blind, key=lambda p: abs(p.auc.value - 0.5))
        decided = next(p for p in points if p.compression == 1 and p.round == LAST_BLIND_ROUND + 1)
        rows.append(
            [
                f"{bits} zero bits, {kind}",
                worst.auc.n_positive,
                worst.auc.n_negative,
                abs(worst.auc.value - 0.5),
                f"{'second' if worst.compression else 'first'} hash, round {worst.round}",
                min(p.information.p_value for p in blind),
                max(p.advantage.value for p in blind if p.advantage) if all(p.advantage for p in blind) else None,
                f"{decided.auc.value:.6f}",
                decided.information.bits,
            ]
        )
    columns = ["score", "shares", "others", "largest |AUC - 0.5|, blind", "where", "smallest p of the information"]
    return Table(
        title="Blind rounds against the deciding round",
        columns=[*columns, "largest advantage, blind", "AUC after round 61", "bits after round 61"],
        rows=rows,
        caption=f"Smallest p of {len([p for p in result.points if p.blind]) // len(_series(result))} rounds: chance "
        "alone gives about 1 in that many. Advantage: over a coin, at even odds, judged on other jobs than learnt on.",
    )


def _power_table(result: LeakResult) -> Table:
    return Table(
        title="What this run would have seen",
        columns=["target", "smallest AUC of one round found with 80 % power"],
        rows=[[f"{bits} zero bits", f"{value:.5f}"] for bits, value in result.smallest_auc.items()],
        caption="Corrected for the number of rounds.",
    )


def leak_json(result: LeakResult, settings: LeakSettings) -> dict[str, object]:
    """Every point of the curve, for other programs."""
    return {"schema": "asic-reservoir/tpf-leak/1", "settings": asdict(settings), "result": result.to_dict()}
