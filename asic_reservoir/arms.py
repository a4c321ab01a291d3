"""One seed of a run: the arms that the board is driven through, and the scores of each."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asic_reservoir.baselines import NoisyEsn, delay_line, esn_same_noise, host_ladder, poisson_twin
from asic_reservoir.board import Board, BoardInfo
from asic_reservoir.capacity import LagFunctions, capacities
from asic_reservoir.controls import decoupled_input, find_leaks, shuffled_states
from asic_reservoir.drive import Hooks, drive
from asic_reservoir.edges import EdgeMap
from asic_reservoir.encoding import Encoder, EncodingSettings
from asic_reservoir.evaluation import Score, Split, evaluate
from asic_reservoir.feature_names import feature_names
from asic_reservoir.journal import Journal
from asic_reservoir.observables import Record, states_of
from asic_reservoir.provenance import Machine
from asic_reservoir.readout import DEFAULT_ALPHAS
from asic_reservoir.registry import open_board
from asic_reservoir.run_settings import RunSettings
from asic_reservoir.tasks import FileTask, Series, open_task

FloatArray = NDArray[np.float64]
LAG_ERROR_LAGS = (1, 5, 10, 15, 20, 50)
LAG_ERROR_SEEDS = 3
"""Draws that the curve of error against lags is averaged over."""
CAPACITY_LAG, CAPACITY_PRODUCT_LAG = 40, 15


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """Everything that the seeds of a run share; made before the first of them."""

    settings: RunSettings
    encoding: EncodingSettings
    info: BoardInfo
    edges: EdgeMap | None
    esn: NoisyEsn | None
    folder: Path | None
    """Where records are kept; None keeps nothing."""
    own_series: FileTask | None = None
    """Where the task is a file of the user's: its content, since the file need not be where a seed is computed."""

    @property
    def split(self) -> Split:
        return Split.of(self.settings.steps, self.settings.washout)

    @property
    def mean_count(self) -> float:
        """Nonces that a counter is expected to give in one step."""
        if self.encoding.name == "work":
            return 1.0 / self.info.n_counters
        clock = float(np.asarray(self.info.nominal.frequency_mhz))
        if self.edges is not None:
            clock = float(self.edges.edge_mhz.mean())
        rate = self.info.chip_rate_hz(clock, self.encoding.difficulty or self.info.nominal.difficulty)
        return rate * self.info.n_chips / self.info.n_counters * self.encoding.step_s


@dataclass(slots=True)
class SeedResult:
    """Scores of one seed, and of the first seed what the figures need."""

    seed: int
    redraws: int
    nrmse: dict[str, float]
    seconds: float = 0.0
    joules: float = 0.0
    nonces: int = 0
    invalid: int = 0
    leaks: list[str] = field(default_factory=list)
    lag_error: dict[str, list[float]] = field(default_factory=dict)
    target: FloatArray | None = None
    predictions: dict[str, FloatArray] = field(default_factory=dict)
    capacity: dict[str, FloatArray] = field(default_factory=dict)
    capacity_threshold: float = 0.0
    record: Record | None = None
    readout: Score | None = None
    """Of the silicon's states alone, with its weights."""
    state_mean: FloatArray | None = None
    state_scale: FloatArray | None = None
    """Over the training rows, (n_states,)."""
    feature_names: list[str] = field(default_factory=list)
    place: tuple[str, Machine] | None = None
    """Host (a name without meaning, the same for the same host) and machine, where it was not computed on this one."""


def arm_names(settings: RunSettings) -> tuple[str, ...]:
    """The arms that the board is driven through for every seed."""
    names = ["silicon"]
    if settings.controls:
        names += ["decoupled", "silicon_present_only"]
        if settings.preset == "published":
            names = ["silicon", "decoupled", "silicon_monologue", "silicon_constant_input"]
    return tuple(names)


def run_seed(plan: Plan, seed: int, board: Board | None, hooks: Hooks) -> SeedResult:
    """Drive the board through every arm of one seed, and score them.

    ``board`` is a board that is held for the whole run; None opens a twin of the plan's board for every arm, each
    with a draw of noise of its own.
    """
    settings = plan.settings
    series = (plan.own_series or open_task(settings.task)).generate(seed, settings.steps)
    scaled = scaled_input(series)
    records = {
        name: _drive_arm(plan, name, number, seed, scaled, board, hooks)
        for number, name in enumerate(arm_names(settings))
    }
    return _score(plan, seed, series, scaled, records)


def scaled_input(series: Series) -> FloatArray:
    """The input in [-1, 1] by the range of its definition (of a file: of the whole file), shape (n_steps,)."""
    low, high = series.input_range
    return np.asarray(2.0 * (series.input - low) / max(high - low, 1e-300) - 1.0)


def _independent_draws(u: FloatArray, n_lags: int = 5) -> bool:
    """Whether an input shows no correlation with its own next values: only then is the future unknown to states."""
    centred = u - u.mean()
    power = float(centred @ centred)
    if power == 0.0:
        return False
    return all(abs(float(centred[k:] @ centred[:-k])) / power < 4.0 / np.sqrt(len(u)) for k in range(1, n_lags + 1))


def _drive_arm(
    plan: Plan, name: str, number: int, seed: int, scaled: FloatArray, board: Board | None, hooks: Hooks
) -> Record:
    encoding, driven = plan.encoding, scaled
    if name == "decoupled":
        driven = decoupled_input(scaled, seed)
    elif name == "silicon_present_only":
        encoding = replace(encoding, n_lags=1)
    elif name == "silicon_monologue":
        encoding = replace(encoding, mode="monologue")
    elif name == "silicon_constant_input":
        encoding = replace(encoding, mode="constant")
    journal = Journal(plan.folder / "records" / f"{name}-{seed}") if plan.folder else None
    encoder = Encoder(encoding, plan.info, plan.edges, driven, mask_seed=seed)
    if board is not None:
        return drive(board, encoder, len(driven), encoding.n_slots, journal, hooks)
    with open_board(twin_uri(plan.settings.board, seed, number)) as own:
        return drive(own, encoder, len(driven), encoding.n_slots, journal, hooks)


def twin_uri(uri: str, seed: int, arm: int) -> str:
    """The same twin with another draw of its noise."""
    run = (seed * 16 + arm + 1) % 2**31
    return f"{uri}{'&' if '?' in uri else '?'}run={run}"


def _score(plan: Plan, seed: int, series: Series, scaled: FloatArray, records: dict[str, Record]) -> SeedResult:
    settings, split, target = plan.settings, plan.split, series.target
    # a fixed penalty is meant as in scikit-learn, over the sum of the rows; the readout's own is a row's share
    alphas = DEFAULT_ALPHAS if settings.penalty is None else (settings.penalty / split.train,)

    def score(states: FloatArray) -> Score:
        return evaluate(states, target, split, alphas=alphas)

    states = {name: states_of(settings.observables, record) for name, record in records.items()}
    silicon = states["silicon"]
    line = delay_line(scaled, max(LAG_ERROR_LAGS))
    ladder = host_ladder(series.input, target, split)
    scores = dict(ladder)
    scores["silicon"] = score(silicon)
    scores["host_silicon"] = score(np.hstack([line, silicon]))
    if settings.controls:
        scores["poisson_twin"] = poisson_twin(
            scaled, target, split, mean_count=plan.mean_count, n_counters=plan.info.n_counters, seed=seed
        )
        if plan.encoding.name in ("chip-frequency", "frequency") and plan.encoding.mode == "monologue":
            drive_of_nodes = Encoder(plan.encoding, plan.info, plan.edges, scaled, mask_seed=seed).mask.drive(scaled)
            per_node = plan.mean_count / plan.encoding.n_slots
            scores["poisson_same_drive"] = poisson_twin(drive_of_nodes, target, split, mean_count=per_node, seed=seed)
        if plan.esn is not None:
            scores["esn_same_noise"] = esn_same_noise(
                series.input, target, split, plan.esn, input_range=series.input_range, seed=seed
            )
        scores["shuffled"] = score(shuffled_states(silicon, seed))
        for name in states.keys() - {"silicon"}:
            scores[name] = score(states[name])
    nrmse = {name: found.nrmse for name, found in scores.items()}
    nrmse["difference"] = nrmse["host_silicon"] - nrmse["host_lags_50"]
    main = records["silicon"]
    # with nearly as many states as rows, noise explains any future
    enough = split.train + split.test > 4 * silicon.shape[1]
    independent = series.input if enough and _independent_draws(series.input) else None
    result = SeedResult(
        seed=seed,
        redraws=series.redraws,
        nrmse=nrmse,
        seconds=sum(record.seconds for record in records.values()),
        joules=sum(record.joules for record in records.values()),
        nonces=int(main.valid.sum() + main.invalid.sum()),
        invalid=int(main.invalid.sum()),
        leaks=[
            leak.sentence for leak in find_leaks(silicon, target, split, u=independent) if leak.kind != "constant_state"
        ],
    )
    if seed < settings.first_seed + LAG_ERROR_SEEDS and settings.controls:
        result.lag_error = {
            "host": [evaluate(line[:, :k], target, split).nrmse for k in LAG_ERROR_LAGS],
            "host and silicon": [score(np.hstack([line[:, :k], silicon])).nrmse for k in LAG_ERROR_LAGS],
        }
    if seed == settings.first_seed:
        result.target = scores["silicon"].target
        result.predictions = {name: scores[name].predictions for name in ("silicon", "host_lags_50", "host_silicon")}
        functions = LagFunctions.of(
            scaled, washout=split.washout, max_lag=CAPACITY_LAG, max_product_lag=CAPACITY_PRODUCT_LAG
        )
        for name in states:
            found = capacities(states[name], functions)
            result.capacity[name] = found.per_lag()
            result.capacity_threshold = max(result.capacity_threshold, found.threshold)
        result.record = main
        # of the first draw, whatever it scored: choosing the best one by its test score would be training on the test
        result.readout = scores["silicon"]
        result.state_mean, result.state_scale = silicon[split.train_rows].mean(0), silicon[split.train_rows].std(0)
        result.feature_names = feature_names(settings.observables, main)
    return result
