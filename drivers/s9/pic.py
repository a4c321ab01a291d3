"""Host side of a hashboard's voltage controller: bytes one by one, each tried again, and a heartbeat of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from asic_reservoir.errors import AsicReservoirError, DataError, SafetyError, ServerError
from firmware_bridge.i2c import I2cBus
from firmware_bridge.pic16.protocol import (
    ANSWER_SIZE,
    COMMAND_S,
    HEARTBEAT_S,
    RESET_S,
    RETRIES,
    RETRY_S,
    SOFTWARE_VERSION,
    Command,
    Message,
    decode_voltage,
    encode,
    encode_voltage,
)
from firmware_bridge.serial_port import LinkError

T = TypeVar("T")


class Pic:
    """One voltage controller.

    Args:
        bus: it hangs on.
        address: its 7-bit I2C address.
        speed: of an emulated device; waits shrink by it.
    """

    def __init__(self, bus: I2cBus, address: int, speed: float = 1.0) -> None:
        self._bus, self._address, self._speed = bus, address, speed
        self._lock = threading.RLock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.failure: AsicReservoirError | None = None
        """Why the heartbeat ended by itself."""
        self.beats = 0

    def _sleep(self, seconds: float) -> None:
        time.sleep(seconds / self._speed)

    def command(self, command: Command, data: bytes = b"") -> bytes:
        """Send a command; gives its answer.

        Raises:
            ServerError, LinkError: the controller does not take a byte, fifteen times.
        """
        with self._lock:
            for single in encode(Message(command, data)):
                self._retry(partial(self._bus.write, self._address, single))
            answer = b""
            for _ in range(ANSWER_SIZE.get(command, 0)):
                answer += self._retry(partial(self._bus.read, self._address, 1))
            return answer

    def _retry(self, transfer: Callable[[], T]) -> T:
        for _ in range(RETRIES - 1):
            try:
                return transfer()
            except LinkError:
                raise
            except ServerError:
                self._sleep(RETRY_S)
        return transfer()

    def start(self) -> None:
        """Flush its parser, reset, jump to the application, check its version.

        Raises:
            DataError: another version answers.
        """
        self.command(Command.NOTHING, bytes(16))
        self.command(Command.RESET)
        self._sleep(RESET_S)
        self.command(Command.JUMP)
        self._sleep(COMMAND_S)
        version = self.command(Command.GET_VERSION)
        if version != bytes([SOFTWARE_VERSION]):
            raise DataError(f"PIC at {self._address:02x}: software version {version.hex()}, must be 03")

    def set_voltage_mv(self, voltage_mv: float) -> float:
        """Set and read back; gives the voltage that the code stands for.

        Raises:
            SafetyError: it reads back another code.
        """
        code = encode_voltage(voltage_mv)
        self.command(Command.SET_VOLTAGE, bytes([code]))
        self._sleep(COMMAND_S)
        found = self.command(Command.GET_VOLTAGE)
        if found != bytes([code]):
            raise SafetyError(f"PIC at {self._address:02x}: voltage code reads back {found.hex()}, must be {code:02x}")
        return decode_voltage(code)

    def voltage_mv(self) -> float:
        """The voltage that it is set to."""
        return decode_voltage(self.command(Command.GET_VOLTAGE)[0])

    def enable(self, on: bool) -> None:
        """Switch the supply of the chips."""
        self.command(Command.ENABLE, bytes([on]))

    def start_heartbeat(self) -> None:
        """Every second from a thread of its own, whatever the rest of the program does."""
        self._stop.clear()
        self.failure = None
        self._thread = threading.Thread(target=self._beat, name="pic heartbeat", daemon=True)
        self._thread.start()

    def stop_heartbeat(self) -> None:
        """The controller will cut the power about ten seconds later. May be called twice."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=5.0)
            self._thread = None

    def _beat(self) -> None:
        while True:
            try:
                self.command(Command.HEARTBEAT)
            except AsicReservoirError as error:
                self.failure = error
                return
            self.beats += 1
            if self._stop.wait(HEARTBEAT_S / self._speed):
                return
