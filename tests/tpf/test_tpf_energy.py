"""Energy formulas against the exact values of the two papers and of the theory, and their laws."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asic_reservoir.errors import UsageError
from asic_reservoir.tpf import energy
from asic_reservoir.tpf.energy import Architecture, EnergyModel

UNIT = st.fractions(min_value=0, max_value=1, max_denominator=10**6)
ROUNDS = st.integers(1, 256).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


def test_published_savings_are_exact_to_the_last_digit() -> None:
    assert energy.savings(5, 64, 0) == Fraction("0.921875")
    assert energy.equivalent_hashrate(5, 64, 0) == Fraction("12.8")
    assert energy.savings(5, 128, 0) == Fraction("0.9609375")
    assert energy.savings(5, 64, "0.05") == Fraction("0.87578125")
    assert energy.windowed_savings(5, 64, 96, 100) == Fraction("0.885")
    assert energy.combined_savings("0.921875", "0.25") == Fraction("0.94140625")
    assert energy.combined_savings_consistent("0.921875", "0.25") == Fraction("0.9375")


def test_published_savings_find_nothing() -> None:
    assert energy.gain(5, 64, 0, 0) == 0


@pytest.mark.parametrize(
    ("keep", "rounds"),
    [
        ("1", "1"),
        ("0.5", "1.078125"),
        ("0.25", "1.234375"),
        ("0.1", "1.703125"),
        ("0.05", "2.484375"),
        ("0.01", "8.734375"),
    ],
)
def test_a_filter_without_information_costs(keep: str, rounds: str) -> None:
    assert energy.rounds_per_found(5, 64, keep, keep) == Fraction(rounds)


@pytest.mark.parametrize(("keep", "recall"), [("0.05", "0.12421875"), ("0.1", "0.1703125")])
def test_break_even(keep: str, recall: str) -> None:
    assert energy.break_even_recall(5, 64, keep) == Fraction(recall)
    assert energy.gain(5, 64, keep, recall) == 1


@given(ROUNDS, UNIT)
def test_no_information_never_pays(rounds: tuple[int, int], q: Fraction) -> None:
    k, n = rounds
    if k == 0 and q == 0:
        return
    result = energy.gain(k, n, q, q)
    assert result <= 1
    assert (result == 1) == (q == 1 or k == 0)


@given(ROUNDS, UNIT, UNIT)
def test_pays_exactly_above_break_even(rounds: tuple[int, int], q: Fraction, recall: Fraction) -> None:
    k, n = rounds
    if k == 0 and q == 0:
        return
    assert (energy.gain(k, n, q, recall) > 1) == (recall > energy.break_even_recall(k, n, q))
    assert energy.savings(k, n, q) <= 1 - Fraction(k, n)
    assert EnergyModel(Architecture.SEQUENTIAL).gain(k, n, q, recall) == energy.gain(k, n, q, recall)
    assert EnergyModel(Architecture.PROXY).gain(k, n, q, recall) == recall
    if recall > 0:
        assert energy.rounds_per_found(k, n, q, recall) == 1 / energy.gain(k, n, q, recall)


def test_pipeline_frees_switching_only() -> None:
    pipeline = EnergyModel(Architecture.PIPELINE, switching="0.6")
    assert pipeline.energy_per_hash(5, 64, 0) == 1 - Fraction("0.6") * Fraction(59, 64)
    assert pipeline.joules_per_share(5, 64, 1, 1, "1e-10", 1) == Fraction("1e-10") * 2**32


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: energy.savings(65, 64, 0), "k: 65"),
        (lambda: energy.savings(True, 64, 0), "k: True"),
        (lambda: energy.savings(5, 0, 0), "n: 0"),
        (lambda: energy.savings(5, 64, 1.5), "continue_probability: 1.5"),
        (lambda: energy.savings(5, 64, float("nan")), "continue_probability: nan"),
        (lambda: energy.savings(5, 64, "1e999999999"), "continue_probability: '1e999999999'"),
        (lambda: energy.savings(5, 64, "x"), "continue_probability: 'x'"),
        (lambda: energy.rounds_per_found(5, 64, 0, 0), "recall: 0"),
        (lambda: energy.gain(0, 64, 0, 0), "k: 0"),
        (lambda: energy.gain(5, 64, 0, -1), "recall: -1"),
        (lambda: energy.windowed_savings(5, 64, 101, 100), "aborted_windows: 101"),
        (lambda: EnergyModel(Architecture.PIPELINE, switching=2).gain(5, 64, 0, 0), "switching: 2"),
        (lambda: EnergyModel(Architecture.PIPELINE, score_rounds=-1).gain(5, 64, 0, 0), "score_rounds: -1"),
    ],
)
def test_bad_numbers_are_named(call: object, named: str) -> None:
    with pytest.raises(UsageError, match=f"^{named}"):
        call()  # type: ignore[operator]
