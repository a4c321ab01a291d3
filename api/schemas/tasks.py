"""Tasks and their results."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field

from api.schemas.words import Body, State, whole
from asic_reservoir.board import Origin


class TaskRequest(Body):
    """A task to be done."""

    kind: str = Field(description="A name of `GET /kinds`.", max_length=64, examples=["observe"])
    board: str = Field(description="A name of `GET /boards`.", max_length=64, examples=["s9"])
    params: dict[str, Any] = Field(
        default_factory=dict, description="Settings of the kind; `GET /kinds/{name}` has their JSON Schema."
    )
    priority: Annotated[int, Field(ge=-10, le=10), BeforeValidator(whole)] = Field(
        default=0, description="Higher goes first."
    )
    deadline_seconds: Annotated[float, Field(gt=0, le=31_536_000), BeforeValidator(whole)] | None = Field(
        default=None, description="Do not begin it later than so many seconds from now."
    )
    max_attempts: Annotated[int, Field(ge=1, le=10), BeforeValidator(whole)] = Field(
        default=3, description="Set it aside when it was begun so often without an end."
    )


class Task(BaseModel):
    """A task and where it is."""

    id: str
    kind: str
    board: str
    state: State
    params: dict[str, Any]
    priority: int
    attempts: int
    max_attempts: int
    error: str | None = Field(description="Why it did not succeed, in one line.")
    created: str
    started: str | None
    finished: str | None
    deadline: str | None
    last_event: int = Field(description="Sequence of its newest event; 0 where there is none yet.")
    queue_position: int | None = Field(
        description="Tasks of this board that go before it by priority and age; null: not queued, or in a list."
    )
    estimated_start: str | None = Field(
        description="From the mean duration of the last tasks of the board; null where nothing is known."
    )


class TaskPage(BaseModel):
    items: list[Task]
    next: str | None = Field(description="Send as `cursor` for the next page; null: this is the last.")


class Cost(BaseModel):
    """What a result cost."""

    board_seconds: float = Field(description="On the board's time line.")
    wall_seconds: float
    energy_j: float | None = Field(description="From the power that the board reported; null where it reports none.")
    steps: int
    valid: int = Field(description="Nonces that were right.")
    invalid: int


class FileEntry(BaseModel):
    name: str
    bytes: int
    sha256: str
    media_type: str


class Result(BaseModel):
    """What a task found, what it cost, where it comes from."""

    kind: str
    board: str
    origin: Origin
    summary: dict[str, float | int | str]
    data: dict[str, Any] = Field(description="The result; its form belongs to the kind.")
    cost: Cost
    provenance: dict[str, Any]
    files: list[FileEntry]
    files_left_out: list[str] = Field(description="Too large to keep; they stay in the folder of the worker.")


class Event(BaseModel):
    sequence: int
    kind: str
    created_utc_ns: int
    data: dict[str, Any]


class EventList(BaseModel):
    items: list[Event]


class FileList(BaseModel):
    items: list[FileEntry]


class Attempt(BaseModel):
    number: int
    worker: str
    token: int = Field(description="Of the lease under which it ran.")
    started: str
    finished: str | None
    outcome: str | None = Field(description="null: running")


class AttemptList(BaseModel):
    items: list[Attempt]
