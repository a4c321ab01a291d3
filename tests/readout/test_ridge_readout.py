"""The ridge readout against scikit-learn's, against itself in pieces, and where numbers are hard."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge, RidgeCV

from asic_reservoir.readout import DEFAULT_ALPHAS, RidgeReadout
from asic_reservoir.readout._moments import Moments


def problem(n_rows: int = 800, n_states: int = 30, n_targets: int = 2, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Correlated states of very different scales and offsets, as counts and temperatures are."""
    generator = np.random.default_rng(seed)
    mixed = generator.normal(size=(n_rows, n_states)) @ generator.normal(size=(n_states, n_states))
    states = mixed * np.logspace(-2, 2, n_states) + 100.0 * generator.normal(size=n_states)
    standard = (states - states.mean(axis=0)) / states.std(axis=0)
    weights = generator.normal(size=(n_states, n_targets))
    return states, standard @ weights + 2.0 * generator.normal(size=(n_rows, n_targets)) + 5.0


@pytest.mark.parametrize("alpha", [1e-8, 1e-3, 10.0])
def test_one_penalty_is_scikit_learns_solution_on_scaled_states(alpha: float) -> None:
    x, y = problem()
    scaled = (x - x.mean(axis=0)) / x.std(axis=0)
    theirs = Ridge(alpha=len(x) * alpha, solver="svd").fit(scaled, y).predict(scaled)
    np.testing.assert_allclose(RidgeReadout([alpha]).fit(x, y).predict(x), theirs, rtol=1e-8)


def test_gcv_chooses_as_scikit_learns_ridgecv_does() -> None:
    """RidgeCV's leave-one-out equals GCV up to the spread of leverages: the same or a neighbouring penalty."""
    x, y = problem(n_rows=120)
    scaled = (x - x.mean(axis=0)) / x.std(axis=0)
    for target in y.T:
        theirs = RidgeCV(alphas=np.array(DEFAULT_ALPHAS) * len(x)).fit(scaled, target).alpha_ / len(x)
        ours = RidgeReadout().fit(x, target).alpha_
        assert abs(np.log10(ours / theirs)) <= 0.51


def test_gcv_score_is_its_definition() -> None:
    x, y = problem(n_rows=200, n_targets=1)
    readout = RidgeReadout().fit(x, y[:, 0])
    scaled = (x - x.mean(axis=0)) / x.std(axis=0)
    for place, alpha in enumerate(DEFAULT_ALPHAS):
        hat = scaled @ np.linalg.solve(scaled.T @ scaled + len(x) * alpha * np.eye(30), scaled.T) + 1 / len(x)
        residual = y[:, 0] - hat @ y[:, 0]
        gcv = np.mean(residual**2) / (1 - np.trace(hat) / len(x)) ** 2
        assert readout.errors_[0, place] == pytest.approx(gcv, rel=1e-6)


@pytest.mark.parametrize("gap", [0, 20])
def test_block_errors_are_those_of_refitting_every_fold(gap: int) -> None:
    """From the moments alone, without a second pass: what five fits on the rows outside block and gap give."""
    x, y = problem(n_rows=503)
    alphas = DEFAULT_ALPHAS[::8]
    readout = RidgeReadout(alphas, selection="blocks", gap=gap).fit(x, y)
    edges = np.linspace(0, len(x), 6).astype(int)
    expected = np.zeros((2, len(alphas)))
    for start, end in pairwise(edges):
        rows = np.r_[0 : max(start - gap, 0), min(end + gap, len(x)) : len(x)]
        mean, scale = x[rows].mean(axis=0), x[rows].std(axis=0)
        for place, alpha in enumerate(alphas):
            fold = Ridge(alpha=len(rows) * alpha, solver="svd").fit((x[rows] - mean) / scale, y[rows])
            expected[:, place] += ((fold.predict((x[start:end] - mean) / scale) - y[start:end]) ** 2).sum(axis=0)
    np.testing.assert_allclose(readout.errors_, expected / len(x), rtol=1e-5)


@settings(max_examples=20, deadline=None)
@given(cuts=st.lists(st.integers(1, 799), max_size=6, unique=True), selection=st.sampled_from(["gcv", "blocks"]))
def test_any_partition_of_a_stream_gives_the_same_readout(cuts: list[int], selection: str) -> None:
    x, y = problem()
    stream = RidgeReadout(selection=selection)
    for rows in np.split(np.arange(len(x)), sorted(cuts)):
        stream.partial_fit(x[rows], y[rows], solve=rows[-1] == len(x) - 1)
    whole = RidgeReadout(selection=selection).partial_fit(x, y)
    assert stream.n_rows_ == len(x)
    assert stream.alpha_ == whole.alpha_
    np.testing.assert_allclose(stream.predict(x), whole.predict(x), rtol=1e-9)
    np.testing.assert_allclose(stream.predict(x), RidgeReadout([whole.alpha_]).fit(x, y).predict(x), rtol=1e-9)


def test_moments_merge_and_part_without_loss() -> None:
    x, y = problem()
    whole, first, second = Moments.of(x, y), Moments.of(x[:300], y[:300]), Moments.of(x[300:], y[300:])
    first.merge(second)
    scale = np.sqrt(np.diag(whole.covariance()))
    for merged in (first, Moments.of(np.r_[x, x[:50]], np.r_[y, y[:50]]).without(Moments.of(x[:50], y[:50]))):
        assert merged.n == whole.n
        np.testing.assert_allclose(merged.mean_x, whole.mean_x, rtol=1e-12)
        difference = (merged.covariance() - whole.covariance()) / np.outer(scale, scale)
        assert np.abs(difference).max() < 1e-11


def test_a_state_with_a_huge_offset_keeps_its_digits() -> None:
    """80 degrees that move by 10 microkelvin: the sum of squares would drown them, the centred one does not."""
    generator = np.random.default_rng(0)
    signal = generator.normal(size=5000)
    states = np.stack([80.0 + 1e-5 * signal, generator.normal(size=5000)], axis=1)
    readout = RidgeReadout([1e-10]).fit(states, signal)
    assert np.abs(readout.predict(states) - signal).max() < 1e-4


def test_constant_and_repeated_states_are_harmless() -> None:
    x, y = problem(n_states=5, n_targets=1)
    padded = np.column_stack([x, np.full(len(x), 1e6), np.zeros(len(x)), x[:, 0]])
    np.testing.assert_allclose(
        RidgeReadout([1e-8]).fit(padded, y[:, 0]).predict(padded),
        RidgeReadout([1e-8]).fit(x, y[:, 0]).predict(x),
        rtol=1e-5,
    )


def test_washout_rows_of_every_series_are_dropped() -> None:
    x, y = problem(n_states=4, n_targets=1)
    y = y[:, 0]
    spoiled = x.copy()
    spoiled[:50] = 1e9
    spoiled[400:450] = -1e9
    stream = RidgeReadout([1e-3], washout=50)
    stream.partial_fit(spoiled[:30], y[:30], solve=False).partial_fit(spoiled[30:400], y[30:400])
    stream.partial_fit(spoiled[400:], y[400:], new_series=True)
    kept = np.r_[50:400, 450:800]
    assert stream.n_rows_ == len(kept)
    np.testing.assert_allclose(stream.coef_, RidgeReadout([1e-3]).fit(x[kept], y[kept]).coef_, rtol=1e-9)


def test_targets_can_choose_for_themselves() -> None:
    x, y = problem(n_rows=200)
    y[:, 1] = np.random.default_rng(1).normal(size=200)
    apart = RidgeReadout(alpha_per_target=True).fit(x, y)
    assert apart.alpha_[1] > apart.alpha_[0]  # noise wants the large penalty, signal does not
    assert apart.alpha_[0] == RidgeReadout().fit(x, y[:, 0]).alpha_


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"alphas": []}, r"alphas=\[\], must be one or more finite numbers from 0"),
        ({"alphas": [-1.0]}, "alphas="),
        ({"alphas": [np.nan]}, "alphas="),
        ({"selection": "test"}, "selection='test', must be 'gcv' or 'blocks'"),
        ({"n_folds": 1}, "n_folds=1, must be an integer from 2"),
        ({"washout": -1}, "washout=-1, must be an integer from 0"),
        ({"washout": 799}, "n_samples = 1 after washout 799"),
    ],
)
def test_parameters_out_of_range_are_named(settings: dict, message: str) -> None:
    x, y = problem()
    with pytest.raises(ValueError, match=message):
        RidgeReadout(**settings).fit(x, y)


def test_a_gap_needs_all_rows_at_hand() -> None:
    x, y = problem()
    with pytest.raises(ValueError, match="gap=5: partial_fit keeps no rows"):
        RidgeReadout(selection="blocks", gap=5).partial_fit(x, y)
