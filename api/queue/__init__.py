"""Leases and tasks in SQL: pure functions of a connection, the same on SQLite and PostgreSQL."""

from api.queue.leases import Lease, LeaseWatch, StaleTokenError, free, hold, renew, take
from api.queue.states import FINAL, TaskState
from api.queue.submit import Draft, IdempotencyError, QueueFullError, submit, submit_all
from api.queue.work import Claim, FileContent, Finished, Recovered, claim, finish, recover, request_cancel, say

__all__ = [
    "FINAL",
    "Claim",
    "Draft",
    "FileContent",
    "Finished",
    "IdempotencyError",
    "Lease",
    "LeaseWatch",
    "QueueFullError",
    "Recovered",
    "StaleTokenError",
    "TaskState",
    "claim",
    "finish",
    "free",
    "hold",
    "recover",
    "renew",
    "request_cancel",
    "say",
    "submit",
    "submit_all",
    "take",
]
