"""An emulated LV06: AxeOS of either generation on a real socket, the twin of its BM1366 behind it."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from dataclasses import replace

from asic_reservoir.twin.spec import LV06
from drivers.emulated_device import DeviceNonce, EmulatedDevice
from drivers.emulated_pool_client import Dialect, LinkFaults, PoolClient, PoolWork
from drivers.lv06.emulated_web import SMALL_CORES, VERSIONS, Web, system_info
from firmware_bridge.announcement import HEADER, with_agent
from firmware_bridge.axeos import Generation
from firmware_bridge.axeos.log import (
    DifficultyReported,
    Event,
    JobReceived,
    LogLine,
    NonceReported,
    OtherText,
    StratumReceived,
    StratumSent,
    format_log_line,
)
from firmware_bridge.axeos.settings import Pool, Setting
from firmware_bridge.http_server import HttpServer
from firmware_bridge.regulators import ds4432u

LOG_PATH = "/api/ws"
BOOT_S = 20.0
"""Board time without service after a restart: boot, Wi-Fi, ramp (protocols.md 3.2: 15 to 40 s)."""
TRIP_C = 75.0
RESUME_C = 45.0
_RAMP_MHZ_PER_S = 62.5  # 6.25 MHz each 100 ms
_JOB_STEP = 8
_DIALECTS = {
    Generation.LIVE: Dialect(),
    Generation.STOCK: Dialect(
        order=("subscribe", "configure", "suggest", "authorize"),
        spaced=True,
        integer_difficulty=True,
        strict_difficulty=True,
    ),
}


def regulator_output_mv(asked_mv: float) -> float:
    """What the DS4432U makes of a request: the firmware does not clamp its code, so low requests wrap (ESP-Miner).

    >>> round(regulator_output_mv(1200)), round(regulator_output_mv(950))
    (1199, 1421)
    """
    current = abs(0.6 / 3320.0 - (asked_mv / 1000.0 - 0.6) / 4750.0)
    code = math.ceil(current / 9.8921e-5 * 127) & 0xFF
    return ds4432u.decode(code | 0x80 if asked_mv < 1451.0 else code)


class EmulatedLv06(EmulatedDevice):
    """The device.

    Args:
        generation: Of the firmware.
        host, port: Where its HTTP server listens; port 0 lets the system choose, see :attr:`port`.
        settings: Stored settings that it starts with, such as an overheat fallback somebody left behind.
        voltage_ignored: A board whose regulator does not follow (a cold joint, a missing part).
        inlet_c: Temperature of the air.
    """

    def __init__(
        self,
        *,
        generation: Generation = Generation.LIVE,
        host: str = "127.0.0.1",
        port: int = 0,
        seed: int = 0,
        speed: float = 1.0,
        settings: dict[str, Setting] | None = None,
        faults: LinkFaults | None = None,
        voltage_ignored: bool = False,
        inlet_c: float | None = None,
    ) -> None:
        heat = LV06.heat if inlet_c is None else replace(LV06.heat, inlet_c=inlet_c)
        super().__init__(replace(LV06, heat=heat), seed, LV06.ticket_mask, speed, faults)
        self.generation, self.host, self.port = generation, host, port
        defaults: dict[str, Setting] = {
            "frequency": 485,
            "coreVoltage": 1200,
            "autofanspeed": True,
            "fanspeed": 100,
            "manualFanSpeed": 100,
            "minFanSpeed": 25,
            "temptarget": 60,
            "overheat_mode": 0,
            "statsFrequency": 0,
            "hostname": "bitaxe",
            "ssid": "lab",
            "stratumURL": "",
            "stratumPort": 3333,
            "stratumUser": "lab.lv06",
            "flipscreen": 1,
            "invertscreen": 0,
            "invertfanpolarity": 1,
        }
        self.nvs: dict[str, Setting] = {**defaults, **(settings or {})}
        self.restarts = 0
        self.overheats = 0
        self._voltage_ignored = voltage_ignored
        self.clock_mhz = 0.0
        self.target_mhz = 0.0
        self._core_mv = 1200.0
        self.booted_s = 0.0
        self.up = False
        self.paused = False
        self._protected = False
        self._cool_until_s = 0.0
        self.fan_duty_percent = 100.0
        self.rate_ghs = 0.0
        self.hash_counter = 0.0
        self.best = 0.0
        self._chip_job = 0
        self._log_waits: deque[str] = deque(maxlen=4096)
        self.samples: list[tuple[float, ...]] = []
        self._restarting: asyncio.Task[None] | None = None
        self._http = HttpServer(self.through_link(Web(self).answer), web_sockets=(LOG_PATH,))
        self._http.extra_headers = {"Access-Control-Allow-Origin": "*", HEADER: str(self.announcement)}

    # -- life ----------------------------------------------------------------------------------------------------

    def _warm_point(self) -> tuple[float, float]:
        return float(self.nvs["frequency"]), regulator_output_mv(float(self.nvs["coreVoltage"])) / 1000.0

    async def _open(self) -> None:
        self.port = self.hold(self.host, self.port)
        await self._boot()

    async def _close(self) -> None:
        if self._restarting is not None:
            self._restarting.cancel()
        await self._http.stop()

    async def _boot(self) -> None:
        self.booted_s = self.now_s
        self._protected, self.paused = False, False
        self.target_mhz = float(self.nvs["frequency"])
        self.clock_mhz = self.target_mhz if self.generation is Generation.STOCK else 50.0
        self._set_voltage()
        self.up = True
        await self._http.start(self.host, self.port)
        self._connect_pool()

    def _connect_pool(self) -> None:
        if not self.nvs["stratumURL"]:
            return
        version = VERSIONS[self.generation]
        agent = f"bitaxe/BM1366/{version}" if self.generation is Generation.LIVE else f"bitaxe/BM1366 ({version})"
        self.pool = PoolClient(
            str(self.nvs["stratumURL"]),
            int(self.nvs["stratumPort"]),
            str(self.nvs["stratumUser"]),
            with_agent(agent, self.announcement),
            _DIALECTS[self.generation],
            self._take_job,
            self._log_stratum,
            source_host=self.host if self.host != "0.0.0.0" else None,
            faults=self.faults,
            seed=self.seed,
        )
        self.pool.start()

    async def _restart(self) -> None:
        self.restarts += 1
        self.up = False
        await asyncio.sleep(0.02)  # the answer to the request still goes out
        await self._http.stop()
        await self._disconnect_pool()
        self._drop_found()
        await asyncio.sleep(BOOT_S / self.speed)
        await self._boot()

    async def _disconnect_pool(self) -> None:
        if self.pool is not None:
            await self.pool.stop()
            self.pool = None

    # -- hardware ------------------------------------------------------------------------------------------------

    def _set_voltage(self) -> None:
        if not self._voltage_ignored:
            self._core_mv = regulator_output_mv(float(self.nvs["coreVoltage"]))

    def _settle(self, board_s: float) -> None:
        if self.generation is Generation.LIVE:
            step = _RAMP_MHZ_PER_S * board_s
            self.clock_mhz += max(-step, min(step, self.target_mhz - self.clock_mhz))
        mhz = self.clock_mhz if self._hashing() else 0.0
        self.physics.frequency_mhz[:] = mhz
        self.physics.voltage_v[:] = self._core_mv / 1000.0
        self.physics.fan_share = self.fan_duty_percent / 100.0
        self.hash_counter += mhz * 1e6 * SMALL_CORES * board_s / 2.0**32

    def _hashing(self) -> bool:
        return self.up and not self.paused and not self._protected and self.pool is not None

    def _take_job(self, job: PoolWork) -> None:
        self._chip_job = (self._chip_job + _JOB_STEP) % 128
        self._new_job(job)

    def _report(self, nonce: DeviceNonce) -> None:
        job, share = nonce.job, nonce.share
        self.best = max(self.best, nonce.difficulty)
        pool_difficulty = job.difficulty / self.announcement.scale
        if self.generation is Generation.LIVE:
            core = self.spec.core_numbers[nonce.core]
            small = share.version_bits >> 13 & 7
            event: Event = NonceReported(
                job.work.job_id, 0, core, small, share.version_bits, share.nonce, nonce.difficulty, pool_difficulty
            )
            self._log(event, "asic_result", nonce.time_s)
        else:
            self._log(JobReceived(self._chip_job), "bm1366Module", nonce.time_s)
            self._log(
                DifficultyReported(nonce.difficulty, float(int(pool_difficulty + 1e-9))), "ASIC_result", nonce.time_s
            )
        self.submit(nonce)

    def _log(self, event: Event, tag: str, time_s: float | None = None) -> None:
        if self.rng.random() < self.faults.loss:
            return
        at = self.now_s if time_s is None else time_s
        line = LogLine(max(0, int((at - self.booted_s) * 1000)), "I", tag, event)
        self._log_waits.append(f"\x1b[0;32m{format_log_line(line)[:-1]}\x1b[0m\n")
        while self._log_waits and not self.faults.mute:  # TCP keeps what the cable does not take
            self._http.broadcast(LOG_PATH, self._log_waits.popleft())

    def _log_stratum(self, sent: bool, line: str) -> None:
        self._log(StratumSent(line) if sent else StratumReceived(line), "stratum_api")

    # -- firmware ------------------------------------------------------------------------------------------------

    async def _housekeeping(self) -> None:
        period_s = 2.0 if self.generation is Generation.STOCK else 0.1
        last_sample_s = 0.0
        while True:
            await asyncio.sleep(max(period_s / self.speed, 0.01))
            if not self.up:
                continue
            self._control_fan()
            self._measure_rate()
            if self.generation is Generation.STOCK:
                self._protect_stock()
            else:
                self._protect_live()
                every = float(self.nvs["statsFrequency"])
                if every and self.now_s - last_sample_s >= every:
                    last_sample_s = self.now_s
                    self.samples = [*self.samples[-719:], self._sample()]

    def _control_fan(self) -> None:
        if self._protected:
            self.fan_duty_percent = 100.0
        elif not self.nvs["autofanspeed"]:
            self.fan_duty_percent = float(
                self.nvs["fanspeed" if self.generation is Generation.STOCK else "manualFanSpeed"]
            )
        elif self.generation is Generation.STOCK:
            self.fan_duty_percent = min(100.0, max(20.0, 20.0 + (self.die_c() - 50.0) * 80.0 / 25.0))
        else:
            error = self.die_c() - float(self.nvs["temptarget"])
            wanted = self.fan_duty_percent + 0.5 * error
            self.fan_duty_percent = min(100.0, max(float(self.nvs["minFanSpeed"]), wanted))

    def _measure_rate(self) -> None:
        now = self.clock_mhz * SMALL_CORES / 1000.0 if self._hashing() else 0.0
        right = 1.0 - self.wrong / self.reported if self.reported > 20 else 1.0
        if self.generation is Generation.LIVE:
            self.rate_ghs = self.noisy(now, 0.01) * right
        else:  # an estimate from about 100 nonces, smoothed 9:1
            self.rate_ghs = 0.9 * self.rate_ghs + 0.1 * max(0.0, self.noisy(now * right, 0.1))

    def overheat(self) -> None:
        """Its firmware finds the chip too hot, for whatever reason, and protects it. From any thread."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._trip)

    def _trip(self) -> None:
        self.overheats += 1
        self._protected = True
        if self.generation is Generation.STOCK:  # the LV06 has no power switch: settings are stored and the task ends
            self.nvs |= {"coreVoltage": 990, "frequency": 50, "fanspeed": 100, "autofanspeed": False}
            self._log(OtherText("OVERHEAT"), "power_management")
        else:
            self._cool_until_s = self.now_s + 30.0
            self._log(OtherText("OVERHEAT! ASIC"), "power_management")

    def _protect_stock(self) -> None:
        if self.die_c() > TRIP_C and self.clock_mhz > 50 and not self._protected:
            self._trip()

    def _protect_live(self) -> None:
        if not self._protected and self.die_c() > TRIP_C:
            self._trip()
        elif self._protected and self.now_s > self._cool_until_s and self.die_c() < RESUME_C:
            self._protected = False
            self.nvs["coreVoltage"] = int(self.nvs["coreVoltage"]) - 100
            self.nvs["frequency"] = float(self.nvs["frequency"]) - 100
            self.nvs["overheat_mode"] = 1
            self.target_mhz = float(self.nvs["frequency"])
            self._set_voltage()

    # -- for its web interface ------------------------------------------------------------------------------------

    def store(self, settings: dict[str, Setting]) -> None:
        """Keep settings; the live generation applies them at once, the stock one when it starts."""
        self.nvs |= settings
        if self.generation is Generation.LIVE:
            self.target_mhz = float(self.nvs["frequency"])
            self._set_voltage()

    async def take_pool(self, pool: Pool) -> None:
        """Leave the present pool for this one."""
        self.nvs |= {"stratumURL": pool.url, "stratumPort": pool.port, "stratumUser": pool.user}
        await self._disconnect_pool()
        self._connect_pool()

    def restart_soon(self) -> None:
        """Begin a restart; the request for it is still answered."""
        self._restarting = asyncio.get_running_loop().create_task(self._restart())

    def _sample(self) -> tuple[float, ...]:
        info = system_info(self)
        return (
            self.rate_ghs,
            float(info.temperature_c or 0),
            float(info.core_voltage_actual_mv or 0),
            float(info.power_w or 0),
            self.fan_duty_percent,
            float(info.fan_rpm or 0),
            (self.now_s - self.booted_s) * 1000.0,
        )
