"""From a closed log to Parquet segments in the catalogue.

Order of things, each durable before the next: segment files, one catalogue transaction for all of them, then the log
goes. A crash in between leaves the log, and doing it again gives the same result: rows that the catalogue has already
are passed over.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa

from asic_reservoir.errors import DataError
from asic_reservoir.nonces import DTYPES, NonceBatch
from asic_reservoir.store.events.catalogue import Catalogue
from asic_reservoir.store.events.damage import Damage
from asic_reservoir.store.events.folder import RunFolder
from asic_reservoir.store.events.frame import OPENING, Frame, Torn, scan, unpack_nonces, unpack_table
from asic_reservoir.store.events.kinds import NUMBERS, SCHEMA_VERSION, Kind
from asic_reservoir.store.events.segment import Segment, write_segment
from asic_reservoir.store.facts.identifiers import now_ns


def seal_log(folder: RunFolder, catalogue: Catalogue, path: Path) -> list[Damage]:
    """Seal one log, and delete it. A damaged log is kept, renamed to ``*.damaged``; its sound frames are sealed.

    Raises:
        StoreWriteError: disk full; the log is still there.
        DataError: a frame was written by a newer version.
    """
    damages: list[Damage] = []
    # read, not mapped: a file that somebody cuts short under a map kills the process
    data = memoryview(path.read_bytes())
    frames: dict[Kind, list[Frame]] = defaultdict(list)
    covered = _covered(catalogue.segments())
    for found in scan(data):
        if isinstance(found, Torn):
            damages.append(Damage.of_log(path.name, found))
        elif found.kind != OPENING:
            kind = known_kind(found, path.name)
            if not any(a <= found.first_row and found.end_row <= b for a, b in covered[kind]):
                frames[kind].append(found)
    sealed: list[tuple[Segment, bytes | None]] = []
    for kind, listed in frames.items():
        for run in _contiguous(listed):
            first, end = run[0].first_row, run[-1].end_row
            table = frames_table(kind, run, data)
            target = folder.segment_path(kind, first, end)
            sealed.append(write_segment(target, kind, first, catalogue.run_id, [table], now_ns()))
    if sealed:
        catalogue.replace([], sealed)
    if damages:
        path.rename(path.with_suffix(".damaged"))
    else:
        path.unlink()
    return damages


def known_kind(frame: Frame, name: str) -> Kind:
    """The kind of a frame. Raises DataError for one of a newer version."""
    if frame.schema > SCHEMA_VERSION or frame.kind not in NUMBERS:
        raise DataError(
            f"{name}: frame of kind {frame.kind}, schema {frame.schema}: written by a newer version of this program"
        )
    return NUMBERS[frame.kind]


def frames_table(kind: Kind, frames: list[Frame], data: memoryview) -> pa.Table:
    """The rows of some frames of ``data`` as one table. Raises DataError where one is not what its header says."""
    parts = [(frame, data[frame.offset : frame.offset + frame.length]) for frame in frames]
    if kind is Kind.NONCES:
        joined = NonceBatch.concatenate([unpack_nonces(frame, payload) for frame, payload in parts])
        return pa.table([pa.array(getattr(joined, name)) for name in DTYPES], schema=kind.schema)
    return pa.Table.from_batches([unpack_table(kind, frame, payload) for frame, payload in parts])


def _covered(segments: list[Segment]) -> dict[Kind, list[tuple[int, int]]]:
    """Ranges of rows that the catalogue has, joined."""
    covered: dict[Kind, list[tuple[int, int]]] = defaultdict(list)
    for segment in segments:
        ranges = covered[segment.kind]
        if ranges and ranges[-1][1] == segment.first_row:
            ranges[-1] = (ranges[-1][0], segment.end_row)
        else:
            ranges.append((segment.first_row, segment.end_row))
    return covered


def _contiguous(frames: list[Frame]) -> list[list[Frame]]:
    """Frames in runs without a missing row: a damaged frame ends one."""
    breaks = np.flatnonzero([a.end_row != b.first_row for a, b in pairwise(frames)]) + 1
    return [frames[a:b] for a, b in zip([0, *breaks], [*breaks, len(frames)], strict=True)]
