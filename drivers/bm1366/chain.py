"""Host side of a chain of BM1366: bring-up, registers, clocks, jobs.

Sequence and values: ESP-Miner ``bm1366.c`` and ``asic_init.c``.
"""

from __future__ import annotations

import time
from collections import deque

from asic_reservoir.errors import DataError, TimeoutExpiredError
from drivers.baud_change import change_baud
from drivers.clock import BoardClock
from firmware_bridge.bm13xx.bm1366 import LONG_REPLY, NonceReply, RegisterReply, encode_command
from firmware_bridge.bm13xx.commands import ChainInactive, Command, ReadRegister, SetAddress, WriteRegister
from firmware_bridge.bm13xx.jobs import HeaderJob, encode_header_job
from firmware_bridge.bm13xx.pll import bm1366_pll, bm1366_register, ramp_mhz, solve_bm1366
from firmware_bridge.bm13xx.registers import (
    Bm1366Register,
    address_interval,
    baud_of_divider,
    bm1366_ticket_mask,
    fast_uart,
    hash_counting_number,
    uart_divider,
    version_rolling,
)
from firmware_bridge.bm13xx.stream import Bm1366Replies
from firmware_bridge.serial_port import LinkError, SerialPort

RESET_MHZ = 50.0
"""Clock of a chip out of reset."""
_BOOT_BAUD = 115_200
_VERSION_MASK = 0x1FFFE000
_CHIP_ID = 0x1366
_ANSWER_S = 1.0
_READ_TRIES = 3
_BAUD_TOLERANCE = 0.02


class Chain:
    """Chips behind one serial port.

    Args:
        port: of the chips' UART.
        n_chips: how many must answer.
        baud: rate after bring-up.
        clock: the board's time line.
    """

    def __init__(self, port: SerialPort, n_chips: int, baud: int, clock: BoardClock) -> None:
        self.port, self.n_chips, self._fast_baud = port, n_chips, baud
        self._clock = clock
        self.replies = Bm1366Replies(LONG_REPLY)
        self.frequency_mhz = [RESET_MHZ] * n_chips
        self.nonces: deque[tuple[int, NonceReply, bool]] = deque()
        """Nonces that came: host time of their last byte, the reply, whether it shared its read with the one before."""
        self._answers: list[RegisterReply] = []
        self._interval = address_interval(n_chips)

    # -- reading --------------------------------------------------------------------------------------------------

    def pump(self, timeout_s: float) -> bool:
        """Wait for bytes and sort them into nonces and answers; False if none came in time.

        Raises:
            LinkError: the line is gone.
        """
        chunk = self.port.read(timeout_s)
        if chunk is None:
            return False
        found = 0
        for end, reply in self.replies.feed_with_ends(chunk.data):
            if isinstance(reply, NonceReply):
                self.nonces.append((chunk.end_ns(end, self.port.baud), reply, found > 0))
                found += 1
            else:
                self._answers.append(reply)
        return True

    def read(
        self, register: int, chip: int | None = None, wanted: int = 1, tries: int = _READ_TRIES
    ) -> list[RegisterReply]:
        """Answers of ``wanted`` chips to a read; nonces that come meanwhile are kept.

        Raises:
            TimeoutExpiredError: fewer answered, that many times.
            LinkError: the line is gone.
        """
        for _ in range(tries):
            self._answers.clear()
            self.send(ReadRegister(register, chip))
            deadline = time.monotonic() + _ANSWER_S
            while True:
                answers = [a for a in self._answers if a.register == register and (chip is None or a.chip == chip)]
                left_s = deadline - time.monotonic()
                if len(answers) >= wanted or left_s <= 0:
                    break
                self.pump(left_s)
            if len(answers) >= wanted:
                return answers
        raise TimeoutExpiredError(
            f"chain at {self.port.path!r}: {len(answers)} of {wanted} chips answered a read of register "
            f"{register:02x}, {tries} times within {_ANSWER_S:g} s"
        )

    # -- writing --------------------------------------------------------------------------------------------------

    def send(self, command: Command) -> None:
        """Write a command. Raises LinkError."""
        self.port.write(encode_command(command))

    def send_job(self, job: HeaderJob) -> None:
        """Write a job. Raises LinkError."""
        self.port.write(encode_header_job(job))

    def address(self, chip: int) -> int:
        """Address of a chip by its index."""
        return chip * self._interval if self.n_chips > 1 else 0

    def chip_of(self, address_field: int) -> int:
        """Index of the chip from the address bits of a nonce."""
        return min(address_field // self._interval, self.n_chips - 1) if self.n_chips > 1 else 0

    # -- bring-up -------------------------------------------------------------------------------------------------

    def bring_up(self, difficulty: int) -> None:
        """From the release of the reset line to chips that wait for clock and work.

        Raises:
            TimeoutExpiredError: not all chips answer.
            DataError: another chip answers, or more chips than stated.
            LinkError: the line is gone.
        """
        self.port.set_baud(_BOOT_BAUD)
        self.port.discard_input()
        self.replies.flush()
        for _ in range(3):
            self.send(WriteRegister(Bm1366Register.VERSION_ROLLING, version_rolling(_VERSION_MASK)))
        identities = self.read(Bm1366Register.CHIP_ID, wanted=self.n_chips)
        self._check_identities(identities)
        for command in self._set_up(difficulty):
            self.send(command)
        self.read(Bm1366Register.CHIP_ID, wanted=self.n_chips)  # all of it was taken before the rate changes
        change_baud(
            self.port,
            _BOOT_BAUD,
            order=lambda: self.send(WriteRegister(Bm1366Register.FAST_UART, fast_uart(self._fast_baud))),
            listen=self._listen_fast,
            forget=self.replies.flush,
            ask=lambda tries: self.read(Bm1366Register.CHIP_ID, wanted=self.n_chips, tries=tries),
        )
        self.frequency_mhz = [RESET_MHZ] * self.n_chips

    def _listen_fast(self) -> None:
        """The rate that the chip's divider really makes where the adapter can, else the round one of the firmwares."""
        exact = round(baud_of_divider(uart_divider(self._fast_baud)))
        try:
            self.port.set_baud(exact)
            if abs(self.port.actual_baud / exact - 1.0) < _BAUD_TOLERANCE:
                return
        except LinkError:  # the adapter refuses odd rates
            pass
        self.port.set_baud(self._fast_baud)

    def _check_identities(self, identities: list[RegisterReply]) -> None:
        for reply in identities:
            if reply.value >> 16 != _CHIP_ID:
                raise DataError(f"chip at {self.port.path!r}: answers as {reply.value >> 16:04x}, must be 1366")
        if len(identities) != self.n_chips:
            raise DataError(f"chain at {self.port.path!r}: {len(identities)} chips, must be {self.n_chips}")

    def _set_up(self, difficulty: int) -> list[Command]:
        register = Bm1366Register
        commands: list[Command] = [
            WriteRegister(register.SOFT_RESET, 0x00070000),
            WriteRegister(register.MISC_CONTROL, 0xFF0FC100),
            ChainInactive(),
        ]
        commands += [SetAddress(self.address(chip)) for chip in range(self.n_chips)]
        commands += [
            WriteRegister(register.CORE_MAILBOX, 0x80008540),
            WriteRegister(register.CORE_MAILBOX, 0x80008020),
            WriteRegister(register.TICKET_MASK, bm1366_ticket_mask(difficulty)),
            WriteRegister(register.ANALOG_MUX, 0x00000003),
            WriteRegister(register.IO_DRIVER_STRENGTH, 0x02111111),
            WriteRegister(register.UART_RELAY, 0x007C0003, 0),
        ]
        for chip in range(self.n_chips):
            for target, value in (
                (register.SOFT_RESET, 0x000701F0),
                (register.MISC_CONTROL, 0xF000C100),
                (register.CORE_MAILBOX, 0x80008540),
                (register.CORE_MAILBOX, 0x80008020),
                (register.CORE_MAILBOX, 0x800082AA),
            ):
                commands.append(WriteRegister(target, value, self.address(chip)))
        return commands

    # -- settings -------------------------------------------------------------------------------------------------

    def set_difficulty(self, difficulty: int) -> None:
        """Ticket mask of all chips. Raises LinkError."""
        self.send(WriteRegister(Bm1366Register.TICKET_MASK, bm1366_ticket_mask(difficulty)))

    def set_frequency(self, targets_mhz: list[float], ramp_s: float) -> list[float]:
        """Ramp every chip to its clock in steps of 6.25 MHz, and start hashing; returns what the dividers make.

        Raises:
            DataError: the chip reads back another divider.
            TimeoutExpiredError, LinkError: no answer, no line.
        """
        ramps = [ramp_mhz(now, target) for now, target in zip(self.frequency_mhz, targets_mhz, strict=True)]
        for index in range(max((len(ramp) for ramp in ramps), default=0)):
            step = {chip: ramp[index] for chip, ramp in enumerate(ramps) if index < len(ramp)}
            self._write_pll(step)
            self._clock.sleep(ramp_s)
        self.frequency_mhz = list(targets_mhz)
        achieved = [solve_bm1366(target).frequency_mhz for target in targets_mhz]
        if any(ramps):
            self._check_plls(targets_mhz)
        slowest = min(achieved)
        self.send(WriteRegister(Bm1366Register.HASH_COUNTING_NUMBER, hash_counting_number(slowest, self.n_chips)))
        return achieved

    def _write_pll(self, step_mhz: dict[int, float]) -> None:
        if len(step_mhz) == self.n_chips and len(set(step_mhz.values())) == 1:
            value = bm1366_register(solve_bm1366(next(iter(step_mhz.values()))))
            self.send(WriteRegister(Bm1366Register.PLL0, value))
            return
        for chip, mhz in step_mhz.items():
            value = bm1366_register(solve_bm1366(mhz))
            self.send(WriteRegister(Bm1366Register.PLL0, value, self.address(chip)))

    def _check_plls(self, targets_mhz: list[float]) -> None:
        """All chips answer one read; each must hold the dividers that were written."""
        answers = {answer.chip: answer.value for answer in self.read(Bm1366Register.PLL0, wanted=self.n_chips)}
        for chip, target in enumerate(targets_mhz):
            wanted = solve_bm1366(target)
            found = bm1366_pll(answers.get(self.address(chip), 0))
            if found != wanted:
                raise DataError(
                    f"chip {chip} PLL reads back {found.frequency_mhz:g} MHz, must be {wanted.frequency_mhz:g}"
                )
