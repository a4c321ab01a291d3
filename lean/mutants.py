"""Statements of the chapters with one inequality flipped: the checker must refuse every one.

All of them go into one file, each with the proof of the true statement, and each must bring an error of its own;
the same file with the statements as they are must be accepted, so that it is the flip that is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from lean.sources import Module, SourceError, theorems, without_comments

MUTANTS = (
    ("Energy.no_free_lunch", "gain c κ c ≤ 1 := by", "gain c κ c < 1 := by"),
    ("Energy.savings_le", "savings n k c ≤ 1", "savings n k c < 1"),
    ("Energy.gain_gt_one_iff", "cost κ c < recall", "recall < cost κ c"),
    ("Predictability.accuracy_le_baseline", "accuracy J h ≤ baseline J := by", "accuracy J h < baseline J := by"),
    ("Predictability.dependent_of_accuracy", "baseline J < accuracy J h", "baseline J ≤ accuracy J h"),
    ("Leakage.totalVariation_map_le", "hg) ≤ totalVariation J", "hg) > totalVariation J"),
    ("Lease.live_count_le_one", "length ≤ 1", "length < 1"),
    ("Lease.stale_write_refused", "u < t", "u ≤ t"),
    ("Handshake.at_most_one_in_flight", "requests.length ≤", "requests.length <"),
    ("Frames.crc5_detects_double", "b + 1 < 31", "b + 1 ≤ 31"),
    ("Numbers.levels", "- 1) ≤ n", "- 1) < n"),
    ("VirtualBlocks.never_idle", "L i ≤ d * T", "L i ≥ d * T"),
)
"""Theorem, a part of its statement that occurs once, and the flipped part. Each flipped statement is false."""


@dataclass(frozen=True, slots=True)
class Batch:
    """A file of statements, and the first and last line of each."""

    text: str
    places: dict[str, tuple[int, int]]


def batch(modules: list[Module], *, mutated: bool) -> Batch:
    """The file of all statements of :data:`MUTANTS`, flipped or as they are.

    Raises:
        SourceError: a theorem is gone, or its statement has not the part that is to be flipped.
    """
    sources = {t.name: (module, t.source) for module in modules for t in theorems(module.text)}
    lines = ["module", ""] + [f"import {module.name}" for module in modules]
    places = {}
    for name, old, new in MUTANTS:
        if name not in sources:
            raise SourceError(f"mutant {name}: no theorem of the sources")
        module, source = sources[name]
        if source.count(old) != 1:
            raise SourceError(f"mutant {name}: {old!r} occurs {source.count(old)} times, must once")
        space, _, short = name.rpartition(".")
        source = source.replace(f"theorem {short}", f"theorem {short}_again", 1)
        source = source.replace(old, new) if mutated else source
        context = re.findall(r"^(?:open|variable) .*$", without_comments(module.text), re.MULTILINE)
        lines += ["", f"namespace {space}", "section", *context]
        first = len(lines) + 1
        lines += source.rstrip().splitlines()
        places[name] = (first, len(lines))
        lines += ["end", f"end {space}"]
    return Batch("\n".join(lines) + "\n", places)


def refused(messages: str, file: str, lines: tuple[int, int]) -> bool:
    """Whether Lean found an error within these lines of the file.

    >>> refused("Mutated.lean:12:4: error: unsolved goals", "Mutated", (10, 14))
    True
    """
    found = re.findall(rf"^{file}\.lean:(\d+):\d+: error", messages, re.MULTILINE)
    return any(lines[0] <= int(line) <= lines[1] for line in found)
