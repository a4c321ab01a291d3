"""The one loop: task -> encoding -> board -> observables -> readout -> controls -> report.

report = run_experiment(RunSettings(task="narma10", board="twin://s9?seed=1"), folder=Path("out/mine"))
report.verdict.label, report.row("silicon").nrmse.mean
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Self

import numpy as np

from asic_reservoir._blas import single_thread
from asic_reservoir.arms import Plan, SeedResult
from asic_reservoir.baselines import NoisyEsn, tune_esn
from asic_reservoir.board import Board, BoardInfo, Observation, Step
from asic_reservoir.calibration.record import Calibration
from asic_reservoir.drive import Interrupted
from asic_reservoir.edge_sources import SEARCH_LIMIT_S, edges_for
from asic_reservoir.edges import EdgeMap
from asic_reservoir.encoding import Encoder, EncodingSettings, default_encoding
from asic_reservoir.errors import DataError, UsageError
from asic_reservoir.executors import Executor
from asic_reservoir.provenance import collect
from asic_reservoir.registry import open_board
from asic_reservoir.report.files import write_atomic
from asic_reservoir.report.model import ReportData
from asic_reservoir.run_pool import run_seeds
from asic_reservoir.run_settings import RunSettings, with_preset
from asic_reservoir.tasks import FileTask, Series, open_task
from asic_reservoir.trained import ReadoutSettings, TrainedReadout

Progress = Callable[[int, int, str], None]
CURVE_SECONDS = (1.0, 3.0, 60.0, 600.0)
"""Step lengths of the curve of error against nonces, beside the run's own: 17 to 10,000 nonces a chip on an S9."""
CURVE_SEEDS = 3
ESN_SEEDS = (2**31 - 2, 2**31 - 1)
"""Draws that the echo state network is tuned on; reported nowhere."""
ESN_TRIALS = 12
ESN_STEPS = 4200


def run_experiment(
    settings: RunSettings,
    *,
    folder: Path | None = None,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
    workers: int | None = None,
    executor: Executor | None = None,
    trained: Callable[[TrainedReadout], None] | None = None,
    calibration: Calibration | None = None,
    edge_limit_s: float = SEARCH_LIMIT_S,
) -> ReportData:
    """Run a task on a board, with its controls, and say what the silicon contributed.

    Args:
        settings: What to run.
        folder: Where records are kept; a run that was killed goes on from what it holds.
        progress: Called with steps done, steps in all, and what is going on.
        cancelled: Asked between steps; True ends the run, what was recorded stays.
        workers: Processes for twins; as many as the machine has cores where None. A real board has one holder.
        executor: Where twins are computed instead, for instance :class:`asic_reservoir.executors.RayCluster`.
        trained: Given the readout of the board's states alone, of the first draw.
        calibration: Of this board: its edge is taken from there. A run that goes on keeps the edge that it began with.
        edge_limit_s: Board time that a search for the edge may take at a wire; twins are not asked.

    Raises:
        UsageError, NotFoundError: a setting, task or board that does not exist, or a folder that holds another run.
        DataError: a series or journal that is not whole, a full disk.
        SafetyError: the board had to be made safe.
        Interrupted: ``cancelled`` said so.
    """
    from asic_reservoir.run_report import build_report

    settings = with_preset(settings)
    say = progress or (lambda done, total, text: None)
    stop = cancelled or (lambda: False)
    task = open_task(settings.task)
    if folder is not None:
        _claim(folder, settings)
    say(0, 1, "opening the board")
    with open_board(settings.board) as board:
        info = board.info
        if info.nominal.frequency_mhz is None:
            raise UsageError(f"board {info.uri}: a recording cannot be driven with an input; use 'inspect'")
        encoding = _encoding(settings, info)
        # refuse a series or an encoding that cannot be before anything runs
        series = task.generate(settings.first_seed, settings.steps)
        say(0, 1, "finding the edges of the chips")
        edges = _edges(_Asked(board, stop), encoding, folder, calibration, lambda text: say(0, 1, text), edge_limit_s)
        Encoder(encoding, info, edges, np.zeros(1), mask_seed=settings.first_seed)
        own_series = task if isinstance(task, FileTask) else None
        plan = Plan(settings, encoding, info, edges, None, folder, own_series)
        if settings.controls:
            say(0, 1, "tuning the echo state network at the same noise")
            plan = replace(plan, esn=_tuned_esn(plan))
        curve_plans = _curve_plans(plan) if settings.curve and series.classes is None else []
        twin = settings.board.startswith("twin://")
        if executor is not None and not twin:
            raise UsageError(f"board {info.uri}: has one holder and cannot be computed elsewhere, must be a twin")
        results, curve = run_seeds(
            plan, curve_plans, CURVE_SEEDS, None if twin else board, say, stop, workers, executor
        )
        if stop():
            raise Interrupted
        if trained is not None:
            trained(_readout(plan, series, results[0]))
        if not twin:
            return build_report(plan, series, results, curve, board)
    with open_board(settings.board) as fresh:  # the raster of a resumed run is that of a run in one go
        return build_report(plan, series, results, curve, fresh)


def _readout(plan: Plan, series: Series, result: SeedResult) -> TrainedReadout:
    """The readout of a draw, with everything that made its states."""
    settings, info, encoding, edges, score = plan.settings, plan.info, plan.encoding, plan.edges, result.readout
    assert score is not None  # of the first draw it is kept
    assert result.state_mean is not None
    assert result.state_scale is not None
    low, high = series.input_range
    about = ReadoutSettings(
        task=Path(settings.task).name,
        board=info.uri,
        family=info.family,
        model=info.model,
        n_counters=info.n_counters,
        origin=info.origin,
        encoding=encoding.name,
        mode=encoding.mode,
        lags=encoding.n_lags,
        slots=encoding.n_slots,
        step_seconds=encoding.step_s,
        difficulty=encoding.difficulty,
        observables=settings.observables,
        mask_seed=result.seed,
        input_low=low,
        input_high=high,
        voltage_mv=edges.voltage_mv if edges else None,
        coupling=edges.coupling if edges else 0.0,
        washout=plan.split.washout,
        train=plan.split.train,
        alpha=score.alpha,
        test_nrmse=score.nrmse,
        provenance=collect(seeds=[result.seed], settings={"task": Path(settings.task).name}).model_dump(mode="json"),
    )
    none = np.zeros(0)
    return TrainedReadout(
        about,
        score.weights,
        score.intercept,
        result.state_mean,
        result.state_scale,
        tuple(result.feature_names),
        edges.edge_mhz if edges else none,
        edges.width if edges else none,
    )


def _encoding(settings: RunSettings, info: BoardInfo) -> EncodingSettings:
    name = default_encoding(info) if settings.encoding == "auto" else settings.encoding
    return EncodingSettings(
        name=name,
        mode=settings.mode,
        n_lags=settings.lags,
        n_slots=settings.slots,
        step_s=settings.step_seconds,
        difficulty=settings.difficulty,
    )


class _Asked:
    """A board that ends the run before its next step where that was asked for: the search of edges knows no hooks."""

    def __init__(self, board: Board, stop: Callable[[], bool]) -> None:
        self._board, self._stop = board, stop

    @property
    def info(self) -> BoardInfo:
        return self._board.info

    def step(self, step: Step) -> Observation:
        if self._stop():
            raise Interrupted
        return self._board.step(step)

    def close(self) -> None:
        self._board.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *about: object) -> None:
        self.close()


def _edges(
    board: Board,
    encoding: EncodingSettings,
    folder: Path | None,
    calibration: Calibration | None,
    say: Callable[[str], None],
    limit_s: float,
) -> EdgeMap | None:
    """Found once a run, and kept with it."""
    if encoding.name in ("work", "difficulty"):
        if calibration is not None:
            raise UsageError(f"--calibration: with encoding {encoding.name}, must be left out: it needs no edge")
        return None
    path = folder / "edges.json" if folder else None
    if path is not None and path.exists():
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))
            return EdgeMap(
                kept["voltage_mv"],
                np.array(kept["edge_mhz"], np.float64),
                np.array(kept["width"], np.float64),
                kept["coupling"],
                kept["board_seconds"],
                kept.get("source", ""),
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"edges {str(path)!r}: {error}, must be as this program wrote it") from None
    edges = edges_for(board, encoding, record=calibration, say=say, limit_s=limit_s)
    if path is not None:
        facts = {
            "voltage_mv": edges.voltage_mv,
            "edge_mhz": edges.edge_mhz.tolist(),
            "width": edges.width.tolist(),
            "coupling": edges.coupling,
            "board_seconds": edges.board_seconds,
            "source": edges.source,
        }
        write_atomic(path, json.dumps(facts).encode())
    return edges


def _claim(folder: Path, settings: RunSettings) -> None:
    """Make the folder this run's, or find that it is; raises UsageError where it holds another one."""
    text = settings.model_dump_json(indent=1)
    key = hashlib.sha256(text.encode()).hexdigest()
    path = folder / "run.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if path.exists():
            kept = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(kept, dict) or kept.get("key") != key:
                raise UsageError(f"folder {str(folder)!r}: holds a run of other settings, must be empty or of this run")
            return
    except (OSError, ValueError) as error:
        if isinstance(error, UsageError):
            raise
        raise DataError(f"folder {str(folder)!r}: {error}, must be one that a run can be kept in") from None
    write_atomic(path, json.dumps({"key": key, "settings": json.loads(text)}, indent=1).encode())


def _tuned_esn(plan: Plan) -> NoisyEsn:
    """The peer: as many nodes as the board has counters, tuned at the same counting noise on other seeds."""
    from asic_reservoir.evaluation import Split

    split = Split.of(min(plan.settings.steps, ESN_STEPS), plan.settings.washout)
    task = open_task(plan.settings.task)
    draws = [task.generate(seed, min(plan.settings.steps, ESN_STEPS)) for seed in ESN_SEEDS]
    with single_thread():
        return tune_esn(
            [(draw.input, draw.target) for draw in draws],
            split,
            n_nodes=plan.info.n_counters,
            mean_count=plan.mean_count,
            input_range=draws[0].input_range,
            n_trials=ESN_TRIALS,
        )


def _curve_plans(plan: Plan) -> list[Plan]:
    """The same run with other step lengths, without controls and without a folder."""
    plans = []
    for seconds in CURVE_SECONDS:
        scaled = seconds * plan.settings.step_seconds / 10.0
        settings = plan.settings.model_copy(update={"step_seconds": scaled, "controls": False, "curve": False})
        encoding = EncodingSettings(
            plan.encoding.name,
            plan.encoding.mode,
            plan.encoding.n_lags,
            plan.encoding.n_slots,
            scaled,
            plan.encoding.difficulty,
        )
        plans.append(Plan(settings, encoding, plan.info, plan.edges, None, None, plan.own_series))
    return plans


__all__ = ["Interrupted", "Progress", "RunSettings", "run_experiment"]
