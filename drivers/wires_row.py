"""One row of the table of all wires: the same run on one board, and what its wire did to it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from asic_reservoir.around import BoardAround
from asic_reservoir.board import Board, BoardInfo, Observation, OperatingPoint, Step
from asic_reservoir.drive import Interrupted
from asic_reservoir.experiment import run_experiment
from asic_reservoir.registry import BoardUri, boards_through
from asic_reservoir.report.model import ReportData
from asic_reservoir.run_settings import RunSettings

CONFIDENCE = 0.95
SETTLE_S = 3.0
PART_S = 20.0
"""Board time of a step of the stretch at the set point: between two of them a run can be stopped."""
SHORTEST_S, LONGEST_S = 20.0, 1200.0
"""Of that stretch, board time."""
SETTLE_HOST_S, SHORTEST_HOST_S = 2.0, 5.0
"""The same in time of this host."""

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class Rate:
    """Nonces a second at the board's set point, before the run begins."""

    expected_hz: float
    """By physics: chips * MHz * hashes per clock / (difficulty * 2^32), LBRY 2^24; from settings, nothing measured."""
    seen_hz: float
    low_hz: float
    high_hz: float
    """95 % interval of ``seen_hz`` from counting (Garwood)."""
    nonces: int
    """Every nonce once, wrong ones included."""
    seconds: float
    frequency_mhz: float
    difficulty: int
    """The stricter of what was asked for and the chip's own mask."""


@dataclass(slots=True)
class Counted:
    """What went missing or came wrong in all steps of a run."""

    steps: int = 0
    nonces: int = 0
    """Valid ones, each once."""
    lost: int = 0
    duplicate: int = 0
    stale: int = 0
    invalid: int = 0

    def add(self, seen: Observation) -> None:
        counts = seen.counts
        self.steps += 1
        self.nonces += int(counts.valid.sum())
        self.lost += seen.lost
        self.duplicate += int(counts.duplicate.sum())
        self.stale += int(counts.stale.sum())
        self.invalid += int(counts.invalid.sum())


@dataclass(frozen=True, slots=True)
class WireRow:
    """One board of the table; ``error`` where it failed, and then only what was known by then."""

    name: str
    board: str
    path: str = ""
    origin: str = ""
    timestamps: str = ""
    rate: Rate | None = None
    nrmse: tuple[float, float, float] | None = None
    """Of the board's states alone: mean, low, high over the seeds."""
    host_nrmse: tuple[float, float, float] | None = None
    """Of the host's own delay line, the same draws."""
    verdict: str = ""
    counted: Counted | None = None
    error: str = ""

    def to_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)


class Counting(BoardAround):
    """A Board around a board that counts what its steps brought."""

    def __init__(self, inner: Board) -> None:
        super().__init__(inner)
        self.counted = Counted()

    def step(self, step: Step) -> Observation:
        seen = super().step(step)
        self.counted.add(seen)
        return seen


class Row:
    """Fills one row. Whatever fails leaves what was found until then in :attr:`found`.

    Args:
        name: Of the row.
        settings: The run; its board is the one to open.
        rate_nonces: Wanted at the set point.
        folder: Where records and report go.
    """

    def __init__(self, name: str, settings: RunSettings, rate_nonces: int, folder: Path | None) -> None:
        self.name, self.folder = name, folder
        self._settings, self._rate_nonces = settings, rate_nonces
        self._board: Counting | None = None
        self._rate: Rate | None = None

    def run(self, progress: Progress, cancelled: Callable[[], bool]) -> WireRow:
        """Open the board, watch it at its set point, run the task.

        Raises:
            AsicReservoirError: what the driver or the run raised.
            Interrupted: ``cancelled`` said so; the board is safe.
        """

        def watched(board: Board) -> Board:
            self._board = counting = Counting(board)
            self._rate = rate_at_set_point(counting, self._rate_nonces, progress, cancelled)
            return counting

        with boards_through(watched):
            report = run_experiment(self._settings, folder=self.folder, progress=progress, cancelled=cancelled)
        if self.folder is not None:
            from asic_reservoir.report.files import write_report

            write_report(report, self.folder)
        return self.row(report=report)

    def row(self, report: ReportData | None = None, error: str = "") -> WireRow:
        """What is known."""
        if self._board is None:
            return WireRow(self.name, self._settings.board, error=error)
        info = self._board.info
        return WireRow(
            name=self.name,
            board=info.model,
            path=path_of(self._settings.board, info),
            origin=info.origin.value,
            timestamps=info.timestamp_source.value,
            rate=self._rate,
            nrmse=_interval(report, "silicon"),
            host_nrmse=_interval(report, "host_lags_50"),
            verdict="" if report is None else report.verdict.label,
            counted=self._board.counted,
            error=error,
        )


def rate_at_set_point(board: Board, nonces: int, progress: Progress, cancelled: Callable[[], bool]) -> Rate:
    """Count nonces at the nominal operating point until about so many have come.

    Never for less than :data:`SHORTEST_S` of the board and :data:`SHORTEST_HOST_S` of this host: an emulated device
    runs faster, and what both processes lag must stay small beside the stretch.
    """
    info = board.info
    clock = float(np.mean(np.asarray(info.nominal.frequency_mhz, np.float64)))
    wanted = info.nominal.difficulty or 1
    difficulty = wanted if info.ticket_mask_settable else max(wanted, info.ticket_mask)
    expected = info.n_chips * info.chip_rate_hz(clock, difficulty)
    total_s = min(max(nonces / expected, SHORTEST_S), LONGEST_S)
    count, seconds = 0, 0.0
    begin = time.monotonic()
    point = OperatingPoint(frequency_mhz=info.nominal.frequency_mhz, difficulty=wanted)
    while time.monotonic() - begin < SETTLE_HOST_S:
        board.step(Step(point, round(SETTLE_S * 1e9)))
    begin = time.monotonic()
    while seconds < total_s or time.monotonic() - begin < SHORTEST_HOST_S:
        progress(round(min(seconds, total_s)), round(total_s), "nonces at the set point")
        if cancelled():
            raise Interrupted
        seen = board.step(Step(OperatingPoint(), round(PART_S * 1e9)))
        count += int(seen.counts.valid.sum() + seen.counts.invalid.sum())
        seconds += seen.duration_s
    low, high = poisson_interval(count)
    return Rate(expected, count / seconds, low / seconds, high / seconds, count, seconds, clock, difficulty)


def poisson_interval(count: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Exact interval of the mean of a Poisson count (Garwood 1936).

    >>> [round(edge, 3) for edge in poisson_interval(100)]
    [81.364, 121.627]
    >>> poisson_interval(0)[0]
    0.0
    """
    from scipy.stats import chi2

    outside = (1.0 - confidence) / 2.0
    low = 0.0 if count == 0 else 0.5 * float(chi2.ppf(outside, 2 * count))
    return low, 0.5 * float(chi2.ppf(1.0 - outside, 2 * count + 2))


def path_of(uri: str, info: BoardInfo) -> str:
    """The wires between host and chips, in words."""
    parsed = BoardUri.parse(uri)
    match parsed.scheme:
        case "bm1366":
            return "bitaxe-raw, UART" if "i2c" not in parsed.options else "bare UART, I2C"
        case "s9-chain":
            return "PIC over I2C, UART chain"
        case "s9":
            return "SSH, bosminer API, Stratum" if info.firmware == "bosminer" else "HTTP digest, cgminer API, Stratum"
        case "lv06":
            log = "log websocket, " if parsed.options.get("source", "log") == "log" else ""
            return f"AxeOS HTTP, {log}Stratum"
        case "lb-box":
            return "Goldshell HTTP, API, LBRY Stratum"
        case "twin":
            return "none: embedded twin"
        case scheme:
            return scheme


def _interval(report: ReportData | None, name: str) -> tuple[float, float, float] | None:
    row = None if report is None else report.row(name)
    return None if row is None else (row.nrmse.mean, row.nrmse.low, row.nrmse.high)
