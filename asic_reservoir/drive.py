"""Drive a board with an input, step by step, and record what it answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from asic_reservoir.board import Board, Observation, Resumable
from asic_reservoir.encoding import Encoder
from asic_reservoir.journal import Journal
from asic_reservoir.observables import Record

PART_STEPS = 500
"""Steps of a part of the journal: what a killed run can lose at most."""


class Interrupted(Exception):
    """The run was asked to stop; what was recorded is kept."""


@dataclass(frozen=True, slots=True)
class Hooks:
    """How the world looks into a run: called between steps."""

    advance: Callable[[int], None] = lambda steps: None
    """So many steps more are done."""
    cancelled: Callable[[], bool] = lambda: False


def drive(
    board: Board, encoder: Encoder, n_steps: int, n_slots: int, journal: Journal | None = None, hooks: Hooks = Hooks()
) -> Record:
    """Run ``n_steps`` input steps; parts that the journal holds are not run again.

    A board that cannot be put back into an earlier state (a real one) goes on from where it is: the gap in time
    shows in the record.

    Raises:
        Interrupted: cancelled; the journal holds every whole step that was made.
        DataError: the journal is damaged or cannot be written.
    """
    records, state = journal.read() if journal else ([], None)
    done = sum(len(record) for record in records)
    if state is not None and isinstance(board, Resumable):
        board.restore(state)
    hooks.advance(done)
    before: Sequence[Observation] = _last_answer(board, records[-1]) if records else ()
    while done < n_steps:
        part: list[Sequence[Observation]] = []
        while len(part) < PART_STEPS and done + len(part) < n_steps and not hooks.cancelled():
            before = [board.step(step) for step in encoder.steps(done + len(part), before)]
            part.append(before)
            if len(part) % 50 == 0:
                hooks.advance(50)
        hooks.advance(len(part) % 50)
        if part:
            record = Record.of(board.info, part, n_slots)
            if journal:
                journal.append(len(records), record, board.snapshot() if isinstance(board, Resumable) else None)
            records.append(record)
            done += len(part)
        if hooks.cancelled():
            raise Interrupted
    return Record.concatenate(records)


def _last_answer(board: Board, record: Record) -> Sequence[Observation]:
    """The observations of the last recorded step, as far as dialogue needs them: counts and times."""
    from asic_reservoir.board import ChipCounts, NonceBatch, OperatingPoint, Telemetry

    info = board.info
    nothing = record.valid[-1, 0] * 0
    empty = Telemetry(record.begin_ns[:0, 0], *(record.temperature_c[:0],) * 3, record.power_w[:0], record.power_w[:0])
    return [
        Observation(
            origin=info.origin,
            board=info.uri,
            index=-1,
            begin_ns=int(record.begin_ns[-1, slot]),
            end_ns=int(record.end_ns[-1, slot]),
            applied=OperatingPoint(),
            counts=ChipCounts(record.valid[-1, slot], record.invalid[-1, slot], nothing, nothing),
            nonces=NonceBatch.empty(),
            telemetry=empty,
            timestamp_source=info.timestamp_source,
        )
        for slot in range(record.valid.shape[1])
    ]
