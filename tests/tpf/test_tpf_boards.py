"""The recording of a real S9, and windows of a board: with a planted leak it is found, without one it is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from asic_reservoir.board import Board, NonceBatch, NonceFlag, Origin
from asic_reservoir.errors import DataError, UsageError
from asic_reservoir.recording import shipped
from asic_reservoir.registry import open_board
from asic_reservoir.tpf.board_windows import WindowResult, Windows, WindowSettings, collect, judge, window_for
from asic_reservoir.tpf.curve import Label
from asic_reservoir.tpf.predictors import PredictorName
from asic_reservoir.tpf.recorded import RecordedResult, evaluate_recording
from asic_reservoir.tpf.windows import BETTER_NAMES, published_windows, share_windows

URI = "twin://bm1366?seed=1&share_bits=4"


@pytest.fixture(scope="module")
def recorded() -> RecordedResult:
    return evaluate_recording(shipped(), predictors=(PredictorName.LOGISTIC, PredictorName.LDA))


def test_every_label_of_the_recording_is_honest(recorded: RecordedResult) -> None:
    assert (recorded.n_shares, recorded.n_invalid, recorded.n_positive) == (2588, 0, 686)
    assert 256 < recorded.least_difficulty < 257
    assert shipped().difficulty[shipped().difficulty <= 1024].min() > 256


def test_jitter_knows_nothing_of_difficulty(recorded: RecordedResult) -> None:
    assert recorded.jitter.contains_half
    assert recorded.label is Label.NOT_SUPPORTED


def test_the_published_window_model_is_refused(recorded: RecordedResult) -> None:
    assert recorded.published_window.refused
    assert recorded.published_window.auc is None
    reasons = {finding.detector for finding in recorded.published_window.findings}
    assert reasons == {"label is a function of a feature"}
    assert "labels: all 1 in 126 rows" in recorded.published_window_problem


def test_honest_labels_are_scored(recorded: RecordedResult) -> None:
    assert len(recorded.honest) == 4
    for evaluation in recorded.honest:
        assert evaluation.auc is not None
        assert evaluation.auc.contains_half
        assert evaluation.smallest_auc is not None
        assert evaluation.smallest_auc < 0.57


def test_windows_look_back_only() -> None:
    """Changing a share leaves every row before it, and its own, as it was."""
    rng = np.random.default_rng(0)
    time = np.cumsum(rng.exponential(0.1, 60))
    columns = [rng.random(60), rng.integers(0, 5, 60), rng.integers(0, 5, 60), np.arange(60)]
    labels = rng.random(60) < 0.4
    before = share_windows(time, *columns, labels, better=True)
    assert before.names == BETTER_NAMES
    columns[0] = columns[0].copy()
    columns[0][40] += 5
    after = share_windows(time, *columns, labels, better=True)
    changed = np.flatnonzero((before.features != after.features).any(axis=1)) + 10
    assert changed.tolist() == list(range(41, 51))


def test_published_windows() -> None:
    data = published_windows(np.array([0.1, 0.3, 2.5, 6.1]), 1.0)
    assert data.labels.tolist() == [True, False, True, False, False, False, True]
    assert data.features[0] == pytest.approx([2, 0.2, 0.1])


def windows_of(board: Board, settings: WindowSettings) -> Windows:
    found = collect(board, settings)
    assert found is not None
    return found


def run(plant: float, windows: int) -> WindowResult:
    settings = WindowSettings(windows=windows, window_s=0.8, plant=plant)
    with open_board(URI) as board:
        return judge(windows_of(board, settings), settings)


@pytest.mark.slow
def test_a_planted_leak_is_found_and_nothing_else_is() -> None:
    planted, plain = run(0.3, 800), run(0.0, 800)
    for result in (planted, plain):
        assert result.origin is Origin.SIMULATED
        assert result.energy is not None
        assert result.smallest_gain is not None
        assert result.evaluation.smallest_auc is not None
        assert "80 % power" in result.sentence
    assert planted.label is Label.SUPPORTED
    assert planted.energy is not None
    assert planted.energy.gain.low > 1
    assert plain.label is Label.NOT_SUPPORTED


def test_the_plant_is_the_experiments_and_not_the_twins() -> None:
    """The board gives the same nonces, and the shares are the same; only the features differ."""
    with open_board(URI) as board, open_board(URI) as same:
        plain = windows_of(board, WindowSettings(windows=100, window_s=0.5))
        planted = windows_of(same, WindowSettings(windows=100, window_s=0.5, plant=0.5))
    assert np.array_equal(plain.late_shares, planted.late_shares)
    assert np.array_equal(plain.early_shares, planted.early_shares)
    column = plain.data.names.index("mean_offset")
    differs = plain.data.features[:, column] != planted.data.features[:, column]
    assert np.array_equal(differs, plain.late_shares > 0)
    count = plain.data.names.index("early_nonces")
    assert np.array_equal(plain.data.features[:, count], planted.data.features[:, count])


def test_stopped_windows_go_on_bit_by_bit(tmp_path: Path) -> None:
    settings = WindowSettings(windows=100, window_s=0.5)
    with open_board(URI) as board:
        whole = windows_of(board, settings)
    found, starts = None, 0
    while found is None:
        asked = iter([False] * 37 + [True] * 100)
        with open_board(URI) as board:
            found = collect(board, settings, folder=tmp_path / "run", stop=lambda it=asked: next(it))  # type: ignore[misc]
        starts += 1
    assert starts == 3
    assert np.array_equal(found.data.features, whole.data.features)
    assert np.array_equal(found.late_shares, whole.late_shares)
    with open_board(URI) as board, pytest.raises(UsageError, match="holds a run with other settings"):
        collect(board, WindowSettings(windows=101, window_s=0.5), folder=tmp_path / "run")


def test_window_fits_the_rate() -> None:
    with open_board(URI) as board:
        assert window_for(board, 5, 64) == pytest.approx(12 * 64 / 5 / 100.95, rel=1e-3)


def test_synthetic_nonces_are_refused() -> None:
    """A board that ignores the header cannot be judged: its nonces have no hash."""
    with open_board(URI) as board:
        step = board.step

        def ignoring(request: object) -> object:
            seen = step(request)  # type: ignore[arg-type]
            columns = dict(seen.nonces.columns())
            columns["flags"] = columns["flags"] | np.uint8(NonceFlag.SYNTHETIC)  # type: ignore[operator]
            object.__setattr__(seen, "nonces", NonceBatch(**columns))  # type: ignore[arg-type]
            return seen

        board.step = ignoring  # type: ignore[method-assign,assignment]
        with pytest.raises(DataError, match="nonces of no real header"):
            collect(board, WindowSettings(windows=100, window_s=0.5))


@pytest.mark.parametrize(
    ("call", "error", "named"),
    [
        (lambda: WindowSettings(windows=5), UsageError, "windows: 5"),
        (lambda: WindowSettings(k=64), UsageError, "k: 64"),
        (lambda: WindowSettings(plant=1.0), UsageError, "plant: 1.0"),
        (lambda: WindowSettings(window_s=0.0), UsageError, "window_s: 0.0"),
        (lambda: WindowSettings(good_bits=0), UsageError, "good_bits: 0"),
        (lambda: published_windows(np.array([0.5]), 0.0), UsageError, "window_s: 0.0"),
        (lambda: published_windows(np.array([0.5, 0.6])), DataError, "labels: all 1 in 1 rows"),
        (
            lambda: share_windows(*(np.arange(5.0),) * 5, np.arange(5) > 2),  # type: ignore[arg-type]
            DataError,
            "shares: 5",
        ),
    ],
)
def test_bad_input_is_named(call: object, error: type[Exception], named: str) -> None:
    with pytest.raises(error, match=f"^{named}"):
        call()  # type: ignore[operator]
