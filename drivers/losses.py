"""What a board lost, as far as anybody can count it: nothing disappears without a number."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Losses:
    """Since the board was opened."""

    unattributed: int = 0
    """Nonces that came and that no work of ours explains: a job of another link, fields that cannot be."""
    broken: int = 0
    """Frames or lines that came and could not be read; on a line without separators an estimate."""
    reported: int = 0
    """Nonces that the device itself counts as found and not delivered, where its firmware counts such."""
    outages: int = 0
    """Times that the link ended and came back; restarts for a setting are among them."""
    away_s: float = 0.0
    """Host time without the link, in all."""
    refused: int = 0
    """Nonces that came in steps which failed because their link broke: those steps are to be repeated."""
    between_steps: int = 0
    """Nonces that came while no step was running: they belong to no observation, and are no loss of the link."""

    @property
    def nonces(self) -> int:
        """Nonces that are known to be lost."""
        return self.unattributed + self.broken + self.reported


class LossBook:
    """Counts them for a board on the network; any thread may add."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._losses = Losses()
        self._device_count: int | None = None

    def unattributed(self) -> None:
        """A nonce came that belongs to no job."""
        with self._lock:
            self._losses = replace(self._losses, unattributed=self._losses.unattributed + 1)

    def refused(self, nonces: int) -> None:
        """A step with so many nonces has failed."""
        with self._lock:
            self._losses = replace(self._losses, refused=self._losses.refused + nonces)

    def device_says(self, count: int | None) -> None:
        """The device's own counter of what it could not deliver; it begins at 0 again when its process restarts."""
        if count is None:
            return
        with self._lock:
            last, self._device_count = self._device_count, count
            if last is not None:
                more = count - last if count >= last else count
                self._losses = replace(self._losses, reported=self._losses.reported + more)

    def with_link(self, *, broken: int, outages: int, away_s: float, between_steps: int) -> Losses:
        """The counts so far, with those that the link keeps."""
        with self._lock:
            return replace(self._losses, broken=broken, outages=outages, away_s=away_s, between_steps=between_steps)
