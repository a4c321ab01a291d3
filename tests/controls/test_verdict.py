"""The verdict: three words, by rules that were there before the run."""

import numpy as np
import pytest

from asic_reservoir.controls import NOT_SUPPORTED, SUPPORTED, UNDECIDED, verdict
from asic_reservoir.errors import DataError

SPREAD = np.linspace(-1.0, 1.0, 10)


def rows(**changed: object) -> dict[str, list[float]]:
    """Ten seeds of a silicon that helps; ``changed`` rows replace (mean, spread) or take one away with None."""
    means = {
        "constant": (1.003, 0.003),
        "input": (0.872, 0.006),
        "host_lags_50": (0.376, 0.010),
        "silicon": (0.32, 0.010),
        "host_silicon": (0.26, 0.012),
        "decoupled": (1.005, 0.004),
        "shuffled": (1.004, 0.004),
    } | changed
    return {name: list(value[0] + value[1] * SPREAD) for name, value in means.items() if value is not None}


def test_a_fall_beyond_the_margin_is_supported() -> None:
    result = verdict(rows())
    assert result.label == SUPPORTED
    assert result.valid
    assert result.difference.mean == pytest.approx(-0.116)
    assert "by -0.116 [-0.117, -0.115] (to 0.260 from 0.376, 10 seeds)" in result.sentence


def test_whose_memory_it_was_is_said_in_the_same_sentence() -> None:
    encoded = verdict(rows(silicon_present_only=(0.873, 0.007)))
    assert encoded.label == SUPPORTED
    assert "the memory is the encoding's" in encoded.sentence
    own = verdict(rows(silicon_present_only=(0.70, 0.010)))
    assert "which is memory of its own" in own.sentence
    unclear = rows()
    unclear["silicon_present_only"] = list(0.86 - 0.05 * SPREAD)
    assert "leaves open" in verdict(unclear).sentence


def test_a_host_that_multiplies_is_named_beside_the_claim() -> None:
    assert "a host that multiplies its lags scores 0.158" in verdict(rows(host_nvar=(0.158, 0.01))).sentence


def test_the_published_setting_is_a_channel_without_memory() -> None:
    flat = rows(silicon=(0.871, 0.006), host_silicon=(0.3765, 0.010))
    result = verdict(flat, published=0.8661, memoryless_floor=0.8673)
    assert result.label == NOT_SUPPORTED
    assert "what a channel without memory gives" in result.sentence
    assert "0.8661" in result.sentence
    assert "0.8673" in result.sentence


def test_an_empty_channel_is_called_empty() -> None:
    result = verdict(rows(silicon=(1.004, 0.004), host_silicon=(0.378, 0.010)))
    assert result.label == NOT_SUPPORTED
    assert "carries nothing of the input" in result.sentence


def test_memory_that_the_host_has_anyway_is_not_support() -> None:
    result = verdict(rows(silicon=(0.61, 0.01), host_silicon=(0.375, 0.010)))
    assert result.label == NOT_SUPPORTED
    assert "nothing beyond the margin of 0.01" in result.sentence


def test_an_interval_that_holds_both_is_undecided() -> None:
    noisy = rows()
    noisy["host_silicon"] = list(0.366 + 0.06 * SPREAD[::-1])
    assert verdict(noisy).label == UNDECIDED


def test_a_control_that_does_not_fall_makes_the_run_invalid() -> None:
    result = verdict(rows(decoupled=(0.9, 0.01)))
    assert (result.label, result.valid) == (UNDECIDED, False)
    assert "Invalid run: the control «decoupled» scores 0.900" in result.sentence


def test_without_controls_or_seeds_nothing_is_decided() -> None:
    assert "controls were not run" in verdict(rows(decoupled=None)).sentence
    few = {name: values[:3] for name, values in rows().items()}
    result = verdict(few)
    assert result.label == UNDECIDED
    assert "3 seeds, the rules ask for at least 5" in result.sentence


def test_every_sentence_is_one_line() -> None:
    for changed in ({}, {"decoupled": None}, {"silicon": (0.871, 0.006), "host_silicon": (0.3765, 0.01)}):
        sentence = verdict(rows(**changed), published=0.8661).sentence
        assert sentence.endswith(".")
        assert "\n" not in sentence


def test_missing_rows_and_seeds_are_named() -> None:
    with pytest.raises(DataError, match="no row 'silicon'"):
        verdict(rows(silicon=None))
    uneven = rows()
    uneven["input"].pop()
    with pytest.raises(DataError, match="row 'input' has 9 seeds, must have 10"):
        verdict(uneven)
