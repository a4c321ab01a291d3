"""An emulated Antminer S9 on real sockets: cgminer API, configuration page, Stratum client, the twin of its chips.

With stock firmware it is configured over HTTP with digest authentication; with Braiins firmware over SSH, see
:mod:`drivers.s9.emulated_ssh`.
"""

from __future__ import annotations

import asyncio
from typing import Literal
from urllib.parse import urlsplit

import numpy as np

from asic_reservoir.errors import DataError
from asic_reservoir.twin.pll import quantize_mhz
from asic_reservoir.twin.spec import S9
from drivers.emulated_device import DeviceNonce, EmulatedDevice
from drivers.emulated_pool_client import Dialect, LinkFaults, PoolClient
from drivers.s9.emulated_api import MinerApi
from drivers.s9.emulated_ssh import EmulatedShell
from firmware_bridge.announcement import HEADER, with_agent
from firmware_bridge.cgminer.bmminer import CHAINS
from firmware_bridge.cgminer.config import (
    BosminerConfig,
    PoolSetting,
    StockConfig,
    encode_bosminer,
    encode_stock_config,
    parse_bosminer,
    parse_stock_config,
    parse_stock_form,
)
from firmware_bridge.digest import DigestGate
from firmware_bridge.http_server import HttpRequest, HttpResponse, HttpServer
from firmware_bridge.pic16.protocol import decode_voltage, encode_voltage

MASK = 64
"""Ticket mask that Braiins sets; that of stock firmware is not documented in any source read, taken to be the same."""
BOOT_S = 30.0
"""Board time without API after the miner process was restarted."""
DANGEROUS_C = 110.0
IDLE_MHZ = 100.0
"""Clock of the chips while no work comes: a stop of the twin's chips in series has no stable division of voltage."""
REALM = "antMiner Configuration"
_DIALECT = Dialect(order=("subscribe", "configure", "authorize"))

Firmware = Literal["stock", "braiins"]


class EmulatedS9(EmulatedDevice):
    """The miner.

    Args:
        firmware: ``stock`` (bmminer) or ``braiins`` (bosminer).
        host: Where it listens.
        http_port, api_port, ssh_port: 0 lets the system choose; see the attributes of the same names.
        host_key: Which SSH host key it shows.
        malformed: Emit JSON as bmminer does, without commas between objects.
    """

    def __init__(
        self,
        *,
        firmware: Firmware = "stock",
        host: str = "127.0.0.1",
        http_port: int = 0,
        api_port: int = 0,
        ssh_port: int = 0,
        seed: int = 0,
        speed: float = 1.0,
        malformed: bool = True,
        faults: LinkFaults | None = None,
        password: str = "root",
        host_key: int = 0,
    ) -> None:
        super().__init__(S9, seed, MASK, speed, faults)
        self.firmware, self.host, self.malformed = firmware, host, malformed and firmware == "stock"
        self.http_port, self.api_port, self.ssh_port = http_port, api_port, ssh_port
        self.config = StockConfig((), 650)
        self.toml = encode_bosminer(BosminerConfig())
        self.restarts = 0
        self.trips = 0
        self._password, self._host_key = password, host_key
        self._gate = DigestGate(REALM, "root", password)
        self.chains_mhz = np.full(3, 650.0)
        self.chains_v = np.full(3, 8.8)
        self.booted_s = 0.0
        self._up = False
        self._tripped = False
        self.difficulty_accepted = 0.0
        self._restarting: asyncio.Task[None] | None = None
        self._api: asyncio.Server | None = None
        self._shell: EmulatedShell | None = None
        self._http = HttpServer(self.through_link(self._answer), server="lighttpd/1.4.32")
        self._http.extra_headers = {HEADER: str(self.announcement)}

    # -- life ----------------------------------------------------------------------------------------------------

    def _warm_point(self) -> tuple[float, float]:
        return 650.0, 8.8

    async def _open(self) -> None:
        self.http_port, self.api_port = self.hold(self.host, self.http_port), self.hold(self.host, self.api_port)
        await self._http.start(self.host, self.http_port)
        if self.firmware == "braiins":
            self._shell = EmulatedShell(
                self._password,
                self._host_key,
                lambda: self.faults.carry(self.rng),
                self._read_toml,
                self._write_toml,
                self._service,
            )
            self.ssh_port = await self._shell.start(self.host, self.ssh_port)
        await self._boot()

    async def _close(self) -> None:
        if self._restarting is not None:
            self._restarting.cancel()
        await self._http.stop()
        if self._shell is not None:
            await self._shell.stop()
        if self._api is not None:
            self._api.close()

    async def _boot(self) -> None:
        self.booted_s = self.now_s
        self._tripped = False
        pools = self.config.pools
        if self.firmware == "braiins":
            config = parse_bosminer(self.toml)
            own = config.chains or {}
            mhz = [own.get(i, (None, None))[0] or config.frequency_mhz for i in CHAINS]
            volts = [own.get(i, (None, None))[1] or config.voltage_v for i in CHAINS]
            self.chains_v = np.array([decode_voltage(encode_voltage(1000.0 * v)) / 1000.0 for v in volts])
            pools = config.pools
        else:
            mhz = [float(self.config.frequency_mhz)] * 3
        self.chains_mhz = quantize_mhz(S9.pll, np.array(mhz))
        self._up = True
        self._api = await asyncio.start_server(MinerApi(self).serve, self.host, self.api_port)
        if pools:
            self._connect_pool(pools[0])

    def _connect_pool(self, pool: PoolSetting) -> None:
        address = urlsplit(pool.url if "://" in pool.url else f"stratum+tcp://{pool.url}")
        name = "bmminer/2.0.0" if self.firmware == "stock" else "bosminer-am1-s9/0.1.0"
        self.pool = PoolClient(
            address.hostname or "",
            address.port or 3333,
            pool.user,
            with_agent(name, self.announcement),
            _DIALECT,
            self._new_job,
            source_host=self.host if self.host != "0.0.0.0" else None,
            faults=self.faults,
            seed=self.seed,
        )
        self.pool.start()

    async def _restart(self) -> None:
        self.restarts += 1
        await self._stop_miner()
        await asyncio.sleep(BOOT_S / self.speed)
        await self._boot()

    async def _stop_miner(self) -> None:
        self._up = False
        if self._api is not None:
            self._api.close()
            self._api = None
        if self.pool is not None:
            await self.pool.stop()
            self.pool = None
        self._drop_found()

    def _restart_soon(self) -> None:
        self._restarting = asyncio.get_running_loop().create_task(self._restart())

    # -- hardware ------------------------------------------------------------------------------------------------

    def _settle(self, board_s: float) -> None:
        mhz = self.chains_mhz if self._hashing() else np.full(3, IDLE_MHZ)
        self.physics.frequency_mhz[:] = np.repeat(mhz, S9.chips_per_hashboard)
        self.physics.voltage_v[:] = self.chains_v
        self.physics.fan_share = self.config.fan_percent / 100.0 if self.config.fan_control else 0.8

    def hashing(self) -> bool:
        """Whether its chips hash."""
        return self._hashing()

    def _hashing(self) -> bool:
        return self._up and not self._tripped and self.pool is not None

    def _report(self, nonce: DeviceNonce) -> None:
        if nonce.valid and self.submit(nonce):
            self.difficulty_accepted += nonce.job.difficulty / self.announcement.scale

    async def _housekeeping(self) -> None:
        while True:
            await asyncio.sleep(max(1.0 / self.speed, 0.01))
            if self._up and not self._tripped and self.die_c() > DANGEROUS_C:
                self._tripped = True
                self.trips += 1

    # -- stock: configuration page -------------------------------------------------------------------------------

    async def _answer(self, request: HttpRequest) -> HttpResponse | None:
        if self.firmware == "braiins":
            return HttpResponse(200, b"<html><title>Braiins OS</title></html>", "text/html")
        if not self._gate.allows(request.method, request.target, request.headers.get("authorization")):
            return HttpResponse(401, b"401 Unauthorized", "text/html", {"WWW-Authenticate": self._gate.challenge})
        match request.method, request.path:
            case "GET", "/cgi-bin/get_miner_conf.cgi":
                return HttpResponse(200, encode_stock_config(self.config))
            case "GET", "/cgi-bin/get_system_info.cgi":
                return HttpResponse(200, b'{"minertype":"Antminer S9","hostname":"antMiner"}')
            case "POST", "/cgi-bin/set_miner_conf.cgi":
                return self._configure(request)
            case _, "/cgi-bin/reboot.cgi":
                self._restart_soon()
                return HttpResponse(200, b"")
            case "GET", "/":
                return HttpResponse(200, b"<html><title>Ant Miner</title></html>", "text/html")
            case _:
                return HttpResponse(404, b"404 Not Found", "text/html")

    def _configure(self, request: HttpRequest) -> HttpResponse:
        form = request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
        try:
            config = parse_stock_form(request.body) if form else parse_stock_config(request.body)
        except DataError as error:
            return HttpResponse(500, str(error).encode(), "text/plain")
        self.config = config
        self._restart_soon()
        return HttpResponse(200, b"ok", "text/plain")

    # -- Braiins: configuration over SSH -------------------------------------------------------------------------

    def _read_toml(self) -> str:
        return self.toml

    def _write_toml(self, text: str) -> None:
        self.toml = text

    async def _service(self, action: str) -> bool:
        if action in ("restart", "start"):
            try:
                parse_bosminer(self.toml)
            except DataError:
                return False
            self._restart_soon()
        elif action == "stop":
            await self._stop_miner()
        else:
            return False
        return True
