"""Boards, kinds of tasks, sessions."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field

from api.schemas.words import Body, Flag, Words, whole
from asic_reservoir.board import Origin


class LeaseState(BaseModel):
    holder: str | None = Field(description="null: nobody drives it.")
    token: int
    renewed: str


class Board(BaseModel):
    """A board of the shelf."""

    id: str
    name: str
    uri: str
    origin: Origin
    family: str
    model: str
    state: Literal["idle", "running", "reserved", "disabled", "stopped", "unattended"] = Field(
        description="`unattended`: no worker holds it."
    )
    enabled: bool
    reason: str = Field(description="Why it is disabled or stopped.")
    queue_depth: int
    running: str | None = Field(description="Task that it works on.")
    lease: LeaseState | None
    live: dict[str, Any] | None = Field(description="What the board said last.")
    live_time: str | None
    calibration_age_seconds: float | None = Field(description="null: never calibrated.")
    version: int


class BoardDetail(Board):
    info: dict[str, Any] = Field(description="Chips, limits, nominal point, capabilities.")


class Calibration(BaseModel):
    """What a board really does, found by asking it."""

    id: str
    board: str
    origin: Origin
    created: str
    age_seconds: float
    sha256: str
    content: dict[str, Any] = Field(description="Sections that were not done are null; `findings` are named troubles.")


class BoardList(BaseModel):
    items: list[Board]


class BoardChange(Body):
    enabled: Flag = Field(description="Whether it takes tasks.")
    reason: Words = Field(default="", max_length=200)


class Confirmation(Body):
    confirm: Words = Field(max_length=64, description="The name of the board, again.", examples=["s9"])
    reason: Words = Field(default="", max_length=200)


class Kind(BaseModel):
    name: str
    title: str
    description: str
    params_schema: dict[str, Any] = Field(description="JSON Schema of `params`.")
    example: dict[str, Any]


class KindList(BaseModel):
    items: list[Kind]


class SessionRequest(Body):
    board: str = Field(max_length=64, examples=["s9"])
    seconds: Annotated[float, Field(ge=1, le=86_400), BeforeValidator(whole)] = Field(
        default=3600.0, description="For how long the board is yours."
    )
    purpose: Words = Field(default="", max_length=200)


class Session(BaseModel):
    """A user's right to a board for a while. It survives a worker that restarts."""

    id: str
    board: str
    purpose: str
    created: str
    expires: str
    ended: str | None
    mine: bool


class SessionList(BaseModel):
    items: list[Session]
