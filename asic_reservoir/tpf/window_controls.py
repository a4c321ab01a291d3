"""Controls of the windows of a board, from the same answers: no further board time.

* A leak planted into them must be found: else there were too few windows to find one.
* Labels shifted in time against the timing must show nothing: else the test finds what is not there. Their AUC are the
  null of the permutation p.
"""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from asic_reservoir.report.model import Check
from asic_reservoir.tpf.board_windows import Windows, WindowSettings
from asic_reservoir.tpf.detectors import Dataset
from asic_reservoir.tpf.information import auc, histogram_of
from asic_reservoir.tpf.predictors import make_predictor, scores_of

PLANTED = 0.3
"""Offsets of the first part so much shorter where a share will come."""
TIMING = ("mean_offset", "offset_std", "first_offset")
SHIFTS, MOST_LOUD = 39, 4
"""Shifts, and how many of them may have an AUC whose 95 % interval lies above 0.5: one on average, five in 1 of 300."""


def control(windows: Windows, settings: WindowSettings) -> tuple[list[Check], float]:
    """The checks, and the p of the AUC among those of shifted labels (1 where there is no AUC).

    >>> import numpy as np
    >>> rng = np.random.default_rng(1)
    >>> label = rng.random(600) < 0.5
    >>> timing = rng.gamma(4.0, 0.1, (600, 3)) * np.where(label, 0.6, 1.0)[:, None]
    >>> data = Dataset.of(timing, label, names=TIMING)
    >>> from asic_reservoir.board import Origin
    >>> seen = Windows(data, label.astype(int), label.astype(int), Origin.SIMULATED, "twin://s9")
    >>> checks, p = control(seen, WindowSettings(windows=600))
    >>> [check.passed for check in checks], p
    ([True, True], 0.025)
    """
    data = windows.data
    seen = _auc(data, data.labels, settings)
    planted = _auc(_with_leak(data), data.labels, settings)
    found = planted is not None and planted[1] > 0.5
    rng = np.random.default_rng([0x5417, settings.seed])
    n = len(data)
    shifts = rng.permutation(np.arange(n // 10, n - n // 10))[:SHIFTS]
    null = [one for shift in shifts if (one := _auc(data, np.roll(data.labels, shift), settings)) is not None]
    loud = sum(low > 0.5 for _, low in null)
    told = "found" if found else "not found"
    reached = "no AUC" if planted is None else f"AUC {planted[0]:.3f}, from {planted[1]:.3f}"
    checks = [
        Check(
            name="a planted leak",
            passed=found,
            sentence=f"offsets {PLANTED:.0%} shorter before a share are {told}: {reached}.",
        ),
        Check(
            name="labels shifted in time",
            passed=bool(null) and loud <= MOST_LOUD,
            sentence=f"{loud} of {len(null)} shifts show a leak, at most {MOST_LOUD} may.",
        ),
    ]
    if seen is None or not null:
        return checks, 1.0
    return checks, (1 + sum(value >= seen[0] for value, _ in null)) / (1 + len(null))


def _with_leak(data: Dataset) -> Dataset:
    columns = [index for index, name in enumerate(data.names) if name in TIMING]
    features = data.features.copy()
    features[:, columns] *= np.where(data.labels, 1 - PLANTED, 1.0)[:, None]
    return replace(data, features=features)


def _auc(data: Dataset, labels: NDArray[np.bool_], settings: WindowSettings) -> tuple[float, float] | None:
    """AUC on the last quarter and the lower end of its interval; None where the labels of a part are all the same."""
    n = len(data)
    learn, test = slice(0, n // 2), slice(3 * n // 4, n)
    if any(labels[part].all() or not labels[part].any() for part in (learn, test)):
        return None
    predictor = make_predictor(settings.predictor, settings.seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*[Mm]aximum iterations.*")
        predictor.fit(data.features[learn], labels[learn])
    found = auc(histogram_of(scores_of(predictor, data.features[test]), labels[test]))
    return found.value, found.low
