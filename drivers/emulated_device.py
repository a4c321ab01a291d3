"""What every emulated network device is made of: a twin in (stretched) real time, a pool client, an event loop.

The device runs in a thread of its own with its own event loop; nothing but sockets connects it with a driver.
"""

from __future__ import annotations

import asyncio
import random
import socket
import threading
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import numpy as np

from asic_reservoir.errors import AsicReservoirError, BusyError, ServerError
from asic_reservoir.headers import DIFFICULTY_ONE, DIFFICULTY_ONE_LBRY, target_of_difficulty
from asic_reservoir.twin.arrivals import Exposure
from asic_reservoir.twin.spec import TwinSpec
from drivers.emulated_physics import DevicePhysics
from drivers.emulated_pool_client import LinkFaults, PoolClient, PoolWork
from drivers.emulated_share import FoundShare, find_share
from firmware_bridge.announcement import Announcement
from firmware_bridge.http_server import Handler, HttpRequest, HttpResponse
from firmware_bridge.stratum.difficulty import HASHES_PER_DIFFICULTY, HASHES_PER_DIFFICULTY_LBRY

TRIES_PER_SHARE = 8
"""Mean number of hashes for one share at the mask: it fixes the scale of the wire's difficulties."""
SLICE_S = 0.02
"""Host time by which the twin runs ahead of the wall."""
DEVICE_JOB_S = 2.0
"""The firmware makes a chip job of a new extranonce2 so often (board time)."""


@dataclass(frozen=True, slots=True)
class DeviceNonce:
    """A nonce that the device's chips reported to its firmware."""

    time_s: float
    """Board time since the device was switched on."""
    chip: int
    core: int
    valid: bool
    """Whether its hash meets the mask."""
    job: PoolWork
    share: FoundShare
    difficulty: float
    """Of its hash, on the device's own scale."""


class EmulatedDevice:
    """Base of the emulated network devices.

    Args:
        spec: Which board.
        seed: Which specimen.
        mask: Ticket mask of its firmware.
        speed: Seconds of the board in one second of the host.
        faults: Of its network link.
    """

    def __init__(self, spec: TwinSpec, seed: int, mask: int, speed: float, faults: LinkFaults | None = None) -> None:
        self.spec, self.seed, self.mask, self.speed = spec, seed, mask, speed
        self.faults = faults or LinkFaults()
        lbry = spec.algorithm == "lbry"
        self._unit = HASHES_PER_DIFFICULTY_LBRY if lbry else HASHES_PER_DIFFICULTY
        self._one = DIFFICULTY_ONE_LBRY if lbry else DIFFICULTY_ONE
        self.announcement = Announcement(speed, TRIES_PER_SHARE / (mask * self._unit))
        self._target = target_of_difficulty(mask * self.announcement.scale, self._one)
        self.physics = DevicePhysics(spec, seed)
        self.rng = random.Random(seed ^ 0xE11A)
        self.pool: PoolClient | None = None
        self.reported = 0
        """Nonces that the chips reported, wrong ones included; duplicates not."""
        self.wrong = 0
        self._started_at = 0.0
        self._horizon_s = 0.0
        self._fresh_at_s = -1e9
        self._exposure = Exposure(spec.job.dead_s, spec.job.ramp_s)
        self._extranonce2 = b""
        self._extranonce2_until_s = 0.0
        self._timers: set[asyncio.TimerHandle] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._stopping: asyncio.Event | None = None
        self._failure: BaseException | None = None
        self._held: list[socket.socket] = []

    # -- thread --------------------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Bring the device up; its ports answer when this returns. Raises ServerError where that fails."""
        up = threading.Event()
        self._thread = threading.Thread(target=self._main, args=(up,), name=type(self).__name__, daemon=True)
        self._thread.start()
        up.wait(30)
        self.check()
        return self

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._thread is not None and self._thread.is_alive()

    def check(self) -> None:
        """Raises what made it fail, if anything did."""
        if isinstance(self._failure, AsicReservoirError):
            raise self._failure
        if isinstance(self._failure, OSError):
            raise BusyError(f"emulated {self.spec.family}: {self._failure.strerror}, its address must be free")
        if self._failure is not None:
            raise ServerError(f"emulated {self.spec.family}: {self._failure!r}")

    def stop(self) -> None:
        """Pull its plug. May be called twice."""
        if self._loop is not None and self._stopping is not None and self._thread is not None:
            if self._thread.is_alive():
                self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join(30)

    def pull_plug(self, inside_frame: bool = True) -> None:
        """Pull its network cable; with ``inside_frame`` while it sends a share. It hashes on, and nobody hears it."""
        self.faults.unplugged = True
        if self._loop is not None and self.pool is not None:
            self._loop.call_soon_threadsafe(self.pool.cut, inside_frame)

    def plug_in(self) -> None:
        """Put the cable back."""
        self.faults.unplugged = False

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _main(self, up: threading.Event) -> None:
        try:
            asyncio.run(self._live(up))
        except BaseException as error:
            self._failure = error
            up.set()

    async def _live(self, up: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        self._started_at = self._loop.time()
        self.physics.warm_up(*self._warm_point())
        self._started_at = self._loop.time()
        await self._open()
        up.set()
        tasks = [asyncio.create_task(self._hash()), asyncio.create_task(self._housekeeping())]
        stopped = asyncio.create_task(self._wait_for_stop(self._stopping))
        done, _ = await asyncio.wait([*tasks, stopped], return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._drop_found()
        if self.pool is not None:
            await self.pool.stop()
        await self._close()
        for held in self._held:
            held.close()
        for task in done - {stopped}:
            failure = task.exception()
            if failure is not None:
                raise failure

    @staticmethod
    async def _wait_for_stop(stopping: asyncio.Event) -> None:
        await stopping.wait()

    def hold(self, host: str, port: int) -> int:
        """Keep a port for the device while it is down, so that it comes back at the same; 0 lets the system choose."""
        held = socket.socket()
        self._held.append(held)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind((host, port))
        return int(held.getsockname()[1])

    def through_link(self, handler: Handler) -> Handler:
        """The handler of a web server as it answers over this device's link."""

        async def answer(request: HttpRequest) -> HttpResponse | None:
            return await handler(request) if await self.faults.carry(self.rng) else None

        return answer

    # -- time and nonces -----------------------------------------------------------------------------------------

    @property
    def now_s(self) -> float:
        """Board time since the device was switched on."""
        assert self._loop is not None
        return (self._loop.time() - self._started_at) * self.speed

    async def _hash(self) -> None:
        """Let the twin run a slice ahead, and hand every nonce over at its own time."""
        self._horizon_s = self.now_s
        while True:
            until = self.now_s + SLICE_S * self.speed
            lasts = until - self._horizon_s
            self._settle(lasts)
            found = self.physics.advance(lasts, self.mask, self._unit)
            for offset, chip, core, valid in zip(found.offset_s, found.chip, found.core, found.valid, strict=True):
                at = self._horizon_s + float(offset)
                if self._exposed(at):
                    self._later(at, int(chip), int(core), bool(valid))
            self._horizon_s = until
            await asyncio.sleep(SLICE_S / 2)

    def _exposed(self, at_s: float) -> bool:
        """Thinning by the job: nothing in the dead time after a clean job, then a linear ramp."""
        since = at_s - self._fresh_at_s - self._exposure.dead_s
        if since >= self._exposure.ramp_s:
            return True
        return since > 0.0 and self.rng.random() < since / self._exposure.ramp_s

    def _later(self, at_s: float, chip: int, core: int, valid: bool) -> None:
        assert self._loop is not None
        handle: asyncio.TimerHandle | None = None

        def fire() -> None:
            if handle is not None:
                self._timers.discard(handle)
            self._found(at_s, chip, core, valid)

        handle = self._loop.call_at(self._started_at + at_s / self.speed, fire)
        self._timers.add(handle)

    def _drop_found(self) -> None:
        for handle in self._timers:
            handle.cancel()
        self._timers.clear()

    def _found(self, at_s: float, chip: int, core: int, valid: bool) -> None:
        pool = self.pool
        job = None if pool is None else pool.job
        if pool is None or job is None or not self._hashing():
            return
        if at_s >= self._extranonce2_until_s:
            self._extranonce2 = pool.next_extranonce2()
            self._extranonce2_until_s = at_s + DEVICE_JOB_S
        share = find_share(
            job.work,
            self._extranonce2,
            target=self._target,
            valid=valid,
            spec=self.spec,
            chip=chip,
            core=core,
            version_mask=pool.version_mask,
            rng=self.rng,
        )
        difficulty = self._one / max(share.hash_value, 1) / self.announcement.scale
        nonce = DeviceNonce(at_s, chip, core, valid, job, share, difficulty)
        self.reported += 1
        self.wrong += not valid
        self._report(nonce)
        if self.rng.random() < self.spec.job.duplicate_probability:
            self._report(nonce)

    def _new_job(self, job: PoolWork) -> None:
        """A clean job interrupts the chips: what they would have found of the old one is gone."""
        self._extranonce2_until_s = 0.0
        if job.clean:
            self._drop_found()
            self._fresh_at_s = self.now_s

    def submit(self, nonce: DeviceNonce) -> bool:
        """Send it to the pool where it is hard enough for it; whether it was."""
        pool = self.pool
        if pool is None:
            return False
        wanted = nonce.job.difficulty / self.announcement.scale
        if pool.dialect.integer_difficulty:
            wanted = float(int(wanted + 1e-9))
        passes = nonce.difficulty > wanted if pool.dialect.strict_difficulty else nonce.difficulty >= wanted
        if passes:
            share = nonce.share
            pool.submit(nonce.job.work.job_id, share.extranonce2, share.ntime, share.nonce, share.version_bits)
        return passes

    def noisy(self, value: float, relative: float) -> float:
        """A sensor's reading."""
        return value * (1.0 + relative * self.rng.gauss(0.0, 1.0))

    def die_c(self) -> float:
        """Temperature of the hottest chip, with the noise of a sensor."""
        return float(np.max(self.physics.die_c)) + self.rng.gauss(0.0, 0.2)

    # -- what a family fills in ----------------------------------------------------------------------------------

    def _warm_point(self) -> tuple[float, float]:
        """MHz and V at which it has been running before it is looked at."""
        raise NotImplementedError

    def _settle(self, board_s: float) -> None:
        """Move clocks, voltages and fans towards what was asked, over so much board time."""
        raise NotImplementedError

    def _hashing(self) -> bool:
        """Whether the chips hash at all."""
        raise NotImplementedError

    def _report(self, nonce: DeviceNonce) -> None:
        """The firmware has a nonce."""
        raise NotImplementedError

    async def _housekeeping(self) -> None:
        """Protection, restarts, and whatever else the firmware does now and then."""
        raise NotImplementedError

    async def _open(self) -> None:
        """Open the ports."""
        raise NotImplementedError

    async def _close(self) -> None:
        """Close the ports."""
        raise NotImplementedError
