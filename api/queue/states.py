"""The words of a task's state."""

from __future__ import annotations

from enum import StrEnum

import sqlalchemy as sa


class TaskState(StrEnum):
    """Where a task is.

    ::

        queued ──> running ──> succeeded | failed
          │ │         │  └───> queued (its worker died) ──> set_aside (too often)
          │ │         └──────> cancelling ──> cancelled
          │ └────────────────────────────────> cancelled
          └──────────────────────────────────> expired (its deadline passed before it began)
    """

    QUEUED = "queued"
    RUNNING = "running"
    CANCELLING = "cancelling"
    """Cancel was asked for; the board may still be energised."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    SET_ASIDE = "set_aside"
    """It killed its worker as often as it may; a person has to look at it."""


FINAL = frozenset({TaskState.SUCCEEDED, TaskState.FAILED, TaskState.CANCELLED, TaskState.EXPIRED, TaskState.SET_ASIDE})
"""States that a task never leaves."""
ACTIVE = frozenset({TaskState.RUNNING, TaskState.CANCELLING})
"""States in which a worker has it."""


def literal(state: TaskState) -> sa.ColumnElement[str]:
    """A state as it stands in the condition of a partial index: a bound parameter would not find it."""
    return sa.literal_column(f"'{state.value}'")
