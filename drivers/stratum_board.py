"""Base of the boards whose work and nonces go over Stratum: the step, the jobs, the attribution of every share."""

from __future__ import annotations

import contextlib
import socket
import time
from dataclasses import replace
from types import TracebackType
from typing import Self

from asic_reservoir.board import (
    BoardInfo,
    ChipCounts,
    Observation,
    OperatingPoint,
    Origin,
    Step,
    Work,
    WorkMode,
)
from asic_reservoir.errors import AsicReservoirError, SafetyError, TimeoutExpiredError, UsageError
from drivers.guard import Guard
from drivers.sensors import Sample, Sensors, beyond_limits
from drivers.stratum_rows import Row, batch_of, row_of
from drivers.stratum_work import StratumWork
from firmware_bridge.announcement import Announcement
from firmware_bridge.clocks import TimeLine, monotonic_raw_ns
from firmware_bridge.stratum.server import ShareEvent

JOB_EVERY_S = 30.0
"""Board time after which a steady flow of work gets a new job, as pools do."""
_TRIPLE_EVERY_NS = 5_000_000_000


class _Tripped(Exception):
    """Something in the midst of a step after which the board must be made safe."""

    def __init__(self, reason: str, finding: str) -> None:
        super().__init__(reason)
        self.finding = finding


class StratumBoard(StratumWork):
    """A board behind a Stratum miner. A family says how settings are written and sensors are read.

    Args:
        info: What the board is; its origin is put right by what the device announces.
        announcement: Of an emulated device; None for a real one.
        host: Of the device: only it may connect.
        listen: Address to listen on.
        stratum_port: 0 lets the system choose.
    """

    back_within_s = 60.0
    """Board time in which the miner is back after its link broke; a restart of AxeOS takes 15 to 40 s."""

    def __init__(
        self, info: BoardInfo, *, announcement: Announcement | None, host: str, listen: str, stratum_port: int
    ) -> None:
        info = replace(info, origin=Origin.MEASURED if announcement is None else Origin.SIMULATED)
        super().__init__(info, announcement, accept_from=socket.gethostbyname(host), listen=listen, port=stratum_port)
        self._announcement = announcement
        self.sensors = Sensors(self._sample, info.uri)
        self._index = 0
        self.time_line = TimeLine()
        """Clock triples, taken at opening and every few seconds of stepping: they put this board's times on others'."""
        self._late_come_stale = False
        """After a broken step a clean job: what the device then still sends of the old one is stale."""
        self._closed = False
        self._guard: Guard | None = None

    # -- Board ---------------------------------------------------------------------------------------------------

    @property
    def info(self) -> BoardInfo:
        return self._info

    def step(self, step: Step) -> Observation:
        """One step. ``lost`` of its observation counts what is known to be lost in it; see :class:`Losses`.

        Raises:
            LimitError: outside the limits; nothing was written.
            UsageError: work that Stratum cannot carry.
            SafetyError: too hot, in the midst of the step too, or a setting that did not take; the board was put into
                its safe state.
            TimeoutExpiredError: the device is silent, or its link broke in this step, so that nonces may be missing.
                The next step goes on where the link is back.
        """
        if self._closed:
            raise UsageError(f"board {self._info.uri}: closed, must be opened again")
        self._info.limits.check(step.operating_point)
        self._check_work(step.work)
        try:
            return self._run(step)
        except _Tripped as trip:
            self._late_come_stale = True
            self._book.refused(len(self._events_before(self.clock.now_ns())))
            self._make_safe_within(self._back_within_host_s)
            raise SafetyError(
                f"board {self._info.uri}: {trip}; the board was put into its safe state", finding=trip.finding
            ) from None
        except TimeoutExpiredError:
            self._late_come_stale = True
            self._book.refused(len(self._events_before(self.clock.now_ns())))
            raise

    def _run(self, step: Step) -> Observation:
        self._apply(step.operating_point)
        if not self.server.connected:
            with contextlib.suppress(TimeoutExpiredError):
                self._explain_silence()
        self.server.wait_connected(self._back_within_host_s)
        before = self._read_sensors()
        link, lost_before = self.server.link_number, self.losses.nonces
        if monotonic_raw_ns() - self.time_line.triples[-1].monotonic_raw_ns > _TRIPLE_EVERY_NS:
            self.time_line.record()
        begin = self.clock.now_ns()
        self._drop_before(begin)
        latest = begin + step.duration_ns
        if step.work.mode is WorkMode.HANDSHAKE:
            end = self._converse(step, latest)
        else:
            end = self._listen(step, begin, latest)
        time.sleep(self._grace_s())
        rows = self._rows(begin, end, step.until_nonces)
        if self.server.link_number != link or self._link_broke():
            self._book.refused(len(rows))
            self._lost_link(begin)
        after = self._read_sensors()
        self._guard_heat(after)
        lost = self.losses.nonces - lost_before
        observation = self._observation(begin, end, rows, before, after, lost)
        self._index += 1
        return observation

    def close(self) -> None:
        """Safe state, then the link. May be called twice."""
        if self._closed:
            return
        self._closed = True
        self.sensors.stop()
        safe = False
        try:
            self._make_safe_within(self._back_within_host_s)
            safe = True
        except TimeoutExpiredError as error:
            raise TimeoutExpiredError(
                f"board {self._info.uri}: not in its safe state, its guard goes on trying for a while ({error})"
            ) from None
        finally:
            self.server.close()
            self._release(safe)

    def _make_safe_within(self, seconds: float) -> None:
        """A board that restarts just now is waited for."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                self._make_safe()
                return
            except TimeoutExpiredError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except TimeoutExpiredError as left:
            if not isinstance(error, AsicReservoirError):
                raise
            raise type(error)(f"{error}; {left}") from error  # what went wrong first is what must be told

    @property
    def _back_within_host_s(self) -> float:
        return self.clock.host_s(round(self.back_within_s * 1e9)) + 5.0

    # -- work ----------------------------------------------------------------------------------------------------

    def _check_work(self, work: Work) -> None:
        if work.header is not None:
            raise UsageError("work header: given, must be left out: Stratum cannot carry a whole header")

    def _accept(self, point: OperatingPoint) -> None:
        """The settings took. Another difficulty holds from the next job on, so there is one."""
        changed = point.difficulty != self._applied.difficulty
        self._applied = point
        if changed:
            self._difficulties.clear()
            if self._job >= 0:
                self._issue(Work(), True)

    def _listen(self, step: Step, begin: int, latest: int) -> int:
        """A steady flow of work until time or number is reached; the end in board time."""
        clean = step.work.clean or step.work.extranonce2 is not None or self._late_come_stale
        if clean or self._job < 0:
            self._issue(step.work, clean)
            self._late_come_stale = False
        wanted, good_before = step.until_nonces, self._good

        def enough() -> bool:
            return wanted is not None and self._good - good_before >= wanted

        while (now := self.clock.now_ns()) < latest:
            if now - self._job_at_ns > JOB_EVERY_S * 1e9:
                self._issue(step.work, False)
            until = min(latest, self._job_at_ns + int(JOB_EVERY_S * 1e9) + 1)
            if self._wait(until, enough):
                return self.clock.now_ns()
            if not self.server.connected:
                self._lost_link(begin)
        return latest

    def _converse(self, step: Step, latest: int) -> int:
        """One job in flight at a time, each sent after the answer to the one before."""
        wanted = step.until_nonces
        answered = 0
        end = latest
        while self.clock.now_ns() < latest and (wanted is None or answered < wanted):
            with self._arrived:  # an answer waits until its request is in the ledger
                sent = self._issue(step.work, True)
                number = self._job
                self.handshake.sent(number, self.clock.of_raw(sent))
            if self._wait(latest, lambda number=number: self.handshake.in_flight != number):  # type: ignore[misc]
                answered += 1
                end = self.exchanges[-1].answered_ns + 1
            else:
                self.handshake.give_up()
                end = latest
        return end if wanted is not None and answered >= wanted else latest

    # -- nonces --------------------------------------------------------------------------------------------------

    def _grace_s(self) -> float:
        """Host time in which what was stamped before the end of a step comes through."""
        return 0.01

    def _drop_before(self, begin_ns: int) -> None:
        """Nonces from between the steps: they were found at no operating point in particular."""
        self.between_steps += len(self._events_before(begin_ns))

    def _rows(self, begin_ns: int, end_ns: int, until_nonces: int | None) -> list[Row]:
        """Every nonce of the step, in order of its time."""
        return [self._row(event) for event in self._events_before(end_ns)]

    def _row(self, event: ShareEvent) -> Row:
        return row_of(event, self.clock.of_raw(event.time_ns), *self._place(event.submit.nonce))

    def _check_alive(self) -> None:
        """Asked every half second of a step: silence and heat are not waited out to its end."""
        self.sensors.check_alive()
        latest = self.sensors.latest
        if latest is not None:
            self._guard_heat(latest)

    def _read_sensors(self) -> Sample:
        sample = self.sensors.read()
        self._book.device_says(sample.undelivered)
        return sample

    def _observation(
        self, begin: int, end: int, rows: list[Row], before: Sample, after: Sample, lost: int
    ) -> Observation:
        nonces = batch_of(rows)
        counts = ChipCounts.of(nonces, self._info.n_counters)
        if before.hardware_errors is not None and after.hardware_errors is not None:
            # the readings lie around the step, not at its ends: what came outside of it belongs to none
            between_s = max(after.time_ns - before.time_ns, end - begin)
            more = max(0, after.hardware_errors - before.hardware_errors)
            counts.invalid[0] += round(more * (end - begin) / between_s)
        return Observation(
            origin=self._info.origin,
            board=self._info.uri,
            index=self._index,
            begin_ns=begin,
            end_ns=end,
            applied=self._applied_point(),
            counts=counts,
            nonces=nonces,
            telemetry=self.sensors.between(begin, end, after, self._info.n_counters),
            timestamp_source=self._info.timestamp_source,
            lost=lost,
        )

    def _applied_point(self) -> OperatingPoint:
        """What holds: a difficulty below the chip's mask is not believed."""
        asked = self._applied.difficulty or 1
        return replace(self._applied, difficulty=max(asked, self._info.ticket_mask))

    # -- link and sensors ----------------------------------------------------------------------------------------

    def _link_broke(self) -> bool:
        """Whether a further link of the family broke in this step."""
        return False

    def _lost_link(self, begin_ns: int) -> None:
        """Wait for the miner to come back, then tell that the step cannot be trusted."""
        self.handshake.give_up()
        gone = self.clock.now_ns()
        with contextlib.suppress(TimeoutExpiredError):  # not even its web page answers: it restarts
            self._explain_silence()
        self.server.wait_connected(self._back_within_host_s)
        away = (self.clock.now_ns() - gone) * 1e-9
        reported = self.losses.reported
        with contextlib.suppress(TimeoutExpiredError):
            self._read_sensors()
        reported = self.losses.reported - reported
        counted = f", {reported} of them counted by the device" if reported else ""
        raise TimeoutExpiredError(
            f"board {self._info.uri}: link lost {(gone - begin_ns) * 1e-9:.1f} s into step {self._index}, back after "
            f"{away:.1f} s; nonces of this step may be missing{counted}, it must be repeated"
        )

    def _explain_silence(self) -> None:
        """Raise something more precise than a lost link where the family can tell, such as another user."""

    def _guard_heat(self, sample: Sample) -> None:
        if sample.fallback:
            raise _Tripped(sample.fallback, "overheat-fallback")
        reason = beyond_limits(sample, self._info.limits)
        if reason:
            raise _Tripped(reason, "")

    # -- what a family fills in ----------------------------------------------------------------------------------

    def _apply(self, point: OperatingPoint) -> None:
        """Write what changes, in the right order, and read it back; sets ``_applied``."""
        raise NotImplementedError

    def _sample(self) -> Sample:
        """Read the sensors."""
        raise NotImplementedError

    def _place(self, nonce: int) -> tuple[int, int]:
        """Chip and core that found a nonce; -1 where it does not tell."""
        raise NotImplementedError

    def _make_safe(self) -> None:
        """Put the board into its safe state."""
        raise NotImplementedError

    def _release(self, safe: bool) -> None:
        """Close the family's own links; where the board could not be made safe, its guard goes on trying."""
        guard, self._guard = self._guard, None
        if guard is not None:
            if safe:
                guard.release()
            else:
                guard.abandon()
