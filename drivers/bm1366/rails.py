"""Supply, fan and sensors of a BM1366 board over I2C, each write checked against what reads back."""

from __future__ import annotations

import math
import time
from typing import Protocol

from asic_reservoir.errors import DataError, SafetyError, ServerError
from firmware_bridge.bitaxe_raw.client import RawControl
from firmware_bridge.i2c import I2cBus
from firmware_bridge.regulators import ds4432u, emc2101, ina260, tps546

READ_BACK_TOLERANCE = 0.05
"""A measured core voltage may differ by so much from what was set."""
_LOOK_AGAIN_S = (0.0, 0.05, 0.1, 0.25)
"""Before each reading that is to show it."""


class Regulator(Protocol):
    """What makes the core voltage."""

    name: str

    def set_mv(self, voltage_mv: float) -> float:
        """Set and read back the register; gives the voltage that its code stands for. Raises SafetyError."""
        ...

    def off(self) -> None:
        """As low as the part goes."""
        ...

    def off_transfers(self) -> list[tuple[int, bytes]]:
        """The same as bare I2C writes, for a guard."""
        ...

    def measured_mv(self) -> float:
        """Core voltage that the part itself measures, NaN if it cannot."""
        ...


class Ds4432uRail:
    """A buck regulator trimmed by a DS4432U. It cannot be switched off: its lowest code stands for that."""

    name = "ds4432u"

    def __init__(self, bus: I2cBus) -> None:
        self._bus = bus

    def set_mv(self, voltage_mv: float) -> float:
        code = ds4432u.encode(voltage_mv)
        self._bus.write(ds4432u.ADDRESS, bytes([ds4432u.REGISTER_OUT0, code]))
        found = self._bus.write_read(ds4432u.ADDRESS, bytes([ds4432u.REGISTER_OUT0]), 1)[0]
        if found != code:
            raise SafetyError(f"DS4432U reads back {found:02x}, must be {code:02x} for {voltage_mv:g} mV")
        return ds4432u.decode(code)

    def off(self) -> None:
        for address, data in self.off_transfers():
            self._bus.write(address, data)

    def off_transfers(self) -> list[tuple[int, bytes]]:
        lowest = ds4432u.encode(ds4432u.LOWEST_MV)
        return [(ds4432u.ADDRESS, bytes([ds4432u.REGISTER_OUT0, lowest]))]

    def measured_mv(self) -> float:
        return math.nan


class Tps546Rail:
    """A TPS546D24 on PMBus."""

    name = "tps546"

    def __init__(self, bus: I2cBus) -> None:
        self._bus = bus
        self._mode = bus.write_read(tps546.ADDRESS, bytes([tps546.Command.VOUT_MODE]), 1)[0]

    def set_mv(self, voltage_mv: float) -> float:
        word = tps546.encode_vout(voltage_mv, self._mode)
        self._bus.write(tps546.ADDRESS, bytes([tps546.Command.VOUT_COMMAND]) + word)
        found = self._bus.write_read(tps546.ADDRESS, bytes([tps546.Command.VOUT_COMMAND]), 2)
        if found != word:
            raise SafetyError(f"TPS546 VOUT_COMMAND reads back {found.hex()}, must be {word.hex()}")
        self._bus.write(tps546.ADDRESS, bytes([tps546.Command.OPERATION, tps546.OPERATION_ON]))
        return tps546.decode_vout(word, self._mode)

    def off(self) -> None:
        for address, data in self.off_transfers():
            self._bus.write(address, data)

    def off_transfers(self) -> list[tuple[int, bytes]]:
        return [(tps546.ADDRESS, bytes([tps546.Command.OPERATION, tps546.OPERATION_OFF]))]

    def measured_mv(self) -> float:
        return tps546.decode_vout(
            self._bus.write_read(tps546.ADDRESS, bytes([tps546.Command.READ_VOUT]), 2), self._mode
        )


def find_regulator(bus: I2cBus, wanted: str) -> Ds4432uRail | Tps546Rail:
    """The regulator on the bus: as asked for, or ``auto``: a TPS546 that names itself, else a DS4432U that answers.

    Raises:
        DataError: none of them is there.
    """
    if wanted in ("auto", "tps546"):
        try:
            identity = bus.write_read(tps546.ADDRESS, bytes([tps546.Command.IC_DEVICE_ID]), 7)
        except ServerError:
            identity = b""
        if identity[1:] in tps546.DEVICE_IDS:
            return Tps546Rail(bus)
    if wanted in ("auto", "ds4432u"):
        try:
            bus.write_read(ds4432u.ADDRESS, bytes([ds4432u.REGISTER_OUT0]), 1)
        except ServerError:
            pass
        else:
            return Ds4432uRail(bus)
    raise DataError(f"regulator {wanted}: does not answer on the I2C bus, must be a TPS546 or a DS4432U")


class Sensors:
    """Temperatures, fan, power and core voltage.

    Args:
        bus: the board's I2C bus.
        control: the adapter, where it has an ADC at the core voltage.
        regulator: asked for the core voltage otherwise.
        diode: False for boards whose EMC2101 has no diode at the chip: its own temperature plus 5 degC then.
    """

    def __init__(self, bus: I2cBus, control: RawControl | None, regulator: Regulator, diode: bool) -> None:
        self._bus, self._control, self._regulator, self._diode = bus, control, regulator, diode
        self._meter = False

    def set_up(self) -> None:
        """Tachometer and PWM on, and see whether there is a power meter. Raises DataError where no EMC2101 answers."""
        identity = self._emc(emc2101.Register.PRODUCT_ID), self._emc(emc2101.Register.MAKER_ID)
        if identity[0] not in emc2101.PRODUCT_IDS or identity[1] != emc2101.MAKER_ID:
            raise DataError(f"fan controller: identity {identity[0]:02x} {identity[1]:02x}, must be 16 or 28 and 5d")
        self._bus.write(emc2101.ADDRESS, bytes([emc2101.Register.CONFIG, emc2101.CONFIG_TACH_PIN]))
        self._bus.write(emc2101.ADDRESS, bytes([emc2101.Register.FAN_CONFIG, emc2101.FAN_CONFIG_PWM]))
        try:  # one byte: in version 0 of the control protocol an error has two, as a whole word would
            self._bus.write_read(ina260.ADDRESS, bytes([ina260.Register.POWER]), 1)
        except ServerError:
            self._meter = False
        else:
            self._meter = True

    def _emc(self, register: int) -> int:
        return self._bus.write_read(emc2101.ADDRESS, bytes([register]), 1)[0]

    def set_fan(self, percent: float) -> float:
        """Drive the fan; gives the percentage that its 63 steps make."""
        setting = emc2101.encode_fan(percent)
        self._bus.write(emc2101.ADDRESS, bytes([emc2101.Register.FAN_SETTING, setting]))
        return emc2101.decode_fan(setting)

    def chip_c(self) -> float:
        """Temperature of the chip in degC. Raises DataError where the diode is broken."""
        if self._diode:
            msb = self._emc(emc2101.Register.EXTERNAL_MSB)
            return emc2101.decode_external(msb, self._emc(emc2101.Register.EXTERNAL_LSB))
        return self.board_c() + emc2101.INTERNAL_OFFSET_C

    def board_c(self) -> float:
        """Temperature of the fan controller, on the board."""
        return emc2101.decode_internal(self._emc(emc2101.Register.INTERNAL_TEMPERATURE))

    def fan_rpm(self) -> float:
        """Turns a minute; the low byte must be read first."""
        low = self._emc(emc2101.Register.TACH_LSB)
        return emc2101.decode_tach(low, self._emc(emc2101.Register.TACH_MSB))

    def power_w(self) -> float:
        """Power at the input, NaN on a board without a meter."""
        if not self._meter:
            return math.nan
        word = self._bus.write_read(ina260.ADDRESS, bytes([ina260.Register.POWER]), 2)
        return ina260.decode_power_w(word)

    def core_mv(self) -> float:
        """Measured core voltage: of the regulator, else of the adapter's ADC, else NaN."""
        measured = self._regulator.measured_mv()
        if math.isnan(measured) and self._control is not None:
            return self._control.adc_mv()
        return measured

    def check_core(self, set_mv: float) -> None:
        """Raises SafetyError where the voltage stays more than 5 % off what was set; one reading may be old."""
        for wait_s in _LOOK_AGAIN_S:
            time.sleep(wait_s)
            measured = self.core_mv()
            if math.isnan(measured) or abs(measured / set_mv - 1.0) <= READ_BACK_TOLERANCE:
                return
        raise SafetyError(
            f"core voltage: {measured:.0f} mV measured, must be within 5 % of {set_mv:.0f} mV; "
            "the board ignores its voltage setting",
            finding="voltage-ignored",
        )
