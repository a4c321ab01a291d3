"""An emulated S9 hashboard: 63 BM1387 behind one UART, a PIC on the I2C bus of an adapter, a twin behind both.

Sequences after braiins ``bm1387.rs`` and ``power.rs``: no nonces before the cores were opened by 114 works with the
gates blocked; a PIC that does not acknowledge for half a second after a reset, and cuts the power ten seconds after
the last heartbeat.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from asic_reservoir.errors import DataError
from asic_reservoir.twin.spec import S9, TwinSpec
from drivers.emulated_adapter import Adapter, NackError
from drivers.emulated_physics import DevicePhysics
from drivers.emulated_search import find_nonce
from drivers.emulated_serial import LATE_NS, TICK_S, Faults, SerialDevice
from firmware_bridge.bm13xx.bm1387 import RegisterReply, WorkReply, encode_reply, nonce_at
from firmware_bridge.bm13xx.commands import ChainInactive, Command, ReadRegister, SetAddress, WriteRegister
from firmware_bridge.bm13xx.jobs import MidstateJob
from firmware_bridge.bm13xx.pll import bm1387_pll
from firmware_bridge.bm13xx.registers import Bm1387Register, baud_of_divider, bm1366_ticket_difficulty
from firmware_bridge.bm13xx.stream import Bm1387Commands
from firmware_bridge.clocks import monotonic_raw_ns
from firmware_bridge.pic16 import protocol as pic16

_MISC_RESET = 0x40201A80
_GATE_BLOCK = 0x8000
_I2C_LINES = 0x4000
_OPEN_WORKS = 114
_SENSOR_ZERO_C = 64
_FREE_BITS = 0x80FFFF03
"""Bits of a nonce that carry neither chip nor core."""
_LATE_S = 0.003
"""A nonce may belong to a work that was superseded so long ago."""


class EmulatedPic:
    """The voltage controller. ``now_s`` is its own time."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._parser = pic16.Parser()
        self._answers: deque[int] = deque()
        self._deaf_until_s = 0.0
        self._last_beat_s = 0.0
        self.application = False
        self.enabled = False
        self.code = 0
        self.cut_offs = 0
        """How often the power was cut for want of a heartbeat."""

    def power_cycle(self) -> None:
        """As after the supply came on: in the loader, chips off."""
        self.application = self.enabled = False
        self._parser = pic16.Parser()
        self._answers.clear()

    @property
    def voltage_v(self) -> float:
        """At the chips."""
        return pic16.decode_voltage(self.code) / 1000.0 if self.enabled else 0.0

    def tick(self) -> None:
        """Cut the power when the heartbeat has been missing for too long."""
        if self.enabled and self._now_s() - self._last_beat_s > pic16.HEARTBEAT_TIMEOUT_S:
            self.enabled = False
            self.cut_offs += 1

    def stood_still(self, board_s: float) -> None:
        """So long nobody could have sent it a heartbeat: the machine that emulates all of this was late."""
        self._last_beat_s += board_s

    def write(self, data: bytes) -> None:
        self._acknowledge()
        if len(data) != 1:
            return  # it takes the first byte of a transfer at best; nobody relies on that
        try:
            message = self._parser.feed(data[0])
        except DataError:
            return
        if message is not None:
            self._execute(message)

    def read(self, count: int) -> bytes:
        self._acknowledge()
        return bytes(self._answers.popleft() if self._answers else 0xFF for _ in range(count))

    def _acknowledge(self) -> None:
        if self._now_s() < self._deaf_until_s:
            raise NackError("PIC: resetting")

    def _execute(self, message: pic16.Message) -> None:
        match message.command:
            case pic16.Command.RESET:
                self.power_cycle()
                self._deaf_until_s = self._now_s() + pic16.RESET_S
            case pic16.Command.JUMP:
                self.application = True
            case _ if not self.application:
                return
            case pic16.Command.SET_VOLTAGE:
                self.code = message.data[0]
            case pic16.Command.ENABLE:
                self.enabled = bool(message.data[0])
                self._last_beat_s = self._now_s()
            case pic16.Command.HEARTBEAT:
                self._last_beat_s = self._now_s()
            case pic16.Command.GET_VERSION:
                self._answers = deque([pic16.SOFTWARE_VERSION])
            case pic16.Command.GET_VOLTAGE:
                self._answers = deque([self.code])


@dataclass
class EmulatedBm1387:
    """One chip."""

    address: int = 0
    addressed: bool = False
    registers: dict[int, int] = field(
        default_factory=lambda: {
            int(Bm1387Register.CHIP_ID): 0x13879000,
            int(Bm1387Register.MISC_CONTROL): _MISC_RESET,
            int(Bm1387Register.TICKET_MASK): 0,
            int(Bm1387Register.PLL): 0,
        }
    )
    opened_by: int = 0

    @property
    def frequency_mhz(self) -> float:
        """Clock of the cores while they hash, else 0."""
        if self.opened_by < _OPEN_WORKS:
            return 0.0
        try:
            return bm1387_pll(self.registers[Bm1387Register.PLL]).frequency_mhz
        except DataError:  # no divider set: no clock
            return 0.0


class EmulatedHashboard(SerialDevice):
    """The hashboard.

    Args:
        seed: which specimen.
        n_chips: a multiple of three; of fewer than 63 chips each still sees the voltage it has on a whole board.
        hashboard: connector, says the address of the PIC.
        speed: seconds of the board in a second of the wall.
        proof_bits: leading zero bits of a nonce of difficulty 1.
        data_link, control_link: stable paths for the two ports.
        observer: told of every nonce, the work and the midstate that it really belongs to.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        n_chips: int = 63,
        hashboard: int = 6,
        speed: float = 1.0,
        proof_bits: int = 6,
        faults: Faults | None = None,
        data_link: Path | None = None,
        control_link: Path | None = None,
        spec: TwinSpec = S9,
        observer: Callable[[MidstateJob, WorkReply], None] | None = None,
    ) -> None:
        self.speed, self.proof_bits, self._observer = speed, proof_bits, observer
        self.spec = replace(spec, n_hashboards=1, chips_per_hashboard=n_chips, n_domains=n_chips * spec.n_domains // 63)
        self._voltage_share = n_chips / 63
        self.physics = DevicePhysics(self.spec, seed)
        self.physics.fan_share = (spec.nominal.fan_percent or 100.0) / 100.0
        self._random = random.Random(seed ^ 0x1387)
        self._start_ns = monotonic_raw_ns()
        self.pic = EmulatedPic(lambda: (monotonic_raw_ns() - self._start_ns) * 1e-9 * speed)
        self.adapter = Adapter(1, {pic16.address(hashboard): self.pic}, lambda high: None, lambda: 0.0)
        self.chips = [EmulatedBm1387() for _ in range(n_chips)]
        self._parser = Bm1387Commands()
        self._works: deque[tuple[int, MidstateJob]] = deque(maxlen=16)
        self._events: list[tuple[int, int, int, int, bool]] = []
        self._order = 0
        self.sent_nonces = 0
        find_nonce((0,) * 8, (0, 0, 0), 0, _FREE_BITS, 1, True, 1)  # compiled before time begins to count
        super().__init__(faults or Faults(), data_link, control_link)

    # -- the wire -------------------------------------------------------------------------------------------------

    def on_data(self, data: bytes, now_ns: int) -> None:
        if not self.pic.enabled or not self.baud_matches():
            return
        for item in self._parser.feed(data):
            if isinstance(item, MidstateJob):
                self._works.append((now_ns, item))
                for chip in self.chips:
                    chip.opened_by += bool(chip.registers[Bm1387Register.MISC_CONTROL] & _GATE_BLOCK)
            else:
                for reply in self._execute(item):
                    self.line.send(encode_reply(reply), now_ns)
        self._follow_baud()

    def _follow_baud(self) -> None:
        self.line.baud = baud_of_divider(self.chips[0].registers[Bm1387Register.MISC_CONTROL] >> 8 & 0x1F)

    def _execute(self, command: Command) -> list[RegisterReply]:
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
                    self._write(chip, register, value)
            case ReadRegister(register, target):
                return [RegisterReply(self._read(chip, register)) for chip in self._targets(target)]
        return []

    def _targets(self, address: int | None) -> list[EmulatedBm1387]:
        return [chip for chip in self.chips if address is None or chip.address == address]

    def _write(self, chip: EmulatedBm1387, register: int, value: int) -> None:
        if register == Bm1387Register.I2C_CONTROL:
            value = self._sensor(chip, value)
        chip.registers[register] = value

    def _read(self, chip: EmulatedBm1387, register: int) -> int:
        value = chip.registers.get(register, 0)
        if register == Bm1387Register.CHIP_ID:
            return value | chip.address
        return value | 1 << 31 if register == Bm1387Register.PLL else value

    def _sensor(self, chip: EmulatedBm1387, word: int) -> int:
        """A transfer over the chip's I2C master: the sensor answers where the lines are switched through."""
        device, register = word >> 16 & 0xFE, word >> 8 & 0xFF
        if device != 0x98 or not chip.registers[Bm1387Register.MISC_CONTROL] & _I2C_LINES:
            return word & 0x00FFFF00 | 0xFF
        index = self.chips.index(chip)
        celsius = float((self.physics.die_c if register == 1 else self.physics.heatsink_c)[index])
        data = round(celsius + self._random.gauss(0.0, 0.2)) + _SENSOR_ZERO_C if register in (0, 1) else word & 0xFF
        return word & 0x00FFFF00 | min(255, max(0, data))

    def on_control(self, data: bytes, now_ns: int) -> None:
        was = self.pic.enabled
        self.control.write(self.adapter.receive(data, now_ns))
        if was and not self.pic.enabled:
            self._chips_lose_power()

    def on_power_cycle(self) -> None:
        self.adapter.reset()
        self.pic.power_cycle()
        self._chips_lose_power()

    def _chips_lose_power(self) -> None:
        self.chips = [EmulatedBm1387() for _ in self.chips]
        self._parser = Bm1387Commands()
        self._works.clear()
        self._events.clear()
        self.line.clear()
        self._follow_baud()

    # -- physics --------------------------------------------------------------------------------------------------

    @property
    def difficulty(self) -> int:
        """Ticket mask, the same on all chips here."""
        return bm1366_ticket_difficulty(self.chips[0].registers[Bm1387Register.TICKET_MASK])

    def on_tick(self, now_ns: int) -> None:
        was = self.pic.enabled
        self.pic.tick()
        if was and not self.pic.enabled:
            self._chips_lose_power()
        physics = self.physics
        physics.frequency_mhz[:] = [chip.frequency_mhz if self.pic.enabled else 0.0 for chip in self.chips]
        physics.voltage_v[:] = self.pic.voltage_v * self._voltage_share
        found = physics.advance(TICK_S * self.speed, self.difficulty)
        for offset_s, chip, core, valid in zip(found.offset_s, found.chip, found.core, found.valid, strict=True):
            at = now_ns + round(float(offset_s) / self.speed * 1e9)
            heapq.heappush(self._events, (at, self._order, int(chip), int(core), bool(valid)))
            self._order += 1

    def on_stood_still(self, host_s: float) -> None:
        self.pic.stood_still(host_s * self.speed)

    def next_event_ns(self) -> int | None:
        return self._events[0][0] if self._events else None

    def on_events(self, now_ns: int) -> None:
        while self._events and self._events[0][0] <= now_ns:
            at, _, chip, core, valid = heapq.heappop(self._events)
            self._find(max(at, now_ns - LATE_NS), chip, core, valid)

    def _find(self, at_ns: int, chip: int, core: int, valid: bool) -> None:
        """A core has found a nonce: pick the work it belongs to, and put the reply on the line."""
        work = self._work_at(at_ns - round(self._random.random() * _LATE_S / self.speed * 1e9))
        if work is None:
            return
        index = self._random.randrange(len(work.midstates))
        fixed = nonce_at(chip, self.spec.core_numbers[core], 0)
        bits = self.proof_bits + self.difficulty.bit_length() - 1
        tail = (work.root_tail, work.ntime, work.nbits)
        nonce = find_nonce(work.midstates[index], tail, fixed, _FREE_BITS, bits, valid, self._random.getrandbits(32))
        if nonce is None:
            return
        reply = WorkReply(nonce, 0, (work.job_id + index) & 0x7F)
        if self._observer is not None:
            self._observer(work, reply)
        frame = encode_reply(reply)
        self.line.send(frame, at_ns)
        self.sent_nonces += 1
        if self._random.random() < self.spec.job.duplicate_probability:
            self.line.send(frame, at_ns + round(self._random.expovariate(50.0) / self.speed * 1e9))

    def _work_at(self, time_ns: int) -> MidstateJob | None:
        """The work that was the newest at that time; the oldest that is remembered where this machine is late."""
        for since, work in reversed(self._works):
            if since <= time_ns:
                return work
        return self._works[0][1] if self._works else None
