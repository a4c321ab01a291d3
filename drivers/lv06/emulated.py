"""An emulated LV06: AxeOS of either generation on a real socket, the twin of its BM1366 behind it."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace

from asic_reservoir.errors import DataError
from asic_reservoir.twin.spec import LV06
from drivers.emulated_device import DeviceNonce, EmulatedDevice
from drivers.emulated_pool_client import Dialect, LinkFaults, PoolClient, PoolWork
from firmware_bridge.announcement import HEADER, with_agent
from firmware_bridge.axeos import Generation
from firmware_bridge.axeos.asic import BM1366_OPTIONS, Statistics, encode_asic, encode_statistics
from firmware_bridge.axeos.info import SystemInfo, encode_info
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
from firmware_bridge.axeos.settings import Pool, Setting, read_patch, read_pool
from firmware_bridge.http_server import HttpRequest, HttpResponse, HttpServer
from firmware_bridge.regulators import ds4432u

LOG_PATH = "/api/ws"
BOOT_S = 20.0
"""Board time without service after a restart: boot, Wi-Fi, ramp (protocols.md 3.2: 15 to 40 s)."""
TRIP_C = 75.0
RESUME_C = 45.0
SMALL_CORES = 894
_RAMP_MHZ_PER_S = 62.5  # 6.25 MHz each 100 ms
_JOB_STEP = 8
_PAGES = {
    Generation.LIVE: "<!doctype html><html><head><title>AxeOS</title></head><body>AxeOS</body></html>",
    Generation.STOCK: "<!doctype html><html><head><title>Lucky miner</title></head><body>Lucky miner</body></html>",
}
_VERSIONS = {Generation.LIVE: "v2.10.0", Generation.STOCK: "v2.1.8"}
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
        self._clock_mhz = 0.0
        self._target_mhz = 0.0
        self._core_mv = 1200.0
        self._booted_s = 0.0
        self._up = False
        self._paused = False
        self._protected = False
        self._cool_until_s = 0.0
        self._fan_percent = 100.0
        self._rate_ghs = 0.0
        self._counter = 0.0
        self._best = 0.0
        self._chip_job = 0
        self._samples: list[tuple[float, ...]] = []
        self._restarting: asyncio.Task[None] | None = None
        self._http = HttpServer(self._answer, web_sockets=(LOG_PATH,))
        self._http.extra_headers = {"Access-Control-Allow-Origin": "*", HEADER: str(self.announcement)}

    # -- life ----------------------------------------------------------------------------------------------------

    def _warm_point(self) -> tuple[float, float]:
        return float(self.nvs["frequency"]), regulator_output_mv(float(self.nvs["coreVoltage"])) / 1000.0

    async def _open(self) -> None:
        await self._boot()

    async def _close(self) -> None:
        if self._restarting is not None:
            self._restarting.cancel()
        await self._http.stop()

    async def _boot(self) -> None:
        self._booted_s = self.now_s
        self._protected, self._paused = False, False
        self._target_mhz = float(self.nvs["frequency"])
        self._clock_mhz = self._target_mhz if self.generation is Generation.STOCK else 50.0
        self._set_voltage()
        self._up = True
        self.port = await self._http.start(self.host, self.port)
        self._connect_pool()

    def _connect_pool(self) -> None:
        if not self.nvs["stratumURL"]:
            return
        version = _VERSIONS[self.generation]
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
        self._up = False
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
            self._clock_mhz += max(-step, min(step, self._target_mhz - self._clock_mhz))
        mhz = self._clock_mhz if self._hashing() else 0.0
        self.physics.frequency_mhz[:] = mhz
        self.physics.voltage_v[:] = self._core_mv / 1000.0
        self.physics.fan_share = self._fan_percent / 100.0
        self._counter += mhz * 1e6 * SMALL_CORES * board_s / 2.0**32

    def _hashing(self) -> bool:
        return self._up and not self._paused and not self._protected and self.pool is not None

    def _take_job(self, job: PoolWork) -> None:
        self._chip_job = (self._chip_job + _JOB_STEP) % 128
        self._new_job(job)

    def _report(self, nonce: DeviceNonce) -> None:
        job, share = nonce.job, nonce.share
        self._best = max(self._best, nonce.difficulty)
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
        line = LogLine(max(0, int((at - self._booted_s) * 1000)), "I", tag, event)
        self._http.broadcast(LOG_PATH, f"\x1b[0;32m{format_log_line(line)[:-1]}\x1b[0m\n")

    def _log_stratum(self, sent: bool, line: str) -> None:
        self._log(StratumSent(line) if sent else StratumReceived(line), "stratum_api")

    # -- firmware ------------------------------------------------------------------------------------------------

    async def _housekeeping(self) -> None:
        period_s = 2.0 if self.generation is Generation.STOCK else 0.1
        last_sample_s = 0.0
        while True:
            await asyncio.sleep(max(period_s / self.speed, 0.01))
            if not self._up:
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
                    self._samples = [*self._samples[-719:], self._sample()]

    def _control_fan(self) -> None:
        if self._protected:
            self._fan_percent = 100.0
        elif not self.nvs["autofanspeed"]:
            self._fan_percent = float(self.nvs["fanspeed" if self.generation is Generation.STOCK else "manualFanSpeed"])
        elif self.generation is Generation.STOCK:
            self._fan_percent = min(100.0, max(20.0, 20.0 + (self.die_c() - 50.0) * 80.0 / 25.0))
        else:
            error = self.die_c() - float(self.nvs["temptarget"])
            wanted = self._fan_percent + 0.5 * error
            self._fan_percent = min(100.0, max(float(self.nvs["minFanSpeed"]), wanted))

    def _measure_rate(self) -> None:
        now = self._clock_mhz * SMALL_CORES / 1000.0 if self._hashing() else 0.0
        right = 1.0 - self.wrong / self.reported if self.reported > 20 else 1.0
        if self.generation is Generation.LIVE:
            self._rate_ghs = self.noisy(now, 0.01) * right
        else:  # an estimate from about 100 nonces, smoothed 9:1
            self._rate_ghs = 0.9 * self._rate_ghs + 0.1 * max(0.0, self.noisy(now * right, 0.1))

    def _protect_stock(self) -> None:
        if self.die_c() > TRIP_C and self._clock_mhz > 50 and not self._protected:
            self.overheats += 1
            self._protected = True  # the LV06 has no power switch: settings are stored and the task ends
            self.nvs |= {"coreVoltage": 990, "frequency": 50, "fanspeed": 100, "autofanspeed": False}
            self._log(OtherText("OVERHEAT"), "power_management")

    def _protect_live(self) -> None:
        if not self._protected and self.die_c() > TRIP_C:
            self.overheats += 1
            self._protected, self._cool_until_s = True, self.now_s + 30.0
            self._log(OtherText("OVERHEAT! ASIC"), "power_management")
        elif self._protected and self.now_s > self._cool_until_s and self.die_c() < RESUME_C:
            self._protected = False
            self.nvs["coreVoltage"] = int(self.nvs["coreVoltage"]) - 100
            self.nvs["frequency"] = float(self.nvs["frequency"]) - 100
            self.nvs["overheat_mode"] = 1
            self._target_mhz = float(self.nvs["frequency"])
            self._set_voltage()

    # -- HTTP ----------------------------------------------------------------------------------------------------

    async def _answer(self, request: HttpRequest) -> HttpResponse | None:
        if not self._up:
            return None
        live = self.generation is Generation.LIVE
        if live and not _origin_allowed(request.headers.get("origin")):
            return HttpResponse(401, b'{"error":"Unauthorized"}')
        match request.method, request.path:
            case "GET", "/":
                return HttpResponse(200, _PAGES[self.generation].encode(), "text/html")
            case "GET", "/api/system/info":
                return HttpResponse(200, encode_info(self.system_info(), self.generation))
            case "GET", "/api/system/asic" if live:
                return HttpResponse(200, encode_asic(BM1366_OPTIONS))
            case "GET", "/api/system/statistics" if live:
                return self._statistics(request.query)
            case "GET", "/api/swarm/info" if not live:
                return HttpResponse(200, b"[]")
            case "PATCH", "/api/system":
                return self._patch(request.body)
            case "POST", "/api/system/restart":
                self._restarting = asyncio.get_running_loop().create_task(self._restart())
                return HttpResponse(200, b"System will restart shortly.", "text/plain")
            case "POST", "/api/system/pause" | "/api/system/resume" if live:
                self._paused = request.path.endswith("pause")
                return HttpResponse()
            case "PUT", path if live and path.startswith("/api/system/pools/"):
                return await self._put_pool(path, request.body)
            case _ if request.path.startswith("/api/"):
                return HttpResponse(404, b'{"error":"unknown route"}')
            case _:
                return HttpResponse(404, b"not found", "text/plain")

    def _patch(self, body: bytes) -> HttpResponse:
        try:
            kept = read_patch(body, self.generation)
        except DataError as error:
            return HttpResponse(400, str(error).encode(), "text/plain")
        self.nvs |= kept
        if self.generation is Generation.LIVE:
            self._target_mhz = float(self.nvs["frequency"])
            self._set_voltage()
        return HttpResponse()

    async def _put_pool(self, path: str, body: bytes) -> HttpResponse:
        try:
            pool: Pool = read_pool(body)
        except DataError as error:
            return HttpResponse(400, str(error).encode(), "text/plain")
        if path.removeprefix("/api/system/pools/") != "0":
            return HttpResponse()  # stored, but not the primary pool
        self.nvs |= {"stratumURL": pool.url, "stratumPort": pool.port, "stratumUser": pool.user}
        await self._disconnect_pool()
        self._connect_pool()
        return HttpResponse()

    def _sample(self) -> tuple[float, ...]:
        info = self.system_info()
        return (
            self._rate_ghs,
            float(info.temperature_c or 0),
            float(info.core_voltage_actual_mv or 0),
            float(info.power_w or 0),
            self._fan_percent,
            float(info.fan_rpm or 0),
            (self.now_s - self._booted_s) * 1000.0,
        )

    def _statistics(self, query: str) -> HttpResponse:
        have = ("hashrate", "asicTemp", "asicVoltage", "power", "fanSpeed", "fanRpm")
        asked = next((part[8:].split(",") for part in query.split("&") if part.startswith("columns=")), list(have))
        columns = [have.index(name) for name in asked if name in have]
        labels = (*(have[index] for index in columns), "timestamp")
        rows = tuple(tuple(sample[index] for index in [*columns, len(have)]) for sample in self._samples)
        now_ms = int((self.now_s - self._booted_s) * 1000)
        return HttpResponse(200, encode_statistics(Statistics(now_ms, labels, rows)))

    def system_info(self) -> SystemInfo:
        """What the board says about itself now."""
        power = self.noisy(self.physics.input_w, 0.005)
        common = SystemInfo(
            power_w=round(power, 2),
            input_voltage_mv=5093.75,
            current_ma=round(power / 5.09375 * 1000.0 / 1.25) * 1.25,
            temperature_c=round(self.die_c(), 2),
            hashrate_ghs=round(self._rate_ghs, 3),
            best_difficulty=self._best,
            best_session_difficulty=self._best,
            free_heap=153_216,
            core_voltage_mv=float(self.nvs["coreVoltage"]),
            core_voltage_actual_mv=round(self.noisy(1000.0 * float(self.physics.board_v[0]), 0.001)),
            frequency_mhz=float(self.nvs["frequency"]),
            ssid=str(self.nvs["ssid"]),
            hostname=str(self.nvs["hostname"]),
            wifi_status="Connected!",
            shares_accepted=0 if self.pool is None else self.pool.accepted,
            shares_rejected=0 if self.pool is None else self.pool.rejected,
            uptime_s=int(self.now_s - self._booted_s),
            asic_model="BM1366",
            stratum_url=str(self.nvs["stratumURL"]),
            stratum_port=int(self.nvs["stratumPort"]),
            stratum_user=str(self.nvs["stratumUser"]),
            version=_VERSIONS[self.generation],
            board_version="0.11",
            running_partition="factory",
            auto_fan=bool(self.nvs["autofanspeed"]),
            fan_rpm=round(self.physics.fan_rpm),
        )
        if self.generation is Generation.STOCK:
            return replace(
                common,
                miner_model="LV06",
                fan_percent=float(self.nvs["fanspeed"]),
                flip_screen=bool(self.nvs["flipscreen"]),
                invert_screen=bool(self.nvs["invertscreen"]),
                invert_fan_polarity=bool(self.nvs["invertfanpolarity"]),
            )
        errors = self.wrong / self.reported if self.reported else 0.0
        return replace(
            common,
            regulator_temperature_c=0.0,
            actual_frequency_mhz=round(self._clock_mhz, 2),
            expected_hashrate_ghs=self._target_mhz * SMALL_CORES / 1000.0,
            error_percent=round(100.0 * errors, 3),
            overheat_mode=bool(self.nvs["overheat_mode"]),
            mining_paused=self._paused,
            small_core_count=SMALL_CORES,
            fan_percent=round(self._fan_percent),
            manual_fan_percent=float(self.nvs["manualFanSpeed"]),
            temperature_target_c=float(self.nvs["temptarget"]),
            statistics_period_s=int(self.nvs["statsFrequency"]),
            mac=f"02:00:00:00:00:{self.seed & 0xFF:02X}",
            hash_counters=(int(self._counter),),
        )


def _origin_allowed(origin: str | None) -> bool:
    """The live generation refuses pages from elsewhere (protocols.md 3.6)."""
    if origin is None:
        return True
    name = origin.partition("://")[2].partition(":")[0]
    private = name.startswith(("10.", "192.168.", "127.")) or any(name.startswith(f"172.{i}.") for i in range(16, 32))
    return private or "." not in name or name.endswith(".local")
