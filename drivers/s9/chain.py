"""Host side of the 63 BM1387 chips of an S9 hashboard: bring-up, registers, clocks, works, temperature.

Sequence and values: braiins/braiins ``bm1387.rs``, ``bm1387/i2c.rs``, ``lib.rs``, ``sensor.rs``.
"""

from __future__ import annotations

import time
from collections import deque

from asic_reservoir.errors import DataError, TimeoutExpiredError
from drivers.baud_change import change_baud
from drivers.clock import BoardClock
from drivers.s9.works import MIDSTATES, WORK_IDS, WorkBook, WorkSource
from firmware_bridge.bm13xx.bm1387 import ADDRESS_STEP, RegisterReply, WorkReply, encode_command
from firmware_bridge.bm13xx.commands import ChainInactive, Command, ReadRegister, SetAddress, WriteRegister
from firmware_bridge.bm13xx.jobs import MidstateJob, encode_midstate_job
from firmware_bridge.bm13xx.pll import bm1387_pll, bm1387_register, solve_bm1387
from firmware_bridge.bm13xx.registers import Bm1387Register, bm1387_ticket_mask, uart_divider
from firmware_bridge.bm13xx.stream import Bm1387Replies
from firmware_bridge.serial_port import SerialPort

BOOT_BAUD = 115_740
CORES = 114
SENSOR_CHIP = 61
"""Index of the chip whose I2C master reaches the temperature sensor."""
_MISC_BASE = 0x40208080
"""Not-set-baud, inverted clock, gate block, MMEN; bits 12..8 are the baud divider."""
_MISC_GATE_BLOCK = 0x8000
_MISC_SENSOR = 0x402040E0
"""RFS, MMEN, TFS: the I2C lines of the sensor chip; MMEN must stay set."""
_MAX_REFERENCE = 15
_CHIP_ID = 0x1387
_ANSWER_S = 1.0
_READ_TRIES = 3
_INACTIVE_PAUSE_S = 0.1
_I2C_START, _I2C_BUSY = 1 << 24, 1 << 31
_SENSOR_ADDRESS = 0x98
_SENSOR_LOCAL, _SENSOR_REMOTE, _SENSOR_CONFIG, _SENSOR_EXTENDED = 0x00, 0x01, 0x09, 0x04
_SENSOR_OFFSET_C = 64.0


class S9Chain:
    """The chips behind one serial port."""

    def __init__(self, port: SerialPort, n_chips: int, baud: int, clock: BoardClock) -> None:
        self.port, self.n_chips, self._fast_baud, self._clock = port, n_chips, baud, clock
        self.replies = Bm1387Replies()
        self.nonces: deque[tuple[int, WorkReply, bool]] = deque()
        """Host time of the last byte, the reply, whether it shared its read with the one before."""
        self._answers: list[RegisterReply] = []
        self._next_id = 0

    # -- reading --------------------------------------------------------------------------------------------------

    def pump(self, timeout_s: float) -> bool:
        """Wait for bytes and sort them; False if none came. Raises LinkError."""
        chunk = self.port.read(timeout_s)
        if chunk is None:
            return False
        found = 0
        for end, reply in self.replies.feed_with_ends(chunk.data):
            if isinstance(reply, WorkReply):
                self.nonces.append((chunk.end_ns(end, self.port.baud), reply, found > 0))
                found += 1
            else:
                self._answers.append(reply)
        return True

    def read(self, register: int, chip: int | None, wanted: int = 1, tries: int = _READ_TRIES) -> list[int]:
        """Values that ``wanted`` chips answer; the replies name neither chip nor register, so one read at a time.

        Raises:
            TimeoutExpiredError: fewer answered, that many times.
            LinkError: the line is gone.
        """
        for _ in range(tries):
            while self.pump(0.0):
                pass
            self._answers.clear()
            self.send(ReadRegister(register, chip))
            deadline = time.monotonic() + _ANSWER_S
            while len(self._answers) < wanted and (left := deadline - time.monotonic()) > 0:
                self.pump(left)
            if len(self._answers) >= wanted:
                return [answer.value for answer in self._answers]
        raise TimeoutExpiredError(
            f"chain at {self.port.path!r}: {len(self._answers)} of {wanted} chips answered a read of register "
            f"{register:02x}, {tries} times within {_ANSWER_S:g} s"
        )

    # -- writing --------------------------------------------------------------------------------------------------

    def send(self, command: Command) -> None:
        """Write a command. Raises LinkError."""
        self.port.write(encode_command(command))

    def send_work(self, source: WorkSource, book: WorkBook, now_ns: int) -> None:
        """The next work of a job, under the next id, booked before it leaves. Raises LinkError."""
        wire, sent = source.take(self._next_id)
        book.add(self._next_id, sent, now_ns)
        self._next_id = (self._next_id + MIDSTATES) % WORK_IDS
        self.port.write(encode_midstate_job(wire, preamble=False))

    # -- bring-up -------------------------------------------------------------------------------------------------

    def bring_up(self, difficulty: int) -> None:
        """From power on to addressed chips with open cores. The voltage must be at its highest meanwhile.

        Raises:
            TimeoutExpiredError: not all chips answer.
            DataError: others answer than BM1387.
        """
        self.port.set_baud(BOOT_BAUD)
        self.port.discard_input()
        self.replies.flush()
        for _ in range(3):  # a stray byte before would shift everything; three of these put it right
            self.send(ChainInactive())
            self._clock.sleep(_INACTIVE_PAUSE_S)
        for index in range(self.n_chips):
            self.send(SetAddress(index * ADDRESS_STEP))
        identities = self.read(Bm1387Register.CHIP_ID, None, self.n_chips)
        for index, value in enumerate(identities):
            if value >> 16 != _CHIP_ID or value & 0xFF != index * ADDRESS_STEP:
                raise DataError(
                    f"chip {index} at {self.port.path!r}: answers {value:08x}, must be 1387….{index * 4:02x}"
                )
        gated = _MISC_BASE | _MISC_GATE_BLOCK | uart_divider(self._fast_baud) << 8
        change_baud(
            self.port,
            BOOT_BAUD,
            order=lambda: self.send(WriteRegister(Bm1387Register.MISC_CONTROL, gated)),
            listen=lambda: self.port.set_baud(self._fast_baud),
            forget=self.replies.flush,
            ask=lambda tries: self.read(Bm1387Register.CHIP_ID, None, self.n_chips, tries=tries),
        )
        self.set_difficulty(difficulty)
        self._open_cores()

    def _open_cores(self) -> None:
        """One dummy work a core with the gates blocked, then the gates open."""
        dummy = encode_midstate_job(MidstateJob(0, 0xFFFFFFFF, 0, 0, ((0,) * 8,)), preamble=False)
        for _ in range(CORES):
            self.port.write(dummy)
        divider = uart_divider(self._fast_baud)
        self.send(WriteRegister(Bm1387Register.MISC_CONTROL, _MISC_BASE | divider << 8))

    # -- settings -------------------------------------------------------------------------------------------------

    def set_difficulty(self, difficulty: int) -> None:
        """Ticket mask of all chips, a power of two. Raises UsageError, LinkError."""
        self.send(WriteRegister(Bm1387Register.TICKET_MASK, bm1387_ticket_mask(difficulty)))

    def set_frequency(self, targets_mhz: list[float]) -> list[float]:
        """Clock of every chip; one chip's divider is read back. Gives what the dividers make.

        Raises:
            UsageError: a clock that no divider makes.
            DataError: the chip reads back another divider.
        """
        plls = [solve_bm1387(mhz, _MAX_REFERENCE) for mhz in targets_mhz]
        if len(set(plls)) == 1:
            self.send(WriteRegister(Bm1387Register.PLL, bm1387_register(plls[0])))
        else:
            for index, pll in enumerate(plls):
                self.send(WriteRegister(Bm1387Register.PLL, bm1387_register(pll), index * ADDRESS_STEP))
        last = self.n_chips - 1
        found = bm1387_pll(self.read(Bm1387Register.PLL, last * ADDRESS_STEP)[0])
        if found != plls[last]:
            raise DataError(
                f"chip {last} PLL reads back {found.frequency_mhz:g} MHz, must be {plls[last].frequency_mhz:g}"
            )
        return [pll.frequency_mhz for pll in plls]

    # -- temperature ----------------------------------------------------------------------------------------------

    def set_up_sensor(self) -> None:
        """Open the I2C master of the sensor chip and switch its sensor to the extended range."""
        divider = uart_divider(self._fast_baud)
        self.send(WriteRegister(Bm1387Register.MISC_CONTROL, _MISC_SENSOR | divider << 8, self._sensor_address))
        self._transfer(_SENSOR_ADDRESS | 1, _SENSOR_CONFIG, _SENSOR_EXTENDED)

    @property
    def _sensor_address(self) -> int:
        return min(SENSOR_CHIP, self.n_chips - 1) * ADDRESS_STEP

    def _transfer(self, device: int, register: int, data: int = 0) -> int:
        """One byte through the I2C master of the chip; the lowest bit of ``device`` says write."""
        word = _I2C_START | device << 16 | register << 8 | data
        self.send(WriteRegister(Bm1387Register.I2C_CONTROL, word, self._sensor_address))
        for _ in range(_READ_TRIES):
            value = self.read(Bm1387Register.I2C_CONTROL, self._sensor_address)[0]
            if not value & _I2C_BUSY:
                return value & 0xFF
        raise TimeoutExpiredError(f"temperature sensor at {self.port.path!r}: busy, {_READ_TRIES} times")

    def temperatures_c(self) -> tuple[float, float]:
        """Chip and board temperature in degC (whole degrees, extended range: 64 is zero)."""
        board = self._transfer(_SENSOR_ADDRESS, _SENSOR_LOCAL) - _SENSOR_OFFSET_C
        chip = self._transfer(_SENSOR_ADDRESS, _SENSOR_REMOTE) - _SENSOR_OFFSET_C
        return chip, board
