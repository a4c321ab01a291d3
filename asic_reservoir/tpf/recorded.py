"""What a recording of shares says: honest labels, jitter against difficulty, the published window models.

Labels are rebuilt from the headers: a share is positive where its hash meets :data:`PUBLISHED_DIFFICULTY`. The
published labels were all 0 because the previous hash was not put into header order (see ``recording.shares``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asic_reservoir.errors import DataError, UsageError
from asic_reservoir.recording import SHIPPED_NAME, ShareRecording, load, shipped
from asic_reservoir.tpf.curve import Label
from asic_reservoir.tpf.detectors import Dataset, split_by_time
from asic_reservoir.tpf.information import Auc, MutualInformation, auc, histogram_of, mutual_information
from asic_reservoir.tpf.predictors import (
    PUBLISHED_LAYERS,
    Evaluation,
    PredictorName,
    count_parameters,
    evaluate,
    make_predictor,
)
from asic_reservoir.tpf.windows import PUBLISHED_WINDOW_S, published_windows, share_windows

PUBLISHED_DIFFICULTY = 1024.0
"""«Good» share of the published labels. Of shares that pass a filter of 256 a quarter is."""
SHORT_WINDOW_S = 0.05
"""A window so short that some are empty at 13 shares a second, which those of 2 s are not."""


@dataclass(frozen=True, slots=True)
class RecordedResult:
    """Everything that was asked of a recording."""

    name: str
    n_shares: int
    n_jobs: int
    duration_s: float
    least_difficulty: float
    n_invalid: int
    """Shares whose header does not hash below difficulty 1: label 0 for the wrong reason. Must be 0."""
    n_positive: int
    jitter: Auc
    """AUC of the time since the last job was sent, against the label."""
    jitter_information: MutualInformation
    published_window: Evaluation
    """The published window model with its own label, windows of :data:`SHORT_WINDOW_S`."""
    published_window_problem: str
    """What is wrong with it at the published 2 s already."""
    honest: tuple[Evaluation, ...]
    """Published and better features against honest labels, on later shares."""
    n_parameters: int

    @property
    def label(self) -> Label:
        """Verdict on «timing tells a share's quality»."""
        shown = [e for e in self.honest if e.auc is not None]
        if self.n_invalid or not shown:
            return Label.UNDECIDED
        found = [e.auc for e in shown if e.auc is not None and e.auc.p_value() < 0.05 / (len(shown) + 1)]
        return Label.SUPPORTED if found or self.jitter.p_value() < 0.05 / (len(shown) + 1) else Label.NOT_SUPPORTED


SCHEME = "replay://"


def recording_of(uri: str) -> ShareRecording:
    """The recording of shares that a board of this URI plays.

    Raises:
        UsageError: another board, or a recorded run, which does not say when its jobs were sent.
        NotFoundError: no such file.
        DataError: the file is not a recording of shares.

    >>> len(recording_of("replay://s9-shares").nonces)
    2588
    """
    name = uri.removeprefix(SCHEME)
    if not uri.startswith(SCHEME) or Path(name.partition("?")[0]).is_dir():
        raise UsageError(
            f"board {uri!r}: must play a recording of shares, as replay://{SHIPPED_NAME} or replay:///a.csv"
        )
    return shipped() if name.rstrip("/") == SHIPPED_NAME else load(Path(name))


def evaluate_recording(
    recording: ShareRecording,
    predictors: tuple[PredictorName, ...] = (
        PredictorName.PUBLISHED,
        PredictorName.LOGISTIC,
        PredictorName.LDA,
        PredictorName.BOOSTING,
    ),
    seed: int = 0,
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> RecordedResult:
    """Evaluate a recording.

    Raises:
        DataError: too few shares, or all on one side of the difficulty.
    """
    nonces = recording.nonces
    labels = recording.difficulty > PUBLISHED_DIFFICULTY
    if len(nonces) < 100:
        raise DataError(f"recording {recording.name!r}: {len(nonces)} shares, must be at least 100")
    time_s = np.asarray((nonces.time_ns - recording.begin_ns) * 1e-9, np.float64)
    jitter_s = np.asarray(recording.age_ns * 1e-9, np.float64)
    by_jitter = histogram_of(jitter_s, labels)
    steps = 1 + 2 * len(predictors)
    published, problem = _published_window(time_s, seed)
    progress("recording: models", 1, steps)
    honest = []
    for better in (False, True):
        data = share_windows(
            time_s, jitter_s, nonces.chip, nonces.core, nonces.job.astype(np.int64), labels, better=better
        ).varying()
        split = split_by_time(data)
        for name in predictors:
            title = f"{name.value}, {'better' if better else 'published'} features"
            honest.append(evaluate(title, make_predictor(name, seed), data, split, seed))
            progress("recording: models", 1 + len(honest), steps)
    return RecordedResult(
        recording.name,
        len(nonces),
        recording.n_jobs,
        float(time_s[-1] - time_s[0]),
        float(recording.difficulty.min()),
        int((~nonces.valid).sum()),
        int(labels.sum()),
        auc(by_jitter),
        mutual_information(by_jitter, seed=seed),
        published,
        problem,
        tuple(honest),
        count_parameters(PUBLISHED_LAYERS),
    )


def _published_window(time_s: NDArray[np.float64], seed: int) -> tuple[Evaluation, str]:
    try:
        published_windows(time_s, PUBLISHED_WINDOW_S)
        problem = ""
    except DataError as error:
        problem = f"windows of {PUBLISHED_WINDOW_S:g} s: {error}"
    data: Dataset = published_windows(time_s, SHORT_WINDOW_S)
    network = make_predictor(PredictorName.PUBLISHED, seed)
    return evaluate("published window model", network, data, split_by_time(data), seed), problem
