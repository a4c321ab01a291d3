"""One hashboard of an S9 owned directly: its PIC over I2C, its 63 chips over their UART.

``s9-chain:///dev/ttyUSB0?control=/dev/ttyACM0&board=6``: I2C through a bitaxe-raw adapter.
``s9-chain:///dev/ttyPS1?i2c=/dev/i2c-0&board=6``: I2C of the kernel, as on the S9's own controller.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asic_reservoir.board import (
    BoardInfo,
    Limits,
    NonceFlag,
    OperatingPoint,
    Origin,
    Range,
    Step,
    Telemetry,
    TimestampSource,
)
from asic_reservoir.errors import AsicReservoirError, SafetyError, UsageError
from asic_reservoir.registry import BoardUri
from drivers.guard import Exchange, I2cPlan, Plan, PortPlan
from drivers.s9.chain import BOOT_BAUD, CORES, SENSOR_CHIP, S9Chain
from drivers.s9.pic import Pic
from drivers.s9.works import MIDSTATES, WorkBook, WorkSource
from drivers.uart_board import Row, UartBoard, UartSettings, scalar
from firmware_bridge.bitaxe_raw.client import RawControl
from firmware_bridge.bitaxe_raw.packets import encode_request, i2c_write
from firmware_bridge.bm13xx.bm1387 import CORE_NUMBERS, N_CHIPS, chip_of_nonce, core_of_nonce, work_time_s
from firmware_bridge.bm13xx.registers import Bm1387Register
from firmware_bridge.bm13xx.sha256_compiled import midstate
from firmware_bridge.i2c import I2cBus, LinuxI2c
from firmware_bridge.pic16 import protocol as pic16
from firmware_bridge.serial_port import LinkError, SerialPort

LIMITS = Limits(Range(200.0, 900.0), Range(7950.0, 9400.0), chip_temperature_c=110.0)
NOMINAL = OperatingPoint(frequency_mhz=650.0, voltage_mv=8800.0, difficulty=1)
OPEN_CORE_MV = 9400.0
"""Cores are opened at the highest voltage (braiins)."""
HASHES_PER_CLOCK = 114
CHIPS_PER_DOMAIN = 3
_MIN_FEED_S = 0.002
"""Works are not sent more often than so, whatever a fast emulated board would take."""
REAL_PROOF_BITS, EMULATED_PROOF_BITS = 32, 6


@dataclass(frozen=True, slots=True)
class Wires:
    """Where the wires of a hashboard are."""

    uart: str
    control: str | None
    i2c: str | None
    hashboard: int = 6
    """Number of the connector, 6 to 8 on an S9; says the address of the PIC."""
    baud: int = 1_562_500
    guard_report: str | None = None


class S9Hashboard(UartBoard):
    """One hashboard. Its PIC cuts the power by itself when nobody has sent a heartbeat for ten seconds.

    Raises:
        NotFoundError, BusyError: no such port, or another process holds it.
        TimeoutExpiredError: the PIC or a chip does not answer.
        DataError: others answer than an S9 hashboard has.
    """

    def __init__(self, common: UartSettings, wires: Wires, n_chips: int = N_CHIPS) -> None:
        self._where = wires
        self._book = WorkBook(common.zero_bits)
        self._salt = os.urandom(16)
        self._jobs = 0
        self._source: WorkSource | None = None
        self._work_sent_ns = 0
        self._achieved_mhz: list[float] = []
        self._port: SerialPort | None = None
        self._bus: RawControl | LinuxI2c | None = None
        self._pic: Pic | None = None
        self._chain: S9Chain | None = None
        midstate(bytes(64))  # compiled before anything is energised
        super().__init__(common, n_chips)

    # -- wires ----------------------------------------------------------------------------------------------------

    def _open_wires(self) -> Plan:
        where = self._where
        self._port = SerialPort(where.uart, BOOT_BAUD)
        self._bus = RawControl(where.control) if where.control is not None else LinuxI2c(where.i2c or "")
        bus: I2cBus = self._bus
        self._pic = Pic(bus, pic16.address(where.hashboard), self._common.speed)
        self._chain = S9Chain(self._port, self._n_chips, where.baud, self._clock)
        return self._plan()

    def _plan(self) -> Plan:
        """The guard switches the supply off; the PIC would do it by itself, ten seconds later."""
        where, address = self._where, pic16.address(self._where.hashboard)
        off = pic16.encode(pic16.Message(pic16.Command.ENABLE, b"\x00"))
        singles = [bytes(1)] * 16 + off  # zeros first: whatever message the driver died in ends with them
        if where.control is not None:
            version = self._bus.protocol if isinstance(self._bus, RawControl) else 1
            packets = [encode_request(i2c_write(0xF0, address, single)) for single in singles]
            exchanges = [Exchange(packet.hex(), 5 if version else 4) for packet in packets]
            return Plan(ports=[PortPlan(where.control, exchanges)], report_path=where.guard_report)
        transfers = [(address, single.hex()) for single in singles]
        return Plan(adapters=[I2cPlan(where.i2c or "", transfers)], report_path=where.guard_report)

    def _wires(self) -> tuple[Pic, S9Chain]:
        if self._pic is None or self._chain is None:
            raise LinkError(f"board {self._common.uri}: not connected")
        return self._pic, self._chain

    def _make_wires_safe(self) -> None:
        pic, _ = self._wires()
        pic.stop_heartbeat()
        pic.command(pic16.Command.NOTHING, bytes(16))
        pic.enable(False)

    def _close_wires(self) -> None:
        if self._pic is not None:
            self._pic.stop_heartbeat()
        for part in (self._port, self._bus):
            if part is not None:
                with contextlib.suppress(AsicReservoirError, OSError):
                    part.close()
        self._port = self._bus = self._pic = self._chain = None

    def _bring_up(self) -> None:
        pic, chain = self._wires()
        pic.start()
        pic.start_heartbeat()
        pic.set_voltage_mv(OPEN_CORE_MV)
        pic.enable(True)
        self._clock.sleep(pic16.COMMAND_S)
        chain.bring_up(self._granted_difficulty())
        chain.set_up_sensor()
        self._book.forget()
        clocks = self._clocks(self._point)
        self._achieved_mhz = chain.set_frequency(clocks)
        pic.set_voltage_mv(scalar(self._point.voltage_mv))

    # -- settings -------------------------------------------------------------------------------------------------

    def _check(self, point: OperatingPoint) -> None:
        self._shape_check("frequency_mhz", point.frequency_mhz, self._n_chips)
        self._shape_check("voltage_mv", point.voltage_mv, 1)
        if point.fan_percent is not None:
            raise UsageError(f"fan_percent: {point.fan_percent:g}, a hashboard by itself has no fan to set")
        if point.difficulty is not None and point.difficulty & (point.difficulty - 1):
            raise UsageError(f"difficulty: {point.difficulty}, must be a power of two (ticket mask of the chip)")

    def _apply(self, point: OperatingPoint) -> None:
        """Voltage up before clock up, clock down before voltage down."""
        pic, chain = self._wires()
        if pic.failure is not None:
            raise LinkError(f"board {self._common.uri}: heartbeat failed, {pic.failure}")
        voltage, was = scalar(point.voltage_mv), scalar(self._point.voltage_mv)
        if voltage > was:
            pic.set_voltage_mv(voltage)
        if self._clocks(point) != self._clocks(self._point):
            self._achieved_mhz = chain.set_frequency(self._clocks(point))
        if voltage < was:
            pic.set_voltage_mv(voltage)
        if point.difficulty != self._point.difficulty:
            chain.set_difficulty(point.difficulty or 1)
            self._current_work = None

    def _applied(self) -> OperatingPoint:
        return OperatingPoint(
            np.array(self._achieved_mhz),
            np.array([pic16.decode_voltage(pic16.encode_voltage(scalar(self._point.voltage_mv)))]),
            self._granted_difficulty(),
        )

    # -- work and nonces ------------------------------------------------------------------------------------------

    def _start_job(self, step: Step, withdraw: bool, one_answer: bool) -> None:
        self._source = WorkSource(step.work, self._salt, self._jobs)
        self._book.one_answer = one_answer
        if withdraw:
            self._book.withdraw_below(self._jobs)
        self._jobs += 1
        self._send_work()

    def _send_work(self) -> None:
        _, chain = self._wires()
        if self._source is not None:
            now = self._work_sent_ns = self._clock.now_ns()
            chain.send_work(self._source, self._book, now)

    def _keep_working(self, step: Step) -> float:
        interval_ns = round(work_time_s(max(self._achieved_mhz) * 1e6, MIDSTATES) * 1e9)
        wait_s = max(self._clock.host_s(interval_ns), _MIN_FEED_S)
        left_s = self._clock.host_s(self._work_sent_ns - self._clock.now_ns()) + wait_s
        if left_s <= 0.0:
            self._send_work()
            return wait_s
        return left_s

    def _pump(self, timeout_s: float) -> bool:
        return self._wires()[1].pump(timeout_s)

    def _take_rows(self) -> list[Row]:
        _, chain = self._wires()
        rows, difficulty = [], self._granted_difficulty()
        while chain.nonces:
            raw_ns, reply, same_read = chain.nonces.popleft()
            time_ns = self._clock.of_raw(raw_ns)
            chip, core = chip_of_nonce(reply.nonce), core_of_nonce(reply.nonce)
            possible = chip < self._n_chips and core in CORE_NUMBERS
            found = self._book.attribute(reply, difficulty, time_ns, possible)
            if found.job < 0:
                continue  # counted by the book
            flags = found.flags | (NonceFlag.SAME_READ if same_read else 0)
            place = (chip if chip < self._n_chips else -1), core
            rows.append(Row(time_ns, *place, found.job, reply.nonce, found.version, int(flags)))
        return rows

    def _broken_total(self) -> int:
        return self._wires()[1].replies.lost_frames

    def _unattributed_total(self) -> int:
        return self._book.unattributed

    def _traffic_total(self) -> int:
        replies = self._wires()[1].replies
        return replies.frames + replies.skipped_bytes + replies.pending

    def _ask_whether_alive(self) -> None:
        self._wires()[1].read(Bm1387Register.CHIP_ID, 0)

    # -- sensors --------------------------------------------------------------------------------------------------

    def _telemetry(self) -> Telemetry:
        pic, chain = self._wires()
        chip_c, board_c = chain.temperatures_c()
        limit = self._common.limits.chip_temperature_c
        if chip_c > limit:
            raise SafetyError(f"board {self._common.uri}: chip at {chip_c:.1f} degC, must be at most {limit:g}")
        chips = np.full((1, self._n_chips), np.nan)
        chips[0, min(SENSOR_CHIP, self._n_chips - 1)] = chip_c
        return Telemetry(
            time_ns=np.array([self._clock.now_ns()], np.int64),
            chip_temperature_c=chips,
            board_temperature_c=np.array([[board_c]]),
            voltage_mv=np.array([[pic.voltage_mv()]]),
            power_w=np.array([np.nan]),
            fan_rpm=np.array([np.nan]),
        )

    def _describe(self) -> BoardInfo:
        return BoardInfo(
            uri=self._common.uri,
            family="s9",
            model="Antminer S9 hashboard",
            chip="BM1387",
            algorithm="sha256d",
            origin=self._common.origin,
            timestamp_source=TimestampSource.HOST,
            n_chips=self._n_chips,
            n_counters=self._n_chips,
            cores_per_chip=CORES,
            n_hashboards=1,
            n_domains=self._n_chips // CHIPS_PER_DOMAIN,
            hashes_per_clock=HASHES_PER_CLOCK,
            ticket_mask=1,
            ticket_mask_settable=True,
            per_chip_frequency=True,
            limits=self._common.limits,
            nominal=self._common.nominal,
            firmware="own the board: PIC and UART chain",
            physical={"port": self._where.uart, "hashboard": str(self._where.hashboard)},
        )


_OPTIONS = {"control", "i2c", "board", "baud", "speed", "proof_bits", "guard_report", "chips"}


def open_s9_chain(uri: BoardUri) -> S9Hashboard:
    """Open a hashboard. Ports under ``/dev/pts`` are emulated: what they give is labelled simulated.

    Raises:
        UsageError: an option that does not exist, has a wrong value, or is missing.
        NotFoundError, BusyError, TimeoutExpiredError, DataError: see :class:`S9Hashboard`.
    """
    uri.check_options(_OPTIONS)
    if uri.name or not uri.path.strip("/") or ("control" in uri.options) == ("i2c" in uri.options):
        raise UsageError(
            f"board {uri.text!r}: must look like 's9-chain:///dev/ttyUSB0?control=/dev/ttyACM0' or '…?i2c=/dev/i2c-0'"
        )
    emulated = Path(uri.path).resolve().is_relative_to("/dev/pts")
    for option in ("speed", "proof_bits"):
        if option in uri.options and not emulated:
            raise UsageError(f"board option {option}: only for emulated devices, {uri.path!r} is none")
    kept = "&".join(f"{k}={v}" for k, v in sorted(uri.options.items()) if k not in ("guard_report", "baud"))
    common = UartSettings(
        uri=f"s9-chain://{uri.path}?{kept}",
        limits=LIMITS,
        origin=Origin.SIMULATED if emulated else Origin.MEASURED,
        nominal=NOMINAL,
        zero_bits=uri.integer("proof_bits", EMULATED_PROOF_BITS if emulated else REAL_PROOF_BITS, 1, 32),
        speed=uri.number("speed", 1.0, 0.1, 1000.0),
    )
    wires = Wires(
        uart=uri.path,
        control=uri.options.get("control"),
        i2c=uri.options.get("i2c"),
        hashboard=uri.integer("board", 6, 1, 16),
        baud=uri.integer("baud", 1_562_500, 115_200, 3_125_000),
        guard_report=uri.options.get("guard_report"),
    )
    chips = uri.integer("chips", N_CHIPS, CHIPS_PER_DOMAIN, N_CHIPS)
    if chips % CHIPS_PER_DOMAIN:
        raise UsageError(f"board option chips: {chips}, must be a multiple of {CHIPS_PER_DOMAIN} (domains of three)")
    return S9Hashboard(common, wires, chips)
