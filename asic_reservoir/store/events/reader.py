"""Questions to a run: a window of time, a chip, a core, a job, valid or not; rows by number; series for plots."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from asic_reservoir.errors import DataError, UsageError
from asic_reservoir.nonces import DTYPES, NonceBatch, NonceFlag
from asic_reservoir.store.errors import DamageError
from asic_reservoir.store.events.ahead import Ahead
from asic_reservoir.store.events.kinds import Kind
from asic_reservoir.store.events.sources import Part
from asic_reservoir.store.events.view import FOREVER, Gap, RunView

Columns = dict[str, NDArray[Any]]

ALL = tuple(DTYPES)
"""Names of the columns of nonces."""


@dataclass(frozen=True, slots=True)
class Where:
    """Which nonces. ``None``: any.

    >>> Where(chip=7, valid=True)
    Where(chip=7, core=None, job=None, valid=True)
    """

    chip: int | None = None
    core: int | None = None
    job: int | None = None
    valid: bool | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that decide."""
        return tuple(
            column
            for column, value in (("chip", self.chip), ("core", self.core), ("job", self.job), ("flags", self.valid))
            if value is not None
        )

    def mask(self, columns: Columns) -> NDArray[np.bool_]:
        """Rows that are meant."""
        masks = [columns[name] == getattr(self, name) for name in self.columns if name != "flags"]
        if self.valid is not None:
            masks.append(((columns["flags"] & np.uint8(NonceFlag.VALID)) != 0) == self.valid)
        return np.asarray(np.logical_and.reduce(masks))


ANY = Where()


class RunReader:
    """Reads a run, also while it is being recorded. Rows come in the order in which they arrived.

    A window is ``begin_ns <= time_ns < end_ns``. Where rows of it are damaged or pruned, a query raises DamageError
    that names them; with ``partial=True`` it gives what is there, and :meth:`missing` says what is not.

    Not to be shared between threads.

    Args:
        source: folder of a run, or a view of one.

    Raises:
        NotFoundError: no run there.
        DataError: written by a newer version, or damaged beyond use.
    """

    def __init__(self, source: Path | str | RunView) -> None:
        self.view = source if isinstance(source, RunView) else RunView(Path(source))
        self.record = self.view.record
        self._ahead = Ahead()

    def nonces(
        self,
        begin_ns: int | None = None,
        end_ns: int | None = None,
        where: Where = ANY,
        *,
        partial: bool = False,
    ) -> NonceBatch:
        """The nonces of a window. Where they lie together, the columns are views of what Arrow read.

        Raises:
            DamageError, UsageError: see the class; a window that ends before it begins.
        """
        return NonceBatch(**self.columns(begin_ns, end_ns, where, partial=partial))

    def columns(
        self,
        begin_ns: int | None = None,
        end_ns: int | None = None,
        where: Where = ANY,
        names: tuple[str, ...] = ALL,
        *,
        partial: bool = False,
    ) -> Columns:
        """Some columns of the nonces of a window, each of shape (n,). The fewer, the faster."""
        blocks = list(self.stream(begin_ns, end_ns, where, names, partial=partial))
        if len(blocks) == 1:
            return blocks[0]
        return {name: _joined([block[name] for block in blocks], DTYPES[name]) for name in names}

    def stream(
        self,
        begin_ns: int | None = None,
        end_ns: int | None = None,
        where: Where = ANY,
        names: tuple[str, ...] = ALL,
        *,
        partial: bool = False,
    ) -> Iterator[Columns]:
        """The same in blocks of at most 131,072 rows (a frame of the log: 1,048,576), none of them empty.

        Memory stays flat however long the run is: a few blocks are decoded ahead, in threads of this reader.
        """
        for name in names:
            if name not in DTYPES:
                raise UsageError(f"column {name!r}: unknown, must be one of {', '.join(DTYPES)}")
        begin, end = _window(begin_ns, end_ns)
        if not partial:
            self._refuse_gaps(Kind.NONCES, begin, end)

        def read(part: Part) -> Columns | None:
            try:
                return _select(part, begin, end, where, names)
            except DamageError:
                if not partial:
                    raise
                return None

        # the look for gaps has just brought the view up to date
        for block in self._ahead.map(read, self.view.parts(Kind.NONCES, begin, end, look=partial)):
            if block is not None:
                yield block

    def table(
        self, kind: Kind, begin_ns: int | None = None, end_ns: int | None = None, *, partial: bool = False
    ) -> pa.Table:
        """The rows of any kind in a window, as an Arrow table with the columns of that kind."""
        tables = list(self.tables(kind, begin_ns, end_ns, partial=partial))
        return pa.concat_tables(tables) if tables else kind.schema.empty_table()

    def tables(
        self,
        kind: Kind,
        begin_ns: int | None = None,
        end_ns: int | None = None,
        names: tuple[str, ...] | None = None,
        *,
        partial: bool = False,
    ) -> Iterator[pa.Table]:
        """The same in blocks of a row group, with the columns that are named: memory stays flat."""
        begin, end = _window(begin_ns, end_ns)
        if not partial:
            self._refuse_gaps(kind, begin, end)
        wanted = names or tuple(kind.schema.names)
        needed = tuple(dict.fromkeys(("time_ns", *wanted)))
        schema = pa.schema([kind.schema.field(name) for name in wanted])
        for part in self.view.parts(kind, begin, end, look=partial):
            try:
                table = part.load(needed)
            except DamageError:
                if not partial:
                    raise
                continue
            if part.low < begin or part.high >= end:
                times = table.column("time_ns").to_numpy()
                table = table.filter(pa.array((times >= begin) & (times < end)))
            yield table.select(list(wanted)).cast(schema)

    def rows(self, kind: Kind, first_row: int = 0) -> Iterator[tuple[int, pa.Table]]:
        """Rows by number, from ``first_row`` to the end, in blocks: number of the first row, and the rows.

        Raises:
            DamageError: a row that should come next is not there.
        """
        at = first_row
        for part in self.view.parts(kind):
            if part.end_row <= at:
                continue
            if part.first_row > at:
                break
            yield at, part.after(at).load(None).cast(kind.schema)
            at = part.end_row
        end = self.view.end_row(kind)
        if at < end:
            reasons = [str(gap) for gap in self.view.gaps(kind) if gap.end_row > at]
            raise DamageError(reasons[0] if reasons else f"rows {at} to {end - 1} of {kind.word} are not there")

    def rows_between(self, kind: Kind, first_row: int, end_row: int) -> Iterator[tuple[int, pa.Table]]:
        """Rows ``first_row`` to ``end_row``, as :meth:`rows` gives them; all of them must be there."""
        for at, table in self.rows(kind, first_row):
            yield at, table.slice(0, end_row - at)
            if at + table.num_rows >= end_row:
                return

    def missing(self, kind: Kind = Kind.NONCES, begin_ns: int | None = None, end_ns: int | None = None) -> list[Gap]:
        """Rows that are damaged or pruned, and may have had times in the window. Reads what it reports on."""
        begin, end = _window(begin_ns, end_ns)
        found = self.view.gaps(kind, begin, end)
        for part in self.view.parts(kind, begin, end):
            try:
                part.load(None)
            except DamageError as error:
                found.append(Gap(kind, part.first_row, part.end_row, part.low, part.high, f"are damaged ({error})"))
        return found

    def count(self, kind: Kind = Kind.NONCES) -> int:
        """Number of rows that were ever recorded of a kind."""
        return self.view.end_row(kind)

    def span_ns(self) -> tuple[int, int] | None:
        """Smallest and largest time of all nonces, from the catalogue and the headers of frames; None without any."""
        spans = [(s.begin_ns, s.end_ns) for s in self.view.look()[Kind.NONCES]]
        spans += [(e.begin_ns, e.end_ns) for e in self.view.open_extents(Kind.NONCES)]
        return (min(low for low, _ in spans), max(high for _, high in spans)) if spans else None

    def utc_ns(self, time_ns: NDArray[np.int64]) -> NDArray[np.int64]:
        """Time of day of times on the board's time line, shape (n,), from the clock triple before each (or the first).

        A step of the time of day while recording shows here, and nowhere else: what is stored is the board's time.

        Raises:
            DataError: the run has no clock triple.
        """
        triples = self.table(Kind.CLOCK, partial=True)
        if not triples.num_rows:
            raise DataError(f"run {self.record.run_id}: has no clock triple, the time of day is not known")
        board, utc = (triples.column(name).to_numpy() for name in ("time_ns", "utc_ns"))
        before = np.clip(np.searchsorted(board, time_ns, side="right") - 1, 0, None)
        return np.asarray(utc[before] + (time_ns - board[before]))

    def close(self) -> None:
        """May be called twice."""
        self._ahead.close()
        self.view.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _refuse_gaps(self, kind: Kind, begin_ns: int, end_ns: int) -> None:
        if gaps := self.view.gaps(kind, begin_ns, end_ns):
            raise DamageError(f"{gaps[0]}; ask for partial data to get the rest")


def _window(begin_ns: int | None, end_ns: int | None) -> tuple[int, int]:
    begin = FOREVER[0] if begin_ns is None else begin_ns
    end = FOREVER[1] if end_ns is None else end_ns
    if end < begin:
        raise UsageError(f"window: ends at {end} ns, must end after it begins at {begin} ns")
    return begin, end


def _joined(pieces: list[NDArray[Any]], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Pieces of a column as one, in memory of Arrow's pool: fresh pages from the system cost more than the copying."""
    rows = sum(map(len, pieces))
    if not rows:
        return np.empty(0, dtype)
    whole = np.frombuffer(pa.allocate_buffer(rows * dtype.itemsize), dtype)
    return np.concatenate(pieces, out=whole)


def _numpy(part: Part, names: tuple[str, ...]) -> Columns:
    table = part.load(names)
    return {name: table.column(name).to_numpy() for name in names}


def _select(part: Part, begin_ns: int, end_ns: int, where: Where, names: tuple[str, ...]) -> Columns | None:
    """Rows of a part that are meant; ``None`` where there are none. Reads what decides first, then the rest."""
    cut = part.low < begin_ns or part.high >= end_ns
    deciding = (("time_ns",) if cut else ()) + where.columns
    if not deciding:
        return _numpy(part, names)
    if not where.columns:
        # nearly all of it is wanted: one read
        columns = _numpy(part, tuple(dict.fromkeys((*deciding, *names))))
        rows = _rows_in(columns["time_ns"], begin_ns, end_ns)
        selected = {name: columns[name][rows] for name in names}
        return selected if len(next(iter(selected.values()))) else None
    known = _numpy(part, deciding)
    mask = where.mask(known)
    if cut:
        mask &= (known["time_ns"] >= begin_ns) & (known["time_ns"] < end_ns)
    chosen = np.flatnonzero(mask)
    if not chosen.size:
        return None
    rest = tuple(name for name in names if name not in known)
    columns = known | (_numpy(part, rest) if rest else {})
    return {name: columns[name][chosen] for name in names}


def _rows_in(times: NDArray[np.int64], begin_ns: int, end_ns: int) -> slice | NDArray[np.intp]:
    """Rows of the window: a slice where time runs forward, as it nearly always does."""
    if np.all(times[1:] >= times[:-1]):
        first, last = np.searchsorted(times, [begin_ns, end_ns])
        return slice(int(first), int(last))
    return np.flatnonzero((times >= begin_ns) & (times < end_ns))
