"""The experiment as kinds of tasks: a built-in task by name, or the user's own series."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model, model_validator

from asic_reservoir.claim_verdicts import of_experiment
from asic_reservoir.drive import Interrupted
from asic_reservoir.kept import Kept, KeptModel
from asic_reservoir.kinds import UUID, Cancelled, TaskContext, TaskKind, TaskOutcome
from asic_reservoir.report.files import write_atomic, write_report
from asic_reservoir.report.model import ReportData
from asic_reservoir.run_settings import RunSettings
from asic_reservoir.tasks import load_series, task_names
from asic_reservoir.tasks._file import COLUMNS
from asic_reservoir.trained import FORMAT, TrainedReadout

PATIENCE_S = 0.1
"""So long processes of a cancelled task may end their step: a worker waits little longer for the whole of it."""
FEWEST, MOST = 200, 200_000
"""Rows of a series."""
MODEL_NAME: Any = (
    str | None,
    Field(
        default=None,
        max_length=64,
        pattern=r"^[a-z0-9][a-z0-9._-]*$",
        description="Name to keep the trained readout under; that of the task where left out.",
    ),
)
MODEL_FILE = "model.npz"
Number = Annotated[float, Field(allow_inf_nan=False)]
Column = Annotated[list[Number], Field(min_length=FEWEST, max_length=MOST)] | None


def _one_series(settings: Any) -> Any:
    """A series comes one way, and whole."""
    inline = (settings.input, settings.target)
    if (settings.file is None) == (inline == (None, None)) or (settings.file is None and None in inline):
        raise ValueError("must have either 'file', or both 'input' and 'target'")
    if settings.file is None and len(settings.input) != len(settings.target):
        raise ValueError(f"target: {len(settings.target)} values, must be {len(settings.input)} as in 'input'")
    return settings


def _settings_model(name: str, check: Any = None, **fields: Any) -> type[BaseModel]:
    """The settings of a run without its board, which the service knows, and with other fields before the task's."""
    rest: dict[str, Any] = {
        key: (info.annotation, info)
        for key, info in RunSettings.model_fields.items()
        if key not in ("board", "task", *fields)
    }
    config = ConfigDict(extra="forbid", allow_inf_nan=False)
    checks: dict[str, Any] = {} if check is None else {"check": model_validator(mode="after")(check)}
    model: type[BaseModel] = create_model(name, __config__=config, __validators__=checks, **(fields | rest))
    return model


# only names: a task that is a path would let whoever asks read files of the machine that runs it
ExperimentSettings = _settings_model(
    "ExperimentSettings",
    task=(Literal[task_names()], Field(default="narma10", description="A built-in task.")),
    model_name=MODEL_NAME,
)
SeriesSettings = _settings_model(
    "SeriesSettings",
    _one_series,
    file=(
        str | None,
        Field(default=None, pattern=UUID, description="An uploaded series (POST /series), instead of the two below."),
    ),
    input=(Column, Field(default=None, description="u[t], one number a step.")),
    target=(Column, Field(default=None, description="y[t] that belongs to u[t].")),
    steps=(
        int | None,
        Field(default=None, ge=FEWEST, le=MOST, description="Steps of a draw; all rows where left out."),
    ),
    model_name=MODEL_NAME,
)


def experiment(settings: Any, context: TaskContext) -> TaskOutcome:
    """A built-in task on the board."""
    return _run(settings.model_dump(), context)


def series(settings: Any, context: TaskContext) -> TaskOutcome:
    """The user's own series on the board."""
    chosen = settings.model_dump()
    given, target, uploaded = chosen.pop("input"), chosen.pop("target"), chosen.pop("file")
    chosen["model_name"] = chosen["model_name"] or "series"
    if uploaded is not None:
        path = context.given["file"]
        return _run(chosen | {"task": str(path), "steps": chosen["steps"] or len(load_series(path).input)}, context)
    path = context.folder / "series.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(COLUMNS)
        rows.writerows(zip(given, target, strict=True))
    return _run(chosen | {"task": str(path), "steps": chosen["steps"] or len(given)}, context)


def _run(chosen: dict[str, Any], context: TaskContext) -> TaskOutcome:
    from asic_reservoir.executors import Processes
    from asic_reservoir.experiment import run_experiment

    name = chosen.pop("model_name") or Path(chosen["task"]).stem
    settings = RunSettings.model_validate(chosen | {"board": context.board})
    records = context.folder / "records"
    readouts: list[TrainedReadout] = []
    try:
        # one process, where the worker's fence and meter stand around every board; or several for twins, which are
        # no devices: they end with this one, and say what they did
        several = context.cores > 1 and context.board.startswith("twin://")
        report = run_experiment(
            settings,
            folder=records,
            progress=context.progress,
            cancelled=context.cancelled,
            workers=1,
            executor=Processes(context.cores, context.spent, PATIENCE_S, context.live) if several else None,
            trained=readouts.append,
        )
    except Interrupted:
        raise Cancelled from None
    _remove(records)
    write_report(report, context.folder)
    write_atomic(context.folder / MODEL_FILE, readouts[0].to_npz())
    facts: list[Kept] = [KeptModel(name=name, file=MODEL_FILE, format=FORMAT)]
    if (claim := of_experiment(report, published_setting=settings.preset == "published")) is not None:
        facts.append(claim)
    return TaskOutcome(report.origin, report.to_dict(), _summary(report), tuple(facts))


def _summary(report: ReportData) -> dict[str, float | int | str]:
    numbers: dict[str, float | int | str] = {f"nrmse {row.name}": row.nrmse.mean for row in report.rows}
    return {"verdict": report.verdict.label} | numbers


def _remove(folder: Path) -> None:
    """Records of a run that has ended well: its report stands for them."""
    import shutil

    shutil.rmtree(folder, ignore_errors=True)


def kinds() -> list[TaskKind[Any]]:
    """The kinds, for the entry point."""
    small = {"seeds": 2, "steps": 1200, "curve": False, "controls": False}
    wave = [((7 * t * t + 3 * t) % 101) / 101 for t in range(FEWEST)]
    return [
        TaskKind(
            name="experiment",
            title="Run a task and judge it",
            description="Input to board to readout, with controls and intervals: what the silicon contributed.",
            params=ExperimentSettings,
            run=experiment,
            example={"task": "narma10", **small},
        ),
        TaskKind(
            name="series",
            title="Run your own series",
            description="As `experiment`, on an input and a target of yours: uploaded (`file`), or as numbers.",
            params=SeriesSettings,
            run=series,
            example={"input": wave, "target": [0.0, *wave[:-1]], "seeds": 1, "curve": False, "controls": False},
            given={"file": "series"},
        ),
    ]
