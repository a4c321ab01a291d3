"""Lists on the command line."""

from __future__ import annotations

from enum import StrEnum
from typing import TypeVar

from asic_reservoir.errors import UsageError
from asic_reservoir.tpf.predictors import PredictorName
from asic_reservoir.tpf.scoring import ScoreKind

Choice = TypeVar("Choice", bound=StrEnum)


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
    return tuple(one_of(name, part.strip(), ScoreKind) for part in text.split(","))


def predictor_names(name: str, text: str) -> tuple[PredictorName, ...]:
    """Predictors separated by commas, or ``none``.

    >>> predictor_names("predictors", "none")
    ()
    """
    if text.strip() == "none":
        return ()
    return tuple(one_of(name, part.strip(), PredictorName) for part in text.split(","))


def one_of(name: str, text: str, choices: type[Choice]) -> Choice:
    """A member of an enumeration by its value; raises UsageError that lists them."""
    try:
        return choices(text)
    except ValueError:
        raise UsageError(f"{name}: {text!r}, must be one of {', '.join(choice.value for choice in choices)}") from None
