"""A board of BM1366 chips at their UART, as a Board."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

from asic_reservoir.board import BoardInfo, Limits, NonceFlag, OperatingPoint, Range, Step, Telemetry, TimestampSource
from asic_reservoir.errors import DataError, SafetyError
from drivers.bm1366.chain import Chain
from drivers.bm1366.jobs import JobBook, parse_work
from drivers.bm1366.link import BoardLink, LinkSettings
from drivers.guard import Plan
from drivers.uart_board import Row, UartBoard, UartSettings, scalar
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
_BAD_READINGS = 3


@dataclass(frozen=True, slots=True)
class Settings:
    """How the board is reached and driven."""

    common: UartSettings
    link: LinkSettings
    ramp_s: float = 0.1
    """Time between the steps of 6.25 MHz that a clock moves in."""


class Bm1366Board(UartBoard):
    """One board. The USB frames of a bitaxe-raw board add 1 to 2 ms to its time stamps, a bare UART about 0.1 ms.

    After a lost line a step connects again within about two seconds and the ramp.

    Raises:
        NotFoundError, BusyError: no such port, or another process holds it.
        TimeoutExpiredError: the board or a chip does not answer.
        DataError: other parts answer than a BM1366 board has.
    """

    def __init__(self, settings: Settings, n_chips: int = 1) -> None:
        self._settings = settings
        self._book = JobBook(settings.common.zero_bits)
        self._salt = os.urandom(16)
        self._job_sent_ns = 0
        self._bad_readings = 0
        self._achieved_mhz: list[float] = []
        self._link: BoardLink | None = None
        self._chain: Chain | None = None
        super().__init__(settings.common, n_chips)

    # -- wires ----------------------------------------------------------------------------------------------------

    def _open_wires(self) -> Plan:
        self._link = BoardLink(self._settings.link)
        self._chain = Chain(self._link.port, self._n_chips, self._settings.link.baud, self._clock)
        return self._link.safe_plan()

    def _wires(self) -> tuple[BoardLink, Chain]:
        if self._link is None or self._chain is None:
            raise LinkError(f"board {self._common.uri}: not connected")
        return self._link, self._chain

    def _bring_up(self) -> None:
        link, chain = self._wires()
        point = self._point
        link.sensors.set_up()
        link.sensors.set_fan(100.0)
        link.regulator.set_mv(scalar(point.voltage_mv))
        link.power_settle()
        link.release_reset()
        link.sensors.check_core(scalar(point.voltage_mv))
        chain.bring_up(self._granted_difficulty())
        self._book.forget()
        self._achieved_mhz = chain.set_frequency(self._clocks(point), self._settings.ramp_s)
        link.sensors.set_fan(scalar(point.fan_percent))

    def _make_wires_safe(self) -> None:
        self._wires()[0].make_safe()

    def _close_wires(self) -> None:
        if self._link is not None:
            self._link.close()
        self._link = self._chain = None

    # -- settings -------------------------------------------------------------------------------------------------

    def _check(self, point: OperatingPoint) -> None:
        self._shape_check("frequency_mhz", point.frequency_mhz, self._n_chips)
        self._shape_check("voltage_mv", point.voltage_mv, 1)

    def _apply(self, point: OperatingPoint) -> None:
        """In the order that keeps the chips fast enough: voltage up before clock up, clock down before voltage down."""
        link, chain = self._wires()
        if point.fan_percent != self._point.fan_percent:
            link.sensors.set_fan(scalar(point.fan_percent))
        voltage, was = scalar(point.voltage_mv), scalar(self._point.voltage_mv)
        if voltage > was:
            self._set_voltage(voltage)
        if self._clocks(point) != self._clocks(self._point):
            self._achieved_mhz = chain.set_frequency(self._clocks(point), self._settings.ramp_s)
        if voltage < was:
            self._set_voltage(voltage)
        if point.difficulty != self._point.difficulty:
            chain.set_difficulty(point.difficulty or 1)
            self._current_work = None  # nonces of the old mask must not count under the new one

    def _set_voltage(self, voltage_mv: float) -> None:
        link, _ = self._wires()
        link.regulator.set_mv(voltage_mv)
        link.power_settle()
        link.sensors.check_core(voltage_mv)

    def _applied(self) -> OperatingPoint:
        clocks = np.array(self._achieved_mhz)
        return OperatingPoint(
            clocks if self._n_chips > 1 else float(clocks[0]),
            self._point.voltage_mv,
            self._granted_difficulty(),
            self._point.fan_percent,
        )

    # -- work and nonces ------------------------------------------------------------------------------------------

    def _start_job(self, step: Step, withdraw: bool, one_answer: bool) -> None:
        _, chain = self._wires()
        self._book.one_answer = one_answer
        now = self._job_sent_ns = self._clock.now_ns()
        chain.send_job(self._book.add(parse_work(step.work, self._book.count, self._salt), withdraw, now).wire)

    def _keep_working(self, step: Step) -> float:
        due_ns = self._job_sent_ns + round(JOB_INTERVAL_S * 1e9) - self._clock.now_ns()
        if due_ns <= 0:
            self._start_job(step, withdraw=False, one_answer=self._book.one_answer)
            return self._clock.host_s(round(JOB_INTERVAL_S * 1e9))
        return self._clock.host_s(due_ns)

    def _pump(self, timeout_s: float) -> bool:
        return self._wires()[1].pump(timeout_s)

    def _take_rows(self) -> list[Row]:
        _, chain = self._wires()
        rows = []
        difficulty = self._granted_difficulty()
        while chain.nonces:
            raw_ns, reply, same_read = chain.nonces.popleft()
            time_ns = self._clock.of_raw(raw_ns)
            possible = core_of_nonce(reply.nonce) < CORES
            found = self._book.attribute(reply, difficulty, time_ns, possible)
            if found.job < 0:
                continue  # counted by the book
            flags = found.flags | (NonceFlag.SAME_READ if same_read else 0)
            chip, core = self._place(chain, reply)
            rows.append(Row(time_ns, chip, core, found.job, reply.nonce, reply.version_bits, int(flags)))
        return rows

    def _place(self, chain: Chain, reply: NonceReply) -> tuple[int, int]:
        core = core_of_nonce(reply.nonce)
        return chain.chip_of(address_field_of_nonce(reply.nonce)), core if core < CORES else -1

    def _broken_total(self) -> int:
        return self._wires()[1].replies.lost_frames

    def _unattributed_total(self) -> int:
        return self._book.unattributed

    def _traffic_total(self) -> int:
        replies = self._wires()[1].replies
        return replies.frames + replies.skipped_bytes + replies.pending

    def _ask_whether_alive(self) -> None:
        self._wires()[1].read(Bm1366Register.CHIP_ID, wanted=self._n_chips)

    # -- sensors --------------------------------------------------------------------------------------------------

    def _telemetry(self) -> Telemetry:
        sensors = self._wires()[0].sensors
        limits = self._common.limits
        try:
            chip_c, power_w = sensors.chip_c(), sensors.power_w()
        except DataError as error:
            self._bad_readings += 1
            if self._bad_readings >= _BAD_READINGS:
                raise SafetyError(f"board {self._common.uri}: {_BAD_READINGS} bad readings, {error}") from None
            chip_c = power_w = float("nan")
        else:
            self._bad_readings = 0
        if chip_c > limits.chip_temperature_c:
            raise SafetyError(
                f"board {self._common.uri}: chip at {chip_c:.1f} degC, must be at most {limits.chip_temperature_c:g}"
            )
        if limits.power_w is not None and power_w > limits.power_w:
            raise SafetyError(f"board {self._common.uri}: {power_w:.1f} W, must be at most {limits.power_w:g}")
        return Telemetry(
            time_ns=np.array([self._clock.now_ns()], np.int64),
            chip_temperature_c=np.full((1, self._n_chips), chip_c),
            board_temperature_c=np.array([[sensors.board_c()]]),
            voltage_mv=np.array([[sensors.core_mv()]]),
            power_w=np.array([power_w]),
            fan_rpm=np.array([sensors.fan_rpm()]),
        )

    def _describe(self) -> BoardInfo:
        link, _ = self._wires()
        return BoardInfo(
            uri=self._common.uri,
            family="bm1366",
            model="BM1366 board, bitaxe-raw" if link.control is not None else "BM1366 chain, bare UART",
            chip="BM1366",
            algorithm="sha256d",
            origin=self._common.origin,
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
            limits=self._common.limits,
            nominal=self._common.nominal,
            firmware=f"bitaxe-raw protocol {link.control.protocol}" if link.control is not None else "",
            physical={
                "port": self._settings.link.uart,
                "baud": str(link.port.actual_baud),
                "regulator": link.regulator.name,
                "zero_bits": str(self._common.zero_bits),
            },
        )
