"""Do voltage, clock and difficulty take the gaps between nonces through regimes?

Each cell of a grid is visited twice, in an order drawn anew each time. The null of a cell: gaps of a renewal process
with the dead time that the whole sweep shows (the shortest gap of all) and independent events beyond it. Departure of a
cell: z = (ln CV − mean of the null) / sd of the null, less the median over the cells, because what departs everywhere
alike is the link's doing and no regime. The largest |z| of the first visit is held against that of whole sweeps drawn
from the null (max-statistic); a cell counts where its second visit departs in the same direction (Holm).

Controls: gaps of the published CV 0.586 put in place of those of one cell must be found; draws of the null must show
none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from asic_reservoir.board import BoardInfo, Detail, NonceFlag, OperatingPoint
from asic_reservoir.claim_trials.driving import LONGEST_S, Driver
from asic_reservoir.claim_trials.rhythm import BATCH_EXCESS
from asic_reservoir.claim_trials.trial import LEVEL, MOST_LOUD, QUIET_DRAWS, Effect, Finding, Label, label_of
from asic_reservoir.controls import holm, max_statistic
from asic_reservoir.heartbeat import interval_statistics
from asic_reservoir.report.model import Check, MapPlot, Scalar, Table

FloatArray = NDArray[np.float64]
PUBLISHED_MV = tuple(7000.0 + 200.0 * step for step in range(8))
PUBLISHED_RATE_HZ = 189 * 650e6 * 114 / 2**32
"""Nonces a second of the published S9 at difficulty 1."""
PUBLISHED_CV = 0.586
SWEPT_MHZ = (200.0, 325.0, 450.0, 600.0)
"""Of the published clocks: the two with a published regime, and two beyond."""
SWEPT_DIFFICULTIES = (1024, 4096)
DRAWS = 400
LEAST_GAPS = 20
SETTLE_S = 3.0
PATIENCE = 8.0
"""A cell ends after so many times the expected time."""
ENTROPY_BINS = 16


@dataclass(frozen=True, slots=True)
class Cell:
    """An operating point of the sweep."""

    millivolts: float | None
    mhz: float
    difficulty: int


@dataclass(frozen=True, slots=True, eq=False)
class Sweep:
    """Gaps of every cell, on two visits."""

    cells: tuple[Cell, ...]
    gaps_s: tuple[tuple[FloatArray, ...], tuple[FloatArray, ...]]
    """By visit and cell, each of shape (n,)."""
    same_read: float
    """Share of nonces that came in the read before."""


def grid_of(
    driver: Driver,
    voltages_mv: tuple[float, ...] = (),
    frequencies_mhz: tuple[float, ...] = (),
    difficulties: tuple[int, ...] = (),
) -> tuple[Cell, ...]:
    """The cells: as given, or of the published grid what the board allows, scaled to its rate.

    Voltages of other boards than an S9, and clocks where fewer than two published ones are allowed, are spread over
    what is allowed; from the lowest voltage to the nominal one, beyond which the published grid does not go either.
    Difficulties are scaled so that the gaps last as long as on the published S9.
    """
    info = driver.board.info
    volts: tuple[float | None, ...] = voltages_mv
    if not volts:
        low, high = info.limits.voltage_mv.low, driver.nominal_mv
        if high is None:
            volts = (None,)
        else:
            published = [mv for mv in PUBLISHED_MV if info.family == "s9" and low <= mv <= high]
            volts = tuple(published if len(published) > 1 else np.linspace(low, high, 3).tolist())
    clocks = frequencies_mhz or tuple(mhz for mhz in SWEPT_MHZ if info.limits.frequency_mhz.contains(mhz))
    if len(clocks) < 2:
        high_mhz = min(info.limits.frequency_mhz.high, SWEPT_MHZ[-1])
        clocks = tuple(np.linspace(info.limits.frequency_mhz.low, max(high_mhz, driver.nominal_mhz), 4).tolist())
    if not difficulties:
        least = 1 if info.ticket_mask_settable else info.ticket_mask
        slower = driver.rate_hz(driver.nominal_mhz, 1) * least / PUBLISHED_RATE_HZ
        powers = [max(0, round(float(np.log2(d * slower)))) for d in SWEPT_DIFFICULTIES]
        difficulties = tuple(dict.fromkeys(max(least, 2**power) for power in powers))
    return tuple(Cell(mv, mhz, d) for d in difficulties for mv in volts for mhz in clocks)


def collect(driver: Driver, cells: tuple[Cell, ...], gaps: int, seed: int) -> Sweep:
    """Visit every cell twice.

    Raises:
        LimitError: a cell outside the limits of the board; nothing was set.
    """
    rng = np.random.default_rng([0x5EE9, seed])
    info, slowest_mhz = driver.board.info, min(cell.mhz for cell in cells)
    for cell in cells:
        info.limits.check(OperatingPoint(cell.mhz, cell.millivolts, cell.difficulty))
    visits: list[tuple[FloatArray, ...]] = []
    shared = total = 0
    for visit in range(2):
        found: dict[int, FloatArray] = {}
        for index in rng.permutation(len(cells)).tolist():
            cell = cells[index]
            mv = "" if cell.millivolts is None else f"{cell.millivolts:.0f} mV, "
            text = f"visit {visit + 1}: {mv}{cell.mhz:.0f} MHz, difficulty {cell.difficulty}"
            driver.ask(text, 0.2, slowest_mhz)  # clock down before voltage down, whatever the driver does
            driver.ask(text, SETTLE_S, cell.mhz, cell.millivolts, cell.difficulty)
            expected_s = (gaps + 1) / driver.rate_hz(cell.mhz, cell.difficulty)
            times: list[NDArray[np.int64]] = []
            got = spent_s = 0.0
            while got <= gaps and spent_s < PATIENCE * expected_s:
                seen = driver.ask(
                    text, min(LONGEST_S, PATIENCE * expected_s - spent_s + 1.0), nonces=int(gaps + 1 - got),
                    detail=Detail.NONCES,
                )  # fmt: skip
                fresh = ~seen.nonces.has(NonceFlag.STALE) & ~seen.nonces.has(NonceFlag.DUPLICATE)
                times.append(seen.nonces.time_ns[fresh])
                shared += int(seen.nonces.has(NonceFlag.SAME_READ)[fresh].sum())
                total += int(fresh.sum())
                got += float(fresh.sum())
                spent_s += seen.duration_s
            found[index] = np.diff(np.sort(np.concatenate(times))).astype(np.float64) * 1e-9
        visits.append(tuple(found[index] for index in range(len(cells))))
    return Sweep(cells, (visits[0], visits[1]), shared / max(total, 1))


@dataclass(frozen=True, slots=True, eq=False)
class _Null:
    """What ln CV of each cell is where gaps are independent beyond a common dead time."""

    dead_s: float
    mean: tuple[FloatArray, FloatArray]
    """By visit, shape (n_cells,)."""
    sd: tuple[FloatArray, FloatArray]
    draws: tuple[FloatArray, FloatArray]
    """Departures of sweeps drawn from it, by visit, shape (DRAWS, n_cells)."""
    common: FloatArray
    """What those sweeps have in common over all cells, both visits together, shape (DRAWS,)."""


def _departure(log_cv: FloatArray, mean: FloatArray, sd: FloatArray) -> tuple[FloatArray, FloatArray]:
    """z less its median over the cells (the last axis), and that median; a cell without gaps has no departure."""
    z = (log_cv - mean) / sd
    median = np.nanmedian(z, axis=-1, keepdims=True)
    return np.nan_to_num(z - median), np.asarray(median[..., 0])


def _log_cv(gaps_s: FloatArray) -> FloatArray:
    """ln CV over the last axis; -inf would be a clock."""
    mean = gaps_s.mean(axis=-1)
    return np.asarray(np.log(np.maximum(gaps_s.std(axis=-1), 1e-12 * mean) / mean))


def _null_of(sweep: Sweep, used: NDArray[np.bool_], seed: int) -> _Null:
    rng = np.random.default_rng([0x7A11, seed])
    everything = [gaps for visit in sweep.gaps_s for gaps, use in zip(visit, used, strict=True) if use]
    dead_s = min(float(gaps.min()) for gaps in everything)
    means, sds, draws = [], [], []
    common = np.zeros(DRAWS)
    for visit in sweep.gaps_s:
        logs = np.full((DRAWS, used.size), np.nan)
        for index in np.flatnonzero(used):
            gaps = visit[index]
            beyond_s = max(float(gaps.mean()) - dead_s, 1e-12)
            logs[:, index] = _log_cv(dead_s + rng.exponential(beyond_s, (DRAWS, gaps.size)))
        means.append(logs.mean(axis=0))
        sds.append(logs.std(axis=0))
        departures, median = _departure(logs, means[-1], sds[-1])
        draws.append(departures)
        common += median
    return _Null(dead_s, (means[0], means[1]), (sds[0], sds[1]), (draws[0], draws[1]), common)


def _found(first: FloatArray, again: FloatArray, null: FloatArray) -> NDArray[np.bool_]:
    """Cells whose first visit departs beyond whole sweeps of the null, and whose second does so again."""
    candidates = np.flatnonzero(max_statistic(np.abs(first), np.abs(null)) <= LEVEL)
    hit = np.zeros(first.size, np.bool_)
    if candidates.size:
        p = stats.norm.sf(again[candidates] * np.sign(first[candidates]))
        hit[candidates] = holm(p.tolist()) <= LEVEL
    return hit


def judge(sweep: Sweep, info: BoardInfo, seed: int = 0) -> Finding:
    """What a sweep says of the claim."""
    sizes = np.array([[gaps.size for gaps in visit] for visit in sweep.gaps_s])
    used = np.asarray((sizes >= LEAST_GAPS).all(axis=0))
    if used.sum() < 3:
        sentence = f"Undecided: {int(used.sum())} cells gave {LEAST_GAPS} gaps on both visits, at least 3 are needed."
        return _finding(sweep, info, "undecided", sentence, None, (), used, np.zeros(used.size, np.bool_), None)
    null = _null_of(sweep, used, seed)
    (first, common), (again, common_again) = (_departures(sweep, visit, used, null) for visit in range(2))
    p_common = float((1 + np.sum(np.abs(null.common) >= abs(common + common_again))) / (1 + DRAWS))
    hit = _found(first, again, null.draws[0])
    p_first = float(max_statistic(np.abs(first), np.abs(null.draws[0])).min())
    p_again = float(max_statistic(np.abs(again), np.abs(null.draws[1])).min())
    in_batches = sweep.same_read > BATCH_EXCESS
    checks = (
        _planted(sweep, used, null, first, again, seed),
        _quiet(null),
        Check(
            name="not read in batches",
            passed=not in_batches,
            sentence=f"{sweep.same_read:.1%} of the nonces came in the read before, at most {BATCH_EXCESS:.0%} may.",
        ),
    )
    label = label_of(
        controls=all(check.passed for check in checks),
        shown=bool(hit.any()),
        excluded=not hit.any() and min(p_first, p_again) > LEVEL / 2 and p_common > LEVEL,
    )
    worst = int(np.argmax(np.where(hit, np.abs(first + again), 0) if hit.any() else np.abs(first + again) * used))
    effect = _effect(sweep, worst, used)
    failed = [check for check in checks if not check.passed]
    n_used = int(used.sum())
    place = f"{_name(sweep.cells[worst])}: CV {1 + effect.value:.3f} ({1 + effect.low:.3f} to {1 + effect.high:.3f})"
    if label == "supported":
        sentence = (
            f"Supported: {int(hit.sum())} of {n_used} cells depart from the rest on both visits, most of all {place}."
        )
    elif label == "not supported":
        sentence = (
            f"Not supported: none of {n_used} cells departs from independent gaps (largest departure p {p_first:.2f} "
            f"and {p_again:.2f} on the two visits, over all cells; {place}); a CV of {PUBLISHED_CV} would have been "
            "seen."
        )
    elif failed:
        sentence = f"Undecided: the control «{failed[0].name}» failed. {failed[0].sentence}"
    elif p_common <= LEVEL:
        sentence = (
            f"Undecided: the gaps of all {n_used} cells depart alike from independent ones (p {p_common:.3f}): no "
            "regime, but link, firmware or chance; more gaps would decide."
        )
    else:
        sentence = (
            f"Undecided: a departure on one visit only (p {p_first:.3f} and {p_again:.3f}), largest {place}; more gaps "
            "a cell would decide."
        )
    return _finding(sweep, info, label, sentence, effect, checks, used, hit, null)


def _departures(sweep: Sweep, visit: int, used: NDArray[np.bool_], null: _Null) -> tuple[FloatArray, FloatArray]:
    logs = np.full(used.size, np.nan)
    for index in np.flatnonzero(used):
        logs[index] = float(_log_cv(sweep.gaps_s[visit][index]))
    return _departure(logs, null.mean[visit], null.sd[visit])


def _planted(
    sweep: Sweep, used: NDArray[np.bool_], null: _Null, first: FloatArray, again: FloatArray, seed: int
) -> Check:
    """The cell in the middle with gaps of the published CV; the others as they are."""
    rng = np.random.default_rng([0x91A7, seed])
    cell = int(np.flatnonzero(used)[used.sum() // 2])
    planted = []
    for visit, before in enumerate((first, again)):
        gaps = sweep.gaps_s[visit][cell]
        shape = 1 / PUBLISHED_CV**2  # of a gamma law with this CV
        log_cv = float(_log_cv(rng.gamma(shape, gaps.mean() / shape, gaps.size)))
        row = before.copy()
        row[cell] = (log_cv - null.mean[visit][cell]) / null.sd[visit][cell]
        planted.append(row)
    hit = bool(_found(planted[0], planted[1], null.draws[0])[cell])
    text = f"gaps of CV {PUBLISHED_CV} in one cell ({_name(sweep.cells[cell])}) are {'found' if hit else 'not found'}."
    return Check(name="a planted regime", passed=hit, sentence=text)


def _quiet(null: _Null) -> Check:
    """Whole sweeps of the null through the same test."""
    loud = sum(bool(_found(null.draws[0][k], null.draws[1][k], null.draws[0]).any()) for k in range(QUIET_DRAWS))
    text = f"{loud} of {QUIET_DRAWS} sweeps of independent gaps show a regime, at most {MOST_LOUD} may."
    return Check(name="independent gaps", passed=loud <= MOST_LOUD, sentence=text)


def _effect(sweep: Sweep, cell: int, used: NDArray[np.bool_]) -> Effect:
    """CV − 1 of both visits together, its interval widened for having looked at all cells (Bonferroni)."""
    gaps = np.concatenate([visit[cell] for visit in sweep.gaps_s])
    found = interval_statistics(gaps)
    assert found is not None  # at least twice LEAST_GAPS
    wider = float(stats.norm.isf(LEVEL / 2 / max(int(used.sum()), 1)) / stats.norm.isf(LEVEL / 2))
    half = wider * (found.cv_high - found.cv_unbiased)
    value = found.cv_unbiased - 1
    return Effect(f"departure of CV from 1 at {_name(sweep.cells[cell])}", value, value - half, value + half, 0.0)


def _name(cell: Cell) -> str:
    volts = "" if cell.millivolts is None else f"{cell.millivolts:.0f} mV, "
    return f"{volts}{cell.mhz:.0f} MHz, difficulty {cell.difficulty}"


def entropy_bits(gaps_s: FloatArray) -> float:
    """Entropy of gaps over their mean, in bits: fixed bins, equally likely for independent arrivals (4 bits then).

    Miller–Madow: + (bins in use − 1) / (2 n ln 2).
    """
    share = -np.expm1(-gaps_s / gaps_s.mean())
    counts = np.bincount(np.minimum((share * ENTROPY_BINS).astype(np.int64), ENTROPY_BINS - 1), minlength=ENTROPY_BINS)
    p = counts[counts > 0] / gaps_s.size
    return float(-(p * np.log2(p)).sum() + (p.size - 1) / (2 * gaps_s.size * np.log(2)))


def _finding(
    sweep: Sweep, info: BoardInfo, label: Label, sentence: str, effect: Effect | None, checks: tuple[Check, ...],
    used: NDArray[np.bool_], hit: NDArray[np.bool_], null: _Null | None,
) -> Finding:  # fmt: skip
    rows: list[list[Scalar]] = []
    cvs: list[float | None] = []
    for index, cell in enumerate(sweep.cells):
        gaps = np.concatenate([visit[index] for visit in sweep.gaps_s])
        found = interval_statistics(gaps) if used[index] else None
        cvs.append(None if found is None else found.cv_unbiased)
        place: list[Scalar] = [cell.millivolts, cell.mhz, cell.difficulty, int(gaps.size)]
        if found is None:
            rows.append([*place, None, None, None, None, "too few gaps"])
            continue
        regime = "as independent events"
        if hit[index]:
            regime = "more regular" if found.cv_unbiased < 1 else "more bursty"
        rows.append([*place, found.cv_unbiased, found.cv_low, found.cv_high, entropy_bits(gaps), regime])
    clocks = list(dict.fromkeys(cell.mhz for cell in sweep.cells))
    lines = [cvs[start : start + len(clocks)] for start in range(0, len(cvs), len(clocks))]
    ticks = [_name(sweep.cells[start]) for start in range(0, len(cvs), len(clocks))]
    figure = MapPlot(
        id="cv",
        title="CV of the gaps",
        caption="1 is what independent arrivals give, whatever their rate.",
        x_label="MHz",
        values=lines,
        value_label="CV",
        x_ticks=[f"{mhz:.0f}" for mhz in clocks],
        y_ticks=[", ".join(part for part in tick.split(", ") if "MHz" not in part) for tick in ticks],
        annotate=True,
    )
    table = Table(
        title="Cells, both visits together",
        columns=["mV", "MHz", "difficulty", "gaps", "CV", "low", "high", "entropy (bits)", "regime"],
        rows=rows,
        caption=f"CV without the bias of few gaps. Independent arrivals have CV 1 and {np.log2(ENTROPY_BINS):g} bits.",
    )
    reachable = info.chip_rate_hz(650.0, 1024) * info.n_chips * 300
    return Finding(
        claim="edge-of-chaos",
        label=label,
        sentence=sentence,
        effect=effect,
        checks=checks,
        title="Do the gaps go through regimes?",
        summary=f"{len(sweep.cells)} operating points, each visited twice; CV and entropy of the gaps against gaps of "
        "independent events with the dead time that the sweep shows.",
        figures=[figure],
        tables=[table],
        notes=[
            "Published, all at 7.6 V: CV 0.586 at 200 MHz, 1024; 0.092 at 325 MHz, 4096; 0.98 at 300 MHz, 16384.",
            "7.6 V lies below what the firmware of an S9 allows (7.95 V), so those cells cannot be set.",
            f"10,000 shares in 300 s were asked for; this board gives {reachable:.0f} at 650 MHz and difficulty 1024.",
            "Of 11 clocks one comes as near to a given CV as published in 83 % of sweeps of the null.",
        ],
        facts={
            "cells": int(used.sum()),
            "departing": int(hit.sum()),
            "dead_s": 0.0 if null is None else null.dead_s,
            "same_read": sweep.same_read,
        },
    )
