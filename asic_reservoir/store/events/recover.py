"""What a crash left behind, put in order; runs before anybody writes to a run."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from asic_reservoir.errors import DataError
from asic_reservoir.store.errors import DamageError
from asic_reservoir.store.events.catalogue import Catalogue
from asic_reservoir.store.events.damage import Damage
from asic_reservoir.store.events.files import TEMPORARY, sha256
from asic_reservoir.store.events.folder import CATALOGUE, RunFolder
from asic_reservoir.store.events.frame import OPENING, Frame, scan
from asic_reservoir.store.events.kinds import SCHEMA_VERSION, Kind
from asic_reservoir.store.events.seal import seal_log
from asic_reservoir.store.events.segment import Segment, SegmentFile, read_footer
from asic_reservoir.store.facts.identifiers import now_ns


@dataclass
class Recovery:
    """What recovery found and did. Empty after a run that was closed."""

    cut: list[Damage] = field(default_factory=list)
    """Appends that did not come to their end: never acknowledged, cut off."""
    damages: list[Damage] = field(default_factory=list)
    """What was lost of things that had been acknowledged."""
    logs: list[str] = field(default_factory=list)
    """Logs that were sealed."""
    deleted: list[str] = field(default_factory=list)
    """Half-written files, and segments whose rows are in others."""
    adopted: list[str] = field(default_factory=list)
    """Segments that the catalogue had lost."""

    @property
    def clean(self) -> bool:
        """Nothing had to be done: the run had been closed."""
        return not (self.cut or self.damages or self.logs or self.deleted or self.adopted)

    def lines(self) -> list[str]:
        """For people, one line each."""
        return [
            *(f"cut off: {damage}" for damage in self.cut),
            *(f"damaged: {damage}" for damage in self.damages),
            *(f"sealed: {name}" for name in self.logs),
            *(f"deleted: {name}" for name in self.deleted),
            *(f"taken into the catalogue: {name}" for name in self.adopted),
        ]


def recover(folder: RunFolder) -> Recovery:
    """Put a run in order. Safe to do again, and safe to be killed in. The caller holds the lock of the folder.

    Raises:
        DataError: the run is another's or of a newer version.
        StoreWriteError: disk full; nothing is lost, do it again.
    """
    report = Recovery()
    record = folder.record()
    for path in list(folder.path.glob(f"*{TEMPORARY}")):
        path.unlink()
        report.deleted.append(path.name)
    catalogue = _open_catalogue(folder, record.run_id, report)
    with catalogue:
        for path in folder.logs():
            _close_log(path, record.run_id, report)
        for path in folder.logs():
            report.damages += seal_log(folder, catalogue, path)
            report.logs.append(path.name)
        _place_segments(folder, catalogue, report)
    return report


def _open_catalogue(folder: RunFolder, run_id: str, report: Recovery) -> Catalogue:
    """The catalogue, or a new one where it is gone or no database any more."""
    missing = not folder.catalogue_path.exists()
    try:
        catalogue = Catalogue(folder.catalogue_path, run_id, create=True)
        catalogue.segments()
        reason = catalogue.check()
    except DamageError as error:
        reason = str(error)
    if reason is None:
        if missing and folder.segment_files():
            report.damages.append(Damage(CATALOGUE, "was gone: made anew from the segments"))
        return catalogue
    folder.catalogue_path.rename(folder.catalogue_path.with_suffix(".damaged"))
    for journal in folder.path.glob(f"{CATALOGUE}-*"):
        journal.unlink()
    report.damages.append(Damage(CATALOGUE, f"{reason}: made anew from the segments"))
    return Catalogue(folder.catalogue_path, run_id, create=True)


def _close_log(path: Path, run_id: str, report: Recovery) -> None:
    """Cut the tail that did not come to its end, and close the log."""
    data = path.read_bytes()
    whole = len(data)
    group: int | None = None  # where an append began that is not at its end yet
    for found in scan(memoryview(data)):
        if isinstance(found, Frame):
            if found.kind == OPENING:
                _check_opening(data[found.offset : found.offset + found.length], run_id, path.name)
            if found.more and group is None:
                group = found.begin
            elif not found.more:
                group = None
        elif found.unfinished:
            report.cut.append(Damage.of_log(path.name, found))
            whole = found.begin
        else:
            group = None
    if group is not None:
        if not report.cut or report.cut[-1].begin != whole:
            report.cut.append(Damage(path.name, "append that did not come to its end", group, whole))
        whole = group
    if whole == 0:
        path.unlink()
        return
    if whole < len(data):
        descriptor = os.open(path, os.O_RDWR)
        try:
            os.ftruncate(descriptor, whole)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    if path.suffix == ".open":
        path.rename(path.with_suffix(".wal"))


def _check_opening(payload: bytes, run_id: str, name: str) -> None:
    try:
        found = json.loads(payload)["run"]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{name}: opening frame is not a document ({error})") from None
    if found != run_id:
        raise DataError(f"{name}: belongs to run {found}, must belong to {run_id}")


def _place_segments(folder: RunFolder, catalogue: Catalogue, report: Recovery) -> None:
    """Delete segment files whose rows others have; take in those that nobody knows."""
    known = catalogue.segments()
    names = {segment.file for segment in known}
    present = [s for s in known if s.file is None or (folder.path / s.file).exists()]
    for kind, first, end, path in folder.segment_files():
        if path.name in names:
            continue
        if kind.is_summary and any(s.kind is Kind.NONCES and s.file and s.first_row == first for s in present):
            path.unlink()  # thinning did not come to its end: what it stands for is still there
            report.deleted.append(path.name)
            continue
        have = sum(max(0, min(s.end_row, end) - max(s.first_row, first)) for s in present if s.kind is kind)
        if have == end - first:
            path.unlink()
            report.deleted.append(path.name)
        elif have == 0:
            try:
                adopted = adopt(path, kind, first, end, catalogue.run_id)
                gone = [
                    s for s in known if s not in present and s.kind is kind and s.first_row < end and first < s.end_row
                ]
                catalogue.replace(gone, [adopted])
                report.adopted.append(path.name)
            except DamageError as error:
                report.damages.append(Damage(path.name, str(error), kind=kind, first_row=first, end_row=end))
        else:
            reason = "its rows overlap with other segments; left alone"
            report.damages.append(Damage(path.name, reason, kind=kind, first_row=first, end_row=end))


def adopt(path: Path, kind: Kind, first_row: int, end_row: int, run_id: str) -> tuple[Segment, bytes]:
    """The catalogue row of a segment file, made from the file itself.

    Raises:
        DamageError: it is no segment of this run, or cannot be read to its end.
    """
    try:
        metadata = pq.read_metadata(path)
        about = {key.decode(): value.decode() for key, value in (metadata.metadata or {}).items()}
        if about.get("asic_reservoir.run") != run_id or about.get("asic_reservoir.first_row") != str(first_row):
            raise DamageError(f"{path.name}: not of this run")
        version = int(about["asic_reservoir.schema_version"])
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise DamageError(f"{path.name}: {str(error).splitlines()[0]}") from None
    if version > SCHEMA_VERSION:
        raise DamageError(f"{path.name}: schema version {version}, must be at most {SCHEMA_VERSION}")
    try:
        file = SegmentFile(path, path.name, kind, first_row, metadata)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DamageError(f"{path.name}: {str(error).splitlines()[0]}") from None
    try:
        for group in range(file.n_groups):
            file.read(group)
        low, high = int(file.low.min()), int(file.high.max())
        rows = int(file.starts[-1])
        if rows != end_row - first_row and not (kind.is_summary and rows < end_row - first_row):
            raise DamageError(f"{path.name}: {rows} rows, must be {end_row - first_row} as its name says")
    finally:
        file.close()
    segment = Segment(
        kind, first_row, end_row, path.name, path.stat().st_size, sha256(path), low, high, version, now_ns()
    )
    return segment, read_footer(path)
