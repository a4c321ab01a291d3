"""Does what was found on one family of boards hold on the others? Judged from the verdicts of other claims.

No task drives three boards: the newest verdict of every claim on every board is compared. Only verdicts of one origin
are compared with each other, and of those what is measured before what is replayed before what is simulated.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from asic_reservoir.claim_trials.trial import Label

FAMILIES = ("s9", "lv06", "lb-box")
"""The published boards."""
ORIGINS = ("measured", "replayed", "simulated")
NO_BOARD = ("tpf-rounds", "universality")
"""Claims whose trial touches no board, and this one."""


@dataclass(frozen=True, slots=True)
class Found:
    """The newest verdict of a claim on one board."""

    claim: str
    family: str
    board: str
    origin: str
    verdict: str
    task: str | None


@dataclass(frozen=True, slots=True)
class Universality:
    """What the verdicts say together."""

    origin: str
    label: Label
    sentence: str
    measured: dict[str, Any]


def judge(found: Iterable[Found]) -> Universality | None:
    """None where nothing has been tried on any of the published boards.

    Supported: a claim that is supported on one of the published boards is so on all three, and there is one.
    Not supported: one is supported on some of them and not on others, or those tried on all three hold on none.
    """
    relevant = [one for one in found if one.family in FAMILIES and one.claim not in NO_BOARD]
    by_origin = {origin: [one for one in relevant if one.origin == origin] for origin in ORIGINS}
    tried = {origin: ones for origin, ones in by_origin.items() if ones}
    if not tried:
        return None
    verdicts = {origin: _verdicts(ones) for origin, ones in tried.items()}
    whole = {
        origin: {claim: families for claim, families in claims.items() if set(families) == set(FAMILIES)}
        for origin, claims in verdicts.items()
    }
    origin = next((one for one in tried if whole[one]), next(iter(tried)))
    label, sentence = _of(whole[origin], {one.family for one in tried[origin]})
    tasks = sorted({one.task for one in tried[origin] if one.task is not None})
    control = "every verdict compared has its own controls, and boards of one origin only are compared"
    measured = {"sentence": sentence, "verdicts": verdicts[origin], "tasks": tasks, "control": control}
    return Universality(origin, label, sentence, measured)


def _verdicts(found: list[Found]) -> dict[str, dict[str, str]]:
    """Verdict by claim and family; where boards of a family disagree, nothing is decided for the family."""
    seen: dict[str, dict[str, str]] = {}
    for one in found:
        families = seen.setdefault(one.claim, {})
        before = families.setdefault(one.family, one.verdict)
        if before != one.verdict:
            families[one.family] = "undecided"
    return seen


def _of(whole: dict[str, dict[str, str]], families: set[str]) -> tuple[Label, str]:
    if not whole:
        missing = [name for name in FAMILIES if name not in families]
        what = f"nothing on {', '.join(missing)}" if missing else "no claim on all three"
        return "undecided", f"Undecided: {what} yet; the same claim has to be tried on {', '.join(FAMILIES)}."
    names = {claim: set(verdicts.values()) for claim, verdicts in whole.items()}
    split = [claim for claim, seen in names.items() if {"supported", "not supported"} <= seen]
    if split:
        return "not supported", f"Not supported: {split[0]} holds on one of {', '.join(FAMILIES)} and not on another."
    held = [claim for claim, seen in names.items() if "supported" in seen]
    if held and all(names[claim] == {"supported"} for claim in held):
        return "supported", f"Supported: {', '.join(held)} on each of {', '.join(FAMILIES)}."
    if not held and all(seen == {"not supported"} for seen in names.values()):
        return "not supported", f"Not supported: {', '.join(whole)} on none of {', '.join(FAMILIES)}."
    open_ = [claim for claim, seen in names.items() if "undecided" in seen]
    return "undecided", f"Undecided: on one of {', '.join(FAMILIES)} nothing was decided of {', '.join(open_)}."
