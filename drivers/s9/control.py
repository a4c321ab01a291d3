"""How an S9 is set and read over the network: stock firmware over its page, Braiins over SSH; both over port 4028."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Protocol

from asic_reservoir.errors import (
    AsicReservoirError,
    DataError,
    SafetyError,
    TimeoutExpiredError,
)
from drivers.guard import CommandPlan, Plan, RequestPlan
from drivers.s9.restore import order
from drivers.s9.shell import BraiinsShell
from firmware_bridge.announcement import KEY, Announcement
from firmware_bridge.cgminer.bmminer import CHAINS, number, parse_stats
from firmware_bridge.cgminer.config import (
    BosminerConfig,
    PoolSetting,
    StockConfig,
    encode_bosminer,
    encode_stock_config,
    encode_stock_form,
    parse_bosminer,
    parse_stock_config,
)
from firmware_bridge.cgminer.messages import ApiRequest, Reply, decode_replies, decode_reply, encode_request
from firmware_bridge.http import HttpLink
from firmware_bridge.tcp import ask_once

RESTART_WITHIN_S = 180.0
"""Board time that bosminer itself allows for a start (Braiins ``monitor.rs``)."""
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}
_GRID_MHZ = 13.0
"""Widest gap between clocks that the firmware can make in the range used."""


class CgminerApi:
    """Port 4028 of one miner: one connection a request."""

    def __init__(self, host: str, port: int, timeout_s: float = 5.0) -> None:
        self.host, self.port, self._timeout_s = host, port, timeout_s

    def ask(self, *commands: str) -> dict[str, Reply]:
        """The replies by command. Raises TimeoutExpiredError, DataError; a refusal shows when its rows are read."""
        data = ask_once(self.host, self.port, encode_request(ApiRequest(commands)), self._timeout_s)
        if len(commands) == 1:
            return {commands[0]: decode_reply(data)}
        replies = decode_replies(data)
        missing = [name for name in commands if name not in replies]
        if missing:
            raise DataError(f"miner reply: no answer to {', '.join(missing)}")
        return replies

    def announcement(self) -> Announcement | None:
        """What an emulated device says about itself in ``version``."""
        row = self.ask("version")["version"].rows("VERSION")[0]
        text = row.get(KEY)
        return Announcement.parse(text) if isinstance(text, str) else None

    def firmware(self) -> str:
        """``stock`` or ``braiins``, by how it describes itself. Raises DataError for anything else."""
        reply = self.ask("version")["version"]
        text = f"{reply.status.description} {dict(reply.rows('VERSION')[0])}".lower()
        if "bosminer" in text:
            return "braiins"
        if "bmminer" in text:
            return "stock"
        raise DataError(f"miner version: {reply.status.description!r}, must be bmminer or bOSminer")

    def wait_back(self, wait_s: float, elapsed_below: float | None = None) -> None:
        """Wait until it answers, and where given until its ``Elapsed`` shows that it was restarted.

        Raises:
            TimeoutExpiredError: it does not come back in time.
        """
        deadline = time.monotonic() + wait_s + 5.0
        gone = False
        while time.monotonic() < deadline:
            time.sleep(min(1.0, max(0.02, wait_s / 200.0)))
            try:
                elapsed = number(self.ask("summary")["summary"].rows("SUMMARY")[0], "Elapsed")
            except AsicReservoirError:
                gone = True
                continue
            if gone or elapsed_below is None or elapsed < elapsed_below:
                return
        raise TimeoutExpiredError(f"miner {self.host}:{self.port}: not back, must answer within {wait_s:g} s")

    def elapsed_s(self) -> float:
        """Seconds since its process started."""
        return number(self.ask("summary")["summary"].rows("SUMMARY")[0], "Elapsed")


@dataclass(frozen=True, slots=True)
class S9Reading:
    """Sensors and counters of the whole miner."""

    chip_c: float
    boards_c: tuple[float, float, float]
    voltages_mv: tuple[float, float, float]
    """NaN with stock firmware, which does not say."""
    fan_rpm: float
    hardware_errors: int
    stale: int
    """Shares that the miner itself gave up: found while the pool was away, or never answered by it."""


class S9Control(Protocol):
    """What the two firmwares have in common."""

    firmware: str
    sets_voltage: bool

    def take_over(self, pool: PoolSetting) -> None:
        """Point the miner at our pool, and remember how it was."""
        ...

    def write(
        self, frequency_mhz: float | None, voltages_mv: tuple[float, float, float] | None, fan: float | None
    ) -> float | None:
        """Set, restart the miner process, and read back: the clock that it then runs at, None where none was asked for.

        Raises:
            SafetyError: a setting did not take.
        """
        ...

    def read(self) -> S9Reading: ...

    def restore(self) -> None:
        """The configuration as it was found."""
        ...

    def guard_plan(self) -> Plan:
        """What restores it should this process die."""
        ...

    def pool_url(self) -> str:
        """The pool that it is pointed at now."""
        ...


class StockControl:
    """bmminer: the configuration page with digest authentication; a change restarts the miner process."""

    firmware = "stock"
    sets_voltage = False

    def __init__(self, link: HttpLink, api: CgminerApi, host_s: Callable[[int], float], login: tuple[str, str]) -> None:
        self._link, self._api, self._host_s, self._login = link, api, host_s, login
        self._found = self._read_config()
        self._config = self._found

    def take_over(self, pool: PoolSetting) -> None:
        self._config = replace(self._found, pools=(pool,))
        self._write_config(self._config)

    def write(
        self, frequency_mhz: float | None, voltages_mv: tuple[float, float, float] | None, fan: float | None
    ) -> float | None:
        config = self._config
        if frequency_mhz is not None:
            config = replace(config, frequency_mhz=round(frequency_mhz))
        if fan is not None:
            config = replace(config, fan_control=True, fan_percent=round(fan))
        self._write_config(config)
        self._config = config
        if frequency_mhz is None:
            return None
        runs = parse_stats(self._api.ask("stats")["stats"]).frequency_mhz
        if abs(runs - frequency_mhz) > _GRID_MHZ:
            raise SafetyError(f"S9 frequency: asked for {frequency_mhz:g} MHz, miner runs at {runs:g} MHz")
        return runs

    def read(self) -> S9Reading:
        stats = parse_stats(self._api.ask("stats")["stats"])
        summary = self._api.ask("summary")["summary"].rows("SUMMARY")[0]
        boards = {chain.index: chain for chain in stats.chains}
        nan = float("nan")
        return S9Reading(
            max((chain.temperature2_c for chain in stats.chains), default=nan),
            _three(boards[i].temperature_c if i in boards else nan for i in CHAINS),
            (nan, nan, nan),
            float(max(stats.fans_rpm.values(), default=0)),
            int(number(summary, "Hardware Errors")),
            int(number(summary, "Stale")),
        )

    def restore(self) -> None:
        if self._config != self._found:
            self._write_config(self._found)
            self._config = self._found

    def guard_plan(self) -> Plan:
        url, form = f"{self._link.base}/cgi-bin/set_miner_conf.cgi", encode_stock_form(self._found).decode()
        return Plan(requests=[RequestPlan(url, "POST", form, *self._login, headers=_FORM)])

    def pool_url(self) -> str:
        pools = self._read_config().pools
        return pools[0].url if pools else ""

    def _read_config(self) -> StockConfig:
        return parse_stock_config(self._link.fetch("GET", "/cgi-bin/get_miner_conf.cgi").body)

    def _write_config(self, config: StockConfig) -> None:
        """Form first, as the page of an S9 sends it; JSON where that changed nothing. What holds is read back."""
        before = self._api.elapsed_s()
        self._link.fetch("POST", "/cgi-bin/set_miner_conf.cgi", encode_stock_form(config), _FORM)
        if not _same(self._read_config(), config):
            self._link.fetch("POST", "/cgi-bin/set_miner_conf.cgi", encode_stock_config(config))
            found = self._read_config()
            if not _same(found, config):
                raise SafetyError(f"S9 configuration: wrote {config}, reads back {found}")
        self._api.wait_back(self._host_s(int(RESTART_WITHIN_S * 1e9)), before)


class BraiinsControl:
    """bosminer: its TOML file over SSH, then a restart of its service; voltage a hashboard."""

    firmware = "braiins"
    sets_voltage = True

    def __init__(self, api: CgminerApi, shell: BraiinsShell, host_s: Callable[[int], float]) -> None:
        self._api, self._shell, self._host_s = api, shell, host_s
        self._found_text = shell.read_config()
        self._config = parse_bosminer(self._found_text)

    def take_over(self, pool: PoolSetting) -> None:
        self._put(replace(self._config, pools=(pool,)))

    def write(
        self, frequency_mhz: float | None, voltages_mv: tuple[float, float, float] | None, fan: float | None
    ) -> float | None:
        config: BosminerConfig = self._config
        if frequency_mhz is not None:
            config = replace(config, frequency_mhz=float(frequency_mhz))
        if voltages_mv is not None:
            chains = {index: (None, mv / 1000.0) for index, mv in zip(CHAINS, voltages_mv, strict=True)}
            config = replace(config, chains=chains)
        if fan is not None:
            config = replace(config, fan_speed_percent=round(fan))
        self._put(config)
        clocks = []
        for index, row in zip(CHAINS, self._details(), strict=True):
            runs, volts = number(row, "Frequency") / 1e6, number(row, "Voltage")
            if frequency_mhz is not None and abs(runs - frequency_mhz) > _GRID_MHZ:
                raise SafetyError(f"S9 chain {index}: asked for {frequency_mhz:g} MHz, runs at {runs:g} MHz")
            asked = None if voltages_mv is None else voltages_mv[index - CHAINS[0]] / 1000.0
            if asked is not None and abs(volts - asked) > 0.01 * asked:
                raise SafetyError(f"S9 chain {index}: asked for {asked:g} V, has {volts:g} V")
            clocks.append(runs)
        return None if frequency_mhz is None else sum(clocks) / len(clocks)

    def read(self) -> S9Reading:
        replies = self._api.ask("summary", "temps", "fans", "devdetails")
        temperatures = replies["temps"].rows("TEMPS")
        boards = {int(number(row, "ID")): number(row, "Board") for row in temperatures}
        voltages = {
            int(number(r, "ID")): 1000.0 * number(r, "Voltage") for r in replies["devdetails"].rows("DEVDETAILS")
        }
        summary = replies["summary"].rows("SUMMARY")[0]
        nan = float("nan")
        return S9Reading(
            max((number(row, "Chip") for row in temperatures), default=nan),
            _three(boards.get(i, nan) for i in CHAINS),
            _three(voltages.get(i, nan) for i in CHAINS),
            max((number(row, "RPM") for row in replies["fans"].rows("FANS")), default=0.0),
            int(number(summary, "Hardware Errors")),
            int(number(summary, "Stale")),
        )

    def restore(self) -> None:
        self._write_text(self._found_text)
        self._config = parse_bosminer(self._found_text)

    def guard_plan(self) -> Plan:
        address = self._shell.address
        return Plan(commands=[CommandPlan(str(address), "drivers.s9.restore", order(address, self._found_text))])

    def pool_url(self) -> str:
        pools = parse_bosminer(self._shell.read_config()).pools
        return pools[0].url if pools else ""

    def _details(self) -> list[dict[str, object]]:
        return [dict(row) for row in self._api.ask("devdetails")["devdetails"].rows("DEVDETAILS")]

    def _put(self, config: BosminerConfig) -> None:
        self._write_text(encode_bosminer(config))
        self._config = config

    def _write_text(self, text: str) -> None:
        before = self._api.elapsed_s()
        self._shell.write_config(text)
        self._api.wait_back(self._host_s(int(RESTART_WITHIN_S * 1e9)), before)


def _three(values: Iterable[float]) -> tuple[float, float, float]:
    first, second, third = values
    return first, second, third


def _same(found: StockConfig, wanted: StockConfig) -> bool:
    mine = (wanted.pools[:1], wanted.frequency_mhz, wanted.fan_control, wanted.fan_percent)
    return (found.pools[:1], found.frequency_mhz, found.fan_control, found.fan_percent) == mine
