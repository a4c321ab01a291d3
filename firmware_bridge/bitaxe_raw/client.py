"""Host side of the control port: one request at a time, its answer awaited, nonsense drained and tried again."""

from __future__ import annotations

import time

from asic_reservoir.errors import TimeoutExpiredError
from firmware_bridge.bitaxe_raw.packets import (
    DRAIN_S,
    RESPONSE_TIMEOUT_S,
    PacketError,
    Request,
    Response,
    adc_read,
    decode_response,
    encode_request,
    gpio_get,
    gpio_set,
    i2c_read,
    i2c_set_frequency,
    i2c_write,
    i2c_write_read,
    response_size,
)
from firmware_bridge.serial_port import SerialPort

_CONTROL_BAUD = 115_200
"""Means nothing on USB."""
_TRIES = 3


class RawControl:
    """A board with bitaxe-raw firmware: I2C bus, reset line, ADC.

    Args:
        path: the control port.
        protocol: 0 or 1; None asks the device and sees which kind of answer comes.

    Raises:
        NotFoundError, BusyError, LinkError: as :class:`~firmware_bridge.serial_port.SerialPort`.
        TimeoutExpiredError: nothing answers.
    """

    def __init__(self, path: str, protocol: int | None = None) -> None:
        self.path = path
        self._port = SerialPort(path, _CONTROL_BAUD)
        self._next_id = 0
        self.retries = 0
        """Requests that had to be repeated."""
        try:
            self.protocol = self._detect() if protocol is None else protocol
        except BaseException:
            self._port.close()
            raise

    def _detect(self) -> int:
        """A level of a pin is one data byte: its answer has 4 bytes in version 0 and 5 in version 1."""
        for _ in range(_TRIES):
            self._drain()
            request = gpio_get(self._take_id(), 0)
            self._port.write(encode_request(request))
            answer = self._collect(RESPONSE_TIMEOUT_S, lambda data: 4 if data[:2] == b"\x01\x00" else 5)
            if len(answer) == 4 and answer[:3] == bytes([1, 0, request.request_id]):
                return 0
            if len(answer) == 5 and answer[:4] == bytes([5, 0, request.request_id, 0]):
                return 1
        raise TimeoutExpiredError(f"control port {self.path!r}: no answer of a bitaxe-raw firmware")

    def request(self, request: Request, expected: int | None) -> bytes:
        """The data of the answer.

        Args:
            request: its id is replaced by the next one.
            expected: number of data bytes of a good answer, None if not known.

        Raises:
            DeviceError: the firmware reports an error.
            TimeoutExpiredError: no answer that makes sense, three times.
            LinkError: the port is gone.
        """
        problem = "no answer"
        for attempt in range(_TRIES):
            if attempt:
                self.retries += 1
                self._drain()
            numbered = Request(self._take_id(), request.page, request.command, request.data, request.bus)
            self._port.write(encode_request(numbered))
            try:
                response = self._answer(expected)
            except PacketError as error:
                problem = str(error)
                continue
            if response is None:
                problem = "no answer"
            elif response.request_id != numbered.request_id:
                problem = f"answer to request {response.request_id}, must be {numbered.request_id}"
            else:
                return response.good_data()
        raise TimeoutExpiredError(f"control port {self.path!r}: {problem}, {_TRIES} times")

    def _answer(self, expected: int | None) -> Response | None:
        packet = self._collect(RESPONSE_TIMEOUT_S, lambda data: response_size(data, self.protocol) or 2)
        return decode_response(packet, self.protocol, expected) if packet else None

    def _collect(self, timeout_s: float, needed) -> bytes:  # type: ignore[no-untyped-def]
        """Bytes until there are as many as ``needed`` says of those so far, or time is up."""
        data = b""
        deadline = time.monotonic() + timeout_s
        while len(data) < 2 or len(data) < needed(data):
            chunk = self._port.read(max(0.0, deadline - time.monotonic()))
            if chunk is None:
                break
            data += chunk.data
        return data

    def _drain(self) -> None:
        while self._port.read(DRAIN_S) is not None:
            pass

    def _take_id(self) -> int:
        self._next_id = (self._next_id + 1) & 0xFF
        return self._next_id

    # -- what the board has ---------------------------------------------------------------------------------------

    def set_reset(self, high: bool) -> None:
        """Level of the chips' reset line: low holds them."""
        self.request(gpio_set(0, 0, high), 1)

    def adc_mv(self) -> float:
        """Core voltage at the ADC."""
        return float(int.from_bytes(self.request(adc_read(0), 2), "little"))

    def set_i2c_hz(self, hertz: int) -> None:
        """Clock of the I2C bus."""
        self.request(i2c_set_frequency(0, hertz), 4)

    def write(self, address: int, data: bytes) -> None:
        """One I2C transfer to a part."""
        self.request(i2c_write(0, address, data), 1)

    def read(self, address: int, count: int) -> bytes:
        """One I2C transfer from a part."""
        return self.request(i2c_read(0, address, count), count)

    def write_read(self, address: int, data: bytes, count: int) -> bytes:
        """Write, repeated start, read."""
        return self.request(i2c_write_read(0, address, data, count), count)

    def close(self) -> None:
        """Give the port back. May be called twice."""
        self._port.close()
