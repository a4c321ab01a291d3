"""Settings of the service."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from api.bus import BusSettings


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """How the service runs; what an operator chooses has a flag of ``asic-reservoir serve``."""

    database: str
    """URL: ``sqlite:///…`` or ``postgresql://…``."""
    data: Path
    """Folder of tasks, locks and recordings."""
    workers: bool = True
    """Whether boards of the shelf are driven from here; else by ``asic-reservoir worker``."""
    anonymous: bool = True
    """Whether somebody on this machine may read, run and operate without a key."""
    body_limit: int = 8 << 20
    """Bytes of a request body, at most."""
    upload_limit: int = 1 << 30
    """Bytes of an uploaded recording, at most."""
    requests_per_minute: int = 6000
    """Of one key, where the key says nothing else. People on this machine are not counted."""
    tasks_waiting: int = 20_000
    """Of one key at once, where the key says nothing else."""
    cores: int = 1
    """Processes that a task on a twin may compute with."""
    bus: BusSettings | None = None
    """Where other sites are told and heard."""
    retention_days: float = 90.0
    """Tasks that ended before so many days are deleted with their results and files."""
