"""An emulated USB adapter with bitaxe-raw firmware: I2C bus, reset line, ADC, and parts that may hang on the bus."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from asic_reservoir.errors import DataError
from firmware_bridge.bitaxe_raw.packets import (
    ADC_VDD,
    PARTIAL_REQUEST_TIMEOUT_S,
    ErrorCode,
    I2c,
    Page,
    Request,
    RequestParser,
    Response,
    encode_response,
)
from firmware_bridge.regulators import ds4432u, emc2101, ina260, tps546

_BUFFER_SIZE = 256


class I2cDevice(Protocol):
    """A part on the bus. Both raise NackError where the part does not acknowledge."""

    def write(self, data: bytes) -> None: ...

    def read(self, count: int) -> bytes: ...


class NackError(DataError):
    """The part does not acknowledge."""


class Adapter:
    """Answers the packets of the control port.

    Args:
        protocol: 0 or 1, as the firmware's age.
        devices: parts on the bus by their 7-bit address.
        set_reset: told the level of the reset line.
        vdd_mv: gives the voltage at the ADC.
    """

    def __init__(
        self,
        protocol: int,
        devices: dict[int, I2cDevice],
        set_reset: Callable[[bool], None],
        vdd_mv: Callable[[], float],
    ) -> None:
        self.protocol = protocol
        self.devices = devices
        self._set_reset, self._vdd_mv = set_reset, vdd_mv
        self._pins: dict[int, bool] = {}
        self._parser = RequestParser()
        self._last_ns = 0
        self.requests = 0
        self.length_defect = False
        """Old firmware: an error carries the length of its whole buffer, and far fewer bytes."""

    def receive(self, data: bytes, now_ns: int) -> bytes:
        """The answers to everything that is complete with ``data``."""
        if self._parser.pending and now_ns - self._last_ns > PARTIAL_REQUEST_TIMEOUT_S * 1e9:
            self._parser.expire()
        self._last_ns = now_ns
        answers = b""
        for request in self._parser.feed(data):
            self.requests += 1
            answers += self._encode(self._answer(request))
        return answers

    def _encode(self, response: Response) -> bytes:
        if self.length_defect and self.protocol == 0 and response.status:
            return _BUFFER_SIZE.to_bytes(2, "little") + bytes([response.request_id, ErrorCode.CUSTOM, response.status])
        return encode_response(response, self.protocol)

    def reset(self) -> None:
        """As after power-up."""
        self._pins.clear()
        self._parser.expire()

    def _answer(self, request: Request) -> Response:
        number = request.request_id
        try:
            return Response(number, self._execute(request))
        except NackError:
            return Response(number, b"", ErrorCode.TIMEOUT)
        except DataError:
            return Response(number, b"", ErrorCode.INVALID_COMMAND)

    def _execute(self, request: Request) -> bytes:
        data = request.data
        if request.page == Page.I2C:
            return self._i2c(request.command, data)
        if request.page == Page.GPIO:
            if data:
                self._pins[request.command] = bool(data[0])
                if request.command == 0:
                    self._set_reset(bool(data[0]))
            return bytes([self._pins.get(request.command, False)])
        if request.page == Page.ADC and request.command == ADC_VDD:
            return min(65_535, max(0, round(self._vdd_mv()))).to_bytes(2, "little")
        if request.page == Page.LED:
            return b""
        raise DataError(f"page {request.page:02x} command {request.command:02x}: not there")

    def _i2c(self, command: int, data: bytes) -> bytes:
        if command == I2c.SET_FREQUENCY and len(data) == 4:
            return data
        if not data or data[0] not in self.devices:
            raise NackError("I2C: no such part")
        device, body = self.devices[data[0]], data[1:]
        if command == I2c.WRITE:
            device.write(body)
            return bytes([len(body)])
        if command == I2c.READ and len(body) == 1:
            return device.read(body[0])
        if command == I2c.WRITE_READ and len(body) >= 2:
            device.write(body[:-1])
            return device.read(body[-1])
        raise DataError("I2C: malformed request")


class EmulatedDs4432u:
    """Current sink that trims the core voltage. ``code`` is what was written, ``voltage_mv`` what it makes."""

    def __init__(self) -> None:
        self.code = 0
        self._register = 0

    @property
    def voltage_mv(self) -> float:
        return ds4432u.decode(self.code)

    def write(self, data: bytes) -> None:
        if data:
            self._register = data[0]
            if self._register == ds4432u.REGISTER_OUT0 and len(data) > 1:
                self.code = data[1]

    def read(self, count: int) -> bytes:
        value = self.code if self._register == ds4432u.REGISTER_OUT0 else 0
        return bytes([value] * count)


class EmulatedTps546:
    """PMBus regulator; ``load`` gives output voltage in mV, current in A and temperature in degC."""

    VOUT_MODE = 0x97

    def __init__(self, load: Callable[[], tuple[float, float, float]]) -> None:
        self._load = load
        self._command = 0
        self.operation = tps546.OPERATION_OFF
        self.vout = tps546.encode_vout(1000.0, self.VOUT_MODE)

    @property
    def voltage_mv(self) -> float:
        on = self.operation == tps546.OPERATION_ON
        return tps546.decode_vout(self.vout, self.VOUT_MODE) if on else 0.0

    def write(self, data: bytes) -> None:
        if not data:
            return
        self._command = data[0]
        if self._command == tps546.Command.OPERATION and len(data) == 2:
            self.operation = data[1]
        elif self._command == tps546.Command.VOUT_COMMAND and len(data) == 3:
            self.vout = data[1:3]

    def read(self, count: int) -> bytes:
        millivolts, amperes, celsius = self._load()
        off = self.operation != tps546.OPERATION_ON
        status = int(tps546.Status.OFF | tps546.Status.POWER_BAD) if off else 0
        answers = {
            tps546.Command.OPERATION: bytes([self.operation]),
            tps546.Command.VOUT_MODE: bytes([self.VOUT_MODE]),
            tps546.Command.VOUT_COMMAND: self.vout,
            tps546.Command.STATUS_WORD: status.to_bytes(2, "little"),
            tps546.Command.READ_VIN: tps546.encode_linear11(5.0),
            tps546.Command.READ_VOUT: tps546.encode_vout(millivolts, self.VOUT_MODE),
            tps546.Command.READ_IOUT: tps546.encode_linear11(amperes),
            tps546.Command.READ_TEMPERATURE: tps546.encode_linear11(celsius),
            tps546.Command.IC_DEVICE_ID: bytes([6]) + tps546.DEVICE_IDS[0],
        }
        known = {int(command): word for command, word in answers.items()}
        return known.get(self._command, b"").ljust(count, b"\xff")[:count]


class EmulatedEmc2101:
    """Fan controller; ``sensors`` gives die and own temperature in degC and the fan's turns a minute."""

    def __init__(self, sensors: Callable[[], tuple[float, float, float]]) -> None:
        self._sensors = sensors
        self._registers = {
            emc2101.Register.PRODUCT_ID.value: emc2101.PRODUCT_IDS[0],
            emc2101.Register.MAKER_ID.value: emc2101.MAKER_ID,
            emc2101.Register.FAN_SETTING.value: 0,
        }
        self._pointer = 0

    @property
    def fan_share(self) -> float:
        return emc2101.decode_fan(self._registers[emc2101.Register.FAN_SETTING]) / 100.0

    def write(self, data: bytes) -> None:
        if data:
            self._pointer = data[0]
            for offset, byte in enumerate(data[1:]):
                self._registers[self._pointer + offset] = byte

    def read(self, count: int) -> bytes:
        die, own, rpm = self._sensors()
        msb, lsb = emc2101.encode_external(min(126.0, die))
        low, high = emc2101.encode_tach(rpm)
        live = {
            emc2101.Register.INTERNAL_TEMPERATURE: emc2101.encode_internal(min(127.0, own)),
            emc2101.Register.EXTERNAL_MSB: msb,
            emc2101.Register.EXTERNAL_LSB: lsb,
            emc2101.Register.TACH_LSB: low,
            emc2101.Register.TACH_MSB: high,
        }
        registers = {**self._registers, **{int(register): value for register, value in live.items()}}
        return bytes(registers.get(self._pointer + i, 0) for i in range(count))


class EmulatedIna260:
    """Power meter of the board's input; ``input_w`` gives its power, the supply is 5 V."""

    SUPPLY_MV = 5_000.0

    def __init__(self, input_w: Callable[[], float]) -> None:
        self._input_w = input_w
        self._register = 0

    def write(self, data: bytes) -> None:
        if data:
            self._register = data[0]

    def read(self, count: int) -> bytes:
        watts = self._input_w()
        answers = {
            ina260.Register.CURRENT: ina260.encode_current_ma(min(40_000.0, 1e6 * watts / self.SUPPLY_MV)),
            ina260.Register.VOLTAGE: ina260.encode_voltage_mv(self.SUPPLY_MV),
            ina260.Register.POWER: ina260.encode_power_w(min(600.0, watts)),
        }
        known = {int(register): word for register, word in answers.items()}
        return known.get(self._register, b"\0\0").ljust(count, b"\0")[:count]
