"""Workers: one thread a board that holds its lease, and one process a board that drives it."""

from api.worker.settings import WorkerSettings
from api.worker.supervisor import Worker

__all__ = ["Worker", "WorkerSettings"]
