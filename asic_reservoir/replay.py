"""A Board that plays a recording: ``replay://s9-shares``, ``replay:///path/to/shares.csv``, ``replay:///path/to/run``.

A folder of a run, or the file that a run was exported to, is played by :mod:`asic_reservoir.store.player`: it gives
back what was recorded step by step. What follows is about recordings of shares.

Time is recorded time: the first step begins where the recording begins, and every step takes the next slice. What was
recorded cannot be set again, so a step that asks for a frequency, a voltage, a fan speed or work of its own is refused
before anything is played. The one exception is the difficulty: a pool that asks for more sees fewer of the same shares.
Asking for more than the recorded filter leaves the easier shares out; asking for less changes nothing, as on the
machine itself; ``Observation.applied`` says which difficulty held.

A step that would reach beyond the last share raises DataError: half a step would look like a slow board.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from asic_reservoir.board import (
    Board,
    BoardInfo,
    ChipCounts,
    Detail,
    Limits,
    Observation,
    OperatingPoint,
    Origin,
    Range,
    Step,
    Telemetry,
    TimestampSource,
)
from asic_reservoir.errors import DataError, NotFoundError, UsageError
from asic_reservoir.nonces import NonceBatch
from asic_reservoir.recording import SHIPPED_NAME, ShareRecording, load, shipped
from asic_reservoir.recording.addresses import CHIPS, CORES
from asic_reservoir.registry import BoardUri

HASHBOARDS = 3
DOMAINS = 21
"""Voltage domains of an S9 hashboard, 3 chips each."""
ARCHIVE_MAGIC = b"PK\x03\x04"
"""First bytes of a ZIP archive (APPNOTE.TXT 4.3.7), which an exported run is."""
LIMITS = Limits(frequency_mhz=Range(200.0, 900.0), voltage_mv=Range(7950.0, 9400.0), chip_temperature_c=110.0)
"""What Braiins OS allows an S9 (braiins/braiins, ``config.rs``): facts of the machine; a replay writes nothing."""


def open_replay(uri: BoardUri) -> Board:
    """Open the recording that a URI names.

    Options:
        strict: for runs: ``true`` (refuse a step that is not the one that was recorded) or ``false`` (give the next
            one whatever is asked).

    Raises:
        NotFoundError: no recording of that name, no such file.
        UsageError: an option; a recording of shares has none.
        DataError: the file is not a recording.
    """
    path = Path(uri.path)
    if uri.name not in ("", SHIPPED_NAME) or (uri.name and uri.path not in ("", "/")):
        raise NotFoundError(
            f"board {uri.text!r}: no recording {uri.name + uri.path!r}, must be {SHIPPED_NAME!r} or a path after three "
            "slashes"
        )
    if not uri.name and uri.path in ("", "/"):
        raise UsageError(f"board {uri.text!r}: no path, must look like 'replay:///path/to/shares.csv'")
    if not uri.name and not path.exists():
        raise NotFoundError(f"board {uri.text!r}: no file or folder {uri.path!r}")
    if not uri.name and _is_run(path):
        from asic_reservoir.store.player import open_run

        uri.check_options({"strict"})
        return open_run(path, strict=uri.choice("strict", "true", ("true", "false")) == "true")
    if uri.options:
        raise UsageError(
            f"board {uri.text!r}: option {next(iter(uri.options))!r}, must have none: shares are as they are"
        )
    return ReplayBoard(uri.text, shipped() if uri.name else load(path))


def _is_run(path: Path) -> bool:
    """Whether the path is a recorded run: a folder, or the archive of an export. Shares are text."""
    if path.is_dir():
        return True
    try:
        with path.open("rb") as file:
            return file.read(len(ARCHIVE_MAGIC)) == ARCHIVE_MAGIC
    except OSError as error:
        raise DataError(f"recording {str(path)!r}: {error.strerror}, must be a readable file") from None


class ReplayBoard:
    """Shares of a recorded S9, step by step.

    The nonces tell the chip's place on its hashboard (0..62) and not which hashboard, so there are 63 counters, each
    for three chips. Frequency, voltage and temperatures were not recorded: they are unknown here, not guessed.

    >>> from asic_reservoir.registry import open_board
    >>> with open_board("replay://s9-shares") as board:
    ...     observation = board.step(Step(OperatingPoint(), duration_ns=10_000_000_000))
    >>> observation.origin.value, int(observation.counts.total.sum())
    ('replayed', 117)
    """

    def __init__(self, uri: str, recording: ShareRecording) -> None:
        self.recording = recording
        self._info = _info(uri, recording)
        self._now_ns = recording.begin_ns
        self._index = 0
        self._applied = self._info.nominal
        self._open = True

    @property
    def info(self) -> BoardInfo:
        return self._info

    @property
    def remaining_ns(self) -> int:
        """Recorded time that has not been played."""
        return self.recording.end_ns - self._now_ns

    def step(self, step: Step) -> Observation:
        """Play the next slice.

        Raises:
            UsageError: the step sets something, or the board is closed. Nothing was played.
            DataError: the recording ends before the step does.
        """
        if not self._open:
            raise UsageError(f"board {self._info.uri!r}: closed, must be opened again to be played")
        self._refuse_settings(step)
        applied = self._applied.merged(step.operating_point)
        asked = applied.difficulty or 1
        begin_ns, end_ns = self._now_ns, self._now_ns + step.duration_ns
        recorded = self.recording.nonces
        first, last = np.searchsorted(recorded.time_ns, [begin_ns, end_ns])
        rows = np.arange(first, last)
        rows = rows[self.recording.difficulty[rows] >= asked] if asked > self.recording.ticket_mask else rows
        if step.until_nonces is not None and rows.size >= step.until_nonces:
            rows = rows[: step.until_nonces]
            end_ns = int(recorded.time_ns[rows[-1]]) + 1
        if end_ns > self.recording.end_ns:
            raise DataError(
                f"recording {self.recording.name!r}: a step of {step.duration_ns / 1e9:g} s asked of its last "
                f"{self.remaining_ns / 1e9:.3f} s, must end before the recording does"
            )
        nonces = recorded.select(rows)
        observation = Observation(
            origin=Origin.REPLAYED,
            board=self._info.uri,
            index=self._index,
            begin_ns=begin_ns,
            end_ns=end_ns,
            applied=OperatingPoint(difficulty=max(asked, self.recording.ticket_mask)),
            counts=ChipCounts.of(nonces, self._info.n_counters),
            nonces=nonces if step.detail is Detail.NONCES else NonceBatch.empty(),
            telemetry=_no_telemetry(end_ns),
            timestamp_source=TimestampSource.HOST,
        )
        self._now_ns, self._index, self._applied = end_ns, self._index + 1, applied
        return observation

    def close(self) -> None:
        """Nothing to make safe; further steps are refused."""
        self._open = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _refuse_settings(self, step: Step) -> None:
        asked = {
            "frequency_mhz": step.operating_point.frequency_mhz,
            "voltage_mv": step.operating_point.voltage_mv,
            "fan_percent": step.operating_point.fan_percent,
            "work.header": step.work.header,
            "work.extranonce2": step.work.extranonce2,
        }
        for name, value in asked.items():
            if value is not None:
                shown = value.hex() if isinstance(value, bytes) else np.array2string(np.asarray(value), threshold=4)
                raise UsageError(
                    f"{name}: {shown} asked of the recording {self.recording.name!r}, must be left out: what was "
                    "recorded cannot be set"
                )
        if step.work.clean:
            raise UsageError(
                f"work.clean: True asked of the recording {self.recording.name!r}, must be False: its jobs are recorded"
            )
        difficulty = step.operating_point.difficulty
        if difficulty is not None:
            LIMITS.check(OperatingPoint(difficulty=difficulty))


def _info(uri: str, recording: ShareRecording) -> BoardInfo:
    return BoardInfo(
        uri=uri,
        family="s9",
        model="Antminer S9 (recording)",
        chip="BM1387",
        algorithm="sha256d",
        origin=Origin.REPLAYED,
        timestamp_source=TimestampSource.HOST,
        n_chips=HASHBOARDS * CHIPS,
        n_counters=CHIPS,
        cores_per_chip=CORES,
        n_hashboards=HASHBOARDS,
        n_domains=DOMAINS,
        hashes_per_clock=CORES,
        ticket_mask=recording.ticket_mask,
        ticket_mask_settable=False,
        per_chip_frequency=False,
        limits=LIMITS,
        nominal=OperatingPoint(difficulty=recording.ticket_mask),
        physical={
            "recording": recording.name,
            "duration_s": f"{(recording.end_ns - recording.begin_ns) / 1e9:.3f}",
            "counters": "chip index within its hashboard; the recording does not say which of the three",
        },
    )


def _no_telemetry(time_ns: int) -> Telemetry:
    """One sample at the end of the step in which every sensor is unknown."""
    return Telemetry(
        time_ns=np.array([time_ns], np.int64),
        chip_temperature_c=np.full((1, CHIPS), np.nan),
        board_temperature_c=np.full((1, HASHBOARDS), np.nan),
        voltage_mv=np.full((1, HASHBOARDS), np.nan),
        power_w=np.full(1, np.nan),
        fan_rpm=np.full(1, np.nan),
    )
