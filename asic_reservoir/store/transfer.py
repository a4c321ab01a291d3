"""A run as one file: a ZIP archive, not compressed, with Parquet files and a manifest.

::

    manifest.json                                   what is in it, with the SHA-256 of every other member
    run.json                                        the record of the run
    nonces-000000000000-000000123456.parquet        rows of a kind: first, one past the last

Any tool reads the Parquet files as they are: ``unzip run.zip``, then ``pandas.read_parquet``, ``polars.scan_parquet``
or DuckDB's ``read_parquet``. The same run gives the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from asic_reservoir.errors import BusyError, DataError, NotFoundError
from asic_reservoir.store.errors import DamageError, StoreWriteError
from asic_reservoir.store.events.catalogue import Catalogue
from asic_reservoir.store.events.files import TEMPORARY, replacing, sync_folder
from asic_reservoir.store.events.folder import RECORD, RunFolder, RunRecord
from asic_reservoir.store.events.kinds import SCHEMA_VERSION, Kind
from asic_reservoir.store.events.reader import RunReader
from asic_reservoir.store.events.recover import adopt
from asic_reservoir.store.events.segment import Segment, parquet_writer, write_groups
from asic_reservoir.store.events.view import ArchiveView

MANIFEST = "manifest.json"
FORMAT = "asic-reservoir export"
_CHUNK = 1 << 20
_MAX_MANIFEST = 1 << 26
_LOCAL = struct.Struct("<26xHH")
"""Header of a member: its signature comes first, the lengths of name and extra field last."""
_EPOCH = (1980, 1, 1, 0, 0, 0)


def export_run(source: Path | str, target: Path | str, *, partial: bool = False) -> Path:
    """Write a run into one file. A run that is being recorded is exported as far as it is.

    Args:
        source: folder of the run.
        target: file to write; it appears when it is whole.
        partial: leave out what is damaged or pruned, instead of refusing.

    Raises:
        NotFoundError, DataError: no run there, or it is damaged.
        BusyError: ``target`` exists.
        StoreWriteError: disk full.
    """
    target = Path(target)
    if target.exists():
        raise BusyError(f"{target}: exists already, must be a new file")
    with (
        RunReader(source) as reader,
        replacing(target) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED, allowZip64=True) as archive,
    ):
        files: list[dict[str, Any]] = []
        record = reader.record.to_json()
        _add(archive, RECORD, record)
        # the steps first: what they refer to was there before them
        for kind in sorted(Kind, key=lambda kind: kind is not Kind.STEPS):
            files += _export_kind(archive, reader, kind, partial)
        manifest = {
            "format": FORMAT,
            "schema_version": SCHEMA_VERSION,
            "run_id": reader.record.run_id,
            "origin": reader.record.origin.value,
            "files": [{"name": RECORD, "bytes": len(record), "sha256": hashlib.sha256(record).hexdigest()}, *files],
        }
        _add(archive, MANIFEST, json.dumps(manifest, indent=1, sort_keys=True).encode() + b"\n")
    return target


def import_run(source: Path | str, target: Path | str) -> RunFolder:
    """Unpack an exported run into a new folder. Every member is compared with its SHA-256, every page with its CRC.

    Raises:
        NotFoundError: no such file.
        BusyError: ``target`` exists.
        DataError: it is not such a file, or damaged; there is no folder then.
        StoreWriteError: disk full; there is no folder then.
    """
    source, target = Path(source), Path(target)
    if target.exists():
        raise BusyError(f"{target}: exists already, must be a new folder")
    unpacked = target.with_name(target.name + TEMPORARY)
    shutil.rmtree(unpacked, ignore_errors=True)
    archive, record, manifest = _open_archive(source)
    try:
        with archive:
            unpacked.mkdir(parents=True)
            for entry in manifest["files"]:
                _unpack(archive, entry, unpacked / entry["name"], str(source))
            folder = RunFolder.at(unpacked)
            with Catalogue(folder.catalogue_path, record.run_id, create=True) as catalogue:
                segments = folder.segment_files()
                catalogue.replace([], [adopt(path, kind, a, b, record.run_id) for kind, a, b, path in segments])
        unpacked.rename(target)
        sync_folder(target.parent)
    except OSError as error:
        shutil.rmtree(unpacked, ignore_errors=True)
        raise StoreWriteError(f"{target}: {error.strerror or error}, nothing was imported") from error
    except (zipfile.BadZipFile, EOFError, RuntimeError) as error:
        shutil.rmtree(unpacked, ignore_errors=True)
        raise DataError(f"{source}: {error}") from None
    except BaseException:
        shutil.rmtree(unpacked, ignore_errors=True)
        raise
    return RunFolder.at(target)


def open_reader(path: Path | str) -> RunReader:
    """A reader of a run folder, or of an exported file, where it is.

    Raises:
        NotFoundError, DataError: neither is there, or it is not what it claims to be.
    """
    path = Path(path)
    if not path.exists():
        raise NotFoundError(f"{path}: no such run, must be a run folder or an exported file")
    if path.is_dir():
        return RunReader(path)
    archive, record, manifest = _open_archive(path)
    listed: dict[Kind, list[Segment]] = {kind: [] for kind in Kind}
    for entry in manifest["files"]:
        if entry["name"] != RECORD:
            kind = Kind.of(entry["kind"])
            listed[kind].append(
                Segment(kind, entry["first_row"], entry["end_row"], entry["name"], entry["bytes"], entry["sha256"],
                        entry["begin_ns"], entry["end_ns"], manifest["schema_version"], record.created_utc_ns)
            )  # fmt: skip
    for segments in listed.values():
        segments.sort(key=lambda segment: segment.first_row)
    members = Members(archive, path)
    return RunReader(ArchiveView(members.open, members.close, record, listed))


def read_record(path: Path | str) -> RunRecord:
    """The record of an exported run. Raises NotFoundError, DataError."""
    archive, record, _ = _open_archive(Path(path))
    archive.close()
    return record


def _export_kind(archive: zipfile.ZipFile, reader: RunReader, kind: Kind, partial: bool) -> Iterator[dict[str, Any]]:
    """One member for each stretch of rows without a gap, described for the manifest."""
    if not partial and (gaps := reader.view.gaps(kind)) and not kind.is_summary:
        raise DamageError(f"{gaps[0]}; ask for partial data to export the rest")
    if kind.is_summary:
        for segment in reader.view.look()[kind]:
            if segment.file is not None:
                path = reader.view.folder.path / segment.file
                yield _member(archive, kind, segment.first_row, segment.end_row, [pq.read_table(path)], reader)
        return
    for first, end in _stretches(reader, kind, partial):
        tables = (table for _, table in reader.rows_between(kind, first, end))
        yield _member(archive, kind, first, end, tables, reader)


def _stretches(reader: RunReader, kind: Kind, partial: bool) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for part in reader.view.parts(kind):
        if partial:
            try:
                part.load(None)
            except DamageError:
                continue
        if found and found[-1][1] == part.first_row:
            found[-1] = (found[-1][0], part.end_row)
        else:
            found.append((part.first_row, part.end_row))
    return found


def _member(
    archive: zipfile.ZipFile, kind: Kind, first: int, end: int, tables: Any, reader: RunReader
) -> dict[str, Any]:
    name = f"{kind.word}-{first:012d}-{end:012d}.parquet"
    with archive.open(_info(name), "w", force_zip64=True) as member:
        sink = _Hashing(member)
        with parquet_writer(pa.PythonFile(sink, mode="w"), kind, first, reader.record.run_id) as writer:
            rows, low, high = write_groups(writer, kind, tables)
    if rows != end - first and not kind.is_summary:
        raise DamageError(f"rows {first} to {end - 1} of {kind.word}: {rows} were found")
    return {
        "name": name, "kind": kind.word, "first_row": first, "end_row": end, "bytes": sink.size,
        "sha256": sink.digest.hexdigest(), "begin_ns": low, "end_ns": high,
    }  # fmt: skip


class Members:
    """Members of an archive that are stored as they are, read in place and in any order."""

    def __init__(self, archive: zipfile.ZipFile, path: Path) -> None:
        self._archive, self._path = archive, path
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def open(self, name: str) -> Member:
        """Raises DamageError where the archive does not have what its directory says."""
        info = self._archive.getinfo(name)
        header = os.pread(self._descriptor, _LOCAL.size, info.header_offset)
        if len(header) < _LOCAL.size or header[:4] != b"PK\x03\x04":
            raise DamageError(f"{self._path}: member {name!r} is not where the directory says")
        name_length, extra_length = _LOCAL.unpack(header)
        begin = info.header_offset + _LOCAL.size + name_length + extra_length
        return Member(self._descriptor, begin, info.file_size)

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        self._archive.close()


class Member:
    """A stretch of a file as a file to read from. Arrow reads it from several threads, behind a lock of its own."""

    def __init__(self, descriptor: int, begin: int, size: int) -> None:
        self._descriptor, self._begin, self._size, self._at, self.closed = descriptor, begin, size, 0, False

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int = -1) -> bytes:
        left = max(0, self._size - self._at)
        data = os.pread(self._descriptor, left if size < 0 else min(size, left), self._begin + self._at)
        self._at += len(data)
        return data

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def close(self) -> None:
        self.closed = True


class _Hashing:
    """A file to write to that knows the SHA-256 of what went through it."""

    def __init__(self, file: Any) -> None:
        self._file, self.size, self.digest, self.closed = file, 0, hashlib.sha256(), False

    def write(self, data: Any) -> int:
        view = memoryview(data)
        self._file.write(view)
        self.digest.update(view)
        self.size += view.nbytes
        return view.nbytes

    def tell(self) -> int:
        return self.size

    def flush(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True


def _info(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _EPOCH)
    info.external_attr = 0o644 << 16
    return info


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    archive.writestr(_info(name), data)


def _open_archive(path: Path) -> tuple[zipfile.ZipFile, RunRecord, dict[str, Any]]:
    """An export with its record and its manifest, which holds what :func:`_check_manifest` says."""
    if not path.exists():
        raise NotFoundError(f"{path}: no such file")
    if not path.is_file():  # a device has no end
        raise DataError(f"{path}: not a file, must be a file of 'store export'")
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise DataError(f"{path}: {error}, must be a file of 'store export'") from None
    try:
        if archive.getinfo(MANIFEST).file_size > _MAX_MANIFEST:
            raise DataError(f"{path}: {MANIFEST} is larger than {_MAX_MANIFEST} bytes")
        manifest = json.loads(archive.read(MANIFEST))
        _check_manifest(archive, manifest, str(path))
        record = RunRecord.from_json(archive.read(RECORD), f"{path}: {RECORD}")
    except (
        KeyError,
        ValueError,
        TypeError,
        AttributeError,
        OSError,
        EOFError,
        RuntimeError,
        zipfile.BadZipFile,
    ) as error:
        archive.close()
        raise DataError(f"{path}: not a file of 'store export' ({type(error).__name__}: {error})") from None
    except DataError:
        archive.close()
        raise
    return archive, record, manifest


def _check_manifest(archive: zipfile.ZipFile, manifest: dict[str, Any], source: str) -> None:
    """Every member is listed once, stored as it is, has its listed size and a name of ours."""
    if manifest["format"] != FORMAT:
        raise DataError(f"{source}: format {manifest['format']!r}, must be {FORMAT!r}")
    version = manifest["schema_version"]
    if not isinstance(version, int) or not 1 <= version <= SCHEMA_VERSION:
        raise DataError(f"{source}: schema_version {version!r}, must be 1 to {SCHEMA_VERSION}")
    names = [entry["name"] for entry in manifest["files"]]
    if sorted([*names, MANIFEST]) != sorted(archive.namelist()):
        raise DataError(f"{source}: {MANIFEST} does not list what is in the file")
    if len(set(names)) < len(names):
        raise DataError(f"{source}: {MANIFEST} lists a member twice")
    ends: dict[str, int] = {}
    for entry in sorted(manifest["files"], key=lambda entry: entry.get("first_row", 0)):
        name, info = entry["name"], archive.getinfo(entry["name"])
        if name != RECORD:
            expected = f"{Kind.of(entry['kind']).word}-{entry['first_row']:012d}-{entry['end_row']:012d}.parquet"
            if name != expected or not 0 <= entry["first_row"] < entry["end_row"]:
                raise DataError(f"{source}: member {name!r}, must be {expected!r} as {MANIFEST} says")
            numbers = [entry[key] for key in ("first_row", "end_row", "begin_ns", "end_ns")]
            if not all(isinstance(number, int) and -(2**63) <= number < 2**63 for number in numbers):
                raise DataError(f"{source}: member {name!r}: rows and times must be whole numbers of 64 bits")
            if not isinstance(entry["sha256"], str):
                raise DataError(f"{source}: member {name!r}: sha256 {entry['sha256']!r}, must be hexadecimal digits")
            if not entry["begin_ns"] <= entry["end_ns"]:
                raise DataError(f"{source}: member {name!r}: ends before it begins")
            if entry["first_row"] < ends.get(entry["kind"], 0):
                raise DataError(f"{source}: member {name!r}: has rows that another member has")
            ends[entry["kind"]] = entry["end_row"]
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != entry["bytes"]:
            raise DataError(f"{source}: member {name!r}: must be stored as it is, with {entry['bytes']} bytes")


def _unpack(archive: zipfile.ZipFile, entry: dict[str, Any], target: Path, source: str) -> None:
    digest = hashlib.sha256()
    with archive.open(entry["name"]) as member, target.open("xb") as file:
        _copy(member, file, digest)
    if digest.hexdigest() != entry["sha256"]:
        raise DamageError(f"{source}: member {entry['name']!r} does not have the SHA-256 of {MANIFEST}")


def _copy(member: Any, file: BinaryIO, digest: Any) -> None:
    while block := member.read(_CHUNK):
        file.write(block)
        digest.update(block)
