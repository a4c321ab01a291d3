"""A board of BM1366 chips at their UART, as a Board."""

from __future__ import annotations

import os
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import numpy as np

from asic_reservoir.board import (
    BoardInfo,
    ChipCounts,
    Detail,
    Limits,
    NonceBatch,
    NonceFlag,
    Observation,
    OperatingPoint,
    Origin,
    Range,
    Step,
    Telemetry,
    TimestampSource,
    WorkMode,
)
from asic_reservoir.errors import AsicReservoirError, DataError, SafetyError, TimeoutExpiredError, UsageError
from drivers.bm1366.chain import RESET_MHZ, Chain
from drivers.bm1366.jobs import JobBook, parse_work
from drivers.bm1366.link import BoardLink, LinkSettings
from drivers.clock import BoardClock
from drivers.guard import Guard
from firmware_bridge.bm13xx.bm1366 import NonceReply, address_field_of_nonce, core_of_nonce
from firmware_bridge.bm13xx.registers import Bm1366Register
from firmware_bridge.serial_port import LinkError

STANDARD = Limits(Range(50.0, 575.0), Range(1000.0, 1300.0), chip_temperature_c=80.0, power_w=25.0)
RESEARCH = Limits(Range(50.0, 700.0), Range(990.0, 1350.0), chip_temperature_c=80.0, power_w=25.0)
"""Opened on purpose with ``range=research``; 990 mV is what a DS4432U can make without wrapping."""
NOMINAL = OperatingPoint(frequency_mhz=485.0, voltage_mv=1200.0, difficulty=1, fan_percent=100.0)
JOB_INTERVAL_S = 2.0
"""A fresh job so often while the work is pipelined (ESP-Miner: 2,000 ms)."""
CORES, HASHES_PER_CLOCK = 112, 894
_SILENT_FROM = 20
"""A step that should have brought so many nonces and brought no byte asks whether the chips still live."""
_BAD_READINGS = 3
_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Settings:
    """How the board is reached and driven."""

    uri: str
    link: LinkSettings
    limits: Limits
    origin: Origin
    zero_bits: int = 32
    speed: float = 1.0
    ramp_s: float = 0.1


class Bm1366Board:
    """One board. Opens in its nominal operating point, leaves the chips in reset at the lowest voltage.

    Time stamps are taken by this host right after the read that brought a reply, and dated back by the bytes behind
    it: the USB frames of a bitaxe-raw board add 1 to 2 ms, a bare UART about 0.1 ms.

    Raises:
        NotFoundError, BusyError: no such port, or another process holds it.
        TimeoutExpiredError: the board or a chip does not answer.
        DataError: other parts answer than a BM1366 board has.
    """

    def __init__(self, settings: Settings, n_chips: int = 1) -> None:
        self._settings, self._n_chips = settings, n_chips
        self._clock = BoardClock(settings.speed)
        self._book = JobBook(settings.zero_bits)
        self._salt = os.urandom(16)
        self._point = NOMINAL
        self._index = 0
        self._job_sent_ns = 0
        self._current_work: object = None
        self._tripped = ""
        self._bad_readings = 0
        self.between_steps = 0
        """Nonces that came while no step was running; they belong to no observation."""
        self.reconnects = 0
        self._link: BoardLink | None = None
        self._chain: Chain | None = None
        self._guard: Guard | None = None
        self._closed = False
        self._connect()
        self._info = self._describe()

    # -- Board ----------------------------------------------------------------------------------------------------

    @property
    def info(self) -> BoardInfo:
        return self._info

    def step(self, step: Step) -> Observation:
        """Set the point, hand out the work, and watch.

        Raises:
            LimitError: outside the limits; nothing was written.
            SafetyError: too hot, or settings that do not read back; the board is safe and stays stopped.
            TimeoutExpiredError: the line or the chips fell silent; the next step connects again (within about
                two seconds and the ramp).
        """
        if self._tripped:
            raise SafetyError(f"board {self._info.uri}: stopped, {self._tripped}")
        if self._closed:
            raise UsageError(f"board {self._info.uri}: closed")
        point = step.operating_point
        self._settings.limits.check(point)
        self._shape_check(point)
        if self._chain is None:
            self._connect()
            self.reconnects += 1
        try:
            return self._run(step)
        except LinkError:
            self._disconnect()
            raise
        except TimeoutExpiredError:
            self._make_safe()
            self._disconnect()
            raise
        except SafetyError as error:
            self._tripped = str(error)
            self._make_safe()
            raise

    def close(self) -> None:
        """Clocks down, chips in reset, voltage off. May be called twice."""
        if self._closed:
            return
        self._closed = True
        self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- connection -----------------------------------------------------------------------------------------------

    def _connect(self) -> None:
        """Safe state first, then supply, reset, bring-up and the operating point."""
        link = BoardLink(self._settings.link)
        self._link = link
        try:
            self._watch(link)
            link.make_safe()
            link.sensors.set_up()
            link.sensors.set_fan(100.0)
            point = self._point
            voltage_mv = float(np.asarray(point.voltage_mv).reshape(-1)[0])
            link.regulator.set_mv(voltage_mv)
            link.power_settle()
            link.release_reset()
            link.sensors.check_core(voltage_mv)
            self._chain = Chain(link.port, self._n_chips, self._settings.link.baud, self._clock)
            self._chain.bring_up(point.difficulty or 1)
            self._book.forget()
            self._current_work = None
            self._set_frequency(point)
            if point.fan_percent is not None:
                link.sensors.set_fan(point.fan_percent)
        except BaseException:
            self._end()
            raise

    def _watch(self, link: BoardLink) -> None:
        """A guard stands before anything is energised; the one of the connection before goes."""
        before, self._guard = self._guard, Guard(link.safe_plan())
        if before is not None:
            before.release()

    def _make_safe(self) -> bool:
        """Whether the board took it."""
        if self._link is None:
            return False
        try:
            self._link.make_safe()
        except AsicReservoirError:
            return False
        return True

    def _disconnect(self) -> None:
        """Give the ports back. The guard stays: should this process end now, it waits for the board to come back."""
        if self._link is not None:
            self._link.close()
        self._link = self._chain = None

    def _end(self) -> None:
        """Safe and released; where the board did not take it, the guard goes on trying."""
        safe = self._make_safe()
        self._disconnect()
        if self._guard is not None:
            if safe:
                self._guard.release()
            else:
                self._guard.abandon()
            self._guard = None

    def _wires(self) -> tuple[BoardLink, Chain]:
        if self._link is None or self._chain is None:
            raise LinkError(f"board {self._settings.uri}: not connected")
        return self._link, self._chain

    # -- settings -------------------------------------------------------------------------------------------------

    def _shape_check(self, point: OperatingPoint) -> None:
        for name, value, n in (
            ("frequency_mhz", point.frequency_mhz, self._n_chips),
            ("voltage_mv", point.voltage_mv, 1),
        ):
            if value is not None and np.ndim(value) > 0 and np.shape(value) != (n,):
                raise UsageError(f"{name}: shape {np.shape(value)}, must be a number or ({n},)")

    def _frequencies(self, point: OperatingPoint) -> list[float]:
        return [float(f) for f in np.broadcast_to(np.asarray(point.frequency_mhz, np.float64), (self._n_chips,))]

    def _set_frequency(self, point: OperatingPoint) -> None:
        _, chain = self._wires()
        achieved = chain.set_frequency(self._frequencies(point), self._settings.ramp_s)
        self._achieved_mhz = np.array(achieved)

    def _apply(self, newer: OperatingPoint) -> None:
        """In the order that keeps the chips fast enough: voltage up before clock up, clock down before voltage down."""
        link, chain = self._wires()
        point = self._point.merged(newer)
        if newer.fan_percent is not None and newer.fan_percent != self._point.fan_percent:
            link.sensors.set_fan(newer.fan_percent)
        voltage = float(np.asarray(point.voltage_mv).reshape(-1)[0])
        was = float(np.asarray(self._point.voltage_mv).reshape(-1)[0])
        move_clock = self._frequencies(point) != self._frequencies(self._point)
        if voltage > was:
            self._set_voltage(voltage)
        if move_clock:
            self._set_frequency(point)
        if voltage < was:
            self._set_voltage(voltage)
        if point.difficulty is not None and point.difficulty != self._point.difficulty:
            chain.set_difficulty(point.difficulty)
            self._current_work = None  # nonces of the old mask must not count under the new one
        self._point = point

    def _set_voltage(self, voltage_mv: float) -> None:
        link, _ = self._wires()
        link.regulator.set_mv(voltage_mv)
        link.power_settle()
        link.sensors.check_core(voltage_mv)

    def _granted_difficulty(self) -> int:
        """The chip's mask: the largest power of two not above what was asked for."""
        return 1 << ((self._point.difficulty or 1).bit_length() - 1)

    # -- a step ---------------------------------------------------------------------------------------------------

    def _run(self, step: Step) -> Observation:
        _, chain = self._wires()
        self._apply(step.operating_point)
        while chain.pump(0.0):
            pass
        self.between_steps += len(chain.nonces)
        self._take_nonces(chain)
        work = step.work
        handshake = self._book.one_answer = work.mode is WorkMode.HANDSHAKE
        key = (work.header, work.extranonce2)
        if handshake or work.clean or self._current_work != key or self._book.count == 0:
            self._send_job(step, withdraw=handshake or work.clean or self._current_work != key)
            self._current_work = key
        lost_before, bytes_before = chain.replies.lost_frames + self._book.unattributed, self._traffic(chain)
        begin = self._clock.now_ns()
        end = begin + step.duration_ns
        rows: list[tuple[int, int, int, int, int, int, int]] = []
        while True:
            now = self._clock.now_ns()
            if now >= end:
                break
            wait_s = min(self._clock.host_s(end - now), _POLL_S)
            if chain.pump(wait_s):
                fresh = self._take_nonces(chain)
                rows += [row for row in fresh if begin <= row[0] <= end]
                if handshake and any(row[6] & NonceFlag.VALID and not row[6] & NonceFlag.STALE for row in fresh):
                    self._send_job(step, withdraw=True)
            if step.until_nonces is not None and len(rows) >= step.until_nonces:
                rows = rows[: step.until_nonces]
                end = max(begin + 1, rows[-1][0])
                break
            if self._clock.now_ns() - self._job_sent_ns > JOB_INTERVAL_S * 1e9:
                self._send_job(step, withdraw=False)
        if self._traffic(chain) == bytes_before:
            self._ask_whether_alive(chain, step)
        rows.sort()
        nonces = self._batch(rows)
        lost = chain.replies.lost_frames + self._book.unattributed - lost_before
        observation = Observation(
            origin=self._settings.origin,
            board=self._info.uri,
            index=self._index,
            begin_ns=begin,
            end_ns=end,
            applied=self._applied(),
            counts=ChipCounts.of(nonces, self._info.n_counters),
            nonces=nonces if step.detail is Detail.NONCES else NonceBatch.empty(),
            telemetry=self._telemetry(),
            timestamp_source=TimestampSource.HOST,
            lost=lost,
        )
        self._index += 1
        return observation

    def _send_job(self, step: Step, withdraw: bool) -> None:
        _, chain = self._wires()
        job = self._book.add(parse_work(step.work, self._book.count, self._salt), withdraw, self._clock.now_ns())
        chain.send_job(job.wire)
        self._job_sent_ns = self._clock.now_ns()

    def _traffic(self, chain: Chain) -> int:
        return chain.replies.frames + chain.replies.skipped_bytes + chain.replies.pending

    def _ask_whether_alive(self, chain: Chain, step: Step) -> None:
        """No byte in a step that should have brought many: dead chips must not pass for quiet ones."""
        seconds = step.duration_ns * 1e-9
        rates = (self._info.chip_rate_hz(float(f), self._granted_difficulty()) for f in self._achieved_mhz)
        if seconds * sum(rates) >= _SILENT_FROM:
            chain.read(Bm1366Register.CHIP_ID, wanted=self._n_chips)

    def _take_nonces(self, chain: Chain) -> list[tuple[int, int, int, int, int, int, int]]:
        """Rows (time, chip, core, job, nonce, version, flags) of what has come."""
        rows = []
        difficulty = self._granted_difficulty()
        while chain.nonces:
            raw_ns, reply, same_read = chain.nonces.popleft()
            time_ns = self._clock.of_raw(raw_ns)
            found = self._book.attribute(reply, difficulty, time_ns)
            if found.job < 0:
                continue  # counted by the book
            flags = found.flags | (NonceFlag.SAME_READ if same_read else 0)
            place = self._place(chain, reply)
            rows.append((time_ns, *place, found.job, reply.nonce, reply.version_bits, int(flags)))
        return rows

    def _place(self, chain: Chain, reply: NonceReply) -> tuple[int, int]:
        core = core_of_nonce(reply.nonce)
        return chain.chip_of(address_field_of_nonce(reply.nonce)), core if core < CORES else -1

    @staticmethod
    def _batch(rows: list[tuple[int, int, int, int, int, int, int]]) -> NonceBatch:
        if not rows:
            return NonceBatch.empty()
        time_ns, chip, core, job, nonce, version, flags = zip(*rows, strict=True)
        return NonceBatch.from_columns(
            time_ns=time_ns, chip=chip, core=core, job=job, nonce=nonce, version=version, flags=flags
        )

    def _applied(self) -> OperatingPoint:
        return OperatingPoint(
            self._achieved_mhz.copy() if self._n_chips > 1 else float(self._achieved_mhz[0]),
            self._point.voltage_mv,
            self._granted_difficulty(),
            self._point.fan_percent,
        )

    # -- sensors --------------------------------------------------------------------------------------------------

    def _telemetry(self) -> Telemetry:
        """One sample; SafetyError where the chip or the supply is beyond its limit, or three readings failed."""
        link, _ = self._wires()
        limits = self._settings.limits
        try:
            chip_c = link.sensors.chip_c()
            power_w = link.sensors.power_w()
        except DataError as error:
            self._bad_readings += 1
            if self._bad_readings >= _BAD_READINGS:
                raise SafetyError(f"board {self._info.uri}: {_BAD_READINGS} bad readings, {error}") from None
            chip_c = power_w = float("nan")
        else:
            self._bad_readings = 0
        if chip_c > limits.chip_temperature_c:
            raise SafetyError(
                f"board {self._info.uri}: chip at {chip_c:.1f} degC, must be at most {limits.chip_temperature_c:g}"
            )
        if limits.power_w is not None and power_w > limits.power_w:
            raise SafetyError(f"board {self._info.uri}: {power_w:.1f} W, must be at most {limits.power_w:g}")
        return Telemetry(
            time_ns=np.array([self._clock.now_ns()], np.int64),
            chip_temperature_c=np.full((1, self._info.n_counters), chip_c),
            board_temperature_c=np.array([[link.sensors.board_c()]]),
            voltage_mv=np.array([[link.sensors.core_mv()]]),
            power_w=np.array([power_w]),
            fan_rpm=np.array([link.sensors.fan_rpm()]),
        )

    def _describe(self) -> BoardInfo:
        link, _ = self._wires()
        return BoardInfo(
            uri=self._settings.uri,
            family="bm1366",
            model="BM1366 board, bitaxe-raw" if link.control is not None else "BM1366 chain, bare UART",
            chip="BM1366",
            algorithm="sha256d",
            origin=self._settings.origin,
            timestamp_source=TimestampSource.HOST,
            n_chips=self._n_chips,
            n_counters=self._n_chips,
            cores_per_chip=CORES,
            n_hashboards=1,
            n_domains=1,
            hashes_per_clock=HASHES_PER_CLOCK,
            ticket_mask=1,
            ticket_mask_settable=True,
            per_chip_frequency=True,
            limits=self._settings.limits,
            nominal=NOMINAL,
            firmware=f"bitaxe-raw protocol {link.control.protocol}" if link.control is not None else "",
            physical={
                "port": self._settings.link.uart,
                "baud": str(link.port.actual_baud),
                "regulator": link.regulator.name,
                "zero_bits": str(self._settings.zero_bits),
                "reset_mhz": f"{RESET_MHZ:g}",
            },
        )
