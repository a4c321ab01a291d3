"""The CSV of submitted shares: one row a share, with the Stratum fields of its job.

Text in, typed rows out; whatever else the file holds is an error that names file, row (counted from 1 after the header
line), column, value and what would be right.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TextIO

from asic_reservoir.errors import DataError, NotFoundError

COLUMNS = (
    "timestamp",
    "job_id",
    "jitter_ms",
    "version",
    "prevhash",
    "coinb1",
    "coinb2",
    "extranonce1",
    "extranonce2",
    "merkle_branch",
    "ntime",
    "nbits",
    "nonce",
)
LAST_TIMESTAMP_S = 4_102_444_800
"""2100-01-01: a later time stamp is not one in seconds."""
LONGEST_AGE_MS = 86_400_000
_HEX = re.compile(r"(?:[0-9a-fA-F]{2})*")


@dataclass(frozen=True, slots=True)
class ShareRow:
    """One share as it was submitted. Byte strings are raw hex of the file: ``prevhash`` is in Stratum order."""

    time_ns: int
    """Arrival on the host, nanoseconds since 1970."""
    job_id: str
    age_ns: int
    """Time since the host had last sent a job."""
    version: int
    prevhash: bytes
    coinbase1: bytes
    coinbase2: bytes
    extranonce1: bytes
    extranonce2: bytes
    branches: tuple[bytes, ...]
    ntime: int
    nbits: int
    nonce: int


def read_rows(path: Path) -> list[ShareRow]:
    """Every row of the file, in order of arrival.

    Raises:
        NotFoundError: there is no such file.
        DataError: it cannot be read, or is not such a recording.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(_rows(file, str(path)))
    except FileNotFoundError:
        raise NotFoundError(f"recording {str(path)!r}: no such file") from None
    except OSError as error:
        raise DataError(f"recording {str(path)!r}: {error.strerror}, must be a readable file") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: byte {error.start} is not UTF-8, must be a CSV of shares") from None
    if not rows:
        raise DataError(f"{path}: no shares, must have at least one row under the header line")
    return rows


def _rows(file: TextIO, source: str) -> Iterator[ShareRow]:
    reader = csv.reader(file, strict=True)
    try:
        header = next(reader, [])
        if tuple(header) != COLUMNS:
            raise DataError(f"{source}: {_header_fault(header)}, must be {','.join(COLUMNS)}")
        previous = 0
        for number, fields in enumerate(reader, start=1):
            if len(fields) != len(COLUMNS):
                raise DataError(
                    f"{source}: row {number}: {len(fields)} fields, must be {len(COLUMNS)}; is the file cut off?"
                )
            row = _Fields(source, number, dict(zip(COLUMNS, fields, strict=True))).row()
            if row.time_ns < previous:
                raise DataError(
                    f"{source}: row {number}, column 'timestamp': {fields[0]!r}, must not be before the row above"
                )
            previous = row.time_ns
            yield row
    except csv.Error as error:
        raise DataError(f"{source}: line {reader.line_num}: {error}, must be a CSV of shares") from None


def _header_fault(header: list[str]) -> str:
    missing = [name for name in COLUMNS if name not in header]
    if missing:
        return f"header line has no column {missing[0]!r}"
    return f"header line has {len(header)} columns in another order or twice"


@dataclass(frozen=True, slots=True)
class _Fields:
    """The text of one row, with what an error about it needs."""

    source: str
    number: int
    text: dict[str, str]

    def row(self) -> ShareRow:
        return ShareRow(
            time_ns=self.nanoseconds("timestamp", 10**9, LAST_TIMESTAMP_S, "seconds since 1970"),
            job_id=self.job_id(),
            age_ns=self.nanoseconds("jitter_ms", 10**6, LONGEST_AGE_MS, "milliseconds, at most a day"),
            version=self.word("version"),
            prevhash=self.hex("prevhash", 32),
            coinbase1=self.hex("coinb1"),
            coinbase2=self.hex("coinb2"),
            extranonce1=self.hex("extranonce1"),
            extranonce2=self.hex("extranonce2"),
            branches=self.branches(),
            ntime=self.word("ntime"),
            nbits=self.word("nbits"),
            nonce=self.word("nonce"),
        )

    def fault(self, column: str, right: str) -> DataError:
        value = self.text[column]
        shown = value if len(value) <= 40 else value[:37] + "..."
        return DataError(f"{self.source}: row {self.number}, column {column!r}: {shown!r}, must be {right}")

    def nanoseconds(self, column: str, unit_ns: int, highest: int, right: str) -> int:
        """Exact, by way of decimals: a float cannot hold nanoseconds since 1970."""
        text = self.text[column]
        try:
            value = Decimal(text) if text.isascii() else Decimal("NaN")
        except InvalidOperation:
            value = Decimal("NaN")
        if not value.is_finite() or not 0 <= value <= highest:
            raise self.fault(column, right)
        return round(value * unit_ns)

    def job_id(self) -> str:
        text = self.text["job_id"]
        if not text or len(text) > 64 or not text.isprintable():
            raise self.fault("job_id", "1 to 64 printable characters")
        return text

    def word(self, column: str) -> int:
        return int.from_bytes(self.hex(column, 4), "big")

    def hex(self, column: str, size: int | None = None) -> bytes:
        text = self.text[column]
        if not _HEX.fullmatch(text) or (size is not None and len(text) != 2 * size):
            raise self.fault(column, f"{2 * size} hex digits" if size is not None else "an even number of hex digits")
        return bytes.fromhex(text)

    def branches(self) -> tuple[bytes, ...]:
        right = "a JSON list of 64-digit hex strings"
        try:
            items = json.loads(self.text["merkle_branch"])
        except (ValueError, RecursionError):
            raise self.fault("merkle_branch", right) from None
        if not isinstance(items, list):
            raise self.fault("merkle_branch", right)
        for item in items:
            if not isinstance(item, str) or len(item) != 64 or not _HEX.fullmatch(item):
                raise self.fault("merkle_branch", right)
        return tuple(bytes.fromhex(item) for item in items)
