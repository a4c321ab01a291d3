"""Small segments into large ones: a run that was sealed often reads as fast as one that was not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pyarrow as pa

from asic_reservoir.store.errors import DamageError
from asic_reservoir.store.events.catalogue import Catalogue
from asic_reservoir.store.events.folder import RunFolder
from asic_reservoir.store.events.segment import Segment, SegmentFile, write_segment

TARGET_ROWS = 2_097_152
TARGET_BYTES = 1 << 26
"""A segment with half of one of them or more is left alone."""


@dataclass
class Compaction:
    """What was done."""

    merged: list[tuple[list[str], str]] = field(default_factory=list)
    """Files that went, and the one that came for them."""
    skipped: list[str] = field(default_factory=list)
    """What could not be merged, and why: a damage stays where it is, it is not copied."""


def compact(folder: RunFolder, target_rows: int = TARGET_ROWS, target_bytes: int = TARGET_BYTES) -> Compaction:
    """Merge neighbours. The caller holds the lock of the folder and has recovered it.

    The new file is whole and durable before one catalogue transaction puts it in the place of the old ones; they are
    deleted after that. A crash in between leaves files that recovery deletes.

    Raises:
        StoreWriteError: disk full; nothing was changed.
    """
    report = Compaction()
    with Catalogue(folder.catalogue_path, folder.record().run_id) as catalogue:
        for group in _groups(catalogue.segments(), target_rows, target_bytes):
            first = group[0]
            path = folder.segment_path(first.kind, first.first_row, group[-1].end_row)
            try:
                tables = (table for segment in group for table in read_whole(folder, segment))
                newest = max(segment.created_utc_ns for segment in group)  # merging makes nothing younger
                merged = write_segment(path, first.kind, first.first_row, catalogue.run_id, tables, newest)
            except DamageError as error:
                report.skipped.append(str(error))
                continue
            catalogue.replace(group, [merged])
            names = [segment.file for segment in group if segment.file is not None]
            for name in names:
                (folder.path / name).unlink()
            report.merged.append((names, path.name))
    return report


def _groups(segments: list[Segment], target_rows: int, target_bytes: int) -> Iterator[list[Segment]]:
    """Neighbours of one kind, without a gap, that together make about ``target_rows``, or ``target_bytes``."""
    group: list[Segment] = []
    for segment in segments:
        small = segment.file is not None and not segment.kind.is_summary
        small = small and segment.rows * 2 < target_rows and segment.bytes * 2 < target_bytes
        follows = group and group[-1].kind is segment.kind and group[-1].end_row == segment.first_row
        room = sum(s.rows for s in group) < target_rows and sum(s.bytes for s in group) < target_bytes
        if group and not (small and follows and room):
            if len(group) > 1:
                yield group
            group = []
        if small:
            group.append(segment)
    if len(group) > 1:
        yield group


def read_whole(folder: RunFolder, segment: Segment) -> Iterator[pa.Table]:
    """The row groups of a segment. Raises DamageError."""
    assert segment.file is not None
    rows = f"rows {segment.first_row} to {segment.end_row - 1}"
    try:
        file = SegmentFile(folder.path / segment.file, segment.file, segment.kind, segment.first_row, None)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DamageError(f"{segment.file}: {rows} cannot be read: {str(error).splitlines()[0]}") from None
    try:
        for group in range(file.n_groups):
            yield file.read(group)
    finally:
        file.close()
