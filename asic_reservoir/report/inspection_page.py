"""An inspection in words and pictures: sentences for the terminal, one self-contained page for the browser."""

from __future__ import annotations

import numpy as np

from asic_reservoir.board import Origin
from asic_reservoir.heartbeat import JobAgeProfile
from asic_reservoir.inspection import Inspection
from asic_reservoir.report import figures
from asic_reservoir.report.model import Curve, Figure, LinePlot, MapPlot, Reference, Table, numbers
from asic_reservoir.report.page import environment, picture
from asic_reservoir.report.words import ORIGIN_WORDS

ALPHA = 0.05


def explain(found: Inspection) -> list[tuple[str, str]]:
    """What was found, as (heading, paragraph) in plain words."""
    parts = [("Shares", _shares(found)), ("Rate", _rate(found))]
    if found.arrivals is not None:
        parts.append(("Intervals", _intervals(found)))
    if sum(found.chips.values()):
        parts.append(("Chips and cores", _places(found)))
    return parts


def _shares(found: Inspection) -> str:
    shares, stream = found.shares, found.stream
    text = f"{shares['valid']:,} of {shares['total']:,} nonces in {stream.duration_s:,.1f} s are valid"
    if stream.difficulty is not None:
        text += (
            ": each was checked against its own rebuilt header. The smallest difficulty is "
            f"{stream.difficulty.min():.2f}, so the machine's own filter is {stream.effective_difficulty}"
        )
    text += (
        f". {shares['duplicate']:,} repeat an earlier one, {shares['stale']:,} belong to a job that had been "
        f"withdrawn, {shares['same_read']:,} came in the same read as the one before; a nonce can be several of these. "
        f"{shares['fresh']:,} are fresh."
    )
    return text


def _rate(found: Inspection) -> str:
    rate, hashrate, profile = found.rate, found.hashrate_ths, found.profile
    figure = (
        f"{rate.mean:.2f} fresh nonces a second (95 %: {rate.low:.2f} to {rate.high:.2f}), which at difficulty "
        f"{found.stream.effective_difficulty} is {hashrate.mean:.3g} TH/s ({hashrate.low:.3g} to {hashrate.high:.3g})."
    )
    if profile is None:
        return f"The board gives {figure}"
    return (
        f"Over the whole time {found.mean_hz:.2f} nonces a second came, but that is not the rate of the machine: after "
        f"each new job nothing fresh comes for {profile.dead_time_s * 1e3:.0f} ms, then the rate climbs with a time "
        f"constant of {profile.ramp_s * 1e3:.0f} ms while the machine works off what it had queued. From "
        f"{profile.plateau_from_s * 1e3:.0f} ms after a job on ({profile.plateau_events:,} nonces) it stays at {figure}"
    )


def _intervals(found: Inspection) -> str:
    arrivals = found.arrivals
    assert arrivals is not None
    text = (
        f"The coefficient of variation (CV) of the {arrivals.n:,} gaps is {arrivals.cv:.4f}; corrected for its bias "
        f"{arrivals.cv_unbiased:.4f} (95 %: {arrivals.cv_low:.3f} to {arrivals.cv_high:.3f}). Gaps of a Poisson "
        "process have CV 1, but a sample of n of them shows less, √((n−1)/(n+1)) in the quadratic mean: "
        f"{arrivals.cv_expected:.4f} for this n, 0.905 for n = 10. "
    )
    if found.profile is None or found.job_age is None:
        inside = arrivals.cv_low <= 1 <= arrivals.cv_high
        return text + (
            "The interval holds 1: nothing here but independent arrivals."
            if inside
            else "The interval does not hold 1. Before that says anything of silicon, dead time after jobs, reads that "
            "carry several nonces, and a rate that changed have to be ruled out."
        )
    text += (
        "A CV below 1 is no order in the silicon: dead time and ramp alone make the age of a job at its first share "
        f"vary with CV {found.profile.cv_predicted:.3f}, and {found.job_age.cv_unbiased:.3f} "
        f"({found.job_age.cv_low:.3f} to {found.job_age.cv_high:.3f}) was measured. "
    )
    if found.beyond is not None and found.beyond_exponential is not None:
        p = found.beyond_exponential.p_value
        verdict = "no departure from independent arrivals" if p > ALPHA else "a departure from independent arrivals"
        text += (
            f"Counted from where the dead time and ramp are over, the {found.beyond.n:,} waits have CV "
            f"{found.beyond.cv_unbiased:.3f} ({found.beyond.cv_low:.3f} to {found.beyond.cv_high:.3f}); "
            f"Lilliefors' test for exponential waits gives p = {p:.2g}: {verdict}."
        )
    return text


def _places(found: Inspection) -> str:
    used = sum(count > 0 for count in found.chips.values())
    text = ""
    if len(found.chips) > 1:
        text += f"{used} of {len(found.chips)} chip indices gave nonces. "
    if found.cores:
        text += f"{len(found.cores)} core addresses gave nonces. "
    for name, test in (("chips", found.chip_uniformity), ("cores", found.core_uniformity)):
        if len(found.chips if name == "chips" else found.cores) < 2:
            continue
        if test is None:
            text += f"Too few nonces to compare {name}. "
        else:
            word = "as equal as counting noise allows" if test.p_value > ALPHA else "not equal beyond counting noise"
            text += f"The {name} are {word} (χ² = {test.chi2:.1f} for {test.n_counters - 1}, p = {test.p_value:.2g}). "
    return text.strip()


def pictures(found: Inspection) -> list[Figure]:
    """Figures of an inspection, in the order of the page."""
    made: list[Figure] = []
    if found.profile is not None:
        made.append(_age_plot(found.profile))
    if len(found.stream.nonces):
        made.append(figures.raster(found.stream.nonces))
    if sum(found.chips.values()):
        made.append(_bars("chips", found.chips, "chip index"))
    if found.cores:
        made += [_bars("cores", found.cores, "core address"), _map(found)]
    return made


def _age_plot(profile: JobAgeProfile) -> LinePlot:
    middle = (profile.edges_s[1:] + profile.edges_s[:-1]) / 2 * 1e3
    lasting = profile.exposure_s > 1.0  # seconds; less says nothing of a rate of a few a second
    rate = np.where(lasting, profile.events / np.where(lasting, profile.exposure_s, 1.0), np.nan)
    error = 1.96 * np.sqrt(profile.events + 1.0) / np.where(lasting, profile.exposure_s, np.nan)
    return LinePlot(
        id="job-age",
        title="Rate against the age of the job",
        caption="Fresh shares at that age, divided by the time spent at that age. It starts at nothing, climbs, and "
        "stays: the plateau is the rate of the machine. Band: 95 % of counting noise.",
        x_label="age of the job (ms)",
        y_label="fresh shares/s",
        curves=[
            Curve.of(
                "counted", middle, rate, low=np.clip(rate - error, 0, None), high=rate + error, style="line+points"
            )
        ],
        references=[Reference(name=f"plateau {profile.plateau.mean:.2f}/s", value=profile.plateau.mean)],
    )


def _bars(what: str, counts: dict[int, int], label: str) -> LinePlot:
    mean = float(np.mean(list(counts.values())))
    return LinePlot(
        id=what,
        title=f"Nonces a {what[:-1]}",
        caption="Valid nonces, duplicates left out. Counting noise alone scatters by "
        f"±{np.sqrt(mean):.1f} around the mean.",
        x_label=label,
        y_label="nonces",
        curves=[Curve.of("nonces", list(counts), list(counts.values()), style="bars")],
        references=[Reference(name=f"mean {mean:.1f}", value=mean)],
    )


def _map(found: Inspection) -> MapPlot:
    return MapPlot(
        id="map",
        title="Map of chips and cores",
        caption="Valid nonces, duplicates left out, by chip index and core address. Even counting noise looks patchy.",
        x_label="core address",
        y_label="chip index",
        value_label="nonces",
        values=[numbers(row) for row in found.map],
        x_ticks=[str(core) for core in found.cores],
        y_ticks=[str(chip) for chip in found.chips],
    )


def tables(found: Inspection) -> list[Table]:
    """Counts and statistics as tables."""
    gaps: list[list[str | bool | int | float | None]] = [
        [name, s.n, s.mean_s * 1e3, s.cv, s.cv_unbiased, f"{s.cv_low:.3f} … {s.cv_high:.3f}"]
        for name, s in (
            ("all arrivals", found.arrivals),
            ("age of a job at its first share", found.job_age),
            ("the same, from the plateau on", found.beyond),
        )
        if s is not None
    ]
    return [
        Table(title="Shares", columns=["kind", "count"], rows=[[name, count] for name, count in found.shares.items()]),
        Table(title="Intervals", columns=["gaps", "n", "mean (ms)", "CV", "CV, unbiased", "95 %"], rows=gaps),
    ]


def render_inspection(found: Inspection) -> str:
    """The page. Equal inspections give equal bytes."""
    origin: Origin = found.stream.origin
    arrivals = found.beyond or found.arrivals
    tiles = [
        (f"{found.shares['valid']:,} / {found.shares['total']:,}", "valid nonces"),
        (f"{found.rate.mean:.2f} /s", "fresh nonces, plateau" if found.profile else "fresh nonces"),
        (f"{found.hashrate_ths.mean:.3g} TH/s", f"{found.hashrate_ths.low:.3g} to {found.hashrate_ths.high:.3g}"),
    ]
    if arrivals is not None:
        tiles.append((f"{arrivals.cv_unbiased:.3f}", "CV beyond the dead time" if found.beyond else "CV of the gaps"))
    return (
        environment()
        .get_template("inspection.html")
        .render(
            title="What the arrivals say",
            board=found.stream.board,
            origin=origin.value,
            origin_words=ORIGIN_WORDS[origin.value],
            provenance=found.provenance,
            settings_shown=True,
            tiles=tiles,
            parts=explain(found),
            figures=[picture(figure, origin) for figure in pictures(found)],
            tables=tables(found),
        )
    )
