"""Whether everything is as it was written; if not, which file and which rows."""

from __future__ import annotations

from dataclasses import dataclass, field

from asic_reservoir.errors import AsicReservoirError, NotFoundError
from asic_reservoir.store.errors import DamageError
from asic_reservoir.store.events.catalogue import Catalogue
from asic_reservoir.store.events.damage import Damage
from asic_reservoir.store.events.files import TEMPORARY, sha256
from asic_reservoir.store.events.folder import CATALOGUE, RECORD, RunFolder
from asic_reservoir.store.events.frame import Torn, scan
from asic_reservoir.store.events.segment import Segment, SegmentFile, parse_footer


@dataclass
class Verification:
    """What was checked, and what was found."""

    files: int = 0
    bytes: int = 0
    rows: int = 0
    damages: list[Damage] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """Not damages: logs that are not sealed yet, segments that were pruned, leftovers for recovery."""


def verify(folder: RunFolder) -> Verification:
    """Read everything and compare it with its checks. Changes nothing; a run may be recorded meanwhile.

    Every file is compared with the SHA-256 of the catalogue. Where that differs, every page is compared with its own
    CRC-32, so that the report names the rows that are affected and no others.

    Raises:
        NotFoundError: no run there.
    """
    report = Verification()
    try:
        run_id = folder.record().run_id
    except NotFoundError:
        raise
    except AsicReservoirError as error:
        report.damages.append(Damage(RECORD, str(error)))
        return report
    report.files += 1
    logs = folder.logs()
    try:
        with Catalogue(folder.catalogue_path, run_id) as catalogue:
            if (fault := catalogue.check()) is not None:
                report.damages.append(Damage(CATALOGUE, fault))
            known = catalogue.segments()
            report.files += 1
            for segment in known:
                _verify_segment(folder, catalogue, segment, report)
            report.damages += _holes(known)
            _leftovers(folder, known, report)
    except NotFoundError as error:
        if folder.segment_files():
            report.damages.append(Damage(CATALOGUE, str(error)))
    except DamageError as error:
        report.damages.append(Damage(CATALOGUE, str(error)))
    for path in logs:
        _verify_log(folder, path.name, report)
    return report


def _verify_segment(folder: RunFolder, catalogue: Catalogue, segment: Segment, report: Verification) -> None:
    if segment.file is None:
        report.notes.append(f"{segment.kind.word}: rows {segment.first_row} to {segment.end_row - 1} were pruned")
        return
    path = folder.path / segment.file
    span = {"kind": segment.kind, "first_row": segment.first_row, "end_row": segment.end_row}
    try:
        digest = sha256(path)
    except OSError as error:
        if segment in catalogue.segments():  # else it was compacted while we were looking
            report.damages.append(Damage(segment.file, error.strerror or str(error), **span))  # type: ignore[arg-type]
        return
    report.files += 1
    report.bytes += segment.bytes
    report.rows += segment.rows
    if digest != segment.sha256:
        report.damages += _locate(folder, catalogue, segment)


def _locate(folder: RunFolder, catalogue: Catalogue, segment: Segment) -> list[Damage]:
    """Row groups that cannot be read as they were written."""
    assert segment.file is not None
    footer = catalogue.footer(segment.file)
    try:
        metadata = None if footer is None else parse_footer(footer)
        file = SegmentFile(folder.path / segment.file, segment.file, segment.kind, segment.first_row, metadata)
    except Exception as error:  # whatever Arrow makes of bytes that are no Parquet
        reason = f"cannot be read at all: {str(error).splitlines()[0]}"
        return [Damage(segment.file, reason, 0, segment.bytes, segment.kind, segment.first_row, segment.end_row)]
    found = []
    for group in range(file.n_groups):
        try:
            file.read(group)
        except DamageError as error:
            reason = str(error).split("damaged: ")[-1]
            found.append(Damage(segment.file, reason, *file.byte_range(group), segment.kind, *file.rows(group)))
    file.close()
    if not found:
        found.append(Damage(segment.file, "does not have its SHA-256; all of its rows can be read nevertheless"))
    return found


def _verify_log(folder: RunFolder, name: str, report: Verification) -> None:
    try:
        data = (folder.path / name).read_bytes()
    except FileNotFoundError:
        return  # sealed while we were looking
    report.files += 1
    report.bytes += len(data)
    for found in scan(memoryview(data)):
        if not isinstance(found, Torn):
            report.rows += found.rows
        elif found.unfinished:
            report.notes.append(f"{Damage.of_log(name, found)}; recovery will cut it off")
        else:
            report.damages.append(Damage.of_log(name, found))
    report.notes.append(f"{name}: not sealed yet")


def _holes(known: list[Segment]) -> list[Damage]:
    """Rows that no segment has."""
    found = []
    ends: dict[object, int] = {}
    for segment in known:
        at = ends.get(segment.kind, segment.first_row if segment.kind.is_summary else 0)
        if segment.first_row > at and not segment.kind.is_summary:
            reason = "rows are lost to a damage before sealing"
            found.append(Damage(CATALOGUE, reason, kind=segment.kind, first_row=at, end_row=segment.first_row))
        ends[segment.kind] = segment.end_row
    return found


def _leftovers(folder: RunFolder, known: list[Segment], report: Verification) -> None:
    names = {segment.file for segment in known}
    for _, _, _, path in folder.segment_files():
        if path.name not in names:
            report.notes.append(f"{path.name}: not in the catalogue; 'store recover' decides")
    for path in sorted(folder.path.glob(f"*{TEMPORARY}")):
        report.notes.append(f"{path.name}: left by a crash or being written")
    for path in sorted(folder.path.glob("*.damaged")):
        report.notes.append(f"{path.name}: kept as evidence of a damage")
