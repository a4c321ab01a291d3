"""What a filter costs and what it brings, exactly.

A hash takes ``n`` rounds. A filter looks at the state after round ``k``, continues with probability ``q`` (the keep
rate) and keeps a hash that is a share with probability ``recall``. With the fraction looked at, kappa = k/n:

- rounds a hash: k + (n - k) q, hence ``savings = 1 - (k + (n - k) q) / n = (1 - kappa) (1 - q)``;
- rounds a found share, against no filter: ``R = (kappa + (1 - kappa) q) / recall``;
- found shares a round (hits per joule of a sequential core), against no filter: ``gain = 1 / R``;
- a filter pays exactly where ``recall > kappa + (1 - kappa) q``, the break-even recall.

A score without information has recall = q, and then gain <= 1: it never pays. These are the statements of chapter
Energy of ``lean/``, under the same names. Everything here is exact: numbers go in as integers, fractions, decimals or
decimal text, a float means the decimal that it prints as, and :class:`fractions.Fraction` comes out.

>>> savings(5, 64, 0), savings(5, 64, 0) == Fraction("0.921875")
(Fraction(59, 64), True)
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction

from asic_reservoir.errors import UsageError

Exact = int | Fraction | Decimal | float | str
"""A number that stands for one exact rational."""

PUBLISHED_K = 5
"""Decision round of paper 2."""
PUBLISHED_N = 64
"""Rounds that paper 2 counts a hash: one compression. Mining a nonce takes 128."""
MINING_N = 128
"""Rounds a nonce: second block of the first hash, then the second hash."""

_LARGEST_EXPONENT = 400


def exact(name: str, value: Exact) -> Fraction:
    """``value`` as a fraction; a float is read as the decimal that it prints as.

    Raises:
        UsageError: not a finite number.

    >>> exact("keep rate", 0.05)
    Fraction(1, 20)
    """
    try:
        if isinstance(value, int | Fraction):
            return Fraction(value)
        decimal = Decimal(str(value))
        if abs(decimal.adjusted()) <= _LARGEST_EXPONENT:  # 10**exponent is written out: a hostile one would fill memory
            return Fraction(decimal)
    except (ArithmeticError, ValueError, TypeError):
        pass
    raise UsageError(f"{name}: {value!r}, must be a finite number such as 0.05, magnitude 1e-400 to 1e400")


def probability(name: str, value: Exact) -> Fraction:
    """``value`` as a fraction in [0, 1]; raises UsageError otherwise."""
    number = exact(name, value)
    if not 0 <= number <= 1:
        raise UsageError(f"{name}: {value}, must be from 0 to 1")
    return number


def _looked_at(k: int, n: int) -> Fraction:
    for name, value in (("k", k), ("n", n)):
        if isinstance(value, bool) or not isinstance(value, int):
            raise UsageError(f"{name}: {value!r}, must be an integer number of rounds")
    if n < 1:
        raise UsageError(f"n: {n}, must be at least 1 round")
    if not 0 <= k <= n:
        raise UsageError(f"k: {k}, must be from 0 to n = {n} rounds")
    return Fraction(k, n)


def rounds_per_hash(k: int, n: int, q: Exact) -> Fraction:
    """Expected rounds of a hash under the filter, k + (n - k) q.

    >>> rounds_per_hash(5, 64, 0.05)
    Fraction(159, 20)
    """
    return n * break_even_recall(k, n, q)


def savings(k: int, n: int, q: Exact) -> Fraction:
    """Share of the rounds that the filter leaves out: (1 - k/n) (1 - q). At most 1 - k/n, reached only at q = 0.

    It says nothing about shares found: at q = 0 none is.

    >>> savings(5, 64, 0.05) == Fraction("0.87578125")
    True
    """
    return 1 - break_even_recall(k, n, q)


def break_even_recall(k: int, n: int, continue_probability: Exact) -> Fraction:
    """The recall above which the filter pays: kappa + (1 - kappa) q, the share of the rounds that is still spent.

    >>> break_even_recall(5, 64, 0.05) == Fraction("0.12421875")
    True
    """
    kappa = _looked_at(k, n)
    return kappa + (1 - kappa) * probability("continue_probability", continue_probability)


def rounds_per_found(k: int, n: int, continue_probability: Exact, recall: Exact) -> Fraction:
    """R: rounds a found share, as a multiple of what they are without a filter.

    Raises:
        UsageError: recall is 0: no share is found, whatever is spent.

    >>> float(rounds_per_found(5, 64, 0.01, 0.01))
    8.734375
    """
    spent, found = break_even_recall(k, n, continue_probability), probability("recall", recall)
    if found == 0:
        raise UsageError("recall: 0, must be above 0: without a found share there are no rounds a share")
    return spent / found


def gain(k: int, n: int, continue_probability: Exact, recall: Exact) -> Fraction:
    """Found shares a round against no filter: recall / (kappa + (1 - kappa) q). Above 1 the filter pays.

    For a sequential core, where an aborted round costs neither time nor energy, this is hits per joule.

    Raises:
        UsageError: k = 0 and q = 0: nothing is spent and nothing is found.

    >>> gain(5, 64, 1, 1), gain(5, 64, 0, 0)
    (Fraction(1, 1), Fraction(0, 1))
    """
    spent, found = break_even_recall(k, n, continue_probability), probability("recall", recall)
    if spent == 0:
        raise UsageError("k: 0 with continue_probability 0: no round is spent, so a gain a round has no meaning")
    return found / spent


def equivalent_hashrate(k: int, n: int, q: Exact) -> Fraction:
    """Hashes *begun* a round against no filter, 1 / (1 - savings): the published «12.8x». Begun is not found.

    >>> equivalent_hashrate(5, 64, 0) == Fraction("12.8")
    True
    """
    spent = break_even_recall(k, n, q)
    if spent == 0:
        raise UsageError("k: 0 with q 0: no round is spent, so hashes a round have no meaning")
    return 1 / spent


def windowed_savings(k: int, n: int, aborted_windows: int, windows: int) -> Fraction:
    """Savings where whole windows are aborted: (aborted/windows) (1 - k/n). The published 88.5 % is 96 of 100.

    >>> windowed_savings(5, 64, 96, 100) == Fraction("0.885")
    True
    """
    if windows < 1 or not 0 <= aborted_windows <= windows:
        raise UsageError(f"aborted_windows: {aborted_windows} of {windows}, must be 0 to windows, at least 1 window")
    return savings(k, n, Fraction(windows - aborted_windows, windows))


def combined_savings(filter_savings: Exact, idle_recovered: Exact) -> Fraction:
    """The published 1 - (1 - a)(1 - b) of filter (a) and block manager (b): takes «+b hashrate» for «b saved».

    >>> combined_savings("0.921875", "0.25") == Fraction("0.94140625")
    True
    """
    a, b = probability("filter_savings", filter_savings), probability("idle_recovered", idle_recovered)
    return 1 - (1 - a) * (1 - b)


def combined_savings_consistent(filter_savings: Exact, extra_hashrate: Exact) -> Fraction:
    """The same with both as factors of hashrate: 1 - (1 - a) / (1 + b). 12.8 x 1.25 = 16, hence 15/16.

    >>> combined_savings_consistent("0.921875", "0.25") == Fraction("0.9375")
    True
    """
    a, b = probability("filter_savings", filter_savings), exact("extra_hashrate", extra_hashrate)
    if b < 0:
        raise UsageError(f"extra_hashrate: {extra_hashrate}, must be at least 0")
    return 1 - (1 - a) / (1 + b)


class Architecture(StrEnum):
    """What an abort frees. The joules of a report hold for the one that it names, and for no other."""

    SEQUENTIAL = "sequential"
    """A core that makes one round after the other: an abort frees the time and the energy of the rest."""
    PIPELINE = "pipeline"
    """Every round has its own stage, and a nonce enters at each clock: an abort stops the switching downstream; the
    clock tree, leakage and the slot stay spent."""
    PROXY = "proxy"
    """A filter after the machine: the hash is done, nothing is freed, and a withheld share is lost."""


@dataclass(frozen=True, slots=True)
class EnergyModel:
    """From rounds to energy of one hash, in units of a hash without a filter.

    >>> EnergyModel(Architecture.PIPELINE, switching="0.5").gain(5, 64, 0, 0)
    Fraction(0, 1)
    >>> float(EnergyModel(Architecture.PROXY).gain(5, 64, "0.05", "0.05"))
    0.05
    """

    architecture: Architecture
    switching: Exact = 1
    """Share of the energy that a stopped round saves (the rest is clock, leakage, memory): 1 is the best case."""
    score_rounds: Exact = 0
    """Cost of computing the score once, in rounds."""

    def energy_per_hash(self, k: int, n: int, continue_probability: Exact) -> Fraction:
        """Energy a hash begun, as a multiple of a whole hash."""
        switching = probability("switching", self.switching)
        extra = exact("score_rounds", self.score_rounds) / n
        if extra < 0:
            raise UsageError(f"score_rounds: {self.score_rounds}, must be at least 0")
        if self.architecture is Architecture.PROXY:
            _looked_at(k, n)
            return 1 + extra
        return 1 - switching * savings(k, n, continue_probability) + extra

    def gain(self, k: int, n: int, continue_probability: Exact, recall: Exact) -> Fraction:
        """Hits per joule against no filter; with switching 1 and a free score the same as :func:`gain`."""
        energy = self.energy_per_hash(k, n, continue_probability)
        if energy == 0:
            raise UsageError("k: 0 with continue_probability 0: no energy is spent, so hits per joule have no meaning")
        return probability("recall", recall) / energy

    def joules_per_share(
        self, k: int, n: int, continue_probability: Exact, recall: Exact, joules_per_hash: Exact, difficulty: Exact
    ) -> Fraction:
        """Joules a found share of ``difficulty`` (in 2^32 hashes), at ``joules_per_hash`` of a whole hash.

        Raises:
            UsageError: recall is 0.
        """
        found = probability("recall", recall)
        if found == 0:
            raise UsageError("recall: 0, must be above 0: without a found share there are no joules a share")
        hashes = exact("difficulty", difficulty) * 2**32
        energy = self.energy_per_hash(k, n, continue_probability)
        return energy * exact("joules_per_hash", joules_per_hash) * hashes / found
