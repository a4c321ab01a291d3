"""An emulated Antminer S9 on real sockets: cgminer API, configuration page, Stratum client, the twin of its chips.

With stock firmware it is configured over HTTP with digest authentication; with Braiins firmware over SSH, see
:mod:`drivers.s9.emulated_ssh`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Literal
from urllib.parse import urlsplit

import numpy as np

from asic_reservoir.errors import DataError
from asic_reservoir.twin.pll import quantize_mhz
from asic_reservoir.twin.spec import S9
from drivers.emulated_device import DeviceNonce, EmulatedDevice
from drivers.emulated_pool_client import Dialect, LinkFaults, PoolClient
from drivers.s9.emulated_ssh import EmulatedShell
from firmware_bridge.announcement import HEADER, KEY, with_agent
from firmware_bridge.cgminer.bmminer import CHAINS, FANS, Chain, S9Stats, stats_rows
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
from firmware_bridge.cgminer.messages import (
    MAX_REQUEST,
    ApiRequest,
    Code,
    Reply,
    Status,
    decode_request,
    encode_replies,
    encode_reply,
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
_REQUEST_WAIT_S = 1.0
_DIALECT = Dialect(order=("subscribe", "configure", "authorize"))

Firmware = Literal["stock", "braiins"]


class EmulatedS9(EmulatedDevice):
    """The miner.

    Args:
        firmware: ``stock`` (bmminer) or ``braiins`` (bosminer).
        host: Where it listens.
        http_port, api_port, ssh_port: 0 lets the system choose; see the attributes of the same names.
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
    ) -> None:
        super().__init__(S9, seed, MASK, speed, faults)
        self.firmware, self.host, self.malformed = firmware, host, malformed and firmware == "stock"
        self.http_port, self.api_port, self.ssh_port = http_port, api_port, ssh_port
        self.config = StockConfig((), 650)
        self.toml = encode_bosminer(BosminerConfig())
        self.restarts = 0
        self.trips = 0
        self._password = password
        self._gate = DigestGate(REALM, "root", password)
        self._chains_mhz = np.full(3, 650.0)
        self._chains_v = np.full(3, 8.8)
        self._booted_s = 0.0
        self._up = False
        self._tripped = False
        self._diff1_accepted = 0.0
        self._restarting: asyncio.Task[None] | None = None
        self._api: asyncio.Server | None = None
        self._shell: EmulatedShell | None = None
        self._http = HttpServer(self._answer, server="lighttpd/1.4.32")
        self._http.extra_headers = {HEADER: str(self.announcement)}

    # -- life ----------------------------------------------------------------------------------------------------

    def _warm_point(self) -> tuple[float, float]:
        return 650.0, 8.8

    async def _open(self) -> None:
        self.http_port = await self._http.start(self.host, self.http_port)
        if self.firmware == "braiins":
            self._shell = EmulatedShell(self._password, self._read_toml, self._write_toml, self._service)
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
        self._booted_s = self.now_s
        self._tripped = False
        pools = self.config.pools
        if self.firmware == "braiins":
            config = parse_bosminer(self.toml)
            own = config.chains or {}
            mhz = [own.get(i, (None, None))[0] or config.frequency_mhz for i in CHAINS]
            volts = [own.get(i, (None, None))[1] or config.voltage_v for i in CHAINS]
            self._chains_v = np.array([decode_voltage(encode_voltage(1000.0 * v)) / 1000.0 for v in volts])
            pools = config.pools
        else:
            mhz = [float(self.config.frequency_mhz)] * 3
        self._chains_mhz = quantize_mhz(S9.pll, np.array(mhz))
        self._up = True
        self._api = await asyncio.start_server(self._serve_api, self.host, self.api_port)
        self.api_port = int(self._api.sockets[0].getsockname()[1])
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
        mhz = self._chains_mhz if self._hashing() else np.full(3, IDLE_MHZ)
        self.physics.frequency_mhz[:] = np.repeat(mhz, S9.chips_per_hashboard)
        self.physics.voltage_v[:] = self._chains_v
        self.physics.fan_share = self.config.fan_percent / 100.0 if self.config.fan_control else 0.8

    def _hashing(self) -> bool:
        return self._up and not self._tripped and self.pool is not None

    def _report(self, nonce: DeviceNonce) -> None:
        if nonce.valid and self.submit(nonce):
            self._diff1_accepted += nonce.job.difficulty / self.announcement.scale

    async def _housekeeping(self) -> None:
        while True:
            await asyncio.sleep(max(1.0 / self.speed, 0.01))
            if self._up and not self._tripped and self.die_c() > DANGEROUS_C:
                self._tripped = True
                self.trips += 1

    # -- cgminer API ---------------------------------------------------------------------------------------------

    async def _serve_api(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request, one reply, closed."""
        data = b""
        request: ApiRequest | None = None
        try:
            while request is None and len(data) <= MAX_REQUEST:
                part = await asyncio.wait_for(reader.read(4096), _REQUEST_WAIT_S)
                if not part:
                    break
                data += part
                with contextlib.suppress(DataError):
                    request = decode_request(data)
        except (TimeoutError, OSError):
            pass
        with contextlib.suppress(OSError):
            writer.write(self._reply(request))
            await writer.drain()
            writer.close()

    def _reply(self, request: ApiRequest | None) -> bytes:
        if request is None:
            return encode_reply(self._refusal(Code.INVALID_JSON, "Invalid JSON"), malformed=self.malformed)
        replies = {name: self._command(name) for name in request.commands}
        if len(request.commands) == 1:
            return encode_reply(replies[request.commands[0]], malformed=self.malformed)
        return encode_replies(replies, malformed=self.malformed)

    @property
    def _description(self) -> str:
        return "bmminer 1.0.0" if self.firmware == "stock" else "bOSminer 0.2"

    def _refusal(self, code: Code, message: str) -> Reply:
        return Reply(Status("E", code, message, self._description, self._when_s))

    @property
    def _when_s(self) -> int:
        return 1_700_000_000 + int(self.now_s)

    def _command(self, command: str) -> Reply:
        sections: Mapping[str, tuple[Code, str, list[dict[str, object]]]] = {
            "version": (Code.VERSION, "VERSION", [self._version_row()]),
            "summary": (Code.SUMMARY, "SUMMARY", [self._summary_row()]),
            "pools": (Code.POOLS, "POOLS", self._pool_rows()),
            "devs": (Code.DEVS, "DEVS", self._dev_rows()),
        }
        if self.firmware == "stock":
            own = {"stats": (Code.STATS, "STATS", stats_rows(self._stats()))}
        else:
            own = {
                "devdetails": (Code.DEVDETAILS, "DEVDETAILS", self._detail_rows()),
                "temps": (Code.TEMPS, "TEMPS", self._temperature_rows()),
                "fans": (Code.FANS, "FANS", self._fan_rows()),
                "tempctrl": (
                    Code.TEMPCTRL,
                    "TEMPCTRL",
                    [{"Mode": "Automatic", "Target": 89.0, "Hot": 100.0, "Dangerous": 110.0}],
                ),
            }
        known = {**sections, **own}
        if command in ("restart", "quit", "ascset"):
            return self._refusal(Code.ACCESS_DENIED, f"Access denied to '{command}' command")
        if command not in known:
            return self._refusal(Code.INVALID_COMMAND, "Invalid command")
        code, name, rows = known[command]
        return Reply(Status("S", code, name.capitalize(), self._description, self._when_s), {name: rows})

    def _version_row(self) -> dict[str, object]:
        row: dict[str, object] = {"API": "3.1", KEY: str(self.announcement)}
        if self.firmware == "stock":
            compiled = "Thu Jun  7 15:47:17 CST 2018"
            return {"BMMiner": "2.0.0", **row, "Miner": "30.0.1.3", "CompileTime": compiled, "Type": "Antminer S9"}
        return {"bOSminer": "0.2.0", **row}

    def _rates_ghs(self) -> list[float]:
        right = 1.0 - self.wrong / self.reported if self.reported > 50 else 1.0
        per_chip = self.physics.frequency_mhz.reshape(3, -1).sum(axis=1) * S9.chip.hashes_per_clock / 1000.0
        return [float(rate) * right for rate in per_chip]

    def _counts(self) -> dict[str, object]:
        accepted = 0 if self.pool is None else self.pool.accepted
        rejected = 0 if self.pool is None else self.pool.rejected
        return {"Accepted": accepted, "Rejected": rejected, "Hardware Errors": self.wrong}

    def _summary_row(self) -> dict[str, object]:
        rate = sum(self._rates_ghs())
        elapsed = int(self.now_s - self._booted_s)
        names = {"GHS 5s": rate, "GHS av": rate}
        if self.firmware == "braiins":
            names = {f"MHS {span}": 1000.0 * rate for span in ("av", "5s", "1m", "5m", "15m")}
        return {
            "Elapsed": elapsed,
            **{name: round(self.noisy(value, 0.01), 2) for name, value in names.items()},
            "Found Blocks": 0,
            "Getworks": elapsed // 30,
            **self._counts(),
            "Utility": 0.0,
            "Discarded": 0,
            "Stale": 0,
            "Get Failures": 0,
            "Remote Failures": 0,
            "Network Blocks": 1,
            "Total MH": round(1000.0 * rate * elapsed, 1),
            "Difficulty Accepted": self._diff1_accepted,
            "Difficulty Rejected": 0.0,
            "Device Hardware%": round(100.0 * self.wrong / max(1, self.reported), 4),
        }

    def _pool_rows(self) -> list[dict[str, object]]:
        if self.pool is None:
            return []
        pool = self.pool
        difficulty = pool.job.difficulty / self.announcement.scale if pool.job is not None else 0.0
        return [
            {
                "POOL": 0,
                "URL": f"stratum+tcp://{pool.host}:{pool.port}",
                "Status": "Alive" if pool.connected else "Dead",
                "Priority": 0,
                "Quota": 1,
                "Getworks": 1,
                "Accepted": pool.accepted,
                "Rejected": pool.rejected,
                "Stale": 0,
                "Get Failures": 0,
                "Remote Failures": 0,
                "User": pool.user,
                "Has Stratum": True,
                "Stratum Active": pool.connected,
                "Stratum URL": pool.host,
                "Stratum Difficulty": difficulty,
            }
        ]

    def _temperatures(self) -> list[tuple[float, float]]:
        """Board and chip of every hashboard."""
        die = self.physics.die_c.reshape(3, -1)[:, S9.sensor_chips[0]]
        heatsink = self.physics.heatsink_c.reshape(3, -1).mean(axis=1)
        return [
            (float(h) + self.rng.gauss(0.0, 0.2), float(d) + self.rng.gauss(0.0, 0.2))
            for h, d in zip(heatsink, die, strict=True)
        ]

    def _stats(self) -> S9Stats:
        rates = self._rates_ghs()
        total = sum(rates)
        chains = tuple(
            Chain(index, S9.chips_per_hashboard, "oooooooo " * 7 + "ooooooo", rate, board, chip)
            for index, rate, (board, chip) in zip(CHAINS, rates, self._temperatures(), strict=True)
        )
        fans = {connector: round(self.noisy(self.physics.fan_rpm, 0.005) / 60.0) * 60 for connector in FANS}
        mhz = float(self._chains_mhz.mean())
        return S9Stats("Antminer S9", self.now_s - self._booted_s, total, total, mhz, fans, chains, self.wrong)

    def _dev_rows(self) -> list[dict[str, object]]:
        return [
            {
                "ASC": number,
                "Name": "BC5",
                "ID": index,
                "Enabled": "Y",
                "Status": "Alive" if self._hashing() else "Dead",
                "Temperature": round(board, 1),
                "MHS av": round(1000.0 * rate, 1),
                "MHS 5s": round(self.noisy(1000.0 * rate, 0.02), 1),
                "Nominal MHS": round(1000.0 * rate, 1),
                "Accepted": 0,
                "Rejected": 0,
                "Hardware Errors": self.wrong // 3,
            }
            for number, (index, rate, (board, _)) in enumerate(
                zip(CHAINS, self._rates_ghs(), self._temperatures(), strict=True)
            )
        ]

    def _detail_rows(self) -> list[dict[str, object]]:
        return [
            {
                "DEVDETAILS": number,
                "Name": "BC5",
                "ID": index,
                "Driver": "bOSminer",
                "Kernel": "",
                "Model": "Antminer S9",
                "Device Path": f"/dev/hashboard{index}",
                "Voltage": round(float(self._chains_v[number]), 4),
                "Frequency": int(float(self._chains_mhz[number]) * 1e6),
                "Chips": S9.chips_per_hashboard,
                "Cores": S9.chips_per_hashboard * 114,
            }
            for number, index in enumerate(CHAINS)
        ]

    def _temperature_rows(self) -> list[dict[str, object]]:
        return [
            {"TEMP": number, "ID": index, "Board": round(board, 2), "Chip": round(chip, 2)}
            for number, (index, (board, chip)) in enumerate(zip(CHAINS, self._temperatures(), strict=True))
        ]

    def _fan_rows(self) -> list[dict[str, object]]:
        share = self.physics.fan_share
        return [
            {"FAN": number, "ID": number, "Speed": round(100 * share), "RPM": round(self.physics.fan_rpm / 60) * 60}
            for number in range(2)
        ]

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
