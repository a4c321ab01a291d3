"""From the results of the seeds to the report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, cast

import numpy as np

from asic_reservoir.arms import LAG_ERROR_LAGS, Plan, SeedResult
from asic_reservoir.board import Board, Detail, OperatingPoint, Step
from asic_reservoir.controls import Rules, verdict
from asic_reservoir.observables import Record
from asic_reservoir.provenance import collect
from asic_reservoir.report import figures
from asic_reservoir.report.model import Check, Curve, Figure, Interval, LinePlot, ReportData, Row, Table, Verdict
from asic_reservoir.tasks import Series

ROW_ORDER = (
    "constant",
    "input",
    "host_lags_10",
    "host_lags_20",
    "host_lags_50",
    "host_nvar",
    "poisson_twin",
    "poisson_same_drive",
    "esn_same_noise",
    "decoupled",
    "shuffled",
    "silicon",
    "silicon_present_only",
    "silicon_monologue",
    "silicon_constant_input",
    "host_silicon",
    "difference",
)
MORE_WORDS = {
    "poisson_same_drive": "The same masks into counters that are linear: the encoding's memory without the error edge.",
    "silicon_monologue": "The same run without feedback: the board's answer does not go back into the next job.",
    "silicon_constant_input": "The same run with a constant word in every job: whatever it scores is not the input.",
}
PUBLISHED_NARMA10, MEMORYLESS_FLOOR = 0.8661, 0.8673
"""Score of the papers, and the best that any function of the present input can reach on NARMA-10."""
TELEMETRY_POINTS = 600
RASTER_NS = 300_000_000


def build_report(
    plan: Plan,
    series: Series,
    results: Sequence[SeedResult],
    curve: Sequence[tuple[Plan, Sequence[SeedResult]]],
    board: Board,
) -> ReportData:
    """Rows, verdict, figures and provenance of a run."""
    settings, info = plan.settings, plan.info
    values = {name: [r.nrmse[name] for r in results] for name in ROW_ORDER if name in results[0].nrmse}
    rules = Rules()
    narma10 = settings.task == "narma10"
    judged = {name: scores for name, scores in values.items() if name != "difference"}
    found = verdict(
        judged,
        rules,
        published=PUBLISHED_NARMA10 if narma10 else None,
        memoryless_floor=MEMORYLESS_FLOOR if narma10 else None,
    )
    leaks = [sentence for r in results for sentence in r.leaks]
    label = cast(Literal["supported", "not supported", "undecided"], found.label)
    sentence = found.sentence
    if leaks:
        label = "undecided"
        sentence = f"Invalid run: {leaks[0]}"
    checks = [
        Check(
            name=name,
            passed=Interval.of(values[name]).mean >= 1.0 - rules.null_tolerance,
            sentence=f"expected 1 within {rules.null_tolerance:g}, found {Interval.of(values[name]).mean:.3f}",
        )
        for name in ("decoupled", "shuffled")
        if name in values
    ]
    checks.append(
        Check(
            name="leak detectors",
            passed=not leaks,
            sentence=leaks[0] if leaks else "no state is the target, knows the future or repeats across the split",
        )
    )
    rows = [Row.of(name, scores, MORE_WORDS.get(name)) for name, scores in values.items()]
    flat = {key: _plain(value) for key, value in settings.model_dump().items()}
    flat |= {
        "encoding_used": plan.encoding.name,
        "host_memory_of_the_encoding": f"{plan.encoding.n_lags} inputs, linear",
        "washout": plan.split.washout,
        "train": plan.split.train,
        "test": plan.split.test,
        "nonces_per_counter_and_step": _short(results[0].nonces / (info.n_counters * settings.steps)),
    }
    everything = [*results, *(one for _, found in curve for one in found)]
    places = [one.place for one in everything if one.place is not None]
    return ReportData(
        origin=info.origin,
        board=info.uri,
        task=settings.task,
        summary=_summary(plan, results),
        rows=rows,
        verdict=Verdict(label=label, sentence=sentence, checks=checks),
        controls=settings.controls,
        settings=flat,
        board_facts=_board_facts(plan),
        figures=_figures(plan, results, curve, board),
        tables=[_seed_table(results)],
        notes=_notes(plan, series, results),
        provenance=collect(seeds=[r.seed for r in results], settings=flat, places=places),
    )


def _summary(plan: Plan, results: Sequence[SeedResult]) -> str:
    hours = sum(r.seconds for r in results) / len(results) / 3600
    per = results[0].nonces / (plan.info.n_counters * plan.settings.steps)
    each = "a chip" if plan.info.n_counters > 1 else "the board"
    energy = sum(r.joules for r in results) / len(results)
    spent = f" and {energy / 3.6e6:.1f} kWh" if np.isfinite(energy) else ""
    return (
        f"{plan.settings.task} on {plan.info.model} ({plan.info.n_chips} × {plan.info.chip}): {len(results)} draws of "
        f"{plan.settings.steps:,} steps, {per:.0f} nonces {each} a step. One draw with its controls takes "
        f"{hours:.1f} hours of board time{spent}. The host mixes {plan.encoding.n_lags} past inputs into the drive, "
        "linearly; every row below is trained and tested in the same way."
    )


def _board_facts(plan: Plan) -> dict[str, str | bool | int | float | None]:
    info = plan.info
    facts: dict[str, str | bool | int | float | None] = {
        "model": info.model,
        "chips": f"{info.n_chips} × {info.chip}",
        "algorithm": info.algorithm,
        "firmware": info.firmware,
        "ticket_mask": info.ticket_mask,
        "timestamps": info.timestamp_source.value,
    }
    facts |= {f"{key}": value for key, value in info.physical.items()}
    if plan.edges is not None:
        facts |= {
            "operating_voltage_mv": _short(plan.edges.voltage_mv),
            "edge_mhz_mean": _short(float(plan.edges.edge_mhz.mean())),
            "edge_mhz_spread": _short(float(plan.edges.edge_mhz.std())),
            "edge_width_percent": _short(100.0 * float(plan.edges.width.mean())),
            "domain_coupling": _short(plan.edges.coupling),
            "edge_search_board_seconds": _short(plan.edges.board_seconds),
        }
        if plan.edges.source:
            facts["edge_from"] = plan.edges.source
    return facts


def _figures(
    plan: Plan,
    results: Sequence[SeedResult],
    curve: Sequence[tuple[Plan, Sequence[SeedResult]]],
    board: Board,
) -> list[Figure]:
    first = results[0]
    made: list[Figure] = []
    if first.target is not None:
        start = plan.split.washout + plan.split.train
        made.append(figures.prediction(first.target, first.predictions, start))
    if first.capacity:
        lags = np.arange(len(next(iter(first.capacity.values()))))
        made.append(figures.capacity(lags, first.capacity, first.capacity_threshold))
    if first.lag_error:
        scored = [r.lag_error for r in results if r.lag_error]
        made.append(
            figures.lag_error(
                np.array(LAG_ERROR_LAGS),
                {name: np.mean([curves[name] for curves in scored], axis=0) for name in first.lag_error},
            )
        )
    if curve:
        made.append(_budget(plan, results, curve))
    if first.record is not None:
        made.append(_telemetry(first.record))
    if plan.encoding.name != "work":
        seen = board.step(Step(OperatingPoint(), RASTER_NS, detail=Detail.NONCES))
        if len(seen.nonces):
            made.append(figures.raster(seen.nonces, seen.begin_ns))
    return made


def _budget(plan: Plan, results: Sequence[SeedResult], curve: Sequence[tuple[Plan, Sequence[SeedResult]]]) -> LinePlot:
    """Error against nonces a step, the run's own point among the others."""
    points = [(plan, results), *curve]
    measured = [
        (np.mean([r.nonces for r in found]) / (p.info.n_counters * p.settings.steps), found) for p, found in points
    ]
    measured.sort(key=lambda point: float(point[0]))
    return figures.nonce_budget(
        np.array([nonces for nonces, _ in measured]),
        {
            name: [Interval.of([r.nrmse[name] for r in found]) for _, found in measured]
            for name in ("silicon", "host_silicon")
        },
        {"host_lags_50": float(np.mean([r.nrmse["host_lags_50"] for r in results]))},
    )


def _telemetry(record: Record) -> LinePlot:
    """Rates and, below, temperatures of the first draw, from its record."""
    every = max(1, len(record) // TELEMETRY_POINTS)
    begin, end = record.begin_ns[::every, 0], record.end_ns[::every, -1]
    time_s = (0.5 * (begin + end) - record.begin_ns[0, 0]) * 1e-9
    span_s = np.maximum((end - begin) * 1e-9, 1e-9)
    valid = record.valid[::every].sum(axis=(1, 2)) / span_s
    invalid = record.invalid[::every].sum(axis=(1, 2)) / span_s
    sensed = record.temperature_c[::every][:, np.isfinite(record.temperature_c).all(axis=0)]
    lower = []
    if sensed.shape[1]:
        lower = [
            Curve.of("mean of the sensors", time_s, sensed.mean(axis=1)),
            Curve.of("hottest sensor", time_s, sensed.max(axis=1)),
        ]
    return LinePlot(
        id="telemetry",
        title="Rates and temperatures",
        caption="What the board did while it computed (first draw). A drift here is a drift of the states.",
        x_label="time (s)",
        y_label="nonces/s, whole board",
        curves=[Curve.of("valid", time_s, valid), Curve.of("invalid", time_s, invalid)],
        lower=lower,
        lower_label="temperature (°C)",
    )


def _seed_table(results: Sequence[SeedResult]) -> Table:
    return Table(
        title="Draws",
        columns=["seed", "redraws", "nonces", "invalid", "silicon", "host_lags_50", "host_silicon", "difference"],
        rows=[
            [r.seed, r.redraws, r.nonces, r.invalid]
            + [_short(r.nrmse[name]) for name in ("silicon", "host_lags_50", "host_silicon", "difference")]
            for r in results
        ],
        caption="Redraws: sequences thrown away because the recursion left its range.",
    )


def _notes(plan: Plan, series: Series, results: Sequence[SeedResult]) -> list[str]:
    notes = [f"Task: {series.definition}", ReportData.NRMSE_RULE]
    if plan.encoding.n_lags > 1:
        notes.append(
            f"The encoding holds {plan.encoding.n_lags} past inputs on the host; the row silicon_present_only is the "
            "run whose encoding sees u[t] only."
        )
    if series.definition.startswith("file"):
        notes.append("The input is scaled by its range over the whole file; every seed sees the same series.")
    if plan.encoding.mode == "dialogue":
        notes.append("Dialogue: the host feeds the board's last answer back into the next step.")
    if "window" in plan.settings.observables:
        notes.append("The timing features span the last ten answers: nine steps of memory are the host's.")
    if plan.info.origin.value == "simulated":
        notes.append(
            "The twin assumes that a hash that a timing error spoils is reported as often as a good one (a hardware "
            "error), so a chip's nonces divide into valid and invalid and their sum follows its clock."
        )
    if plan.esn is not None:
        found = plan.esn.settings
        notes.append(
            f"esn_same_noise: {plan.esn.n_nodes} nodes at {plan.esn.mean_count:.3g} counts a step, tuned on two other "
            f"draws (spectral radius {found.spectral_radius:.3g}, input scale {found.input_scale:.3g}, bias "
            f"{found.bias:.3g}, leak {found.leak:.3g})."
        )
    if plan.settings.task == "narma10":
        silicon = Interval.of([r.nrmse["silicon"] for r in results]).mean
        notes.append(
            f"The published NARMA-10 score is {PUBLISHED_NARMA10}; any function of u[t] alone can reach "
            f"{MEMORYLESS_FLOOR}. Here: {silicon:.3f}."
        )
    return notes


def _plain(value: object) -> str | bool | int | float | None:
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, tuple | list):
        return ", ".join(str(item) for item in value)
    return str(value)


def _short(value: float) -> float:
    return float(f"{value:.7g}")
