"""``/mcb/setting``: the one object that holds clock, voltage and fan, and the strings inside it.

The box takes the whole object back, so a change is read, modify, write; keys that are not known here go back as they
came.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from asic_reservoir.errors import DataError, UsageError
from firmware_bridge.fields import (
    as_flag,
    as_integer,
    as_list,
    as_number,
    as_object,
    as_text,
    load_json,
    load_object,
    shown,
)

FREQUENCY_STEP_MHZ = 25
"""Clock trials on an SC-BOX moved in these steps."""
LEVEL_NORMAL, LEVEL_LOW, LEVEL_SLEEP = 0, 1, 3

_PLAN = re.compile(r"(\d{1,5}) MHz (\d{1,6}(?:\.\d{1,4})?) V((?: \d{1,5} RPM)*)(?: PV (\d{1,6}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class PowerPlan:
    """A power plan as its string says it, such as ``725 MHz 0.41 V 70 RPM 70 RPM``."""

    frequency_mhz: int
    voltage: float
    """Volts on a box (0.41); other models write other units (9100). Whether the board obeys it is not known."""
    fans_rpm: tuple[int, ...] = ()
    """Ignored by the box, which regulates its fans by temperature."""
    pv: int | None = None
    """A further field of the SC Lite."""

    @classmethod
    def parse(cls, text: str) -> PowerPlan:
        """Raises DataError.

        >>> PowerPlan.parse("625 MHz 9100 V 40 RPM 40 RPM PV 9400")
        PowerPlan(frequency_mhz=625, voltage=9100.0, fans_rpm=(40, 40), pv=9400)
        """
        match = _PLAN.fullmatch(text)
        if match is None:
            raise DataError(f"power plan: {shown(text)}, must look like '725 MHz 0.41 V 70 RPM 70 RPM'")
        fans = tuple(int(word) for word in match[3].split() if word != "RPM")
        return cls(int(match[1]), float(match[2]), fans, int(match[4]) if match[4] else None)

    def __str__(self) -> str:
        fans = "".join(f" {rpm} RPM" for rpm in self.fans_rpm)
        tail = "" if self.pv is None else f" PV {self.pv}"
        return f"{self.frequency_mhz} MHz {self.voltage:.10g} V{fans}{tail}"


@dataclass(frozen=True, slots=True)
class Plan:
    """An entry of the list of plans."""

    level: int
    """0 normal, 1 low, 3 sleep."""
    plan: PowerPlan


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings object."""

    select: int
    """Index of the plan in use while ``manual`` is off."""
    manual: bool
    manual_plan: PowerPlan
    plans: tuple[Plan, ...]
    temp_target_c: float
    temp_targets_c: tuple[float, float]
    """Lowest and highest target that the box takes."""
    name: str
    """The MAC address, as a rule."""
    keys: Mapping[str, object]
    """The whole object as it came."""

    @property
    def active(self) -> PowerPlan:
        """The plan that holds. Raises DataError where ``select`` points nowhere."""
        if self.manual:
            return self.manual_plan
        if not 0 <= self.select < len(self.plans):
            raise DataError(f"Goldshell select: {self.select}, must be 0 to {len(self.plans) - 1}")
        return self.plans[self.select].plan

    def with_frequency(self, frequency_mhz: int) -> Settings:
        """A manual plan with another clock, everything else as it is.

        Raises:
            UsageError: not a multiple of 25 MHz.
        """
        if frequency_mhz % FREQUENCY_STEP_MHZ:
            raise UsageError(f"frequency_mhz: {frequency_mhz}, must be a multiple of {FREQUENCY_STEP_MHZ}")
        return self._with_plan(replace(self.active, frequency_mhz=frequency_mhz))

    def with_temp_target(self, celsius: float) -> Settings:
        """Another target of the fan control. Raises UsageError outside of what the box takes."""
        low, high = self.temp_targets_c
        if not low <= celsius <= high:
            raise UsageError(f"temp_target: {celsius:g} degC, must be {low:g} to {high:g} degC")
        return replace(self, temp_target_c=celsius, keys={**self.keys, "temp_target": celsius})

    def _with_plan(self, plan: PowerPlan) -> Settings:
        keys = {**self.keys, "manual": True, "manualPowerplan": str(plan)}
        return replace(self, manual=True, manual_plan=plan, keys=keys)


def parse_settings(body: bytes | str) -> Settings:
    """Raises DataError naming the key."""
    keys = load_object(body, "Goldshell settings")
    plans = []
    for item in as_list(keys.get("powerplans"), "Goldshell powerplans", 1):
        entry = as_object(item, "Goldshell powerplan")
        text = as_text(entry.get("info"), "Goldshell powerplan info")
        plans.append(Plan(as_integer(entry.get("level"), "Goldshell powerplan level", 0, 9), PowerPlan.parse(text)))
    targets = [
        as_number(item, "Goldshell temp_targets", -50, 200)
        for item in as_list(keys.get("temp_targets", [0, 100]), "Goldshell temp_targets", 2)
    ]
    return Settings(
        as_integer(keys.get("select"), "Goldshell select", 0, 99),
        as_flag(keys.get("manual", False), "Goldshell manual"),
        PowerPlan.parse(as_text(keys.get("manualPowerplan"), "Goldshell manualPowerplan")),
        tuple(plans),
        as_number(keys.get("temp_target", targets[0]), "Goldshell temp_target", -50, 200),
        (targets[0], targets[1]),
        as_text(keys.get("name", ""), "Goldshell name"),
        keys,
    )


def encode_settings(settings: Settings) -> bytes:
    """The whole object, for a PUT or as the box answers it."""
    return json.dumps(dict(settings.keys), separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class PoolEntry:
    """A pool in ``/mcb/pools``; its ``dragid`` is needed to delete it."""

    url: str
    user: str
    password: str = "x"
    dragid: int = 0
    active: bool = False


def encode_pools(pools: tuple[PoolEntry, ...]) -> bytes:
    """The list as the box answers it."""
    return json.dumps([_pool_keys(pool) for pool in pools], separators=(",", ":")).encode()


def encode_new_pool(pool: PoolEntry) -> bytes:
    """Body of ``PUT /mcb/newpool``."""
    keys = {"url": pool.url, "user": pool.user, "pass": pool.password}
    return json.dumps(keys, separators=(",", ":")).encode()


def encode_delete_pool(pool: PoolEntry) -> bytes:
    """Body of ``PUT /mcb/delpool``."""
    keys = {"url": pool.url, "user": pool.user, "pass": pool.password, "dragid": pool.dragid}
    return json.dumps(keys, separators=(",", ":")).encode()


def parse_pools(body: bytes | str) -> tuple[PoolEntry, ...]:
    """Raises DataError naming the key."""
    return tuple(_pool(item) for item in as_list(load_json(body, "Goldshell pools"), "Goldshell pools"))


def parse_pool(body: bytes | str) -> PoolEntry:
    """Body of ``newpool`` or ``delpool``. Raises DataError naming the key."""
    return _pool(load_object(body, "Goldshell pool"))


def _pool(value: object) -> PoolEntry:
    keys = as_object(value, "Goldshell pool")
    return PoolEntry(
        as_text(keys.get("url"), "Goldshell pool url"),
        as_text(keys.get("user", ""), "Goldshell pool user"),
        as_text(keys.get("pass", ""), "Goldshell pool pass"),
        as_integer(keys.get("dragid", 0), "Goldshell pool dragid", 0, 2**31),
        as_flag(keys.get("active", False), "Goldshell pool active"),
    )


def _pool_keys(pool: PoolEntry) -> dict[str, object]:
    return {
        "url": pool.url,
        "active": pool.active,
        "dragid": pool.dragid,
        "user": pool.user,
        "pool-priority": pool.dragid,
        "pass": pool.password,
    }
