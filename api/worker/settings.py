"""What a worker is told when it is made."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from api.queue.leases import MARGIN_S, RENEW_S, TERM_S

Said = Callable[[str, str, Mapping[str, Any]], None]
"""Board, what (``live``, ``lease``, ``renewal``, ``died``, ``ended``), and the particulars."""


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """How a worker behaves."""

    folder: Path
    """Where tasks have their folders, and the device locks are."""
    boards: Sequence[str] = ()
    """Names on the shelf; empty: all of them."""
    term_s: float = TERM_S
    margin_s: float = MARGIN_S
    renew_s: float = RENEW_S
    cores: int = 1
    """Processes that a task may compute with, where its board is a twin. Boards run side by side: each has so many."""
    poll_s: float = 0.25
    """Between two looks into the queue, and at whether a task was cancelled, where the database sends no notices."""
    name: str = field(default_factory=lambda: f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}")
