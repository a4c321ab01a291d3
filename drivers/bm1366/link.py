"""The two wires of a BM1366 board: the chips' UART, and the control of supply, fan and reset."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass

import serial

from asic_reservoir.errors import AsicReservoirError
from drivers.bm1366.rails import Sensors, find_regulator
from drivers.guard import Exchange, I2cPlan, Plan, PortPlan
from firmware_bridge.bitaxe_raw.client import RawControl
from firmware_bridge.bitaxe_raw.packets import encode_request, gpio_set, i2c_write
from firmware_bridge.i2c import I2cBus, LinuxI2c
from firmware_bridge.serial_port import LinkError, SerialPort

_RESET_LOW_S, _RESET_HIGH_S = 0.1, 0.1
"""Reset held and released so long before the first byte (ESP-Miner ``asic_reset.c``)."""
_POWER_SETTLE_S = 0.05
_I2C_HZ = 100_000
_BOOT_BAUD = 115_200


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """Where the wires are."""

    uart: str
    """Serial port of the chips."""
    control: str | None
    """Control port of a bitaxe-raw board."""
    i2c: str | None = None
    """I2C adapter of the kernel, instead of a control port."""
    reset: str = "rts"
    """With an I2C adapter: the modem line, ``rts`` or ``dtr``, that holds the chips' reset."""
    protocol: int | None = None
    regulator: str = "auto"
    diode: bool = True
    baud: int = 1_000_000
    guard_report: str | None = None


class BoardLink:
    """Both wires, open.

    Raises:
        NotFoundError, BusyError, LinkError, TimeoutExpiredError, DataError: as the parts do.
    """

    def __init__(self, settings: LinkSettings) -> None:
        self._settings = settings
        self.control: RawControl | None = None
        self._opened: list[SerialPort | RawControl | LinuxI2c] = []
        try:
            self.port = SerialPort(settings.uart, _BOOT_BAUD)
            self._opened.append(self.port)
            if settings.control is not None:
                self.control = RawControl(settings.control, settings.protocol)
                self._opened.append(self.control)
                self.control.set_i2c_hz(_I2C_HZ)
                bus: I2cBus = self.control
            else:
                adapter = LinuxI2c(settings.i2c or "")
                self._opened.append(adapter)
                bus = adapter
            self._bus = bus
            self.regulator = find_regulator(bus, settings.regulator)
            self.sensors = Sensors(bus, self.control, self.regulator, settings.diode)
        except BaseException:
            self.close()
            raise

    def safe_plan(self) -> Plan:
        """What the guard does: hold the chips in reset, then take their voltage."""
        off = self.regulator.off_transfers()
        report = self._settings.guard_report
        if self._settings.control is not None:
            packets = [gpio_set(0xF0, 0, False), *(i2c_write(0xF1 + i, a, data) for i, (a, data) in enumerate(off))]
            answer = 5 if self.control is not None and self.control.protocol else 4
            exchanges = [Exchange(encode_request(packet).hex(), answer) for packet in packets]
            port = PortPlan(self._settings.control, exchanges, answer_timeout_s=5.0)
            return Plan(ports=[port], report_path=report)
        transfers = [(address, data.hex()) for address, data in off]
        return Plan(adapters=[I2cPlan(self._settings.i2c or "", transfers)], report_path=report)

    # -- reset and supply -----------------------------------------------------------------------------------------

    def _set_reset(self, high: bool) -> None:
        if self.control is not None:
            self.control.set_reset(high)
        else:
            self.port.set_modem_line(self._settings.reset, high)

    def make_safe(self) -> None:
        """Chips in reset, then the supply off, the fan full. Every part is tried, whatever failed before.

        Raises:
            AsicReservoirError: the first that failed.
        """
        failures: list[AsicReservoirError] = []
        for action in (lambda: self._set_reset(False), self.regulator.off, lambda: self.sensors.set_fan(100.0)):
            try:
                action()
            except AsicReservoirError as error:
                failures.append(error)
        if failures:
            raise failures[0]

    def power_settle(self) -> None:
        """The regulator's output follows its code."""
        time.sleep(_POWER_SETTLE_S)

    def release_reset(self) -> None:
        """A reset pulse."""
        self._set_reset(False)
        time.sleep(_RESET_LOW_S)
        self._set_reset(True)
        time.sleep(_RESET_HIGH_S)

    def close(self) -> None:
        """Give the wires back. May be called twice."""
        for part in self._opened:
            with contextlib.suppress(LinkError, serial.SerialException, OSError):
                part.close()
        self._opened.clear()
