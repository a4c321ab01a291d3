"""A store on one machine: run folders under one root, and the facts about them in one database."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import sqlalchemy as sa

from asic_reservoir.board import Board
from asic_reservoir.errors import BusyError, DataError, NotFoundError, UsageError
from asic_reservoir.store.events.catalogue import Catalogue
from asic_reservoir.store.events.compact import Compaction, compact
from asic_reservoir.store.events.files import sha256
from asic_reservoir.store.events.folder import RECORD, RunFolder
from asic_reservoir.store.events.kinds import Kind
from asic_reservoir.store.events.log import LogOptions
from asic_reservoir.store.events.recover import Recovery, recover
from asic_reservoir.store.events.retention import Pruning, RetentionPolicy, Window, prune
from asic_reservoir.store.events.view import FOREVER
from asic_reservoir.store.facts import Writer, open_engine, results, upgrade
from asic_reservoir.store.recorder import Recorder, new_run, record
from asic_reservoir.store.registration import describe, register
from asic_reservoir.store.transfer import import_run, read_record


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One run, for a list."""

    run_id: str
    folder: Path
    origin: str
    board: str
    created_utc_ns: int
    rows: int
    """Nonces that were recorded and sealed."""
    bytes: int
    """Of sealed segments."""
    state: str
    """``sealed``, ``open`` (logs are there: being recorded, or to be recovered) or ``damaged``."""


class Library:
    """Runs and facts. May be opened by several processes; each run has one writer.

    Args:
        root: folder of the store; made where it is missing.
        database: URL of the facts; without it ``facts.db`` in the root.

    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> with Library(Path(folder.name)) as library:
    ...     library.summaries()
    []
    >>> folder.cleanup()
    """

    def __init__(self, root: Path | str, database: str | None = None) -> None:
        self.root = Path(root)
        try:
            self.runs_path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"store {self.root}: {error.strerror}, must be a folder that can be written to") from None
        self.engine = open_engine(database or f"sqlite:///{self.root.resolve()}/facts.db")
        upgrade(self.engine)
        self.writer = Writer(self.engine)

    @property
    def runs_path(self) -> Path:
        return self.root / "runs"

    def record(
        self,
        board: Board,
        provenance: dict[str, Any] | None = None,
        *,
        task_id: str | None = None,
        calibration_id: str | None = None,
        options: LogOptions | None = None,
    ) -> Recorder:
        """A recorder of ``board`` into a new run of this store, whose facts are written."""
        folder = new_run(self.runs_path, board, provenance)
        self._register(folder, "recording", task_id, calibration_id)
        return record(board, folder.path, options=options, on_close=self.finish)

    def finish(self, folder: RunFolder) -> None:
        """Write what a sealed run is into the facts. Safe to do again."""
        self._register(folder, "finished")

    def find(self, name: str) -> RunFolder:
        """A run by its identifier, the beginning of it, or the path of its folder.

        Raises:
            NotFoundError: there is none.
            UsageError: several begin so.
        """
        if (Path(name) / RECORD).is_file():
            return RunFolder.at(Path(name))
        found = [path for path in self._paths() if path.name.startswith(name)]
        if not found:
            raise NotFoundError(f"run {name!r}: not in {self.runs_path}, must be an identifier or a run folder")
        if len(found) > 1:
            raise UsageError(f"run {name!r}: {len(found)} runs begin so, must be one")
        return RunFolder.at(found[0])

    def summaries(self) -> list[RunSummary]:
        """Every run of this store, the oldest first."""
        return [summarize(RunFolder(path)) for path in self._paths()]

    def recover(self, folder: RunFolder) -> Recovery:
        """Put in order what a crash left. Raises BusyError while the run is being recorded."""
        with _locked(folder):
            report = recover(folder)
        self.finish(folder)
        return report

    def compact(self, folder: RunFolder) -> Compaction:
        """Merge small segments. Raises BusyError while the run is being recorded."""
        with _locked(folder):
            recover(folder)
            report = compact(folder)
        self.finish(folder)
        return report

    def prune(self, policy: RetentionPolicy, *, dry_run: bool = False) -> tuple[Pruning, list[str]]:
        """Apply a policy to all runs; gives what was done, and which runs were passed over because they are in use.

        Kept results hold what they refer to.
        """
        busy: list[str] = []
        with ExitStack() as locks:
            folders = []
            for path in self._paths():
                folder = RunFolder(path)
                try:
                    locks.enter_context(_locked(folder))
                    recover(folder)
                    folders.append(folder)
                except (BusyError, DataError) as error:
                    busy.append(str(error))
            report = prune(folders, policy, self.protected(), dry_run=dry_run)
        if not dry_run:
            for folder in {action.folder for action in report.actions}:
                self.finish(folder)
        return report, busy

    def protected(self) -> dict[str, list[Window]]:
        """By run, the windows that kept results refer to."""
        windows: dict[str, list[Window]] = defaultdict(list)
        query = sa.select(results.c.run_id, results.c.begin_ns, results.c.end_ns).where(
            results.c.kept, results.c.run_id.is_not(None)
        )
        with self.engine.connect() as connection:
            for run_id, begin_ns, end_ns in connection.execute(query):
                begin = FOREVER[0] if begin_ns is None else begin_ns
                windows[run_id].append((begin, FOREVER[1] if end_ns is None else end_ns))
        return windows

    def take_in(self, source: Path | str) -> RunFolder:
        """Import an exported run, or a published CSV of shares, as a run of this store.

        Raises:
            NotFoundError, DataError: no such file, or it is not what it claims to be.
            BusyError: the run is here already.
        """
        source = Path(source)
        if source.suffix.lower() == ".csv":
            folder = self._import_csv(source)
        else:
            folder = import_run(source, self.runs_path / read_record(source).run_id)
        self._register(folder, "imported")
        return folder

    def close(self) -> None:
        """May be called twice."""
        self.writer.close()
        self.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _paths(self) -> Iterator[Path]:
        return iter(sorted(path for path in self.runs_path.iterdir() if (path / RECORD).exists()))

    def _import_csv(self, source: Path) -> RunFolder:
        """Play the recording once, in one step, and record that: its origin stays ``replayed``."""
        from asic_reservoir.board import Detail, OperatingPoint, Step
        from asic_reservoir.recording import load
        from asic_reservoir.replay import ReplayBoard

        board = ReplayBoard(f"replay:///{source.name}", load(source))
        provenance = {"imported": source.name, "sha256": sha256(source)}
        folder = new_run(self.runs_path, board, provenance)
        with record(board, folder.path) as recorder:
            recorder.step(Step(OperatingPoint(), board.remaining_ns, detail=Detail.NONCES))
        return folder

    def _register(
        self, folder: RunFolder, state: str, task_id: str | None = None, calibration_id: str | None = None
    ) -> None:
        """Bring the facts to what the folder says."""
        run = describe(folder)
        self.writer.run(lambda connection: register(connection, run, state, task_id, calibration_id))


def summarize(folder: RunFolder) -> RunSummary:
    """What a list says of a run; a damaged one is listed too."""
    try:
        about = folder.record()
        with Catalogue(folder.catalogue_path, about.run_id) as catalogue:
            known = catalogue.segments()
    except NotFoundError:
        known = []
    except DataError:
        return RunSummary(folder.path.name, folder.path, "", "", 0, 0, 0, "damaged")
    rows = max((segment.end_row for segment in known if segment.kind is Kind.NONCES), default=0)
    size = sum(segment.bytes for segment in known)
    board = str(about.board.get("uri", ""))
    state = "open" if folder.logs() else "sealed"
    return RunSummary(about.run_id, folder.path, about.origin.value, board, about.created_utc_ns, rows, size, state)


@contextmanager
def _locked(folder: RunFolder) -> Iterator[None]:
    lock = folder.lock()
    try:
        yield
    finally:
        lock.release()
