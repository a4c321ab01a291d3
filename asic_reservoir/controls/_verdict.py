"""The verdict: supported, not supported or undecided, by rules that were fixed before the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from asic_reservoir.controls._intervals import paired_difference
from asic_reservoir.errors import DataError
from asic_reservoir.evaluation import Interval, mean_interval

SUPPORTED, NOT_SUPPORTED, UNDECIDED = "supported", "not supported", "undecided"
NULL_ROWS = ("decoupled", "shuffled")
NEEDED_ROWS = ("constant", "input", "host_lags_50", "silicon", "host_silicon")


@dataclass(frozen=True, slots=True)
class Rules:
    """Decision rules. Fixed before a run is looked at, and kept with its report."""

    level: float = 0.95
    """Of every interval. In a sweep: 1 - 0.05 / cells, or test the cells with ``max_statistic``."""
    least_seeds: int = 5
    """Fewer seeds decide nothing."""
    margin: float = 0.01
    """Change of NRMSE that counts as none."""
    null_tolerance: float = 0.02
    """A null control whose mean lies further below 1 than this makes the run invalid."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the run says about the claim «the silicon computes something that the host's delay line does not»."""

    label: str
    sentence: str
    difference: Interval
    """host_silicon - host_lags_50, paired over seeds; below 0 the silicon helps."""
    valid: bool
    """False where a null control did not fall to its null: then nothing was measured."""


def verdict(
    rows: Mapping[str, Sequence[float]],
    rules: Rules = Rules(),
    *,
    published: float | None = None,
    memoryless_floor: float | None = None,
) -> Verdict:
    """Judge a run from its rows.

    Args:
        rows: NRMSE of each seed by row name; needs ``constant``, ``input``, ``host_lags_50``, ``silicon``,
            ``host_silicon``; ``decoupled`` and ``shuffled`` are checked where present, and a run without them stays
            undecided; ``silicon_present_only`` and ``host_nvar`` add to the sentence.
        rules: Decision rules.
        published: A published score to set beside the result in the sentence.
        memoryless_floor: The best that any channel without memory can score on this task, where known.

    Raises:
        DataError: a row is missing, or rows have different numbers of seeds.
    """
    for name in NEEDED_ROWS:
        if name not in rows:
            raise DataError(f"verdict: no row {name!r}, must have {', '.join(NEEDED_ROWS)}")
    n_seeds = len(rows["host_silicon"])
    for name, values in rows.items():
        if len(values) != n_seeds:
            raise DataError(f"verdict: row {name!r} has {len(values)} seeds, must have {n_seeds} as host_silicon")
    means = {name: mean_interval(list(values), rules.level) for name, values in rows.items()}
    difference = paired_difference(rows["host_silicon"], rows["host_lags_50"], rules.level)

    def say(label: str, sentence: str, valid: bool = True) -> Verdict:
        return Verdict(label, sentence, difference, valid)

    for name in NULL_ROWS:
        if name in means and means[name].mean < 1.0 - rules.null_tolerance:
            return say(
                UNDECIDED,
                f"Invalid run: the control «{name}» scores {means[name].mean:.3f} where nothing can be learned and 1 "
                "is right, so no score of this run counts.",
                valid=False,
            )
    if any(name not in means for name in NULL_ROWS):
        return say(UNDECIDED, "Undecided: the controls were not run, and without them no score counts as evidence.")
    if n_seeds < rules.least_seeds:
        return say(UNDECIDED, f"Undecided: {n_seeds} seeds, the rules ask for at least {rules.least_seeds}.")
    effect = f"{difference.mean:+.3f} [{difference.low:+.3f}, {difference.high:+.3f}]"
    if difference.high < 0 and difference.mean < -rules.margin:
        return say(
            SUPPORTED,
            f"Supported: the silicon changes the error of the host's 50-tap delay line by {effect} (to "
            f"{means['host_silicon'].mean:.3f} from {means['host_lags_50'].mean:.3f}, {n_seeds} seeds)"
            f"{_own_memory(rows, means, rules)}{_products(means)}.",
        )
    if difference.low > -rules.margin:
        return say(NOT_SUPPORTED, f"Not supported: {_what_it_is(means, rules, published, memoryless_floor)} {effect}.")
    return say(
        UNDECIDED,
        f"Undecided: with the silicon the error of the host's 50-tap delay line changes by {effect}, an interval "
        f"that holds both less and more than the margin of {rules.margin:g}; more seeds or steps would decide.",
    )


def _own_memory(rows: Mapping[str, Sequence[float]], means: Mapping[str, Interval], rules: Rules) -> str:
    """What the run whose encoding sees u[t] only says: whose memory it was."""
    if "silicon_present_only" not in rows:
        return ""
    alone, present = means["silicon_present_only"].mean, means["input"].mean
    gain = paired_difference(rows["silicon_present_only"], rows["input"], rules.level)
    compared = f"; driven with u[t] only it scores {alone:.3f} against {present:.3f} for u[t]"
    if gain.high < -rules.margin:
        return f"{compared}, which is memory of its own"
    if gain.low > -rules.margin:
        return f"{compared}, so the memory is the encoding's and the silicon's share is the nonlinearity"
    return f"{compared}, which leaves open whether it has memory of its own"


def _products(means: Mapping[str, Interval]) -> str:
    """A host that may multiply its lags is a stronger peer than the delay line: its score belongs beside the claim."""
    return f"; a host that multiplies its lags scores {means['host_nvar'].mean:.3f}" if "host_nvar" in means else ""


def _what_it_is(
    means: Mapping[str, Interval], rules: Rules, published: float | None, memoryless_floor: float | None
) -> str:
    silicon, present, constant = means["silicon"], means["input"], means["constant"]
    beside = [f"u[t] alone {present.mean:.3f}", f"the mean {constant.mean:.3f}"]
    if memoryless_floor is not None:
        beside.append(f"floor of any channel without memory {memoryless_floor:.4f}")
    if published is not None:
        beside.append(f"published {published:.4f}")
    facts = "; ".join(beside)
    score = f"the silicon scores {silicon.mean:.3f} [{silicon.low:.3f}, {silicon.high:.3f}]"
    adds = "and to the host's 50-tap delay line it adds"
    if silicon.mean > constant.mean - rules.margin:
        return f"{score}, what a channel gives that carries nothing of the input ({facts}), {adds}"
    if silicon.mean > present.mean - rules.margin:
        return f"{score}, what a channel without memory gives ({facts}), {adds}"
    return f"{score} ({facts}), {adds} nothing beyond the margin of {rules.margin:g}:"
