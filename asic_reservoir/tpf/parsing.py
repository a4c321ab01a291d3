"""Lists on the command line."""

from __future__ import annotations

from asic_reservoir.errors import UsageError
from asic_reservoir.tpf.scoring import ScoreKind


def integers(name: str, text: str) -> tuple[int, ...]:
    """Integers separated by commas.

    >>> integers("zero-bits", "8, 12")
    (8, 12)
    """
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"{name}: {text!r}, must be integers separated by commas, such as 8,12") from None


def score_kinds(name: str, text: str) -> tuple[ScoreKind, ...]:
    """Kinds of score separated by commas.

    >>> score_kinds("score", "linear")
    (<ScoreKind.LINEAR: 'linear'>,)
    """
    try:
        return tuple(ScoreKind(part.strip()) for part in text.split(","))
    except ValueError:
        raise UsageError(f"{name}: {text!r}, must be out of {', '.join(ScoreKind)}, separated by commas") from None
