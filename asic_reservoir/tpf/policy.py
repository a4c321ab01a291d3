"""The filter as a policy: a score, a threshold, and a promise about the shares that it misses.

The threshold comes from scores of shares that were not learnt from. Three choices: a keep rate (so many of the others
go on), the conformal one (a new share is missed with probability at most ``miss``, on average over calibrations), and
the Neyman-Pearson one (with confidence 1 - ``risk`` the miss rate itself is at most ``miss``).

A policy only says whether to go on hashing. A share that was found is always handed in.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from dataclasses import dataclass, fields
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from asic_reservoir.errors import AsicReservoirError, DataError, NotFoundError, UsageError
from asic_reservoir.tpf.compression import check_round
from asic_reservoir.tpf.scoring import ScoreKind, ScoreTable

_SCHEMA = "asic-reservoir/tpf-filter/1"
FILE_NAME = "filter.json"
CONTINUE_ALL = -(2**31)
"""Threshold below every score: nothing is aborted."""


class Rule(StrEnum):
    """How a threshold is chosen."""

    KEEP_RATE = "keep-rate"
    CONFORMAL = "conformal"
    NEYMAN_PEARSON = "neyman-pearson"


def keep_rate_threshold(other_scores: ArrayLike, keep_rate: float) -> float:
    """The score above or at which a share ``keep_rate`` of the others lies.

    >>> keep_rate_threshold(range(100), 0.05)
    95.0
    """
    if not 0 < keep_rate <= 1:
        raise UsageError(f"keep_rate: {keep_rate}, must be above 0, at most 1")
    scores = _scores("other_scores", other_scores)
    return float(scores[min(scores.size - 1, round(scores.size * (1 - keep_rate)))])


def conformal_threshold(share_scores: ArrayLike, miss: float) -> float:
    """Split conformal: a new share scores below it with probability at most ``miss``; -inf where too few are known.

    The k-th smallest of m scores with k = floor((m + 1) miss); a new one falls below it with probability k / (m + 1).

    >>> conformal_threshold(range(99), 0.05), conformal_threshold(range(10), 0.05)
    (4.0, -inf)
    """
    _check_miss(miss)
    scores = _scores("share_scores", share_scores)
    k = int(np.floor((scores.size + 1) * miss))
    return float(scores[k - 1]) if k >= 1 else float("-inf")


def neyman_pearson_threshold(share_scores: ArrayLike, miss: float, risk: float = 0.05) -> float:
    """Largest known score with a miss rate of at most ``miss`` below it, with confidence 1 - ``risk``; -inf if none.

    The miss rate at the k-th smallest of m scores follows Beta(k, m + 1 - k) (Tong, Feng and Li, Science Advances 4,
    2018: the umbrella algorithm).

    >>> neyman_pearson_threshold(range(59), 0.05), neyman_pearson_threshold(range(58), 0.05)
    (0.0, -inf)
    """
    from scipy.special import betainc

    _check_miss(miss)
    if not 0 < risk < 1:
        raise UsageError(f"risk: {risk}, must be between 0 and 1")
    scores = _scores("share_scores", share_scores)
    k = np.arange(1, scores.size + 1)
    allowed = np.flatnonzero(betainc(k, scores.size + 1 - k, miss) >= 1 - risk)
    return float(scores[allowed[-1]]) if allowed.size else float("-inf")


def _check_miss(miss: float) -> None:
    if not 0 < miss < 1:
        raise UsageError(f"miss: {miss}, must be between 0 and 1")


def _scores(name: str, values: ArrayLike) -> NDArray[np.float64]:
    scores = np.sort(np.asarray(list(values) if isinstance(values, range) else values, np.float64).ravel())
    if scores.size == 0 or not np.isfinite(scores).all():
        raise DataError(f"{name}: empty or not finite, must be one or more numbers")
    return scores


@dataclass(frozen=True, slots=True, eq=False)
class FilterPolicy:
    """Go on where the score of the state after ``round`` of ``compression`` is at least ``threshold``."""

    score: ScoreTable
    kind: ScoreKind
    compression: int
    round: int
    threshold: int
    rule: Rule
    bound: float
    """What the rule was asked for: keep rate, or largest share of missed shares."""
    zero_bits: int
    """The share that was learnt."""

    def __post_init__(self) -> None:
        check_round(self.compression, self.round)
        if self.round == 0:
            raise UsageError("round: 0, must be from 1 to 64: nothing has been computed before the first")
        if not 1 <= self.zero_bits <= 32:
            raise UsageError(f"zero_bits: {self.zero_bits}, must be from 1 to 32")

    @property
    def k(self) -> int:
        """Rounds that are spent before the decision, of 128."""
        return 64 * self.compression + self.round

    def keeps(self, states: NDArray[np.uint32]) -> NDArray[np.bool_]:
        """Whether to go on, for states (n, 8)."""
        return np.asarray(self.score.sums(states) >= self.threshold)

    def save(self, folder: Path) -> Path:
        """Write ``filter.json``: what the filter is, its table in base64, and the SHA-256 of the table."""
        from asic_reservoir.report.files import write_atomic

        table = self.score.table.astype("<i2").tobytes()
        facts = {"schema": _SCHEMA, "low": self.score.low, "shift": self.score.shift}
        facts |= {field.name: getattr(self, field.name) for field in fields(self) if field.name != "score"}
        facts |= {"table_sha256": sha256(table).hexdigest(), "table": b64encode(table).decode("ascii")}
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(folder / FILE_NAME, (json.dumps(facts, indent=1) + "\n").encode())
        return folder / FILE_NAME

    @classmethod
    def load(cls, folder: Path) -> FilterPolicy:
        """Read what :meth:`save` wrote.

        Raises:
            NotFoundError: no filter there.
            DataError: it is damaged.
        """
        path = folder / FILE_NAME
        try:
            return cls._of(json.loads(path.read_bytes()))
        except FileNotFoundError:
            raise NotFoundError(f"filter {str(folder)!r}: no {FILE_NAME}, make one with 'tpf train'") from None
        except (OSError, ValueError, KeyError, TypeError, RecursionError, AsicReservoirError) as error:
            raise DataError(f"filter {str(path)!r}: {' '.join(str(error).split())}, must be a saved filter") from None

    @classmethod
    def _of(cls, facts: Any) -> FilterPolicy:
        if not isinstance(facts, dict) or facts.get("schema") != _SCHEMA:
            raise DataError(f"another schema than {_SCHEMA!r}")
        content = b64decode(facts["table"], validate=True)
        if len(content) != 8 * 4 * 256 * 2 or sha256(content).hexdigest() != facts["table_sha256"]:
            raise DataError("the table differs from its checksum")
        integers = {name: facts[name] for name in ("low", "shift", "compression", "round", "threshold", "zero_bits")}
        for name, value in integers.items():
            if isinstance(value, bool) or not isinstance(value, int) or abs(value) > 2**31:
                raise DataError(f"{name} {value!r} is no integer of 32 bits")
        return cls(
            ScoreTable(
                np.frombuffer(content, "<i2").astype(np.int16).reshape(8, 4, 256), integers["low"], integers["shift"]
            ),
            ScoreKind(facts["kind"]),
            integers["compression"],
            integers["round"],
            integers["threshold"],
            Rule(facts["rule"]),
            float(facts["bound"]),
            integers["zero_bits"],
        )
