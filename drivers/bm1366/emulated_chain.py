"""A chain of emulated BM1366 as the wire shows it: addresses, registers, replies. No ports, no time.

Follows ESP-Miner, bm13xx-rs and mujina: 9-byte replies until version rolling is written, silent on bad checksums, no
nonces before cores, report sections, PLL and hash counting are set up.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from asic_reservoir.errors import DataError
from firmware_bridge.bm13xx.bm1366 import RegisterReply, encode_reply
from firmware_bridge.bm13xx.commands import ChainInactive, Command, ReadRegister, SetAddress, WriteRegister
from firmware_bridge.bm13xx.jobs import HeaderJob
from firmware_bridge.bm13xx.pll import bm1366_pll
from firmware_bridge.bm13xx.registers import (
    BM1366_RESET_VALUES,
    Bm1366Register,
    baud_of_divider,
    bm1366_ticket_difficulty,
    version_mask_of,
)
from firmware_bridge.bm13xx.stream import Bm1366Commands

_CORE_ENABLE = 0x82AA
"""Core mailbox: core register 2 := AA."""


@dataclass
class EmulatedChip:
    """One chip."""

    registers: dict[int, int] = field(default_factory=lambda: dict(BM1366_RESET_VALUES))
    address: int = 0
    addressed: bool = False
    cores_enabled: bool = False
    pll_set: bool = False
    hashes: float = 0.0
    """Hashes done since reset, in units of 2^32."""
    errors: float = 0.0

    def write(self, register: int, value: int) -> None:
        """A register write as the chip takes it."""
        self.registers[register] = value
        if register == Bm1366Register.CORE_MAILBOX and value & 0xFFFF == _CORE_ENABLE:
            self.cores_enabled = True
        if register == Bm1366Register.PLL0:
            self.pll_set = True

    def read(self, register: int) -> int:
        """What a read gives; 0 for registers that are not known."""
        if register == Bm1366Register.CHIP_ID:
            return self.registers[register] & ~0xFF | self.address
        if register == Bm1366Register.TOTAL_COUNTER:
            return int(self.hashes) & 0xFFFFFFFF
        if Bm1366Register.DOMAIN_0_COUNTER <= register <= Bm1366Register.DOMAIN_3_COUNTER:
            return int(self.hashes / 4) & 0xFFFFFFFF
        if register == Bm1366Register.ERROR_COUNTER:
            return int(self.errors) & 0xFFFFFFFF
        return self.registers.get(register, 0)

    @property
    def frequency_mhz(self) -> float:
        """Clock of the cores while they hash, else 0."""
        ready = (
            self.cores_enabled
            and self.pll_set
            and self.registers[Bm1366Register.MISC_CONTROL] >> 28
            and self.registers[Bm1366Register.HASH_COUNTING_NUMBER]
        )
        if not ready:
            return 0.0
        try:
            return bm1366_pll(self.registers[Bm1366Register.PLL0]).frequency_mhz
        except DataError:  # nonsense in the register: no lock, no clock
            return 0.0


class EmulatedChain:
    """Chips behind one UART."""

    def __init__(self, n_chips: int) -> None:
        self.chips = [EmulatedChip() for _ in range(n_chips)]
        self._parser = Bm1366Commands()
        self.job: HeaderJob | None = None
        self.job_number = 0
        """Counts the jobs that came."""
        self.in_reset = True

    def reset(self, released: bool) -> None:
        """The reset line: everything forgotten, silent while it is low."""
        self.chips = [EmulatedChip() for _ in self.chips]
        self._parser = Bm1366Commands()
        self.job = None
        self.in_reset = not released

    def receive(self, data: bytes) -> list[bytes]:
        """The replies to everything in ``data``, in the order of the chain."""
        if self.in_reset:
            return []
        replies: list[bytes] = []
        for item in self._parser.feed(data):
            if isinstance(item, HeaderJob):
                self.job = item
                self.job_number += 1
            else:
                replies += self._execute(item)
        return replies

    def _execute(self, command: Command) -> list[bytes]:
        match command:
            case SetAddress(address):
                fresh = next((chip for chip in self.chips if not chip.addressed), None)
                if fresh is not None:
                    fresh.address, fresh.addressed = address, True
            case ChainInactive():
                for chip in self.chips:
                    chip.address, chip.addressed = 0, False
            case WriteRegister(register, value, target):
                for chip in self._targets(target):
                    chip.write(register, value)
            case ReadRegister(register, target):
                extra = 0 if self.long_replies else None
                return [
                    encode_reply(RegisterReply(chip.read(register), chip.address, register, extra))
                    for chip in self._targets(target)
                ]
        return []

    def _targets(self, address: int | None) -> list[EmulatedChip]:
        return [chip for chip in self.chips if address is None or chip.address == address]

    @property
    def long_replies(self) -> bool:
        """11 bytes a reply since version rolling was switched on."""
        return bool(self.chips[0].registers[Bm1366Register.VERSION_ROLLING] >> 31)

    @property
    def baud(self) -> float:
        """Rate of the chips' UART."""
        return baud_of_divider(self.chips[0].registers[Bm1366Register.FAST_UART] >> 8 & 0xFF)

    @property
    def difficulty(self) -> int:
        """Ticket mask, the same on all chips here."""
        return bm1366_ticket_difficulty(self.chips[0].registers[Bm1366Register.TICKET_MASK])

    @property
    def version_mask(self) -> int:
        """Version bits that the chips roll."""
        return version_mask_of(self.chips[0].registers[Bm1366Register.VERSION_ROLLING])

    @property
    def batch_s(self) -> float:
        """Time that one batch of eight versions takes."""
        return self.chips[0].registers[Bm1366Register.HASH_COUNTING_NUMBER] / 25e6
