"""The filter on a board: windows of work, judged by the timing of their first part, aborted on paper only.

A window is one job. After ``k`` of ``n`` equal parts of it, timing, temperature and voltage so far give a score; below
the threshold the filter advises to drop the job. The board always works on, so what would have been missed is counted,
and no share that was found is withheld. Shares of the first part are found either way; a filter without information
has gain 1 here, less whatever a new job costs.

``plant`` makes the timing leak on purpose: in windows that will have a share, the offsets of the first part are
shortened by that fraction after the board has answered. It is an option of this experiment, to show that a leak would
be found; the physics of the twin knows nothing of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asic_reservoir.board import Board, Detail, NonceFlag, Observation, Origin, Step, Work
from asic_reservoir.errors import DataError, UsageError
from asic_reservoir.tpf.accounting import BlockCounts, EnergyEstimate, account
from asic_reservoir.tpf.curve import Label
from asic_reservoir.tpf.detectors import Dataset, Split
from asic_reservoir.tpf.energy import Architecture, EnergyModel
from asic_reservoir.tpf.predictors import Evaluation, PredictorName, evaluate, make_predictor, scores_of
from asic_reservoir.tpf.sha256 import Job, word7_of, zero_bits

NAMES = ("early_nonces", "mean_offset", "offset_std", "first_offset", "chip_temperature_c", "voltage_mv")
KEEP_RATES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
_BOOTSTRAP_BLOCKS = 40


@dataclass(frozen=True, slots=True)
class WindowSettings:
    """How the windows are made."""

    windows: int = 1200
    """Half to learn from, a quarter to choose the threshold, a quarter to be judged by; in order of time."""
    window_s: float = 1.6
    k: int = 5
    n: int = 64
    good_bits: int = 9
    """A share has so many zero bits more than the board asks of a nonce."""
    plant: float = 0.0
    """0: nothing planted. 0.3: offsets of the first part 30 % shorter where a share will come."""
    predictor: PredictorName = PredictorName.LOGISTIC
    seed: int = 0

    def __post_init__(self) -> None:
        if self.windows < 100:
            raise UsageError(f"windows: {self.windows}, must be at least 100")
        if not self.window_s > 0:
            raise UsageError(f"window_s: {self.window_s}, must be above 0")
        if not 0 < self.k < self.n:
            raise UsageError(f"k: {self.k}, must be from 1 to n - 1 = {self.n - 1}")
        if not 1 <= self.good_bits <= 24:
            raise UsageError(f"good_bits: {self.good_bits}, must be from 1 to 24")
        if not 0 <= self.plant < 1:
            raise UsageError(f"plant: {self.plant}, must be at least 0 and below 1")


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """Windows of a board, n of them."""

    data: Dataset
    """Features of the first part; label: a share in the rest."""
    early_shares: NDArray[np.int64]
    """Shape (n,)."""
    late_shares: NDArray[np.int64]
    """Shape (n,)."""
    origin: Origin
    board: str


@dataclass(frozen=True, slots=True)
class WindowResult:
    """What the timing of a board is worth."""

    board: str
    origin: Origin
    settings: WindowSettings
    evaluation: Evaluation
    keep_rate: float
    """Chosen on the middle quarter, for the largest gain there."""
    energy: EnergyEstimate | None
    smallest_gain: float | None
    """Gain that this run finds with 80 % power."""
    label: Label
    sentence: str


def window_for(board: Board, k: int, n: int, early_nonces: float = 12.0) -> float:
    """Seconds of a window whose first part holds ``early_nonces`` on average."""
    info = board.info
    frequency = float(np.mean(np.asarray(info.nominal.frequency_mhz or 0.0)))
    rate_hz = info.chip_rate_hz(frequency, info.nominal.difficulty) * info.n_chips
    if not rate_hz > 0:
        raise UsageError(f"board {info.uri!r}: no nominal frequency, must be given --window-s")
    return float(early_nonces * n / k / rate_hz)


def collect(
    board: Board, settings: WindowSettings, progress: Callable[[str, int, int], None] = lambda what, done, total: None
) -> Windows:
    """Run the board over ``settings.windows`` jobs.

    Raises:
        DataError: the board gives no nonces of real headers.
    """
    rng = np.random.default_rng(settings.seed)
    features = np.zeros((settings.windows, len(NAMES)))
    early, late = np.zeros(settings.windows, np.int64), np.zeros(settings.windows, np.int64)
    least: int | None = None
    bits: list[NDArray[np.uint8]] = []
    first_parts: list[NDArray[np.bool_]] = []
    observations: list[Observation] = []
    for index in range(settings.windows):
        job = Job.random(rng)
        header = job.prefix + bytes(4)
        seen = board.step(
            Step(
                board.info.nominal,
                round(settings.window_s * 1e9),
                Work(header=header, clean=True),
                Detail.NONCES,
            )
        )
        fresh = seen.nonces.valid & ~seen.nonces.has(NonceFlag.STALE) & ~seen.nonces.has(NonceFlag.DUPLICATE)
        if (seen.nonces.has(NonceFlag.SYNTHETIC) & fresh).any():
            raise DataError(f"board {board.info.uri!r}: nonces of no real header, must hash the header it is given")
        nonces = seen.nonces.select(fresh)
        bits.append(zero_bits(word7_of(job, nonces.nonce)))
        first_parts.append(nonces.time_ns - seen.begin_ns < settings.window_s * 1e9 * settings.k / settings.n)
        observations.append(seen)
        if bits[-1].size:
            least = int(bits[-1].min()) if least is None else min(least, int(bits[-1].min()))
        progress("windows", index + 1, settings.windows)
    if least is None:
        raise DataError(f"board {board.info.uri!r}: no nonce in {settings.windows} windows, must find some")
    for index, (seen, found, first) in enumerate(zip(observations, bits, first_parts, strict=True)):
        share = found >= least + settings.good_bits
        early[index], late[index] = int((share & first).sum()), int((share & ~first).sum())
        shorter = 1 - settings.plant if late[index] else 1.0
        features[index] = _features(seen, settings, shorter)
    return Windows(
        Dataset.of(features, late > 0, names=NAMES).varying(), early, late, board.info.origin, board.info.uri
    )


def _features(seen: Observation, settings: WindowSettings, shorter: float) -> NDArray[np.float64]:
    length_s = settings.window_s * settings.k / settings.n
    offset = (seen.nonces.time_ns - seen.begin_ns) * 1e-9
    offset = offset[offset < length_s] * shorter
    if offset.size == 0:
        offset = np.array([length_s])
    n_early = np.count_nonzero((seen.nonces.time_ns - seen.begin_ns) * 1e-9 < length_s)
    telemetry = [seen.telemetry.chip_temperature_c, seen.telemetry.voltage_mv]
    sensors = [
        float(column[0][np.isfinite(column[0])].mean()) if np.isfinite(column[:1]).any() else 0.0
        for column in telemetry
    ]
    return np.array([n_early, offset.mean(), offset.std(), offset.min(), *sensors])


def judge(windows: Windows, settings: WindowSettings) -> WindowResult:
    """Learn, choose the threshold, count what the filter would have brought on the last quarter."""
    n = len(windows.data)
    learn, choose, test = np.arange(n // 2), np.arange(n // 2, 3 * n // 4), np.arange(3 * n // 4, n)
    predictor = make_predictor(settings.predictor, settings.seed)
    result = evaluate(settings.predictor.value, predictor, windows.data, Split(learn, test), settings.seed)
    if result.refused:
        return WindowResult(
            windows.board, windows.origin, settings, result, 1.0, None, None, Label.UNDECIDED, result.sentence()
        )
    model = EnergyModel(Architecture.SEQUENTIAL)
    scores = scores_of(predictor, windows.data.features)
    candidates = []
    for keep_rate in KEEP_RATES:
        threshold = float(np.quantile(scores[choose], 1 - keep_rate))
        estimate = account(_blocks(windows, scores, threshold, choose), settings.k, model, settings.n)
        candidates.append((estimate.gain.value, keep_rate, threshold))
    _, keep_rate, threshold = max(candidates)
    energy = account(_blocks(windows, scores, threshold, test), settings.k, model, settings.n, seed=settings.seed)
    error = (energy.gain.high - energy.gain.low) / (2 * 1.96)
    supported = energy.gain.low > 1 and result.auc is not None and result.auc.low > 0.5
    label = Label.SUPPORTED if supported else Label.NOT_SUPPORTED
    smallest = 1 + (1.96 + 0.84) * error
    sentence = (
        f"{label.value.capitalize()}: {energy.gain.value:.3f} ({energy.gain.low:.3f} to {energy.gain.high:.3f}) shares "
        f"a joule against no filter, on {test.size} windows that were not learnt from. This run finds an AUC of "
        f"{result.smallest_auc or 1:.3f} or a gain of {smallest:.3f} with 80 % power."
    )
    return WindowResult(windows.board, windows.origin, settings, result, keep_rate, energy, smallest, label, sentence)


def _blocks(
    windows: Windows, scores: NDArray[np.float64], threshold: float, rows: NDArray[np.intp]
) -> list[BlockCounts]:
    blocks = []
    for part in np.array_split(rows, min(_BOOTSTRAP_BLOCKS, rows.size)):
        go_on = scores[part] >= threshold
        found = int(windows.early_shares[part].sum() + windows.late_shares[part][go_on].sum())
        missed = int(windows.late_shares[part][~go_on].sum())
        blocks.append(BlockCounts(part.size, int(go_on.sum()), found, missed, 0))
    return blocks
