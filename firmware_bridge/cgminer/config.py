"""The HTTP configuration of a stock S9 (``set_miner_conf.cgi``) and the TOML file of Braiins' bosminer."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode

import tomli_w

from asic_reservoir.errors import DataError
from firmware_bridge.fields import as_integer, as_list, as_number, as_object, as_text, load_object, shown


@dataclass(frozen=True, slots=True)
class PoolSetting:
    """A pool as a miner is configured with it."""

    url: str
    user: str
    password: str = "x"


@dataclass(frozen=True, slots=True)
class StockConfig:
    """The fields of the configuration page that matter here."""

    pools: tuple[PoolSetting, ...]
    frequency_mhz: int
    voltage_code: str = "0706"
    """``bitmain-voltage``, passed through: no source says what its digits mean."""
    fan_control: bool = False
    fan_percent: int = 100


def encode_stock_config(config: StockConfig) -> bytes:
    """The JSON that ``get_miner_conf.cgi`` answers and ``set_miner_conf.cgi`` takes."""
    return json.dumps(
        {
            "pools": [{"url": pool.url, "user": pool.user, "pass": pool.password} for pool in config.pools],
            "api-listen": True,
            "api-network": True,
            "api-groups": "A:stats:pools:devs:summary:version",
            "api-allow": "A:0/0,W:*",
            "bitmain-fan-ctrl": config.fan_control,
            "bitmain-fan-pwm": str(config.fan_percent),
            "bitmain-use-vil": True,
            "bitmain-freq": str(config.frequency_mhz),
            "bitmain-voltage": config.voltage_code,
        }
    ).encode()


def parse_stock_config(body: bytes | str) -> StockConfig:
    """Raises DataError naming the field."""
    keys = load_object(body, "S9 configuration")
    pools = []
    for item in as_list(keys.get("pools", []), "S9 configuration pools"):
        pool = as_object(item, "S9 configuration pool")
        pools.append(PoolSetting(*(as_text(pool.get(name, ""), f"S9 pool {name}") for name in ("url", "user", "pass"))))
    fan_control = keys.get("bitmain-fan-ctrl", False)
    if fan_control in ("true", "false"):
        fan_control = fan_control == "true"
    if not isinstance(fan_control, bool):
        raise DataError(f"S9 bitmain-fan-ctrl: {shown(fan_control)}, must be true or false")
    return StockConfig(
        tuple(pools),
        _digits(keys.get("bitmain-freq"), "S9 bitmain-freq", 1, 2000),
        as_text(keys.get("bitmain-voltage", ""), "S9 bitmain-voltage"),
        fan_control,
        _digits(keys.get("bitmain-fan-pwm", "100"), "S9 bitmain-fan-pwm", 0, 100),
    )


def encode_stock_form(config: StockConfig) -> bytes:
    """The form that the page of an S9 posts to ``set_miner_conf.cgi``.

    The names of the pools are those that pyasic sends; those of clock, voltage and fan are common knowledge only, so
    whoever writes them reads the configuration back.
    """
    fields: dict[str, str] = {}
    for index, pool in enumerate(config.pools[:3], 1):
        fields |= {
            f"_ant_pool{index}url": pool.url,
            f"_ant_pool{index}user": pool.user,
            f"_ant_pool{index}pw": pool.password,
        }
    fields |= {
        "_ant_nobeeper": "false",
        "_ant_notempoverctrl": "false",
        "_ant_fan_customize_switch": str(config.fan_control).lower(),
        "_ant_fan_customize_value": str(config.fan_percent),
        "_ant_freq": str(config.frequency_mhz),
        "_ant_voltage": config.voltage_code,
    }
    return urlencode(fields).encode()


def parse_stock_form(body: bytes | str) -> StockConfig:
    """Read that form. Raises DataError naming the field.

    >>> config = StockConfig((PoolSetting("stratum+tcp://10.0.0.1:3333", "lab"),), 550)
    >>> parse_stock_form(encode_stock_form(config)) == config
    True
    """
    text = body if isinstance(body, str) else body.decode(errors="replace")
    try:
        fields = dict(parse_qsl(text, keep_blank_values=True, max_num_fields=64))
    except ValueError as error:
        raise DataError(f"S9 form: {shown(text)}, must be a form ({error})") from None
    pools = tuple(
        PoolSetting(
            as_text(fields[f"_ant_pool{index}url"], "S9 form pool url"),
            as_text(fields.get(f"_ant_pool{index}user", ""), "S9 form pool user"),
            as_text(fields.get(f"_ant_pool{index}pw", ""), "S9 form pool password"),
        )
        for index in (1, 2, 3)
        if f"_ant_pool{index}url" in fields
    )
    return StockConfig(
        pools,
        _digits(fields.get("_ant_freq"), "S9 form _ant_freq", 1, 2000),
        as_text(fields.get("_ant_voltage", ""), "S9 form _ant_voltage"),
        fields.get("_ant_fan_customize_switch") == "true",
        _digits(fields.get("_ant_fan_customize_value", "100"), "S9 form fan", 0, 100),
    )


def _digits(value: object, what: str, low: int, high: int) -> int:
    """The page writes numbers as text."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        value = int(value)
    return as_integer(value, what, low, high)


@dataclass(frozen=True, slots=True)
class BosminerConfig:
    """What ``/etc/bosminer.toml`` sets (format 1.0)."""

    frequency_mhz: float = 650.0
    voltage_v: float = 8.8
    chains: Mapping[int, tuple[float | None, float | None]] | None = None
    """Frequency and voltage of single chains, by connector; None keeps the global value."""
    pools: tuple[PoolSetting, ...] = ()
    asic_boost: bool = True
    target_c: float = 89.0
    hot_c: float = 100.0
    dangerous_c: float = 110.0
    fan_speed_percent: int | None = None
    """None leaves the fans to the temperature control."""


def encode_bosminer(config: BosminerConfig) -> str:
    """The TOML text.

    >>> parse_bosminer(encode_bosminer(BosminerConfig(frequency_mhz=600.0))).frequency_mhz
    600.0
    """
    document: dict[str, object] = {
        "format": {"version": "1.0", "model": "Antminer S9"},
        "hash_chain_global": {
            "asic_boost": config.asic_boost,
            "frequency": float(config.frequency_mhz),
            "voltage": float(config.voltage_v),
        },
    }
    if config.chains:
        document["hash_chain"] = {
            str(index): {
                name: float(value)
                for name, value in (("frequency", frequency), ("voltage", voltage))
                if value is not None
            }
            for index, (frequency, voltage) in config.chains.items()
        }
    document["temp_control"] = {
        "mode": "auto" if config.fan_speed_percent is None else "manual",
        "target_temp": float(config.target_c),
        "hot_temp": float(config.hot_c),
        "dangerous_temp": float(config.dangerous_c),
    }
    document["fan_control"] = {"min_fans": 1} | (
        {} if config.fan_speed_percent is None else {"speed": config.fan_speed_percent}
    )
    pools = [{"url": pool.url, "user": pool.user, "password": pool.password} for pool in config.pools]
    document["group"] = [{"name": "asic-reservoir", "pool": pools}]
    return tomli_w.dumps(document)


def parse_bosminer(text: str) -> BosminerConfig:
    """Read the file. Raises DataError naming the key; limits are Braiins' (200-900 MHz, 7.95-9.4 V)."""
    try:
        keys = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        raise DataError(f"bosminer.toml: {str(error).splitlines()[0] if str(error) else 'too deep'}") from None
    chain = as_object(keys.get("hash_chain_global", {}), "bosminer.toml hash_chain_global")
    frequency = as_number(chain.get("frequency", 650.0), "bosminer.toml frequency", 200, 900)
    voltage = as_number(chain.get("voltage", 8.8), "bosminer.toml voltage", 7.95, 9.4)
    chains: dict[int, tuple[float | None, float | None]] = {}
    for name, value in as_object(keys.get("hash_chain", {}), "bosminer.toml hash_chain").items():
        own = as_object(value, f"bosminer.toml hash_chain.{name}")
        index = _digits(name, "bosminer.toml hash_chain", 1, 9)
        chains[index] = (
            as_number(own["frequency"], f"bosminer.toml {name}.frequency", 200, 900) if "frequency" in own else None,
            as_number(own["voltage"], f"bosminer.toml {name}.voltage", 7.95, 9.4) if "voltage" in own else None,
        )
    pools = []
    for group in as_list(keys.get("group", []), "bosminer.toml group"):
        for item in as_list(as_object(group, "bosminer.toml group").get("pool", []), "bosminer.toml pool"):
            pool = as_object(item, "bosminer.toml pool")
            texts = (as_text(pool.get(name, ""), f"bosminer.toml pool {name}") for name in ("url", "user", "password"))
            pools.append(PoolSetting(*texts))
    temperatures = as_object(keys.get("temp_control", {}), "bosminer.toml temp_control")
    fan = as_object(keys.get("fan_control", {}), "bosminer.toml fan_control")
    boost = chain.get("asic_boost", True)
    if not isinstance(boost, bool):
        raise DataError(f"bosminer.toml asic_boost: {shown(boost)}, must be true or false")
    return BosminerConfig(
        frequency,
        voltage,
        chains or None,
        tuple(pools),
        boost,
        as_number(temperatures.get("target_temp", 89.0), "bosminer.toml target_temp", 0, 200),
        as_number(temperatures.get("hot_temp", 100.0), "bosminer.toml hot_temp", 0, 200),
        as_number(temperatures.get("dangerous_temp", 110.0), "bosminer.toml dangerous_temp", 0, 200),
        as_integer(fan["speed"], "bosminer.toml fan speed", 0, 100) if "speed" in fan else None,
    )
