"""Where rows of a run are read from: sealed segments by row group, logs by frame."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from asic_reservoir.errors import DataError
from asic_reservoir.store.errors import DamageError
from asic_reservoir.store.events.frame import HEADER_BYTES, OPENING, Frame, Torn, intact, read_header, scan
from asic_reservoir.store.events.kinds import NUMBERS, SCHEMA_VERSION, Kind
from asic_reservoir.store.events.seal import frames_table
from asic_reservoir.store.events.segment import Segment, SegmentFile, parse_footer

OPEN_SEGMENTS = 64
"""Segment files that a reader keeps open."""


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of one kind that lie together: what is read at once."""

    name: str
    first_row: int
    end_row: int
    low: int
    """Smallest time in it."""
    high: int
    """Largest time in it."""
    load: Callable[[tuple[str, ...] | None], pa.Table]
    """Reads the columns that are named, or all. Raises DamageError."""

    def after(self, row: int) -> Part:
        """The part without the rows before ``row``."""
        if row <= self.first_row:
            return self
        return replace(self, first_row=row, load=lambda names: self.load(names).slice(row - self.first_row))


@dataclass
class Extent:
    """Rows without a gap between them."""

    first_row: int
    end_row: int
    begin_ns: int
    """Smallest time in it."""
    end_ns: int
    """Largest time in it."""


class Segments:
    """Opens segment files as they are asked for, and keeps the last few open."""

    def __init__(self, footer: Callable[[str], bytes | None], source: Callable[[str], Any]) -> None:
        self._footer, self._source = footer, source
        self._files: OrderedDict[tuple[str, str], SegmentFile] = OrderedDict()

    def file(self, segment: Segment) -> SegmentFile:
        """The file of a segment. Raises DamageError where it is gone or no Parquet file."""
        assert segment.file is not None
        key = (segment.file, segment.sha256)
        if key in self._files:
            self._files.move_to_end(key)
            return self._files[key]
        rows = f"rows {segment.first_row} to {segment.end_row - 1}"
        footer = self._footer(segment.file)
        try:
            source = self._source(segment.file)
        except (OSError, KeyError):
            raise DamageError(f"{segment.file}: {rows} are gone: no such file") from None
        try:
            metadata = None if footer is None else parse_footer(footer)
            file = SegmentFile(source, segment.file, segment.kind, segment.first_row, metadata)
        except FileNotFoundError:
            raise DamageError(f"{segment.file}: {rows} are gone: no such file") from None
        except (pa.ArrowException, OSError, ValueError) as error:
            raise DamageError(f"{segment.file}: {rows} cannot be read: {str(error).splitlines()[0]}") from None
        self._files[key] = file
        if len(self._files) > OPEN_SEGMENTS:
            self._files.popitem(last=False)[1].close()
        return file

    def parts(self, segment: Segment, begin_ns: int, end_ns: int) -> list[Part]:
        """Row groups of a segment that may have rows in the window."""
        file = self.file(segment)
        return [self._part(file, int(group)) for group in file.groups(begin_ns, end_ns)]

    @staticmethod
    def broken(segment: Segment, error: DamageError) -> Part:
        """A segment that cannot be opened, as one part: whoever loads it gets ``error``."""

        def load(names: tuple[str, ...] | None) -> pa.Table:
            raise DamageError(str(error))

        assert segment.file is not None
        return Part(segment.file, segment.first_row, segment.end_row, segment.begin_ns, segment.end_ns, load)

    @staticmethod
    def _part(file: SegmentFile, group: int) -> Part:
        first, end = file.rows(group)
        return Part(
            file.name, first, end, int(file.low[group]), int(file.high[group]), lambda names: file.read(group, names)
        )

    def close(self) -> None:
        for file in self._files.values():
            file.close()
        self._files.clear()


@dataclass
class Log:
    """A log, indexed by the headers of its frames. It stays readable when the writer seals and deletes it."""

    path: Path
    descriptor: int
    frames: dict[Kind, list[Frame]] = field(default_factory=dict)
    extents: dict[Kind, list[Extent]] = field(default_factory=dict)
    damaged: list[Torn] = field(default_factory=list)
    _scanned: int = 0

    @classmethod
    def open(cls, path: Path) -> Log:
        """Raises FileNotFoundError where the writer was faster."""
        return cls(path, os.open(path, os.O_RDONLY | os.O_CLOEXEC))

    def refresh(self) -> None:
        """Index what was appended since the last time. Raises DataError for a frame of a newer version."""
        size = os.fstat(self.descriptor).st_size
        at, group = self._scanned, list[Frame]()
        while at < size:
            head = os.pread(self.descriptor, HEADER_BYTES, at)
            frame = read_header(memoryview(head), 0)
            if frame is None or at + HEADER_BYTES + frame.length > size:
                self._search(size)
                return
            group.append(_moved(frame, at))
            at = group[-1].end
            if not frame.more:
                self._take(group)
                group = []

    def _search(self, size: int) -> None:
        """There is no frame where one should be: an append that is under way, or a damage."""
        start = self._scanned
        rest = os.pread(self.descriptor, size - start, start)
        group = list[Frame]()
        for found in scan(memoryview(rest)):
            if isinstance(found, Frame):
                group.append(_moved(found, start))
                if not found.more:
                    self._take(group)
                    group = []
            elif found.unfinished:
                return
            else:
                self._take(group)
                group = []
                self.damaged.append(Torn(start + found.begin, start + found.end, found.tail, found.header))
                self._scanned = start + found.end

    def _take(self, group: list[Frame]) -> None:
        """Index the frames of one append, which is whole."""
        for frame in group:
            self._scanned = frame.end
            if frame.kind == OPENING:
                continue
            if frame.schema > SCHEMA_VERSION or frame.kind not in NUMBERS:
                raise DataError(
                    f"{self.path.name}: frame of kind {frame.kind}, schema {frame.schema}: written by a newer version"
                )
            kind = NUMBERS[frame.kind]
            self.frames.setdefault(kind, []).append(frame)
            extents = self.extents.setdefault(kind, [])
            if extents and extents[-1].end_row == frame.first_row:
                last = extents[-1]
                last.end_row = frame.end_row
                last.begin_ns, last.end_ns = min(last.begin_ns, frame.begin_ns), max(last.end_ns, frame.end_ns)
            else:
                extents.append(Extent(frame.first_row, frame.end_row, frame.begin_ns, frame.end_ns))

    def parts(self, kind: Kind, first_row: int, begin_ns: int, end_ns: int) -> list[Part]:
        """Frames from ``first_row`` on that may have rows in the window."""
        return [
            Part(self.path.name, f.first_row, f.end_row, f.begin_ns, f.end_ns, self._loader(kind, f))
            for f in self.frames.get(kind, [])
            if f.first_row >= first_row and f.end_ns >= begin_ns and f.begin_ns < end_ns
        ]

    def _loader(self, kind: Kind, frame: Frame) -> Callable[[tuple[str, ...] | None], pa.Table]:
        def load(names: tuple[str, ...] | None) -> pa.Table:
            data = memoryview(os.pread(self.descriptor, frame.length, frame.offset))
            here = replace(frame, offset=0)
            rows = f"rows {frame.first_row} to {frame.end_row - 1}"
            if len(data) != frame.length or not intact(here, data):
                raise DamageError(f"{self.path.name}: {rows} are damaged: payload does not have its CRC-32")
            try:
                table = frames_table(kind, [here], data)
            except DataError as error:
                raise DamageError(f"{self.path.name}: {rows} are damaged: {error}") from None
            return table if names is None else table.select(list(names))

        return load

    def close(self) -> None:
        """May be called twice; what is not closed closes when the last part that reads from it is gone."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    __del__ = close


def _moved(frame: Frame, by: int) -> Frame:
    return replace(frame, offset=frame.offset + by)
