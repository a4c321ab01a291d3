"""``PATCH /api/system``: which keys a board of each generation takes, and what it makes of wrong ones."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass

from asic_reservoir.errors import DataError, UsageError
from firmware_bridge.axeos.generation import Generation
from firmware_bridge.fields import load_object, shown

MAX_BODY = 10_240
"""Longest body that the live generation reads."""

Setting = float | int | bool | str


@dataclass(frozen=True, slots=True)
class Key:
    """One setting: its type, and its range for numbers."""

    kind: type
    low: float = -math.inf
    high: float = math.inf

    def accept(self, name: str, value: object) -> Setting:
        """The value as the board keeps it. Raises DataError naming key, value and what is right."""
        if self.kind is str:
            if isinstance(value, str):
                return value
            raise DataError(f"AxeOS setting {name}: {shown(value)}, must be a string")
        if self.kind is bool:
            if isinstance(value, bool) or value in (0, 1):
                return bool(value)
            raise DataError(f"AxeOS setting {name}: {shown(value)}, must be true, false, 0 or 1")
        right = not isinstance(value, bool) and isinstance(value, int | float)
        right = right and (self.kind is float or isinstance(value, int) or float(value).is_integer())  # type: ignore[arg-type]
        if not right or not self.low <= value <= self.high:  # type: ignore[operator]
            word = "a number" if self.kind is float else "an integer"
            raise DataError(f"AxeOS setting {name}: {shown(value)}, must be {word} from {self.low:g} to {self.high:g}")
        return self.kind(value)  # type: ignore[no-any-return]


LIVE_KEYS: dict[str, Key] = {
    "frequency": Key(float, 1, 65535),
    "coreVoltage": Key(int, 1, 65535),
    "overclockEnabled": Key(bool),
    "autofanspeed": Key(bool),
    "manualFanSpeed": Key(int, 0, 100),
    "minFanSpeed": Key(int, 0, 99),
    "temptarget": Key(int, 35, 66),
    "overheat_mode": Key(int, 0, 0),  # only clears the latch
    "statsFrequency": Key(int, 0, 65535),
    "displayTimeout": Key(int, -1, 71582),
    "rotation": Key(int, 0, 270),
    "invertscreen": Key(bool),
    "display": Key(str),
    "hostname": Key(str),
    "ssid": Key(str),
    "wifiPass": Key(str),
    "primaryPoolIndex": Key(int, 0, 7),
    "secondaryPoolIndex": Key(int, 0, 7),
    "useFallbackStratum": Key(bool),
}
"""ESP-Miner ``nvs_config.c``. Pools have a request of their own; see :func:`encode_pool`."""

STOCK_KEYS: dict[str, type] = {
    "stratumURL": str,
    "stratumUser": str,
    "stratumPassword": str,
    "stratumPort": int,
    "ssid": str,
    "wifiPass": str,
    "hostname": str,
    "coreVoltage": int,
    "frequency": int,
    "flipscreen": int,
    "invertscreen": int,
    "invertfanpolarity": int,
    "autofanspeed": int,
    "fanspeed": int,
}
"""ESP-Miner v2.1.8 ``http_server.c``."""


def encode_patch(settings: Mapping[str, Setting], generation: Generation) -> bytes:
    """The body of a PATCH, after checking what the board itself may not check.

    Raises:
        UsageError: a key that this generation would ignore with status 200 (such as ``volts``), or a value it would
            store as something else.

    >>> encode_patch({"coreVoltage": 1200, "frequency": 485}, Generation.STOCK)
    b'{"coreVoltage":1200,"frequency":485}'
    """
    for name, value in settings.items():
        if generation is Generation.LIVE:
            if name not in LIVE_KEYS:
                raise UsageError(f"AxeOS setting {name!r}: unknown, must be one of {', '.join(LIVE_KEYS)}")
            try:
                LIVE_KEYS[name].accept(name, value)
            except DataError as error:
                raise UsageError(str(error)) from None
        else:
            kind = STOCK_KEYS.get(name)
            if kind is None:
                raise UsageError(f"AxeOS setting {name!r}: unknown, must be one of {', '.join(STOCK_KEYS)}")
            if isinstance(value, bool) or not isinstance(value, kind):
                word = "a string" if kind is str else "an integer"
                raise UsageError(f"AxeOS setting {name}: {shown(value)}, must be {word}")
    return json.dumps(dict(settings), separators=(",", ":")).encode()


def read_patch(body: bytes, generation: Generation) -> dict[str, Setting]:
    """What a board of ``generation`` keeps of a PATCH.

    Live: all or nothing. Stock: whatever it knows; a number given as text becomes 0, a text given as a number is
    left alone, unknown keys vanish.

    Raises:
        DataError: what the board answers with status 400.

    >>> read_patch(b'{"frequency":500,"volts":0.9}', Generation.STOCK)
    {'frequency': 500}
    """
    if len(body) > MAX_BODY:
        raise DataError(f"AxeOS settings: {len(body)} bytes, must be at most {MAX_BODY}")
    given = load_object(body, "AxeOS settings")
    if generation is Generation.LIVE:
        return {name: LIVE_KEYS[name].accept(name, value) for name, value in given.items() if name in LIVE_KEYS}
    kept: dict[str, Setting] = {}
    for name, value in given.items():
        kind = STOCK_KEYS.get(name)
        if kind is str and isinstance(value, str):
            kept[name] = value
        elif kind is int:
            number = isinstance(value, int | float) and abs(value) < 2**31
            kept[name] = int(value) & 0xFFFF if number else 0  # type: ignore[call-overload]
    return kept


@dataclass(frozen=True, slots=True)
class Pool:
    """A pool as the live generation stores it."""

    url: str
    port: int
    user: str
    password: str = "x"


def encode_pool(pool: Pool) -> bytes:
    """Body of ``PUT /api/system/pools/{index}``.

    >>> encode_pool(Pool("192.168.1.50", 3333, "lab"))[:30]
    b'{"stratumURL":"192.168.1.50","'
    """
    return json.dumps(
        {
            "stratumURL": pool.url,
            "stratumPort": pool.port,
            "stratumUser": pool.user,
            "stratumPassword": pool.password,
        },
        separators=(",", ":"),
    ).encode()


def read_pool(body: bytes) -> Pool:
    """Raises DataError naming the key."""
    keys = load_object(body, "AxeOS pool")
    port = Key(int, 1, 65535).accept("stratumPort", keys.get("stratumPort"))
    texts = [
        str(Key(str).accept(name, keys.get(name, default)))
        for name, default in (("stratumURL", None), ("stratumUser", None), ("stratumPassword", "x"))
    ]
    return Pool(texts[0], int(port), texts[1], texts[2])
