"""What a user chooses for a run."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from asic_reservoir.errors import UsageError


class RunSettings(BaseModel):
    """One run of a task on a board. Unknown settings are refused.

    >>> RunSettings(task="narma10", board="twin://s9?seed=1").seeds
    10
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    task: str = Field(default="narma10", description="A task by name, or a .csv, .npy or .parquet file.")
    board: str = Field(default="twin://s9?seed=1", description="URI of the board.")
    seeds: int = Field(default=10, ge=1, le=1000, description="Number of independent draws of input and mask.")
    first_seed: int = Field(default=0, ge=0, le=2**31, description="Seed of the first draw.")
    steps: int = Field(default=8200, ge=200, le=1_000_000, description="Input steps of a draw, washout included.")
    step_seconds: float = Field(default=10.0, ge=1e-3, le=1e5, description="Board time of one input step in s.")
    encoding: Literal["auto", "chip-frequency", "frequency", "voltage", "difficulty", "work"] = Field(
        default="auto", description="What the input sets; auto: a clock a chip where the board has one."
    )
    mode: Literal["constant", "monologue", "dialogue"] = Field(
        default="monologue", description="Whether the input reaches the board, and its answer goes back."
    )
    lags: int = Field(default=20, ge=1, le=200, description="Past inputs that the encoding mixes (1: u[t] only).")
    slots: int = Field(default=2, ge=1, le=200, description="Time slots of a step, each with its own mask.")
    difficulty: int | None = Field(default=None, ge=1, le=2**31, description="Share filter; the board's own if none.")
    observables: tuple[str, ...] = Field(default=("counts",), description="What is read off a step.")
    penalty: float | None = Field(
        default=None, gt=0, description="Fixed ridge penalty over the sum of rows; chosen in training if none."
    )
    controls: bool = Field(default=True, description="Run the controls; without them the report says so first.")
    curve: bool = Field(default=True, description="Also measure the error against nonces a step.")
    preset: Literal["", "published"] = Field(default="", description="published: the setting of the papers.")

    @model_validator(mode="after")
    def _whole(self) -> RunSettings:
        from asic_reservoir.observables import check_observables

        try:
            check_observables(self.observables)
        except UsageError as error:
            raise ValueError(str(error)) from None
        return self

    @property
    def washout(self) -> int:
        """Steps that belong to nobody: 200, or a quarter of a short run (at least the host's 50 lags)."""
        return 200 if self.steps >= 1000 else max(50, self.steps // 4)


PUBLISHED: dict[str, object] = {
    "encoding": "work",
    "mode": "dialogue",
    "lags": 1,
    "slots": 1,
    "observables": ("window",),
    "penalty": 1e-6,
    "difficulty": 256,
    "step_seconds": 60.0,
    "curve": False,
}
"""The setting of the papers: input in extranonce2, single-word handshake, timing features, ridge with 1e-6.

``step_seconds`` is the longest wait for an answer. The difficulty of the published runs is not stated; 256 is what
the recording of an S9 shows."""


def with_preset(settings: RunSettings) -> RunSettings:
    """The settings with those of their preset put in."""
    if settings.preset != "published":
        return settings
    return RunSettings.model_validate({**settings.model_dump(), **PUBLISHED})
