"""What tasks leave for others, and what users bring: models, claims, recordings, series."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from api.schemas.words import Body
from asic_reservoir.board import Origin

Number = Annotated[float, Field(allow_inf_nan=False)]
Verdict = Literal["supported", "not supported", "undecided"]


class ModelEntry(BaseModel):
    """A trained readout."""

    id: str
    name: str = Field(description="Of the task and the board.")
    version: int = Field(description="Grows by one with every readout of the same name.")
    origin: Origin
    format: str
    bytes: int
    sha256: str
    created: str
    task: str | None = Field(description="Task that it comes from.")


class ModelPage(BaseModel):
    items: list[ModelEntry]
    next: str | None = Field(description="Send as `cursor` for the next page; null: this is the last.")


class Model(ModelEntry):
    n_states: int = Field(description="Width of the states that it takes.")
    settings: dict[str, Any] = Field(
        description="How its states were made: encoding, observables, mask, range of the input, washout, provenance."
    )
    feature_names: list[str] = Field(description="What each state is.")


class PredictRequest(Body):
    """States of a board, a row a step."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"states": [[17.0, 16.0, 0.0, 1.0]]}})

    states: list[list[Number]] = Field(
        min_length=1, max_length=100_000, description="Each row as wide as `n_states` of the model."
    )


class Prediction(BaseModel):
    outputs: list[float] = Field(description="y, one a row.")
    washout: int = Field(description="So many rows after the start of a board do not count yet.")


class ClaimTest(BaseModel):
    kind: str
    params: dict[str, Any]


class ClaimResult(BaseModel):
    """What one task found."""

    board: str
    origin: Origin
    verdict: Verdict
    measured: dict[str, Any] = Field(description="Values, intervals, controls, in one sentence too.")
    task: str | None
    created: str


class ClaimEntry(BaseModel):
    """A published claim, and where it stands here."""

    id: str
    title: str
    published: str = Field(description="The figures as published.")
    where: str
    how: str = Field(description="How it is tried here, and what the control is.")
    test: ClaimTest | None = Field(description="The task that tries it; null: see `how` and `missing`.")
    missing: str | None = Field(description="Why it cannot be tried: what does not exist here; null: it can.")
    standing: Literal["supported", "not supported", "undecided", "not tested"] = Field(
        description="By the newest result, measured before replayed before simulated."
    )
    origin: Origin | None = Field(description="Of the result that `standing` rests on.")
    results: list[ClaimResult] = Field(description="The newest of every board, newest first.")


class ClaimList(BaseModel):
    items: list[ClaimEntry]


class Recording(BaseModel):
    """A recorded run."""

    id: str
    board: str = Field(description="URI of the board that was recorded.")
    origin: Origin
    state: str = Field(description="`recording`, `finished`, `imported`, or `deleted`: its events are gone.")
    host: str = Field(description="Machine that has its events.")
    created: str
    begin_ns: int | None = Field(description="Time of the first nonce that is sealed, on the board's time line.")
    end_ns: int | None = Field(description="Time of the last.")
    nonces: int = Field(description="That are sealed; while it is recorded, more are in the log.")
    bytes: int = Field(description="Of sealed segments.")
    task: str | None = Field(description="That recorded it; null: it was brought.")
    partial: bool = Field(
        description="Not all that its task asked for: it is still recorded, or was cut short (cancelled, failed, its "
        "worker died). No result names it; every nonce in it is whole."
    )
    shelf: str | None = Field(description="Name of the board on the shelf that plays it, for tasks.")


class RecordingPage(BaseModel):
    items: list[Recording]
    next: str | None = Field(description="Send as `cursor` for the next page; null: this is the last.")


class Series(BaseModel):
    """An uploaded input with its target, for tasks of kind `series`."""

    id: str
    name: str
    rows: int
    bytes: int
    sha256: str
    created: str


class SeriesPage(BaseModel):
    items: list[Series]
    next: str | None = Field(description="Send as `cursor` for the next page; null: this is the last.")
