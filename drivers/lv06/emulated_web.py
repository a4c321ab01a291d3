"""The web interface of an emulated LV06: AxeOS of either generation, as a page, as JSON."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from asic_reservoir.errors import DataError
from firmware_bridge.axeos import Generation
from firmware_bridge.axeos.asic import BM1366_OPTIONS, Statistics, encode_asic, encode_statistics
from firmware_bridge.axeos.info import SystemInfo, encode_info
from firmware_bridge.axeos.settings import Pool, read_patch, read_pool
from firmware_bridge.http_server import HttpRequest, HttpResponse

if TYPE_CHECKING:
    from drivers.lv06.emulated import EmulatedLv06

SMALL_CORES = 894
_PAGES = {
    Generation.LIVE: "<!doctype html><html><head><title>AxeOS</title></head><body>AxeOS</body></html>",
    Generation.STOCK: "<!doctype html><html><head><title>Lucky miner</title></head><body>Lucky miner</body></html>",
}
VERSIONS = {Generation.LIVE: "v2.10.0", Generation.STOCK: "v2.1.8"}


class Web:
    """Answers requests for one device."""

    def __init__(self, device: EmulatedLv06) -> None:
        self._device = device

    async def answer(self, request: HttpRequest) -> HttpResponse | None:
        device = self._device
        if not device.up:
            return None
        live = device.generation is Generation.LIVE
        if live and not _origin_allowed(request.headers.get("origin")):
            return HttpResponse(401, b'{"error":"Unauthorized"}')
        match request.method, request.path:
            case "GET", "/":
                return HttpResponse(200, _PAGES[device.generation].encode(), "text/html")
            case "GET", "/api/system/info":
                return HttpResponse(200, encode_info(system_info(device), device.generation))
            case "GET", "/api/system/asic" if live:
                return HttpResponse(200, encode_asic(BM1366_OPTIONS))
            case "GET", "/api/system/statistics" if live:
                return self._statistics(request.query)
            case "GET", "/api/swarm/info" if not live:
                return HttpResponse(200, b"[]")
            case "PATCH", "/api/system":
                return self._patch(request.body)
            case "POST", "/api/system/restart":
                device.restart_soon()
                return HttpResponse(200, b"System will restart shortly.", "text/plain")
            case "POST", "/api/system/pause" | "/api/system/resume" if live:
                device.paused = request.path.endswith("pause")
                return HttpResponse()
            case "PUT", path if live and path.startswith("/api/system/pools/"):
                return await self._put_pool(path, request.body)
            case _ if request.path.startswith("/api/"):
                return HttpResponse(404, b'{"error":"unknown route"}')
            case _:
                return HttpResponse(404, b"not found", "text/plain")

    def _patch(self, body: bytes) -> HttpResponse:
        try:
            kept = read_patch(body, self._device.generation)
        except DataError as error:
            return HttpResponse(400, str(error).encode(), "text/plain")
        self._device.store(kept)
        return HttpResponse()

    async def _put_pool(self, path: str, body: bytes) -> HttpResponse:
        try:
            pool: Pool = read_pool(body)
        except DataError as error:
            return HttpResponse(400, str(error).encode(), "text/plain")
        if path.removeprefix("/api/system/pools/") != "0":
            return HttpResponse()  # stored, but not the primary pool
        await self._device.take_pool(pool)
        return HttpResponse()

    def _statistics(self, query: str) -> HttpResponse:
        device = self._device
        have = ("hashrate", "asicTemp", "asicVoltage", "power", "fanSpeed", "fanRpm")
        asked = next((part[8:].split(",") for part in query.split("&") if part.startswith("columns=")), list(have))
        columns = [have.index(name) for name in asked if name in have]
        labels = (*(have[index] for index in columns), "timestamp")
        rows = tuple(tuple(sample[index] for index in [*columns, len(have)]) for sample in device.samples)
        now_ms = int((device.now_s - device.booted_s) * 1000)
        return HttpResponse(200, encode_statistics(Statistics(now_ms, labels, rows)))


def system_info(device: EmulatedLv06) -> SystemInfo:
    """What the board says about itself now."""
    power = device.noisy(device.physics.input_w, 0.005)
    common = SystemInfo(
        power_w=round(power, 2),
        input_voltage_mv=5093.75,
        current_ma=round(power / 5.09375 * 1000.0 / 1.25) * 1.25,
        temperature_c=round(device.die_c(), 2),
        hashrate_ghs=round(device.rate_ghs, 3),
        best_difficulty=device.best,
        best_session_difficulty=device.best,
        free_heap=153_216,
        core_voltage_mv=float(device.nvs["coreVoltage"]),
        core_voltage_actual_mv=round(device.noisy(1000.0 * float(device.physics.board_v[0]), 0.001)),
        frequency_mhz=float(device.nvs["frequency"]),
        ssid=str(device.nvs["ssid"]),
        hostname=str(device.nvs["hostname"]),
        wifi_status="Connected!",
        shares_accepted=0 if device.pool is None else device.pool.accepted,
        shares_rejected=0 if device.pool is None else device.pool.rejected,
        uptime_s=int(device.now_s - device.booted_s),
        asic_model="BM1366",
        stratum_url=str(device.nvs["stratumURL"]),
        stratum_port=int(device.nvs["stratumPort"]),
        stratum_user=str(device.nvs["stratumUser"]),
        version=VERSIONS[device.generation],
        board_version="0.11",
        running_partition="factory",
        auto_fan=bool(device.nvs["autofanspeed"]),
        fan_rpm=round(device.physics.fan_rpm),
    )
    if device.generation is Generation.STOCK:
        return replace(
            common,
            miner_model="LV06",
            fan_percent=float(device.nvs["fanspeed"]),
            flip_screen=bool(device.nvs["flipscreen"]),
            invert_screen=bool(device.nvs["invertscreen"]),
            invert_fan_polarity=bool(device.nvs["invertfanpolarity"]),
        )
    errors = device.wrong / device.reported if device.reported else 0.0
    return replace(
        common,
        regulator_temperature_c=0.0,
        actual_frequency_mhz=round(device.clock_mhz, 2),
        expected_hashrate_ghs=device.target_mhz * SMALL_CORES / 1000.0,
        error_percent=round(100.0 * errors, 3),
        overheat_mode=bool(device.nvs["overheat_mode"]),
        mining_paused=device.paused,
        small_core_count=SMALL_CORES,
        fan_percent=round(device.fan_duty_percent),
        manual_fan_percent=float(device.nvs["manualFanSpeed"]),
        temperature_target_c=float(device.nvs["temptarget"]),
        statistics_period_s=int(device.nvs["statsFrequency"]),
        mac=f"02:00:00:00:00:{device.seed & 0xFF:02X}",
        hash_counters=(int(device.hash_counter),),
    )


def _origin_allowed(origin: str | None) -> bool:
    """The live generation refuses pages from elsewhere (protocols.md 3.6)."""
    if origin is None:
        return True
    name = origin.partition("://")[2].partition(":")[0]
    private = name.startswith(("10.", "192.168.", "127.")) or any(name.startswith(f"172.{i}.") for i in range(16, 32))
    return private or "." not in name or name.endswith(".local")
