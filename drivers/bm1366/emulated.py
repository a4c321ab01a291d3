"""An emulated BM1366 board on two ptys: a bitaxe-raw control port and the UART of the chips, a twin behind both.

Time may run faster than on the wall: with ``speed`` 10 a second here is ten of the board. Real shares cannot be mined
by software; with ``proof_bits`` p a nonce of difficulty 1 has p leading zero bits in its hash instead of 32, and of
difficulty D as many more as D has. So every valid nonce can be checked by hashing, and a wrong one is really wrong.
"""

from __future__ import annotations

import hashlib
import heapq
import math
import random
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from asic_reservoir.twin.spec import BM1366, TwinSpec
from drivers.bm1366.emulated_chain import EmulatedChain
from drivers.emulated_adapter import (
    Adapter,
    EmulatedDs4432u,
    EmulatedEmc2101,
    EmulatedIna260,
    EmulatedTps546,
    I2cDevice,
)
from drivers.emulated_physics import DevicePhysics
from drivers.emulated_search import find_nonce
from drivers.emulated_serial import LATE_NS, TICK_S, Faults, SerialDevice
from firmware_bridge.bm13xx.bm1366 import NonceReply, encode_reply, nonce_at
from firmware_bridge.bm13xx.jobs import HeaderJob
from firmware_bridge.bm13xx.sha256_compiled import midstate
from firmware_bridge.regulators import ds4432u, emc2101, ina260, tps546

_SUB_CORES = 8
_FREE_BITS, _FREE_BITS_OF_CHAIN = 0xFFFFFF01, 0xFFFF0100
"""Bits of a nonce that carry no core; and no address either."""
_INTERNAL_BELOW_DIE_C = emc2101.INTERNAL_OFFSET_C


class EmulatedBm1366(SerialDevice):
    """The board.

    Args:
        seed: which specimen.
        n_chips: chips on the chain.
        regulator: ``ds4432u`` or ``tps546``.
        protocol: of the control port, 0 or 1.
        speed: seconds of the board in a second of the wall.
        proof_bits: leading zero bits of a nonce of difficulty 1.
        data_link, control_link: stable paths for the two ports.
        observer: told of every nonce and the job that it really belongs to; the truth that a test compares with.

    >>> with EmulatedBm1366(seed=1) as device:
    ...     device.data.path != device.control.path
    True
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        n_chips: int = 1,
        regulator: str = "ds4432u",
        protocol: int = 1,
        speed: float = 1.0,
        proof_bits: int = 6,
        faults: Faults | None = None,
        data_link: Path | None = None,
        control_link: Path | None = None,
        spec: TwinSpec = BM1366,
        observer: Callable[[HeaderJob, NonceReply], None] | None = None,
    ) -> None:
        self._observer = observer
        self.speed, self.proof_bits = speed, proof_bits
        # a board of n chips has a regulator of n times the strength
        regulator_spec = replace(spec.regulator, load_line_mohm=spec.regulator.load_line_mohm / n_chips)
        self.spec = replace(spec, chips_per_hashboard=n_chips, regulator=regulator_spec)
        self.physics = DevicePhysics(self.spec, seed)
        self.chain = EmulatedChain(n_chips)
        self._random = random.Random(seed ^ 0xB1366)
        self._events: list[tuple[int, int, int, int, bool]] = []
        self._order = 0
        self._job_seen = 0
        self._job_since_ns = 0
        self._previous_job: HeaderJob | None = None
        self._current_job: HeaderJob | None = None
        self.sent_nonces = 0
        """Nonces that were put on the line, repetitions by faults not counted."""
        self.sent_valid = 0
        self.fan = EmulatedEmc2101(self._thermal)
        self.ds4432u, self.tps546 = EmulatedDs4432u(), EmulatedTps546(self._load)
        self.regulator: EmulatedDs4432u | EmulatedTps546
        self.regulator = self.ds4432u if regulator == "ds4432u" else self.tps546
        self._applied_mv = self.regulator.voltage_mv
        devices: dict[int, I2cDevice] = {
            emc2101.ADDRESS: self.fan,
            ina260.ADDRESS: EmulatedIna260(lambda: self._noisy(self.physics.input_w, 0.005)),
            ds4432u.ADDRESS if regulator == "ds4432u" else tps546.ADDRESS: self.regulator,
        }
        self.adapter = Adapter(protocol, devices, self._set_reset, self._core_mv)
        find_nonce(midstate(bytes(64)), (0, 0, 0), 0, _FREE_BITS, 1, True, 1)  # compiled before time begins to count
        super().__init__(faults or Faults(), data_link, control_link)

    # -- sensors --------------------------------------------------------------------------------------------------

    def _noisy(self, value: float, relative: float) -> float:
        return max(0.0, value * (1.0 + relative * self._random.gauss(0.0, 1.0)))

    def _thermal(self) -> tuple[float, float, float]:
        die = float(self.physics.die_c.max()) + self._random.gauss(0.0, 0.2)
        return die, die - _INTERNAL_BELOW_DIE_C, self.physics.fan_rpm

    def _core_mv(self) -> float:
        return self._noisy(1000.0 * float(self.physics.board_v[0]), 0.001)

    def _load(self) -> tuple[float, float, float]:
        millivolts = self._core_mv()
        amperes = self.physics.input_w / max(millivolts / 1000.0, 0.1)
        return millivolts, min(amperes, 1000.0), float(self.physics.heatsink_c[0])

    # -- the wire -------------------------------------------------------------------------------------------------

    def _set_reset(self, high: bool) -> None:
        self.chain.reset(released=high)
        self.line.clear()
        self.line.baud = self.chain.baud
        self._events.clear()
        self._current_job = self._previous_job = None

    def on_data(self, data: bytes, now_ns: int) -> None:
        if not self.baud_matches() or self._core_off():
            return
        for reply in self.chain.receive(data):
            self.line.send(reply, now_ns)
        self.line.baud = self.chain.baud
        if self.chain.job_number != self._job_seen:
            self._job_seen = self.chain.job_number
            self._previous_job, self._current_job = self._current_job, self.chain.job
            self._job_since_ns = now_ns

    def _core_off(self) -> bool:
        return self.regulator.voltage_mv < 500.0

    def on_control(self, data: bytes, now_ns: int) -> None:
        self.control.write(self.adapter.receive(data, now_ns))
        if not self.faults.ignore_voltage:
            self._applied_mv = self.regulator.voltage_mv

    def on_power_cycle(self) -> None:
        self.adapter.reset()
        self.ds4432u.code, self.tps546.operation = 0, tps546.OPERATION_OFF
        self._applied_mv = self.regulator.voltage_mv
        self._set_reset(False)

    # -- physics --------------------------------------------------------------------------------------------------

    def on_tick(self, now_ns: int) -> None:
        chips, physics = self.chain.chips, self.physics
        running = not self.chain.in_reset and not self._core_off()
        physics.frequency_mhz[:] = [chip.frequency_mhz if running else 0.0 for chip in chips]
        physics.voltage_v[:] = self._applied_mv / 1000.0
        physics.fan_share = self.fan.fan_share
        passed_s = TICK_S * self.speed
        found = physics.advance(passed_s, self.chain.difficulty)
        for chip, mhz in zip(chips, physics.frequency_mhz, strict=True):
            chip.hashes += float(mhz) * 1e6 * self.spec.chip.hashes_per_clock * passed_s / 2**32
        for offset_s, index, core, valid in zip(found.offset_s, found.chip, found.core, found.valid, strict=True):
            chips[int(index)].errors += 0.0 if valid else float(self.chain.difficulty)
            at = now_ns + round(float(offset_s) / self.speed * 1e9)
            self._push(at, int(index), int(core), bool(valid))

    def _push(self, at_ns: int, chip: int, core: int, valid: bool) -> None:
        heapq.heappush(self._events, (at_ns, self._order, chip, core, valid))
        self._order += 1

    def next_event_ns(self) -> int | None:
        return self._events[0][0] if self._events else None

    def on_events(self, now_ns: int) -> None:
        while self._events and self._events[0][0] <= now_ns:
            at, _, chip, core, valid = heapq.heappop(self._events)
            self._find(max(at, now_ns - LATE_NS), chip, core, valid)

    def _find(self, at_ns: int, chip: int, core: int, valid: bool) -> None:
        """A core has found a nonce: pick the job it belongs to, and put the reply on the line."""
        spec = self.spec.job
        since_s = (at_ns - self._job_since_ns) * 1e-9 * self.speed
        job = self._current_job
        if since_s < spec.stale_s and self._previous_job is not None and self._random.random() < 0.5:
            job = self._previous_job  # was on its way through the pipeline when the new job came
        elif since_s < spec.dead_s + spec.ramp_s * self._random.random():
            return
        if job is None or self.chain.in_reset:
            return
        batch_s = self.chain.batch_s or 1.0
        small = self._random.randrange(_SUB_CORES)
        field = int(max(since_s, 0.0) / batch_s) * _SUB_CORES + small
        nonce, version_field = self._search(job, chip, core, field, valid)
        reply = NonceReply(
            nonce=nonce,
            excess=self._excess(job, nonce, version_field << 13) if valid else 0,
            id_byte=job.job_id & 0xF8 | small,
            version_field=version_field if self.chain.long_replies else None,
        )
        frame = encode_reply(reply)
        self.line.send(frame, at_ns)
        if self._observer is not None:
            self._observer(job, reply)
        self.sent_nonces += 1
        self.sent_valid += valid
        if self._random.random() < spec.duplicate_probability:
            self.line.send(frame, at_ns + round(self._random.expovariate(20.0) / self.speed * 1e9))

    @property
    def _needed_bits(self) -> int:
        return self.proof_bits + self.chain.difficulty.bit_length() - 1

    def _search(self, job: HeaderJob, chip: int, core: int, field: int, valid: bool) -> tuple[int, int]:
        """Nonce and version field of that core whose hash has the zero bits its difficulty asks for, or has not."""
        alone = len(self.chain.chips) == 1  # a chain spends eight bits on the chip's address
        fixed = nonce_at(core, 0 if alone else self.chain.chips[chip].address << 17)
        free = _FREE_BITS if alone else _FREE_BITS_OF_CHAIN
        while True:
            version_field = field & 0xFFFF & self.chain.version_mask >> 13
            header = job.header(0, version_field << 13)
            nonce = find_nonce(
                midstate(header[:64]),
                struct.unpack("<III", header[64:76]),
                fixed,
                free,
                self._needed_bits,
                valid,
                self._random.getrandbits(32),
            )
            if nonce is not None:
                return nonce, version_field
            field += _SUB_CORES

    def _excess(self, job: HeaderJob, nonce: int, version_bits: int) -> int:
        """Half-bit steps above the mask, as the chip reports them."""
        digest = hashlib.sha256(hashlib.sha256(job.header(nonce, version_bits)).digest()).digest()
        ratio = 2.0 ** (256 - self._needed_bits) / max(1, int.from_bytes(digest, "little"))
        return min(255, 2 * int(math.log2(max(1.0, ratio))))
