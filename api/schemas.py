"""What goes in and out, as models: the contract that the OpenAPI document states."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from api.keys import SCOPES
from api.queue.states import TaskState
from asic_reservoir.board import Origin

UUID_PATTERN = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,63}$"
State = Literal["queued", "running", "cancelling", "succeeded", "failed", "cancelled", "expired", "set_aside"]
"""The words of :class:`TaskState`, as the schema lists them."""
assert set(State.__args__) == {state.value for state in TaskState}  # type: ignore[attr-defined]


def _whole(value: object) -> object:
    """JSON has one kind of number: 3 and 3.0 are the same integer; true and "3" are none."""
    if isinstance(value, bool | str):
        raise ValueError("must be an integer")
    return value


def _boolean(value: object) -> object:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


Flag = Annotated[bool, BeforeValidator(_boolean)]
Words = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]*$")]
"""A line of text: no control characters."""


class Body(BaseModel):
    """Requests refuse what they do not know."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


def time_of(utc_ns: int | None) -> str | None:
    """RFC 3339 in UTC.

    >>> time_of(1_500_000_000)
    '1970-01-01T00:00:01.500000Z'
    """
    if utc_ns is None:
        return None
    return datetime.fromtimestamp(utc_ns / 1e9, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


class TaskRequest(Body):
    """A task to be done."""

    kind: str = Field(description="A name of `GET /kinds`.", max_length=64, examples=["observe"])
    board: str = Field(description="A name of `GET /boards`.", max_length=64, examples=["s9"])
    params: dict[str, Any] = Field(
        default_factory=dict, description="Settings of the kind; `GET /kinds/{name}` has their JSON Schema."
    )
    priority: Annotated[int, Field(ge=-10, le=10), BeforeValidator(_whole)] = Field(
        default=0, description="Higher goes first."
    )
    deadline_seconds: Annotated[float, Field(gt=0, le=31_536_000), BeforeValidator(_whole)] | None = Field(
        default=None, description="Do not begin it later than so many seconds from now."
    )
    max_attempts: Annotated[int, Field(ge=1, le=10), BeforeValidator(_whole)] = Field(
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


class KeyRequest(Body):
    name: Words = Field(min_length=1, max_length=64, examples=["bench-2"])
    scopes: list[Literal["read", "run", "operate", "admin"]] = Field(min_length=1, max_length=4)
    expires_in_days: Annotated[float, Field(gt=0, le=3650), BeforeValidator(_whole)] | None = None
    requests_per_minute: Annotated[int, Field(ge=1, le=1_000_000), BeforeValidator(_whole)] | None = None
    tasks_waiting: Annotated[int, Field(ge=1, le=1_000_000), BeforeValidator(_whole)] | None = None


class KeyEntry(BaseModel):
    id: str
    name: str
    prefix: str | None = Field(description="First characters of the secret, after `ar_`.")
    scopes: list[str]
    limits: dict[str, int]
    created: str
    expires: str | None
    revoked: str | None


class KeyMade(KeyEntry):
    secret: str = Field(description="Shown this once; only its digest is kept.")


class KeyList(BaseModel):
    items: list[KeyEntry]


class Me(BaseModel):
    name: str
    scopes: list[str]


class AuditEntry(BaseModel):
    id: str
    time: str
    owner: str
    action: str
    target: str
    detail: dict[str, Any]


class AuditPage(BaseModel):
    items: list[AuditEntry]
    next: str | None


class SessionRequest(Body):
    board: str = Field(max_length=64, examples=["s9"])
    seconds: Annotated[float, Field(ge=1, le=86_400), BeforeValidator(_whole)] = Field(
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


class Health(BaseModel):
    status: Literal["ok"]


class Readiness(BaseModel):
    status: Literal["ready", "not ready"]
    database: bool
    disk_free_bytes: int
    boards_held: int = Field(description="Boards that a worker holds now.")
    boards: int


class ModelEntry(BaseModel):
    id: str
    name: str
    version: int
    origin: Origin
    format: str
    bytes: int
    sha256: str
    created: str


class ModelList(BaseModel):
    items: list[ModelEntry]


class ClaimEntry(BaseModel):
    claim: str
    board: str
    origin: Origin
    published: str
    measured: dict[str, Any]
    verdict: Literal["supported", "not supported", "undecided"]
    created: str


class ClaimList(BaseModel):
    items: list[ClaimEntry]


class Recording(BaseModel):
    id: str
    board: str
    origin: Origin
    state: str
    host: str
    created: str
    begin_ns: int | None
    end_ns: int | None


class RecordingList(BaseModel):
    items: list[Recording]


assert set(SCOPES) == {"read", "run", "operate", "admin"}
