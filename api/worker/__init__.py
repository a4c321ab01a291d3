"""Workers: one thread a board that holds its lease, and one process a board that drives it."""

from api.worker.supervisor import Worker, WorkerSettings

__all__ = ["Worker", "WorkerSettings"]
