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

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asic_reservoir.board import Board, Detail, NonceFlag, Observation, Origin, Resumable, Step, Work
from asic_reservoir.errors import DataError, UsageError
from asic_reservoir.tpf.accounting import BlockCounts, EnergyEstimate, account
from asic_reservoir.tpf.compression import Job
from asic_reservoir.tpf.curve import Label
from asic_reservoir.tpf.detectors import Dataset, Split
from asic_reservoir.tpf.energy import Architecture, EnergyModel
from asic_reservoir.tpf.predictors import Evaluation, PredictorName, evaluate, make_predictor, scores_of
from asic_reservoir.tpf.run_folder import RunFolder
from asic_reservoir.tpf.sha256 import word7_of, zero_bits

NAMES = ("early_nonces", "mean_offset", "offset_std", "first_offset", "chip_temperature_c", "voltage_mv")
KEEP_RATES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
CHECKPOINT_WINDOWS = 50
"""Windows between two checkpoints of a run that has a folder."""
_BOOTSTRAP_BLOCKS = 40
_KEPT = "windows.npz"


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


class _Log:
    """What was seen in each window so far, as flat arrays that a checkpoint keeps."""

    COLUMNS = ("n_early", "n_nonces", "offsets_s", "bits", "first", "sensors")

    def __init__(self, kept: dict[str, NDArray[Any]] | None) -> None:
        self._parts: dict[str, list[NDArray[Any]]] = {name: [] for name in self.COLUMNS}
        self.done = 0
        if kept is not None:
            self.done = int(kept["n_early"].size)
            for name in self.COLUMNS:
                self._parts[name].append(kept[name])

    def add(self, job: Job, seen: Observation, early_s: float) -> None:
        """Hash the nonces of a window again and keep what the features need."""
        fresh = seen.nonces.valid & ~seen.nonces.has(NonceFlag.STALE) & ~seen.nonces.has(NonceFlag.DUPLICATE)
        if (seen.nonces.has(NonceFlag.SYNTHETIC) & fresh).any():
            raise DataError(f"board {seen.board!r}: nonces of no real header, must hash the header it is given")
        offset_s = (seen.nonces.time_ns - seen.begin_ns) * 1e-9
        found = seen.nonces.select(fresh)
        sensors = [_mean_of_first(seen.telemetry.chip_temperature_c), _mean_of_first(seen.telemetry.voltage_mv)]
        row = {
            "n_early": np.array([np.count_nonzero(offset_s < early_s)]),
            "n_nonces": np.array([len(found)]),
            "offsets_s": offset_s[offset_s < early_s],
            "bits": zero_bits(word7_of(job, found.nonce)),
            "first": offset_s[fresh] < early_s,
            "sensors": np.array([sensors]),
        }
        for name, values in row.items():
            self._parts[name].append(values)
        self.done += 1

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything so far, one array a column."""
        self._parts = {name: [np.concatenate(parts)] for name, parts in self._parts.items()}
        return {name: parts[0] for name, parts in self._parts.items()}


def _mean_of_first(samples: NDArray[np.float64]) -> float:
    """Mean of the first sample of a sensor over its places; 0 where there is none."""
    first = samples[:1][np.isfinite(samples[:1])]
    return float(first.mean()) if first.size else 0.0


def collect(
    board: Board,
    settings: WindowSettings,
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
    folder: Path | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Windows | None:
    """Run the board over ``settings.windows`` jobs; ``None`` where ``stop`` ended it before.

    With a folder, what was seen is kept there every :data:`CHECKPOINT_WINDOWS` windows and at the end, and a later
    call goes on from it: a twin from its own state, so bit by bit; a real board with the next job.

    Raises:
        DataError: the board gives no nonces of real headers.
        UsageError: the folder holds a run with other settings.
    """
    if folder is None:
        return _windows(_fill(board, settings, progress, stop, None), board, settings)
    described = json.dumps({"board": board.info.uri, **asdict(settings)}, indent=1)
    with RunFolder(folder, "windows", described) as run:
        return _windows(_fill(board, settings, progress, stop, run), board, settings)


def _fill(
    board: Board,
    settings: WindowSettings,
    progress: Callable[[str, int, int], None],
    stop: Callable[[], bool],
    run: RunFolder | None,
) -> _Log:
    kept = run.arrays(_KEPT) if run is not None else None
    snapshot = kept.pop("board") if kept is not None else None
    log = _Log(kept)
    if snapshot is not None and snapshot.size and isinstance(board, Resumable):
        board.restore(snapshot.tobytes())

    def checkpoint() -> None:
        if run is not None and log.done:
            state = board.snapshot() if isinstance(board, Resumable) else b""
            run.keep(_KEPT, {**log.arrays(), "board": np.frombuffer(state, np.uint8)})

    length_ns = round(settings.window_s * 1e9)
    while log.done < settings.windows and not stop():
        job = Job.random(np.random.default_rng([settings.seed, log.done]))
        work = Work(header=job.prefix + bytes(4), clean=True)
        seen = board.step(Step(board.info.nominal, length_ns, work, Detail.NONCES))
        log.add(job, seen, settings.window_s * settings.k / settings.n)
        progress("windows", log.done, settings.windows)
        if log.done % CHECKPOINT_WINDOWS == 0:
            checkpoint()
    checkpoint()
    return log


def _windows(log: _Log, board: Board, settings: WindowSettings) -> Windows | None:
    if log.done < settings.windows:
        return None
    seen = log.arrays()
    if seen["bits"].size == 0:
        raise DataError(f"board {board.info.uri!r}: no nonce in {settings.windows} windows, must find some")
    share = seen["bits"] >= int(seen["bits"].min()) + settings.good_bits
    window = np.repeat(np.arange(settings.windows), seen["n_nonces"])
    early = np.bincount(window[share & seen["first"]], minlength=settings.windows)
    late = np.bincount(window[share & ~seen["first"]], minlength=settings.windows)
    shorter = np.where(late > 0, 1 - settings.plant, 1.0)
    nothing = np.array([settings.window_s * settings.k / settings.n])
    features = np.zeros((settings.windows, len(NAMES)))
    for index, offset in enumerate(np.split(seen["offsets_s"], np.cumsum(seen["n_early"])[:-1])):
        values = (offset if offset.size else nothing) * shorter[index]
        features[index] = [offset.size, values.mean(), values.std(), values.min(), *seen["sensors"][index]]
    data = Dataset.of(features, late > 0, names=NAMES).varying()
    return Windows(data, early, late, board.info.origin, board.info.uri)


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
