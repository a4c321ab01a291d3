"""The folder of a run: what lies in it, who may write to it.

::

    run.json            what was recorded: board, origin, provenance; carries a SHA-256 of itself
    catalogue.db        SQLite: the sealed segments with their SHA-256
    lock                held by the one who writes
    00000001.wal        log, closed and waiting to be sealed
    00000002.open       log that is being written
    nonces-000000000000-000002097152.parquet    sealed segment: kind, first row, one past the last row
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from asic_reservoir.board import Origin
from asic_reservoir.errors import BusyError, DataError, NotFoundError
from asic_reservoir.store.errors import DamageError, StoreWriteError
from asic_reservoir.store.events.files import replacing
from asic_reservoir.store.events.kinds import SCHEMA_VERSION, Kind
from asic_reservoir.store.facts.identifiers import new_id, now_ns

RECORD = "run.json"
LOCK = "lock"
CATALOGUE = "catalogue.db"
FORMAT = "asic-reservoir run"

_RUN_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z-]{0,63}")
_LOG = re.compile(r"(\d{8})\.(open|wal)")
_ANY_LOG = re.compile(r"(\d{8})\.(open|wal|damaged)")
_SEGMENT = re.compile(r"([a-z_]+)-(\d{12})-(\d{12})\.parquet")


@dataclass(frozen=True, slots=True)
class RunRecord:
    """What a run is: written once, when it begins."""

    run_id: str
    origin: Origin
    board: dict[str, Any]
    """BoardInfo as a document."""
    created_utc_ns: int
    provenance: dict[str, Any] = field(default_factory=dict)
    """Seed, settings, code and library versions, or where an import came from."""
    schema_version: int = SCHEMA_VERSION

    @classmethod
    def new(cls, origin: Origin, board: dict[str, Any], provenance: dict[str, Any] | None = None) -> RunRecord:
        """A record with a new identifier, made now."""
        return cls(new_id(), origin, board, now_ns(), provenance or {})

    def to_json(self) -> bytes:
        """As a document that says what it is and carries its own SHA-256."""
        content = asdict(self) | {"origin": self.origin.value}
        document = {"format": FORMAT, "sha256": _digest(content), "run": content}
        return json.dumps(document, indent=1, sort_keys=True, allow_nan=False).encode() + b"\n"

    @classmethod
    def from_json(cls, data: bytes, source: str) -> RunRecord:
        """Raises DataError that names ``source`` and what is wrong."""
        try:
            document = json.loads(data)
            if document["format"] != FORMAT:
                raise DataError(f"{source}: format {document['format']!r}, must be {FORMAT!r}")
            content = document["run"]
            if _digest(content) != document["sha256"]:
                raise DamageError(f"{source}: content does not have the SHA-256 that it carries")
            version = content["schema_version"]
            if not 1 <= version <= SCHEMA_VERSION:
                raise DataError(f"{source}: schema_version {version}, must be at most {SCHEMA_VERSION}")
            record = cls(**(content | {"origin": Origin(content["origin"])}))
            # it becomes the name of a folder, and it may come from a stranger's file
            if not _RUN_ID.fullmatch(record.run_id):
                raise DataError(f"{source}: run_id {record.run_id!r}, must be letters, digits and '-'")
            if not isinstance(record.created_utc_ns, int) or not 0 <= record.created_utc_ns < 2**63:
                raise DataError(
                    f"{source}: created_utc_ns {record.created_utc_ns!r}, must be a number of ns since 1970"
                )
            if not isinstance(record.board, dict) or not isinstance(record.provenance, dict):
                raise DataError(f"{source}: board and provenance must be objects")
            return record
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise DataError(f"{source}: not a record of a run ({type(error).__name__}: {error})") from None


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, allow_nan=False).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Paths of a run."""

    path: Path

    @classmethod
    def create(cls, path: Path, record: RunRecord) -> RunFolder:
        """A new folder with its record.

        Raises:
            BusyError: there is a run already.
            StoreWriteError: disk full.
        """
        folder = cls(Path(path))
        try:
            folder.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreWriteError(f"{path}: {error.strerror or error}, nothing was made") from error
        if folder.record_path.exists():
            raise BusyError(f"{path}: has a run already, must be a new folder")
        with replacing(folder.record_path) as temporary:
            temporary.write_bytes(record.to_json())
        return folder

    @classmethod
    def at(cls, path: Path) -> RunFolder:
        """An existing folder. Raises NotFoundError."""
        folder = cls(Path(path))
        if not folder.record_path.is_file():
            raise NotFoundError(f"{path}: no run here, must be a folder with a {RECORD}")
        return folder

    @property
    def record_path(self) -> Path:
        return self.path / RECORD

    @property
    def catalogue_path(self) -> Path:
        return self.path / CATALOGUE

    def record(self) -> RunRecord:
        """Raises NotFoundError, or DataError where the record is damaged or newer than this program."""
        try:
            data = self.record_path.read_bytes()
        except FileNotFoundError:
            raise NotFoundError(f"{self.path}: no run here, must be a folder with a {RECORD}") from None
        return RunRecord.from_json(data, str(self.record_path))

    def logs(self) -> list[Path]:
        """Logs in the order in which they were written."""
        # asked before every query: a path is made of the few names that are logs only
        return [self.path / name for name in sorted(os.listdir(self.path)) if _LOG.fullmatch(name)]

    def last_log(self) -> int:
        """Number of the newest log, a damaged one that was kept included; 0 without any."""
        matches = [_ANY_LOG.fullmatch(path.name) for path in self.path.iterdir()]
        return max((int(match[1]) for match in matches if match), default=0)

    def log_path(self, number: int, closed: bool = False) -> Path:
        return self.path / f"{number:08d}.{'wal' if closed else 'open'}"

    def segment_files(self) -> list[tuple[Kind, int, int, Path]]:
        """Kind, first row, end row and path of every sealed segment that lies here, catalogued or not."""
        found = []
        for path in sorted(self.path.iterdir()):
            match = _SEGMENT.fullmatch(path.name)
            if match and match[1].upper() in Kind.__members__:
                found.append((Kind.of(match[1]), int(match[2]), int(match[3]), path))
        return found

    def segment_path(self, kind: Kind, first_row: int, end_row: int) -> Path:
        return self.path / f"{kind.word}-{first_row:012d}-{end_row:012d}.parquet"

    def lock(self) -> FolderLock:
        """Become the one who writes. Raises BusyError while somebody else is."""
        return FolderLock(self.path)


def log_number(path: Path) -> int:
    """Number of a log file."""
    return int(path.name[:8])


class FolderLock:
    """The right to write to a run; gone with the process that holds it, however that ends."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._descriptor)
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                raise BusyError(f"{path}: another process writes to this run") from None
            raise

    def release(self) -> None:
        """Give the right back. May be called twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
