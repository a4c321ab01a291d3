"""A board with its inputs from outside, one at a time: the kind of task behind streaming inference.

The board's step is the clock: an input that comes while the board is in a step waits for it. Without inputs for
``idle_seconds`` the task ends and the board goes to its safe state, whether its user is idle, gone, or was cut off.
"""

from __future__ import annotations

import csv
import time
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from asic_reservoir.board import Board
from asic_reservoir.edge_sources import edges_for
from asic_reservoir.encoding import EncodingSettings, default_encoding
from asic_reservoir.errors import UsageError
from asic_reservoir.kinds import TaskContext, TaskKind, TaskOutcome
from asic_reservoir.live import LiveReservoir
from asic_reservoir.observables import check_observables
from asic_reservoir.registry import open_board
from asic_reservoir.trained import load_readout

LOOK_S = 0.1
"""How soon a stream without inputs sees that it was cancelled."""
SAY_S = 10.0
"""Between two words of progress."""


class StreamDrive(BaseModel):
    """How inputs drive the board where no model says it."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    encoding: Literal["auto", "chip-frequency", "frequency", "voltage", "difficulty", "work"] = Field(
        default="auto", description="What the input sets; auto: a clock a chip where the board has one."
    )
    mode: Literal["constant", "monologue", "dialogue"] = "monologue"
    lags: int = Field(default=20, ge=1, le=200, description="Past inputs that the encoding mixes.")
    slots: int = Field(default=2, ge=1, le=200, description="Time slots of a step.")
    step_seconds: float = Field(default=1.0, ge=1e-3, le=3600.0, description="Board time of a step in s.")
    difficulty: int | None = Field(default=None, ge=1, le=2**31, description="Share filter; the board's own if none.")
    observables: tuple[str, ...] = Field(default=("counts",), min_length=1, max_length=8)
    mask_seed: int = Field(default=0, ge=0, le=2**31)
    input_low: float = Field(default=0.0, ge=-1e9, le=1e9, description="Smallest input.")
    input_high: float = Field(default=0.5, ge=-1e9, le=1e9, description="Largest input.")

    @field_validator("observables")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        try:
            check_observables(names)
        except UsageError as error:
            raise ValueError(str(error)) from None
        return names

    @model_validator(mode="after")
    def _grows(self) -> StreamDrive:
        if not self.input_high > self.input_low:
            raise ValueError("input_high: must be greater than input_low")
        return self


class StreamSettings(BaseModel):
    """Settings of a stream."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    model: str | None = Field(
        default=None,
        pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
        description="Trained readout that gives y, and says how the board is driven; null: states only.",
    )
    drive: StreamDrive | None = Field(default=None, description="How the board is driven where there is no model.")
    states: bool = Field(default=False, description="Give the states too, where there is a model.")
    idle_seconds: float = Field(
        default=30.0, ge=0.5, le=600.0, description="So long without an input, and the board goes to its safe state."
    )

    @model_validator(mode="after")
    def _one(self) -> StreamSettings:
        if self.model is not None and self.drive is not None:
            raise ValueError("drive: the model says how the board is driven, must be left out")
        return self

    @property
    def driven(self) -> StreamDrive:
        """How the board is driven where there is no model."""
        return self.drive or StreamDrive()


def stream(settings: StreamSettings, context: TaskContext) -> TaskOutcome:
    """Give an output for every input that comes, until its user ends it, or nothing comes any more.

    Raises:
        UsageError: the model is of another family of boards, or the board cannot do what the encoding asks for.
    """
    inputs = context.stream
    assert inputs is not None  # of a streaming kind there is one
    with (
        open_board(context.board) as board,
        (context.folder / "steps.csv").open("w", newline="", encoding="utf-8") as file,
    ):
        context.progress(0, 1, "preparing the board")
        live = _reservoir(settings, board, context)
        rows = csv.writer(file)
        rows.writerow(("sequence", "u", "y", "begin_ns", "end_ns"))
        context.progress(0, 1, "waiting for inputs")
        done, why = 0, ""
        last_input = last_word = time.monotonic()
        with_states = settings.states or settings.model is None
        while not why:
            context.stop_if_cancelled()
            for sequence, u in inputs.take(LOOK_S):
                context.stop_if_cancelled()
                step = live.step(u)
                output: dict[str, Any] = {"y": step.output, "begin_ns": step.begin_ns, "end_ns": step.end_ns}
                if with_states:
                    output["states"] = step.states.tolist()
                inputs.give(sequence, output)
                rows.writerow((sequence, repr(u), step.output, step.begin_ns, step.end_ns))
                done, last_input = done + 1, time.monotonic()
            now = time.monotonic()
            if inputs.ended:
                why = "ended"
            elif now - last_input > settings.idle_seconds:
                why = "idle"
            elif now - last_word > SAY_S:
                last_word = now
                context.progress(done, done + 1, "streaming")
        info = board.info
    data = {"board": info.uri, "steps": done, "ended": why, "low": live.low, "high": live.high}
    return TaskOutcome(info.origin, data, {"steps": done, "ended": why})


def _reservoir(settings: StreamSettings, board: Board, context: TaskContext) -> LiveReservoir:
    if settings.model is not None:
        return LiveReservoir.of_readout(board, load_readout(context.given["model"]))
    chosen = settings.driven
    name = default_encoding(board.info) if chosen.encoding == "auto" else chosen.encoding
    encoding = EncodingSettings(name, chosen.mode, chosen.lags, chosen.slots, chosen.step_seconds, chosen.difficulty)
    edges = None
    if name not in ("work", "difficulty"):
        context.progress(0, 1, "finding the edges of the chips")
        edges = edges_for(board, encoding)
    return LiveReservoir(
        board,
        encoding,
        edges,
        observables=chosen.observables,
        mask_seed=chosen.mask_seed,
        input_range=(chosen.input_low, chosen.input_high),
    )


def kind() -> TaskKind[StreamSettings]:
    """The kind, for the entry point."""
    return TaskKind(
        name="stream",
        title="Stream inputs through a board",
        description=(
            "u[t] in, y[t] out with the board in the loop, over a WebSocket (GET /tasks/{task_id}/stream); needs a "
            "session that holds the board. Without a model it gives the states."
        ),
        params=StreamSettings,
        run=stream,
        example={"drive": {"step_seconds": 1.0}, "idle_seconds": 30.0},
        restartable=False,  # a real board has lost what it remembered of the inputs before
        given={"model": "model"},
        streaming=True,
    )
