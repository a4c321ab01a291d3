"""``GET /api/system/info``: everything that a board says about itself, in both directions.

Every key is optional: generations and forks add and drop them (protocols.md 3.3).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import partial

from asic_reservoir.errors import DataError
from firmware_bridge.axeos.generation import Generation
from firmware_bridge.fields import as_flag, as_integer, as_list, as_number, as_object, as_text, load_object, shown

_SUFFIXES = {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18}


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemInfo:
    """One answer to ``GET /api/system/info``. ``None``: the board does not say."""

    power_w: float | None = None
    """Input power of the whole board, fan and controller included."""
    input_voltage_mv: float | None = None
    """Of the 5 V supply."""
    current_ma: float | None = None
    temperature_c: float | None = None
    """Of the chip as the firmware sees it; -1 where the sensor is off."""
    regulator_temperature_c: float | None = None
    """0 where the board has no such sensor."""
    hashrate_ghs: float | None = None
    """Stock: an estimate from shares, minutes late. Live: the chip's own counter over one second."""
    best_difficulty: float | None = None
    best_session_difficulty: float | None = None
    free_heap: int | None = None
    core_voltage_mv: float | None = None
    """What was asked of the regulator."""
    core_voltage_actual_mv: float | None = None
    """What the ADC reads."""
    frequency_mhz: float | None = None
    """What was asked of the PLL."""
    actual_frequency_mhz: float | None = None
    """What the PLL runs at (live only)."""
    ssid: str | None = None
    hostname: str | None = None
    wifi_status: str | None = None
    shares_accepted: int | None = None
    shares_rejected: int | None = None
    uptime_s: int | None = None
    asic_model: str | None = None
    asic_count: int | None = None
    small_core_count: int | None = None
    miner_model: str | None = None
    """Of Lucky Miner firmware only."""
    stratum_url: str | None = None
    stratum_port: int | None = None
    stratum_user: str | None = None
    version: str | None = None
    board_version: str | None = None
    running_partition: str | None = None
    auto_fan: bool | None = None
    fan_percent: float | None = None
    """Stock: the stored manual value. Live: what the fan does."""
    manual_fan_percent: float | None = None
    fan_rpm: float | None = None
    flip_screen: bool | None = None
    invert_screen: bool | None = None
    invert_fan_polarity: bool | None = None
    expected_hashrate_ghs: float | None = None
    error_percent: float | None = None
    overheat_mode: bool | None = None
    """Latched after an over-temperature trip, until a PATCH of 0."""
    mining_paused: bool | None = None
    pool_difficulty: float | None = None
    response_time_ms: float | None = None
    process_time_ms: float | None = None
    temperature_target_c: float | None = None
    statistics_period_s: int | None = None
    mac: str | None = None
    power_fault: str | None = None
    hash_counters: tuple[int, ...] | None = None
    """Total counter of every chip, units of 2^32 hashes (live only)."""

    @property
    def overheated(self) -> bool:
        """In the fallback of an over-temperature trip: latched (live), or at 50 MHz and 990 mV (stock)."""
        return bool(self.overheat_mode) or (self.frequency_mhz == 50 and self.core_voltage_mv == 990)


def parse_info(body: bytes | str) -> SystemInfo:
    """Read an answer. Raises DataError that names the key.

    >>> parse_info('{"frequency":485,"coreVoltage":1200,"bestDiff":"2.41M","autofanspeed":1}').best_difficulty
    2410000.0
    """
    return info_of(load_object(body, "AxeOS info"))


def info_of(keys: Mapping[str, object]) -> SystemInfo:
    """Read an answer that is already decoded. Unknown keys are left alone. Raises DataError."""
    values: dict[str, object] = {}
    for attribute, names, read, _ in _TABLE:
        for name in names:
            value = keys.get(name)
            if value is not None:
                values[attribute] = read(value, f"AxeOS info {name}")
                break
    return SystemInfo(**values)  # type: ignore[arg-type]


def encode_info(info: SystemInfo, generation: Generation) -> bytes:
    """The body as a board of ``generation`` sends it: its keys, and only those it has."""
    keys: dict[str, object] = {}
    for attribute, names, _, write in _TABLE:
        value = getattr(info, attribute)
        if value is not None:
            name = names[-1] if generation is Generation.STOCK else names[0]
            keys[name] = write(value, generation)
    return json.dumps(keys, separators=(",", ":")).encode()


def parse_difficulty(value: object, what: str) -> float:
    """A difficulty as a number, or as text such as ``2.41M``. Raises DataError.

    >>> parse_difficulty("88.0k", "bestDiff")
    88000.0
    """
    if not isinstance(value, str):
        return as_number(value, what, 0.0)
    text = value.strip()
    digits = text.rstrip("kKMGTPE")
    suffix = text[len(digits) :]
    try:
        number = float(digits)
    except ValueError:
        number = -1.0
    if suffix not in _SUFFIXES or not 0.0 <= number < 1e300:
        raise DataError(f"{what}: {shown(value)}, must be a number such as 812 or '2.41M'")
    return number * _SUFFIXES[suffix]


def format_difficulty(difficulty: float) -> str:
    """The text of the stock generation: three significant digits and a suffix.

    >>> format_difficulty(2_410_000.0), format_difficulty(812.0)
    ('2.41M', '812')
    """
    for suffix in ("E", "P", "T", "G", "M", "k"):
        if difficulty >= _SUFFIXES[suffix]:
            scaled = difficulty / _SUFFIXES[suffix]
            return f"{scaled:.{max(0, 3 - len(str(int(scaled))))}f}{suffix}"
    return f"{difficulty:.0f}"


def _counters(value: object, what: str) -> tuple[int, ...]:
    asics = as_list(as_object(value, what).get("asics"), f"{what} asics")
    return tuple(as_integer(as_object(asic, what).get("total"), f"{what} total", 0, 2**64) for asic in asics)


Reader = Callable[[object, str], object]
Writer = Callable[[object, Generation], object]


def _same(value: object, _: Generation) -> object:
    if isinstance(value, bool):
        return int(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _best(value: object, generation: Generation) -> object:
    number = as_number(value, "difficulty", 0.0)
    return format_difficulty(number) if generation is Generation.STOCK else _same(number, generation)


def _monitor(value: object, _: Generation) -> object:
    return {"asics": [{"total": total} for total in value]} if isinstance(value, tuple) else None


_number: Reader = as_number
_count: Reader = partial(as_integer, low=0, high=2**63)
_port: Reader = partial(as_integer, low=0, high=65535)

_TABLE: tuple[tuple[str, tuple[str, ...], Reader, Writer], ...] = (
    # attribute, keys (live first, stock last), reader, writer
    ("power_w", ("power",), _number, _same),
    ("input_voltage_mv", ("voltage",), _number, _same),
    ("current_ma", ("current",), _number, _same),
    ("temperature_c", ("temp",), _number, _same),
    ("regulator_temperature_c", ("vrTemp",), _number, _same),
    ("hashrate_ghs", ("hashRate",), _number, _same),
    ("best_difficulty", ("bestDiff",), parse_difficulty, _best),
    ("best_session_difficulty", ("bestSessionDiff",), parse_difficulty, _best),
    ("free_heap", ("freeHeap",), _count, _same),
    ("core_voltage_mv", ("coreVoltage",), _number, _same),
    ("core_voltage_actual_mv", ("coreVoltageActual",), _number, _same),
    ("frequency_mhz", ("frequency",), _number, _same),
    ("actual_frequency_mhz", ("actualFrequency",), _number, _same),
    ("ssid", ("ssid",), as_text, _same),
    ("hostname", ("hostname",), as_text, _same),
    ("wifi_status", ("wifiStatus",), as_text, _same),
    ("shares_accepted", ("sharesAccepted",), _count, _same),
    ("shares_rejected", ("sharesRejected",), _count, _same),
    ("uptime_s", ("uptimeSeconds",), _count, _same),
    ("asic_model", ("ASICModel",), as_text, _same),
    ("asic_count", ("asicCount",), _count, _same),
    ("small_core_count", ("smallCoreCount",), _count, _same),
    ("miner_model", ("minerModel",), as_text, _same),
    ("stratum_url", ("stratumURL",), as_text, _same),
    ("stratum_port", ("stratumPort",), _port, _same),
    ("stratum_user", ("stratumUser",), as_text, _same),
    ("version", ("version",), as_text, _same),
    ("board_version", ("boardVersion",), as_text, _same),
    ("running_partition", ("runningPartition",), as_text, _same),
    ("auto_fan", ("autofanspeed",), as_flag, _same),
    ("fan_percent", ("fanspeed",), _number, _same),
    ("manual_fan_percent", ("manualFanSpeed",), _number, _same),
    ("fan_rpm", ("fanrpm", "fanSpeedRpm"), _number, _same),
    ("flip_screen", ("flipscreen",), as_flag, _same),
    ("invert_screen", ("invertscreen",), as_flag, _same),
    ("invert_fan_polarity", ("invertfanpolarity",), as_flag, _same),
    ("expected_hashrate_ghs", ("expectedHashrate",), _number, _same),
    ("error_percent", ("errorPercentage",), _number, _same),
    ("overheat_mode", ("overheat_mode",), as_flag, _same),
    ("mining_paused", ("miningPaused",), as_flag, _same),
    ("pool_difficulty", ("poolDifficulty",), _number, _same),
    ("response_time_ms", ("responseTime",), _number, _same),
    ("process_time_ms", ("processTime",), _number, _same),
    ("temperature_target_c", ("temptarget",), _number, _same),
    ("statistics_period_s", ("statsFrequency",), _count, _same),
    ("mac", ("macAddr",), as_text, _same),
    ("power_fault", ("power_fault",), as_text, _same),
    ("hash_counters", ("hashrateMonitor",), _counters, _monitor),
)

assert {row[0] for row in _TABLE} == {field.name for field in fields(SystemInfo)}
