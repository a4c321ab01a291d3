"""One consistent look at a run, sealed and unsealed, while somebody may be writing to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asic_reservoir.errors import DataError
from asic_reservoir.store.errors import DamageError
from asic_reservoir.store.events.catalogue import Catalogue
from asic_reservoir.store.events.folder import RunFolder, RunRecord, log_number
from asic_reservoir.store.events.kinds import Kind
from asic_reservoir.store.events.segment import Segment
from asic_reservoir.store.events.sources import Extent, Log, Part, Segments

FOREVER = (-(2**63), 2**63 - 1)
"""A window without bounds."""
_ATTEMPTS = 100


@dataclass(frozen=True, slots=True)
class Gap:
    """Rows that are not there."""

    kind: Kind
    first_row: int
    end_row: int
    begin_ns: int
    """No earlier than this."""
    end_ns: int
    """No later than this."""
    reason: str

    def __str__(self) -> str:
        return f"rows {self.first_row} to {self.end_row - 1} of {self.kind.word} {self.reason}"


class RunView:
    """The rows of a run folder, by kind, in the order in which they came.

    Every look takes the logs first and the catalogue after: what is sealed in between is seen in both, and the
    catalogue counts. Not to be shared between threads.

    Raises:
        NotFoundError: no run there.
        DataError: written by a newer version, or damaged beyond use.
    """

    def __init__(self, path: Path) -> None:
        self.folder = RunFolder.at(path)
        self.record: RunRecord = self.folder.record()
        self._logs: dict[int, Log] = {}
        self._catalogue: Catalogue | None = None
        self._known: list[Segment] = []
        self._listed: dict[Kind, list[Segment]] = {kind: [] for kind in Kind}
        self._segments = Segments(self._footer, self._source)

    def look(self) -> dict[Kind, list[Segment]]:
        """Bring the view up to date; gives the catalogued segments by kind."""
        for _ in range(_ATTEMPTS):
            if self._open_logs():
                break
        else:
            raise DataError(f"{self.folder.path}: logs come and go faster than they can be opened")
        if self._catalogue is None and self.folder.catalogue_path.exists():
            self._catalogue = Catalogue(self.folder.catalogue_path, self.record.run_id)
        known = self._catalogue.segments() if self._catalogue is not None else []
        if known is not self._known:
            self._known = known
            self._listed = {kind: [] for kind in Kind}
            for segment in known:
                self._listed[segment.kind].append(segment)
        return self._listed

    def parts(
        self, kind: Kind, begin_ns: int = FOREVER[0], end_ns: int = FOREVER[1], *, look: bool = True
    ) -> Iterator[Part]:
        """What may have rows with begin_ns <= time < end_ns, in the order of rows.

        A segment that cannot be opened is a part too: loading it raises DamageError. With ``look=False`` the view is
        as the caller has just brought it up to date.
        """
        at = 0
        while True:
            listed = (self.look() if look else self._listed)[kind]
            look = True
            sealed = listed[-1].end_row if listed else 0
            logs = [self._logs[number] for number in sorted(self._logs)]
            open_parts = [part for log in logs for part in log.parts(kind, sealed, begin_ns, end_ns)]
            wanted = [s for s in listed if s.end_row > at and s.end_ns >= begin_ns and s.begin_ns < end_ns]
            for segment in wanted:
                if segment.file is None:
                    continue
                try:
                    parts = self._segments.parts(segment, begin_ns, end_ns)
                except DamageError as error:
                    if segment in self.look()[kind]:
                        parts = [self._segments.broken(segment, error)]
                    else:
                        break  # compacted or pruned since: look again, and go on behind what was given already
                for part in parts:
                    if part.end_row > at:
                        yield part.after(at)
                        at = part.end_row
            else:
                yield from (part for part in open_parts if part.first_row >= at)
                return

    def gaps(self, kind: Kind, begin_ns: int = FOREVER[0], end_ns: int = FOREVER[1]) -> list[Gap]:
        """Rows that are missing and may have had times in the window: pruned, or lost to a damage."""
        listed = self.look()[kind]
        sealed = listed[-1].end_row if listed else 0
        extents = [Extent(s.first_row, s.end_row, s.begin_ns, s.end_ns) for s in listed]
        extents += [extent for extent in self.open_extents(kind) if extent.first_row >= sealed]
        found = [
            Gap(kind, s.first_row, s.end_row, s.begin_ns, s.end_ns, "were pruned") for s in listed if s.file is None
        ]
        at, since = 0, FOREVER[0]
        for extent in extents:
            if extent.first_row > at:
                # where the clock stepped back, what lies between two times is not between them in order
                low, high = min(since, extent.begin_ns), max(since, extent.begin_ns)
                found.append(Gap(kind, at, extent.first_row, low, high, "are lost to a damage"))
            at, since = extent.end_row, extent.end_ns
        return [gap for gap in found if gap.end_ns >= begin_ns and gap.begin_ns < end_ns]

    def open_extents(self, kind: Kind) -> list[Extent]:
        """Rows that lie in logs, as of the last look."""
        return [extent for number in sorted(self._logs) for extent in self._logs[number].extents.get(kind, [])]

    def end_row(self, kind: Kind) -> int:
        """One past the last row of a kind."""
        listed = self.look()[kind]
        ends = [listed[-1].end_row if listed else 0]
        ends += [extent.end_row for extent in self.open_extents(kind)]
        return max(ends)

    def close(self) -> None:
        """May be called twice."""
        for log in self._logs.values():
            log.close()
        self._logs.clear()
        self._segments.close()
        if self._catalogue is not None:
            self._catalogue.close()
            self._catalogue = None

    def _open_logs(self) -> bool:
        """Open logs that are new, forget those that are gone; false where one went away meanwhile.

        A log that is gone was sealed: the catalogue, which is read after this, has its rows.
        """
        found = {log_number(path): path for path in self.folder.logs()}
        for number, path in found.items():
            if number not in self._logs:
                try:
                    self._logs[number] = Log.open(path)
                except FileNotFoundError:
                    return False
        for number in self._logs.keys() - found.keys():
            del self._logs[number]
        for log in self._logs.values():
            log.refresh()
        return True

    def _footer(self, name: str) -> bytes | None:
        return None if self._catalogue is None else self._catalogue.footer(name)

    def _source(self, name: str) -> Any:
        return self.folder.path / name


class ArchiveView(RunView):
    """The rows of an exported run, read where they are: nothing is unpacked."""

    def __init__(
        self,
        source: Callable[[str], Any],
        close: Callable[[], None],
        record: RunRecord,
        segments: dict[Kind, list[Segment]],
    ) -> None:
        self.record = record
        self._close, self._listed = close, segments
        self._logs = {}
        self._catalogue = None
        self._segments = Segments(lambda name: None, source)

    def look(self) -> dict[Kind, list[Segment]]:
        return self._listed

    def close(self) -> None:
        super().close()
        self._close()
