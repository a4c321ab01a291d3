"""What a run has recorded so far, on disk: a killed run goes on from here.

A folder an arm. Every part is written whole or not at all, and holds the records of a span of steps together with
the state of the board after it, where the board can give one (a twin). A resumed twin continues bit by bit.
"""

from __future__ import annotations

import io
from dataclasses import fields
from pathlib import Path

import numpy as np

from asic_reservoir.errors import DataError
from asic_reservoir.observables import Record
from asic_reservoir.report.files import write_atomic


class Journal:
    """Parts of one arm of one run in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def append(self, number: int, record: Record, board_state: bytes | None) -> None:
        """Keep part ``number``; raises DataError where it cannot be written (full disk, rights)."""
        buffer = io.BytesIO()
        state = np.frombuffer(board_state or b"", np.uint8)
        np.savez_compressed(
            buffer,
            board_state=state,
            **{field.name: getattr(record, field.name) for field in fields(Record)},
        )
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(f"folder {str(self._folder)!r}: {error.strerror}, must be one that can be made") from None
        write_atomic(self._folder / f"{number:05d}.npz", buffer.getvalue())

    def read(self) -> tuple[list[Record], bytes | None]:
        """All parts in order, and the state of the board after the last one.

        Raises:
            DataError: a part is damaged or missing in the middle.
        """
        records: list[Record] = []
        state: bytes | None = None
        for number, path in enumerate(sorted(self._folder.glob("[0-9]*.npz"))):
            if path.name != f"{number:05d}.npz":
                raise DataError(f"journal {str(self._folder)!r}: part {number:05d}.npz is missing")
            try:
                with np.load(path, allow_pickle=False) as archive:
                    records.append(Record(*(archive[field.name] for field in fields(Record))))
                    state = archive["board_state"].tobytes() or None
            except (OSError, ValueError, KeyError, EOFError) as error:
                raise DataError(f"journal part {str(path)!r}: {error}, must be a whole .npz of a run") from None
        return records, state
