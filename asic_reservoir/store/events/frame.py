"""Frames of the log: the codec only, bytes in and values out.

A frame is a header of 48 bytes, a payload, and zeros up to a multiple of 8::

    magic "ARF1"  kind u16  schema u16  rows u32  length u32  first_row u64  begin_ns i64  end_ns i64
    CRC-32 of the payload u32  CRC-32 of the 44 bytes before it u32

little-endian. The header has a check of its own, so that a log can be indexed without reading what is in it, and
``first_row`` says after a damage which rows are missing. Frames that were appended together are a group: all but the
last have the highest bit of ``kind`` set, and a group that did not come to its end was never acknowledged.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from asic_reservoir.errors import DataError
from asic_reservoir.nonces import DTYPES, NonceBatch
from asic_reservoir.store.events.kinds import NONCE_BYTES, NONCE_ORDER, SCHEMA_VERSION, Kind

Buffer = bytes | memoryview

MAGIC = b"ARF1"
OPENING = 0
"""Kind of the first frame of a log: a JSON document that says which run it belongs to."""

_MORE = 0x8000
"""Bit of ``kind``: the next frame belongs to the same append."""

_HEADER = struct.Struct("<4sHHIIQqqII")
HEADER_BYTES = _HEADER.size
MAX_ROWS = 1 << 20
"""Rows in one frame: larger batches are split, so that a frame stays below 2^32 bytes and a damage small."""


@dataclass(frozen=True, slots=True)
class Frame:
    """Where a frame lies and what is in it."""

    kind: int
    schema: int
    rows: int
    first_row: int
    begin_ns: int
    end_ns: int
    offset: int
    """Of the payload in the file."""
    length: int
    crc: int
    more: bool
    """The next frame belongs to the same append."""

    @property
    def begin(self) -> int:
        """Where its header begins."""
        return self.offset - HEADER_BYTES

    @property
    def end_row(self) -> int:
        """One past its last row."""
        return self.first_row + self.rows

    @property
    def end(self) -> int:
        """Where the next frame begins."""
        return self.offset + _aligned(self.length)


@dataclass(frozen=True, slots=True)
class Torn:
    """Bytes of a log that are no frame."""

    begin: int
    end: int
    tail: bool
    """Nothing follows: most likely an append that did not come to its end. Else the file was damaged later."""
    header: Frame | None
    """The header, where that is sound and only the payload is not."""

    @property
    def unfinished(self) -> bool:
        """An append that did not come to its end: a killed writer leaves the beginning of a frame, and no more."""
        if self.header is not None:
            return self.tail and self.header.offset + self.header.length > self.end
        return self.tail and self.end - self.begin < HEADER_BYTES


def _aligned(offset: int) -> int:
    return (offset + 7) & ~7


def pack(
    kind: int, first_row: int, rows: int, begin_ns: int, end_ns: int, payload: list[Buffer], more: bool = False
) -> list[Buffer]:
    """A frame as buffers to be written one after the other; the payload is not copied."""
    crc, length = 0, 0
    for part in payload:
        crc = zlib.crc32(part, crc)
        length += len(part)
    head = _HEADER.pack(
        MAGIC, kind | (_MORE if more else 0), SCHEMA_VERSION, rows, length, first_row, begin_ns, end_ns, crc, 0
    )[:-4]
    padding = bytes(_aligned(length) - length)
    return [head + zlib.crc32(head).to_bytes(4, "little"), *payload, padding]


def pack_nonces(first_row: int, batch: NonceBatch, more: bool = False) -> list[Buffer]:
    """Frames of a batch of nonces, at least one row."""
    buffers: list[Buffer] = []
    for begin in range(0, len(batch), MAX_ROWS):
        columns = {name: column[begin : begin + MAX_ROWS] for name, column in batch.columns()}
        time_ns = columns["time_ns"]
        payload: list[Buffer] = [np.ascontiguousarray(columns[name]).data.cast("B") for name in NONCE_ORDER]
        low, high = int(time_ns.min()), int(time_ns.max())
        followed = more or begin + MAX_ROWS < len(batch)
        buffers += pack(Kind.NONCES.value, first_row + begin, len(time_ns), low, high, payload, followed)
    return buffers


def pack_table(kind: Kind, first_row: int, batch: pa.RecordBatch, more: bool = False) -> list[Buffer]:
    """The frame of a batch of another kind, at least one row."""
    time_ns = batch.column(0).to_numpy()
    low, high = int(time_ns.min()), int(time_ns.max())
    return pack(kind.value, first_row, batch.num_rows, low, high, [memoryview(batch.serialize())], more)


def unpack_nonces(frame: Frame, payload: Buffer) -> NonceBatch:
    """The nonces of a frame, as views of the payload.

    Raises:
        DataError: the length does not fit the number of rows.
    """
    if frame.length != frame.rows * NONCE_BYTES:
        raise DataError(f"frame of nonces: {frame.length} bytes, must be {frame.rows * NONCE_BYTES} for its rows")
    columns, at = {}, 0
    for name in NONCE_ORDER:
        columns[name] = np.frombuffer(payload, DTYPES[name], frame.rows, at)
        at += columns[name].nbytes
    return NonceBatch(**columns)


def unpack_table(kind: Kind, frame: Frame, payload: Buffer) -> pa.RecordBatch:
    """The rows of a frame of another kind.

    Raises:
        DataError: the payload is no record batch of the kind's schema.
    """
    try:
        batch = pa.ipc.read_record_batch(pa.py_buffer(payload), kind.schema)
        batch.validate(full=True)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(f"frame of {kind.word}: {str(error).splitlines()[0]}") from None
    if batch.num_rows != frame.rows:
        raise DataError(f"frame of {kind.word}: {batch.num_rows} rows, must be {frame.rows} as its header says")
    return batch


def read_header(data: memoryview, at: int) -> Frame | None:
    """The header at ``at``, or ``None`` where there is none. The payload may still be damaged or cut."""
    head = data[at : at + HEADER_BYTES]
    if len(head) < HEADER_BYTES or head[:4] != MAGIC:
        return None
    _, kind, schema, rows, length, first_row, begin_ns, end_ns, crc, check = _HEADER.unpack(head)
    if zlib.crc32(head[:-4]) != check or first_row + rows >= 2**63:
        return None
    return Frame(
        kind & ~_MORE, schema, rows, first_row, begin_ns, end_ns, at + HEADER_BYTES, length, crc, bool(kind & _MORE)
    )


def scan(data: memoryview, start: int = 0, check: bool = True) -> Iterator[Frame | Torn]:
    """Frames of a log, and what lies between them that is none.

    After a damage the next frame is found by its magic and the check of its header.

    Args:
        data: the file from its beginning.
        start: where a frame begins.
        check: read the payloads and check them too. Else a damaged payload is found by who reads it.
    """
    at = start
    while at < len(data):
        frame = read_header(data, at)
        if frame is not None and frame.offset + frame.length <= len(data) and (not check or intact(frame, data)):
            yield frame
            at = frame.end
            continue
        found = _next(data, at + 1)
        yield Torn(at, len(data) if found is None else found, found is None, frame)
        if found is None:
            return
        at = found


def intact(frame: Frame, data: memoryview) -> bool:
    """Whether the payload is what was written."""
    return zlib.crc32(data[frame.offset : frame.offset + frame.length]) == frame.crc


def _next(data: memoryview, start: int) -> int | None:
    """Where the next whole and sound frame begins."""
    at, block = start, 1 << 20
    while at < len(data):
        window = bytes(data[at : at + block + 3])
        hit = window.find(MAGIC)
        while hit >= 0:
            frame = read_header(data, at + hit)
            if frame is not None and frame.offset + frame.length <= len(data) and intact(frame, data):
                return at + hit
            hit = window.find(MAGIC, hit + 1)
        at += block
    return None
