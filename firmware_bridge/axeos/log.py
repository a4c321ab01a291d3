"""The log stream ``/api/ws``: every nonce that the chip reports, whatever the pool's difficulty is.

A line of ESP-IDF's log reads ``I (131148) tag: text``; the number is milliseconds since boot, the best time stamp that
the board gives without other firmware (1 ms, limited by its tick).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from asic_reservoir.errors import DataError
from firmware_bridge.fields import shown

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_LINE = re.compile(r"([EWIDV]) \((\d{1,15})\) ([^:]{1,64}): (.*)", re.ASCII | re.DOTALL)
_LIVE_NONCE = re.compile(
    r"ID: (?P<job>.{1,64}?), ASIC nr: (?P<asic>\d{1,3}), Core: (?P<core>\d{1,3})/(?P<small>\d{1,2}), "
    r"ver: (?P<version>[0-9A-Fa-f]{8}) Nonce (?P<nonce>[0-9A-Fa-f]{8}) "
    r"diff (?P<difficulty>\d{1,18}(?:\.\d{1,9})?(?:e[+-]?\d{1,3})?) of (?P<pool>\d{1,18}(?:\.\d{1,9})?)\.?",
    re.ASCII,
)
_STOCK_NONCE = re.compile(
    r"Nonce difficulty (?P<difficulty>\d{1,18}(?:\.\d{1,9})?) of (?P<pool>\d{1,18}(?:\.\d{1,9})?)\.?", re.ASCII
)
_STOCK_JOB = re.compile(r"(?:RX )?Job ID: (?P<job>[0-9A-Fa-f]{1,2})\b.*", re.ASCII | re.DOTALL)


@dataclass(frozen=True, slots=True)
class NonceReported:
    """A chip reply in the log of the live generation."""

    job: str
    """Stratum id of the job."""
    asic: int
    core: int
    small_core: int
    version_bits: int
    nonce: int
    difficulty: float
    pool_difficulty: float


@dataclass(frozen=True, slots=True)
class DifficultyReported:
    """A chip reply in the log of the stock generation: it does not print the nonce."""

    difficulty: float
    pool_difficulty: float


@dataclass(frozen=True, slots=True)
class JobReceived:
    """Stock generation: the chip's job id of the reply whose difficulty follows."""

    job: int


@dataclass(frozen=True, slots=True)
class StratumSent:
    """``tx:`` what the board wrote to its pool."""

    line: str


@dataclass(frozen=True, slots=True)
class StratumReceived:
    """``rx:`` what it read from its pool."""

    line: str


@dataclass(frozen=True, slots=True)
class OtherText:
    """Any other log text."""

    text: str


Event = NonceReported | DifficultyReported | JobReceived | StratumSent | StratumReceived | OtherText


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of the log."""

    time_ms: int
    """Since boot."""
    level: str
    """E, W, I, D or V."""
    tag: str
    event: Event


def parse_log_line(data: bytes | str) -> LogLine:
    """Read a line of either generation; colour codes are taken off.

    Raises:
        DataError: no log prefix (a fragment, or the middle of a line): the reader goes on with the next line.

    >>> parse_log_line("I (131148) asic_result: Nonce difficulty 29588.00 of 8192.").event
    DifficultyReported(difficulty=29588.0, pool_difficulty=8192.0)
    """
    text = data.decode(errors="replace") if isinstance(data, bytes) else data
    text = _ANSI.sub("", text).rstrip("\r\n\0")
    match = _LINE.fullmatch(text)
    if match is None:
        raise DataError(f"log line: {shown(text)}, must look like 'I (131148) tag: text'")
    level, time_ms, tag, rest = match.groups()
    return LogLine(int(time_ms), level, tag, _event(rest))


def _event(text: str) -> Event:
    if match := _LIVE_NONCE.fullmatch(text):
        return NonceReported(
            match["job"],
            int(match["asic"]),
            int(match["core"]),
            int(match["small"]),
            int(match["version"], 16),
            int(match["nonce"], 16),
            float(match["difficulty"]),
            float(match["pool"]),
        )
    if match := _STOCK_NONCE.fullmatch(text):
        return DifficultyReported(float(match["difficulty"]), float(match["pool"]))
    if match := _STOCK_JOB.fullmatch(text):
        return JobReceived(int(match["job"], 16))
    if text.startswith("tx: "):
        return StratumSent(text[4:])
    if text.startswith("rx: "):
        return StratumReceived(text[4:])
    return OtherText(text)


def format_log_line(line: LogLine) -> str:
    """The line as the board prints it, newline included.

    >>> format_log_line(LogLine(9, "I", "stratum_api", StratumSent("{}")))
    'I (9) stratum_api: tx: {}\\n'
    """
    return f"{line.level} ({line.time_ms}) {line.tag}: {_text(line.event)}\n"


def _text(event: Event) -> str:
    match event:
        case NonceReported():
            return (
                f"ID: {event.job}, ASIC nr: {event.asic}, Core: {event.core}/{event.small_core}, "
                f"ver: {event.version_bits:08X} Nonce {event.nonce:08X} "
                f"diff {event.difficulty:.1f} of {event.pool_difficulty:.0f}."
            )
        case DifficultyReported(difficulty, pool):
            return f"Nonce difficulty {difficulty:.2f} of {pool:.0f}."
        case JobReceived(job):
            return f"RX Job ID: {job:02X}"
        case StratumSent(line):
            return f"tx: {line}"
        case StratumReceived(line):
            return f"rx: {line}"
        case OtherText(text):
            return text
