"""A recorded run, played again as a board, bit by bit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa

from asic_reservoir.board import DTYPES, BoardInfo, NonceBatch, Observation, OperatingPoint, Origin, Step
from asic_reservoir.errors import DataError
from asic_reservoir.store.documents import parse_board
from asic_reservoir.store.errors import DamageError
from asic_reservoir.store.events.kinds import Kind
from asic_reservoir.store.events.reader import RunReader
from asic_reservoir.store.observations import (
    digest,
    parse_observation,
    parse_point,
    parse_step,
    parse_telemetry,
    same_point,
)


class StoredRun:
    """Plays a run: every step gives the observation that was recorded for it.

    The origin says what it is: ``replayed`` where the run was measured, ``simulated`` where it was simulated;
    playing a run never makes more of it.

    Args:
        reader: of the run. Closed with the board.
        strict: refuse a step that is not the one that was recorded. Without it a step only says «the next one».

    Raises:
        DataError: the record of the run does not describe a board.
    """

    def __init__(self, reader: RunReader, strict: bool = True) -> None:
        self._reader, self._strict = reader, strict
        recorded = parse_board(reader.record.board, "run")
        self._origin = Origin.REPLAYED if recorded.origin is Origin.MEASURED else recorded.origin
        self._info = replace(recorded, origin=self._origin)
        self._recorded = self.play()
        self._played = 0

    @property
    def info(self) -> BoardInfo:
        """What the board was."""
        return self._info

    def step(self, step: Step) -> Observation:
        """The next observation of the run.

        Raises:
            DataError: the run is at its end, or another step was recorded here.
            DamageError: rows of the step are damaged or pruned.
        """
        following = next(self._recorded, None)
        if following is None:
            raise DataError(f"replay: the run ends after {self._played} steps")
        recorded, observation = following
        if self._strict:
            _check_same_step(recorded, step, self._played)
        self._played += 1
        return observation

    def play(self) -> Iterator[tuple[Step, Observation]]:
        """Every step with its observation, from the beginning.

        Raises:
            DamageError: rows of a step are damaged or pruned; what comes before it was given.
        """
        nonces = _Cursor(self._reader, Kind.NONCES)
        samples = _Cursor(self._reader, Kind.TELEMETRY)
        points = _Points(self._reader)
        for _, table in self._reader.rows(Kind.STEPS):
            for row in table.to_pylist():
                requested, applied = points.take(row["requested"], row["applied"])
                batch = nonces.take(row["first_nonce"], row["n_nonces"])
                telemetry = parse_telemetry(samples.take(row["first_sample"], row["n_samples"]), self._info)
                try:
                    step = parse_step(row, requested)
                    observation = parse_observation(row, self._origin, applied, _nonces(batch), telemetry)
                except ValueError as error:
                    raise DamageError(f"step {row['index']}: {error}") from None
                if digest(observation) != row["digest"]:
                    raise DamageError(f"step {row['index']}: is not what was recorded: its digest differs")
                yield step, observation

    def close(self) -> None:
        """May be called twice."""
        self._recorded = iter(())
        self._reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_run(path: Path | str, strict: bool = True) -> StoredRun:
    """A run folder or an exported file as a board.

    Raises:
        NotFoundError: there is neither.
        DataError: it is not what it claims to be.
    """
    from asic_reservoir.store.transfer import open_reader

    return StoredRun(open_reader(Path(path)), strict)


class _Cursor:
    """Rows of a kind, taken from the beginning to the end."""

    def __init__(self, reader: RunReader, kind: Kind) -> None:
        self._reader, self._kind = reader, kind
        self._blocks: Iterator[tuple[int, pa.Table]] | None = None
        self._first, self._held = 0, kind.schema.empty_table()

    def take(self, first_row: int, rows: int) -> pa.Table:
        """Rows ``first_row`` to ``first_row + rows``, none of them before what was taken last."""
        if not rows:
            return self._kind.schema.empty_table()
        if self._blocks is None:
            self._blocks, self._first = self._reader.rows(self._kind, first_row), first_row
        while True:
            passed = max(0, min(first_row - self._first, self._held.num_rows))
            self._held, self._first = self._held.slice(passed), self._first + passed
            if self._first + self._held.num_rows >= first_row + rows:
                break
            block = next(self._blocks, None)
            if block is None:
                raise DamageError(f"rows {first_row} to {first_row + rows - 1} of {self._kind.word} are not there")
            if self._held.num_rows:
                self._held = pa.concat_tables([self._held, block[1]])
            else:
                self._first, self._held = block
        return self._held.slice(0, rows)


class _Points:
    """Operating points by row. A step refers to rows of its own or to the same as the step before it."""

    def __init__(self, reader: RunReader) -> None:
        self._cursor = _Cursor(reader, Kind.OPERATING_POINTS)
        self._known: dict[int, OperatingPoint] = {}

    def take(self, requested: int, applied: int) -> tuple[OperatingPoint, OperatingPoint]:
        for row in sorted({requested, applied} - self._known.keys()):
            self._known[row] = parse_point(self._cursor.take(row, 1))
        self._known = {row: self._known[row] for row in (requested, applied)}
        return self._known[requested], self._known[applied]


def _nonces(rows: pa.Table) -> NonceBatch:
    return NonceBatch(*(np.asarray(rows.column(name).to_numpy()) for name in DTYPES))


def _check_same_step(recorded: Step, asked: Step, number: int) -> None:
    """Raises DataError that names the first field that differs."""
    pairs: list[tuple[str, Any, Any]] = [
        ("duration_ns", recorded.duration_ns, asked.duration_ns),
        ("until_nonces", recorded.until_nonces, asked.until_nonces),
        ("detail", recorded.detail.value, asked.detail.value),
        ("work", recorded.work, asked.work),
    ]
    for name, was, now in pairs:
        if was != now:
            raise DataError(f"replay step {number}: {name} {now}, must be {was} as it was recorded")
    if not same_point(recorded.operating_point, asked.operating_point):
        raise DataError(f"replay step {number}: operating point differs from the one that was recorded")
