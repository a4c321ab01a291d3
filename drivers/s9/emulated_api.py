"""The cgminer API of an emulated S9, as bmminer or bOSminer answers it on port 4028."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

from asic_reservoir.errors import DataError
from asic_reservoir.twin.spec import S9
from firmware_bridge.announcement import KEY
from firmware_bridge.cgminer.bmminer import CHAINS, FANS, Chain, S9Stats, stats_rows
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

if TYPE_CHECKING:
    from drivers.s9.emulated import EmulatedS9

_REQUEST_WAIT_S = 1.0


class MinerApi:
    """Answers for one device."""

    def __init__(self, device: EmulatedS9) -> None:
        self._device = device

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request, one reply, closed."""
        if not await self._device.faults.carry(self._device.rng):
            writer.transport.abort()
            return
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
            return encode_reply(self._refusal(Code.INVALID_JSON, "Invalid JSON"), malformed=self._device.malformed)
        replies = {name: self._command(name) for name in request.commands}
        if len(request.commands) == 1:
            return encode_reply(replies[request.commands[0]], malformed=self._device.malformed)
        return encode_replies(replies, malformed=self._device.malformed)

    @property
    def _description(self) -> str:
        return "bmminer 1.0.0" if self._device.firmware == "stock" else "bOSminer 0.2"

    def _refusal(self, code: Code, message: str) -> Reply:
        return Reply(Status("E", code, message, self._description, self._when_s))

    @property
    def _when_s(self) -> int:
        return 1_700_000_000 + int(self._device.now_s)

    def _command(self, command: str) -> Reply:
        sections: Mapping[str, tuple[Code, str, list[dict[str, object]]]] = {
            "version": (Code.VERSION, "VERSION", [self._version_row()]),
            "summary": (Code.SUMMARY, "SUMMARY", [self._summary_row()]),
            "pools": (Code.POOLS, "POOLS", self._pool_rows()),
            "devs": (Code.DEVS, "DEVS", self._dev_rows()),
        }
        if self._device.firmware == "stock":
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
        row: dict[str, object] = {"API": "3.1", KEY: str(self._device.announcement)}
        if self._device.firmware == "stock":
            compiled = "Thu Jun  7 15:47:17 CST 2018"
            return {"BMMiner": "2.0.0", **row, "Miner": "30.0.1.3", "CompileTime": compiled, "Type": "Antminer S9"}
        return {"bOSminer": "0.2.0", **row}

    def _rates_ghs(self) -> list[float]:
        right = 1.0 - self._device.wrong / self._device.reported if self._device.reported > 50 else 1.0
        per_chip = self._device.physics.frequency_mhz.reshape(3, -1).sum(axis=1) * S9.chip.hashes_per_clock / 1000.0
        return [float(rate) * right for rate in per_chip]

    def _counts(self) -> dict[str, object]:
        accepted = 0 if self._device.pool is None else self._device.pool.accepted
        rejected = 0 if self._device.pool is None else self._device.pool.rejected
        return {"Accepted": accepted, "Rejected": rejected, "Hardware Errors": self._device.wrong}

    def _summary_row(self) -> dict[str, object]:
        rate = sum(self._rates_ghs())
        elapsed = int(self._device.now_s - self._device.booted_s)
        names = {"GHS 5s": rate, "GHS av": rate}
        if self._device.firmware == "braiins":
            names = {f"MHS {span}": 1000.0 * rate for span in ("av", "5s", "1m", "5m", "15m")}
        return {
            "Elapsed": elapsed,
            **{name: round(self._device.noisy(value, 0.01), 2) for name, value in names.items()},
            "Found Blocks": 0,
            "Getworks": elapsed // 30,
            **self._counts(),
            "Utility": 0.0,
            "Discarded": 0,
            "Stale": 0 if self._device.pool is None else self._device.pool.lost,
            "Get Failures": 0,
            "Remote Failures": 0,
            "Network Blocks": 1,
            "Total MH": round(1000.0 * rate * elapsed, 1),
            "Difficulty Accepted": self._device.difficulty_accepted,
            "Difficulty Rejected": 0.0,
            "Device Hardware%": round(100.0 * self._device.wrong / max(1, self._device.reported), 4),
        }

    def _pool_rows(self) -> list[dict[str, object]]:
        if self._device.pool is None:
            return []
        pool = self._device.pool
        difficulty = pool.job.difficulty / self._device.announcement.scale if pool.job is not None else 0.0
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
                "Stale": pool.lost,
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
        die = self._device.physics.die_c.reshape(3, -1)[:, S9.sensor_chips[0]]
        heatsink = self._device.physics.heatsink_c.reshape(3, -1).mean(axis=1)
        return [
            (float(h) + self._device.rng.gauss(0.0, 0.2), float(d) + self._device.rng.gauss(0.0, 0.2))
            for h, d in zip(heatsink, die, strict=True)
        ]

    def _stats(self) -> S9Stats:
        rates = self._rates_ghs()
        total = sum(rates)
        chains = tuple(
            Chain(index, S9.chips_per_hashboard, "oooooooo " * 7 + "ooooooo", rate, board, chip)
            for index, rate, (board, chip) in zip(CHAINS, rates, self._temperatures(), strict=True)
        )
        fans = {
            connector: round(self._device.noisy(self._device.physics.fan_rpm, 0.005) / 60.0) * 60 for connector in FANS
        }
        mhz = float(self._device.chains_mhz.mean())
        return S9Stats(
            "Antminer S9",
            self._device.now_s - self._device.booted_s,
            total,
            total,
            mhz,
            fans,
            chains,
            self._device.wrong,
        )

    def _dev_rows(self) -> list[dict[str, object]]:
        return [
            {
                "ASC": number,
                "Name": "BC5",
                "ID": index,
                "Enabled": "Y",
                "Status": "Alive" if self._device.hashing() else "Dead",
                "Temperature": round(board, 1),
                "MHS av": round(1000.0 * rate, 1),
                "MHS 5s": round(self._device.noisy(1000.0 * rate, 0.02), 1),
                "Nominal MHS": round(1000.0 * rate, 1),
                "Accepted": 0,
                "Rejected": 0,
                "Hardware Errors": self._device.wrong // 3,
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
                "Voltage": round(float(self._device.chains_v[number]), 4),
                "Frequency": int(float(self._device.chains_mhz[number]) * 1e6),
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
        share = self._device.physics.fan_share
        return [
            {
                "FAN": number,
                "ID": number,
                "Speed": round(100 * share),
                "RPM": round(self._device.physics.fan_rpm / 60) * 60,
            }
            for number in range(2)
        ]
