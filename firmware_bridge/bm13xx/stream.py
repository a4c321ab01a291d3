"""Frames in a stream of bytes: as they come, in pieces, broken, or begun in the middle.

A parser looks for a frame at every byte. Where there is none it moves on by one byte and counts it, so it finds its
way back after any garbage; a partial frame at the end waits for more bytes, or for :meth:`StreamParser.flush` when
the line has gone silent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from firmware_bridge.bm13xx import bm1366, bm1387
from firmware_bridge.bm13xx.commands import Command, FrameError
from firmware_bridge.bm13xx.jobs import (
    HEADER_JOB_SIZE,
    JOB_TYPE,
    MIDSTATE_COUNTS,
    PREAMBLE,
    HeaderJob,
    MidstateJob,
    decode_header_job,
    decode_midstate_job,
    midstate_job_size,
)

T = TypeVar("T")

Sizer = Callable[[bytes, int], int]
"""Size of the frame that may begin at a position: 0 if more bytes are needed to tell, -1 if none begins there."""


class StreamParser(Generic[T]):
    """Cuts a stream into frames.

    Args:
        size_at: see :data:`Sizer`.
        decode: value of a frame; raises FrameError for what is none.
        usual_size: size by which lost frames are estimated from skipped bytes.
    """

    def __init__(self, size_at: Sizer, decode: Callable[[bytes], T], usual_size: int) -> None:
        self._size_at, self._decode, self._usual_size = size_at, decode, usual_size
        self._rest = b""
        self._gap = 0
        self.frames = 0
        """Frames found."""
        self.bad_frames = 0
        """Places that looked like a frame and had a wrong checksum or content."""
        self.skipped_bytes = 0
        """Bytes that belong to no frame."""
        self.lost_frames = 0
        """Frames that skipped bytes stand for, estimated: every gap divided by the usual size, rounded up."""

    @property
    def pending(self) -> int:
        """Bytes that wait for the rest of their frame."""
        return len(self._rest)

    def feed(self, data: bytes) -> list[T]:
        """The values of all frames that are complete with ``data``."""
        return [value for _, value in self.feed_with_ends(data)]

    def feed_with_ends(self, data: bytes) -> list[tuple[int, T]]:
        """As :meth:`feed`, each with the position in ``data`` behind its last byte: from it follows when it ended."""
        offset = len(self._rest)
        buffer = self._rest + data
        found, rest = self._scan(buffer, final=False)
        self._rest = buffer[rest:]
        return [(end - offset, value) for end, value in found]

    def flush(self) -> list[T]:
        """The line is silent: what waits is no frame and will not become one. Gives whole frames hidden in it."""
        found, rest = self._scan(self._rest, final=True)
        self._skip(len(self._rest) - rest)
        self._close_gap()
        self._rest = b""
        return [value for _, value in found]

    def _scan(self, buffer: bytes, final: bool) -> tuple[list[tuple[int, T]], int]:
        found: list[tuple[int, T]] = []
        position = 0
        while position < len(buffer):
            size = self._size_at(buffer, position)
            if size == 0 or position + size > len(buffer):
                if not final:
                    break
                size = -1
            if size > 0:
                try:
                    value = self._decode(buffer[position : position + size])
                except FrameError:
                    self.bad_frames += 1
                else:
                    self._close_gap()
                    self.frames += 1
                    position += size
                    found.append((position, value))
                    continue
            self._skip(1)
            position += 1
        return found, position

    def _skip(self, count: int) -> None:
        self._gap += count
        self.skipped_bytes += count

    def _close_gap(self) -> None:
        self.lost_frames += -(-self._gap // self._usual_size)
        self._gap = 0


def _begins(buffer: bytes, position: int, preamble: bytes) -> int:
    """1 where ``preamble`` begins, 0 where it may begin with the next byte, -1 where not."""
    piece = buffer[position : position + len(preamble)]
    if piece == preamble:
        return 1
    return 0 if preamble.startswith(piece) else -1


class Bm1366Replies(StreamParser[bm1366.Reply]):
    """What a host reads from a chain of BM1366. ``reply_size`` is 9 until register A4 was written, then 11."""

    def __init__(self, reply_size: int = bm1366.LONG_REPLY) -> None:
        self.reply_size = reply_size
        super().__init__(self._size, bm1366.decode_reply, bm1366.LONG_REPLY)

    def _size(self, buffer: bytes, position: int) -> int:
        begins = _begins(buffer, position, bm1366.REPLY_PREAMBLE)
        return self.reply_size if begins > 0 else begins


class Bm1366Commands(StreamParser[Command | HeaderJob]):
    """What a BM1366 reads from its host. The size of a job follows from its type, not from its length byte."""

    def __init__(self) -> None:
        super().__init__(self._size, self._decode_any, bm1366.COMMAND_SIZE[0x51])

    @staticmethod
    def _size(buffer: bytes, position: int) -> int:
        begins = _begins(buffer, position, PREAMBLE)
        if begins <= 0:
            return begins
        if position + 2 >= len(buffer):
            return 0
        kind = buffer[position + 2]
        return HEADER_JOB_SIZE if kind == JOB_TYPE else bm1366.COMMAND_SIZE.get(kind, -1)

    @staticmethod
    def _decode_any(frame: bytes) -> Command | HeaderJob:
        return decode_header_job(frame) if frame[2] == JOB_TYPE else bm1366.decode_command(frame)


class Bm1387Replies(StreamParser[bm1387.Reply]):
    """What a host reads from a chain of BM1387. Without a preamble only the checksum tells a frame from garbage."""

    def __init__(self) -> None:
        super().__init__(lambda buffer, position: bm1387.REPLY_SIZE, bm1387.decode_reply, bm1387.REPLY_SIZE)


class Bm1387Commands(StreamParser[Command | MidstateJob]):
    """What a BM1387 reads from its host."""

    def __init__(self) -> None:
        super().__init__(self._size, self._decode_any, bm1387.COMMAND_SIZE[0x58])

    @staticmethod
    def _size(buffer: bytes, position: int) -> int:
        kind = buffer[position]
        if kind != JOB_TYPE:
            return bm1387.COMMAND_SIZE.get(kind, -1)
        if position + 3 >= len(buffer):
            return 0
        count = buffer[position + 3]
        return midstate_job_size(count) if count in MIDSTATE_COUNTS else -1

    @staticmethod
    def _decode_any(frame: bytes) -> Command | MidstateJob:
        return decode_midstate_job(frame) if frame[0] == JOB_TYPE else bm1387.decode_command(frame)
