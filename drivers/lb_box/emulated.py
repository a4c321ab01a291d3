"""An emulated LB-Box: Goldshell's HTTP interface, its API on port 4028, a LBRY Stratum client, a twin behind them.

No capture of an LB-Box exists in any source read; the interface is that of an SC-BOX with the same controller
(protocols.md 7.1). With ``fragile`` it fails as that controller fails: about one in 200 requests gets a 401 that is
not deserved, and about 15 requests in a second bring the backend down.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque
from urllib.parse import urlsplit

import numpy as np

from asic_reservoir.errors import DataError
from asic_reservoir.twin.spec import LB_BOX
from drivers.emulated_device import DeviceNonce, EmulatedDevice
from drivers.emulated_pool_client import Dialect, LinkFaults, PoolClient
from firmware_bridge.announcement import HEADER, KEY, with_agent
from firmware_bridge.cgminer.messages import Code, Reply, Status, decode_request, encode_reply
from firmware_bridge.goldshell.login import encode_token, read_login
from firmware_bridge.goldshell.settings import (
    PoolEntry,
    Settings,
    encode_pools,
    encode_settings,
    parse_pool,
    parse_settings,
)
from firmware_bridge.goldshell.status import (
    BoxDevice,
    BoxStatus,
    ChipTally,
    device_row,
    encode_chips,
    encode_history,
    encode_minerinfo,
    encode_status,
)
from firmware_bridge.http_server import HttpRequest, HttpResponse, HttpServer

MASK = LB_BOX.ticket_mask
BOOT_S = 63.0
"""Board time until the controller answers again after ``/mcb/restart`` (60 to 66 s)."""
CRASH_PER_S = 15
"""Requests in a second of the host that bring the web backend down."""
SPURIOUS_401 = 1 / 200
_RAMP_MHZ_PER_S = 100.0
_TOKEN = "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.fixed.on-all-units"
_DIALECT = Dialect(order=("subscribe", "authorize"), version_rolling=False)
_SETTINGS = {
    "select": 0,
    "tempcontrol": True,
    "ledcontrol": True,
    "manual": False,
    "manualPowerplan": "725 MHz 0.41 V 70 RPM 70 RPM",
    "powerplans": [
        {"level": 0, "info": "725 MHz 0.41 V 70 RPM 70 RPM"},
        {"level": 1, "info": "600 MHz 0.41 V 70 RPM 70 RPM"},
        {"level": 3, "info": "0 MHz 0 V 70 RPM 70 RPM"},
    ],
    "temp_targets": [65.0, 75.0],
    "temp_target": 70,
    "version": "v2.1",
}


class EmulatedLbBox(EmulatedDevice):
    """The box.

    Args:
        host, http_port, api_port: Where it listens; port 0 lets the system choose.
        fragile: Fail as the controller fails.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        http_port: int = 0,
        api_port: int = 0,
        seed: int = 0,
        speed: float = 1.0,
        fragile: bool = False,
        faults: LinkFaults | None = None,
        password: str = "123456789",
    ) -> None:
        super().__init__(LB_BOX, seed, MASK, speed, faults)
        self.host, self.http_port, self.api_port, self.fragile = host, http_port, api_port, fragile
        body = json.dumps({**_SETTINGS, "name": f"28E2970000{seed & 0xFF:02X}"})
        self.settings: Settings = parse_settings(body)
        self.pools: tuple[PoolEntry, ...] = ()
        self.crashes = 0
        self.restarts = 0
        self._password = password
        self._clock_mhz = 725.0
        self._booted_s = 0.0
        self._up = False
        self._crashed = False
        self._requests: deque[float] = deque()
        self._fan_share = 0.7
        self._good = np.zeros(LB_BOX.n_chips, np.int64)
        self._bad = np.zeros(LB_BOX.n_chips, np.int64)
        self._history: deque[float] = deque(maxlen=288)
        self._api: asyncio.Server | None = None
        self._restarting: asyncio.Task[None] | None = None
        self._http = HttpServer(self.through_link(self._answer))
        self._http.extra_headers = {HEADER: str(self.announcement)}

    # -- life ----------------------------------------------------------------------------------------------------

    def _warm_point(self) -> tuple[float, float]:
        return 725.0, 0.41

    async def _open(self) -> None:
        self.http_port, self.api_port = self.hold(self.host, self.http_port), self.hold(self.host, self.api_port)
        await self._boot()

    async def _close(self) -> None:
        if self._restarting is not None:
            self._restarting.cancel()
        await self._http.stop()
        if self._api is not None:
            self._api.close()

    async def _boot(self) -> None:
        self._booted_s, self._up, self._crashed = self.now_s, True, False
        await self._http.start(self.host, self.http_port)
        self._api = await asyncio.start_server(self._serve_api, self.host, self.api_port)
        await self._connect_pool()

    async def _restart(self) -> None:
        self.restarts += 1
        self._up = False
        await asyncio.sleep(0.02)
        await self._http.stop()
        if self._api is not None:
            self._api.close()
        await self._disconnect_pool()
        await asyncio.sleep(BOOT_S / self.speed)
        await self._boot()

    async def _disconnect_pool(self) -> None:
        if self.pool is not None:
            await self.pool.stop()
            self.pool = None
        self._drop_found()

    async def _connect_pool(self) -> None:
        await self._disconnect_pool()
        if not self.pools:
            return
        first = self.pools[0]
        address = urlsplit(first.url if "://" in first.url else f"stratum+tcp://{first.url}")
        self.pool = PoolClient(
            address.hostname or "",
            address.port or 3333,
            first.user,
            with_agent("intminer/5.4.2", self.announcement),
            _DIALECT,
            self._new_job,
            source_host=self.host if self.host != "0.0.0.0" else None,
            faults=self.faults,
            seed=self.seed,
            lbry=True,
        )
        self.pool.start()

    # -- hardware ------------------------------------------------------------------------------------------------

    def _settle(self, board_s: float) -> None:
        step = _RAMP_MHZ_PER_S * board_s
        target = float(self.settings.active.frequency_mhz)
        self._clock_mhz += max(-step, min(step, target - self._clock_mhz))
        self.physics.frequency_mhz[:] = self._clock_mhz if self._hashing() else 0.0
        self.physics.voltage_v[:] = max(self.settings.active.voltage, 0.3)
        self.physics.fan_share = self._fan_share

    def _hashing(self) -> bool:
        return self._up and self.pool is not None and self.settings.active.frequency_mhz > 0

    def _report(self, nonce: DeviceNonce) -> None:
        if nonce.valid:
            self._good[nonce.chip] += 1
            self.submit(nonce)
        else:
            self._bad[nonce.chip] += 1

    async def _housekeeping(self) -> None:
        minute_s = 0.0
        while True:
            await asyncio.sleep(max(1.0 / self.speed, 0.01))
            error = self.die_c() - self.settings.temp_target_c
            self._fan_share = min(1.0, max(0.3, self._fan_share + 0.01 * error))
            if self.now_s - minute_s >= 60.0:
                minute_s = self.now_s
                self._history.append(self._rate_mhs())

    def _rate_mhs(self) -> float:
        done = self._good.sum() + self._bad.sum()
        right = float(self._good.sum() / done) if done > 50 else 1.0
        running = float(self.physics.frequency_mhz.sum()) * LB_BOX.chip.hashes_per_clock
        return max(0.0, self.noisy(running * right, 0.01))

    def _device(self) -> BoxDevice:
        die = float(np.mean(self.physics.die_c))
        rpm = round(self.physics.fan_rpm)
        pool = self.pool
        return BoxDevice(
            elapsed_s=int(self.now_s - self._booted_s),
            rate_average_mhs=round(self._rate_mhs(), 2),
            rate_20s_mhs=round(self._rate_mhs(), 2),
            nonces=int(self._good.sum()),
            accepted=0 if pool is None else pool.accepted,
            rejected=0 if pool is None else pool.rejected,
            hardware_errors=int(self._bad.sum()),
            clock_mhz=round(self._clock_mhz),
            voltage_v=self.settings.active.voltage,
            fans_rpm=(rpm, rpm),
            chip_temperatures_c=(round(die + 3.0, 1), round(die + 3.0, 1)),
            board_temperature_c=round(float(np.mean(self.physics.heatsink_c)), 1),
            overheat=False,
            reboots=self.restarts,
        )

    # -- HTTP ----------------------------------------------------------------------------------------------------

    async def _answer(self, request: HttpRequest) -> HttpResponse | None:
        if not self._up or self._overrun():
            return None
        match request.method, request.path:
            case "GET", "/":
                return HttpResponse(200, b"<html><title>cloud-box</title></html>", "text/html")
            case "GET", "/mcb/status":
                return HttpResponse(200, encode_status(BoxStatus("MCB_V5_4", "Goldshell-LBBox", "2.2.5", "2.2.5")))
            case "GET", "/user/logout":
                return HttpResponse(200, b"{}")
            case "GET", "/user/login":
                return self._login(request.query)
        allowed = request.headers.get("authorization") == f"Bearer {_TOKEN}"
        if self.fragile and self.rng.random() < SPURIOUS_401:
            allowed = False
        if not allowed:
            return HttpResponse(401, b'{"msg":"unauthorized"}')
        try:
            return await self._authorized(request)
        except DataError as error:
            return HttpResponse(500, json.dumps({"msg": str(error)}).encode())

    def _overrun(self) -> bool:
        """Too many requests in a second: the backend is gone until the box restarts."""
        assert self._loop is not None
        now = self._loop.time()
        self._requests.append(now)
        while self._requests[0] < now - 1.0:
            self._requests.popleft()
        if self.fragile and len(self._requests) > CRASH_PER_S and not self._crashed:
            self._crashed = True
            self.crashes += 1
        return self._crashed

    def _login(self, query: str) -> HttpResponse:
        try:
            user, password = read_login(query)
        except DataError as error:
            return HttpResponse(400, json.dumps({"msg": str(error)}).encode())
        if (user, password) != ("admin", self._password):
            return HttpResponse(401, b'{"msg":"wrong password"}')
        return HttpResponse(200, encode_token(_TOKEN))

    async def _authorized(self, request: HttpRequest) -> HttpResponse:
        match request.method, request.path:
            case "GET", "/mcb/setting":
                return HttpResponse(200, encode_settings(self.settings))
            case "PUT", "/mcb/setting":
                self.settings = parse_settings(request.body)
                return HttpResponse(200, b"{}")
            case "GET", "/mcb/pools":
                return HttpResponse(200, encode_pools(self.pools))
            case "PUT", "/mcb/newpool":
                pool = parse_pool(request.body)
                entry = PoolEntry(pool.url, pool.user, pool.password, len(self.pools), not self.pools)
                self.pools = (*self.pools, entry)
                await self._connect_pool()
                return HttpResponse(200, b"{}")
            case "PUT", "/mcb/delpool":
                gone = parse_pool(request.body)
                left = [pool for pool in self.pools if (pool.url, pool.user) != (gone.url, gone.user)]
                self.pools = tuple(
                    PoolEntry(pool.url, pool.user, pool.password, index, index == 0) for index, pool in enumerate(left)
                )
                await self._connect_pool()
                return HttpResponse(200, b"{}")
            case "PUT", "/mcb/restart":
                self._restarting = asyncio.get_running_loop().create_task(self._restart())
                return HttpResponse(200, b"{}")
            case "GET", "/mcb/cgminer" if "cgminercmd=devs" in request.query:
                return HttpResponse(200, encode_reply(self._devs())[:-1])
            case "GET", "/cpb/hshistory":
                return HttpResponse(200, encode_history(tuple(self._history)))
            case "GET", "/dbg/icinfo":
                tallies = zip(range(LB_BOX.n_chips), self._good.tolist(), self._bad.tolist(), strict=True)
                return HttpResponse(200, encode_chips(tuple(ChipTally(0, i, good, bad) for i, good, bad in tallies)))
            case "GET", "/dbg/minerinfo":
                row = {name: str(value) for name, value in device_row(self._device()).items()}
                return HttpResponse(
                    200, encode_minerinfo({"STATUS": {"Code": "9"}, "PGA0": row}).encode(), "text/plain"
                )
        return HttpResponse(500, b'{"msg":"not found"}')

    # -- API -----------------------------------------------------------------------------------------------------

    def _devs(self) -> Reply:
        return Reply(Status("S", Code.DEVS, "1 PGA(s)", "intminer 5.4.2"), {"DEVS": [device_row(self._device())]})

    async def _serve_api(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not await self.faults.carry(self.rng):
            writer.transport.abort()
            return
        reply = Reply(Status("E", Code.INVALID_JSON, "Invalid JSON", "intminer 5.4.2"))
        with contextlib.suppress(TimeoutError, OSError, DataError):
            command = decode_request(await asyncio.wait_for(reader.read(4096), 1.0)).commands[0]
            reply = self._command(command)
        with contextlib.suppress(OSError):
            writer.write(encode_reply(reply))
            await writer.drain()
            writer.close()

    def _command(self, command: str) -> Reply:
        if command == "devs":
            return self._devs()
        if command == "version":
            row = {"Miner": "intminer 5.4.2", "API": "3.7", KEY: str(self.announcement)}
            return Reply(Status("S", Code.VERSION, "intminer versions", "intminer 5.4.2"), {"VERSION": [row]})
        if command == "summary":
            summary = {"Elapsed": int(self.now_s - self._booted_s), "MHS av": round(self._rate_mhs(), 2)}
            return Reply(Status("S", Code.SUMMARY, "Summary", "intminer 5.4.2"), {"SUMMARY": [summary]})
        return Reply(Status("E", Code.INVALID_COMMAND, "Invalid command", "intminer 5.4.2"))
