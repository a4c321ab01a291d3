"""What is wrong with a run, said precisely enough to act on it."""

from __future__ import annotations

from dataclasses import dataclass

from asic_reservoir.store.events.frame import Torn
from asic_reservoir.store.events.kinds import NUMBERS, Kind


@dataclass(frozen=True, slots=True)
class Damage:
    """One thing that is not as it was written."""

    file: str
    reason: str
    begin: int | None = None
    """First byte, where it is known."""
    end: int | None = None
    """One past the last byte."""
    kind: Kind | None = None
    first_row: int | None = None
    """First row of the kind that it costs, where that is known."""
    end_row: int | None = None

    @classmethod
    def of_log(cls, file: str, torn: Torn) -> Damage:
        """A stretch of a log that is no frame."""
        kind = first = end = None
        reason = "append that did not come to its end" if torn.unfinished else "not a frame"
        if torn.header is not None:
            kind = NUMBERS.get(torn.header.kind)
            first, end = torn.header.first_row, torn.header.end_row
            reason = "payload does not have its CRC-32"
            if torn.unfinished:
                reason = "append that did not come to its end"
        return cls(file, reason, torn.begin, torn.end, kind, first, end)

    def __str__(self) -> str:
        where = "" if self.begin is None else f", bytes {self.begin} to {(self.end or 0) - 1}"
        if self.kind is not None and self.first_row is not None:
            where += f", rows {self.first_row} to {(self.end_row or 0) - 1} of {self.kind.word}"
        return f"{self.file}{where}: {self.reason}"
