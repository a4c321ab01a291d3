"""What a box reports: identity, devices, chips, history."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from asic_reservoir.errors import DataError
from firmware_bridge.cgminer.bmminer import number
from firmware_bridge.cgminer.messages import Row
from firmware_bridge.fields import as_integer, as_list, as_number, as_object, as_text, load_json, load_object, shown

NO_SENSOR_C = -150
"""``tstemp-2`` of a board without that sensor."""
HISTORY_LENGTH = 288


@dataclass(frozen=True, slots=True)
class BoxStatus:
    """``GET /mcb/status``; needs no token."""

    hardware: str
    model: str
    """Such as ``Goldshell-SCBox``."""
    mcb_version: str
    firmware: str


def encode_status(status: BoxStatus) -> bytes:
    """The body as the box sends it."""
    return json.dumps(
        {
            "hardware": status.hardware,
            "model": status.model,
            "mcbversion": status.mcb_version,
            "firmware": status.firmware,
        },
        separators=(",", ":"),
    ).encode()


def parse_status(body: bytes | str) -> BoxStatus:
    """Raises DataError naming the key."""
    keys = load_object(body, "Goldshell status")
    names = ("hardware", "model", "mcbversion", "firmware")
    return BoxStatus(*(as_text(keys.get(name, ""), f"Goldshell status {name}") for name in names))


@dataclass(frozen=True, slots=True)
class BoxDevice:
    """One board in ``devs``."""

    elapsed_s: float
    rate_average_mhs: float
    rate_20s_mhs: float
    nonces: int
    accepted: int
    rejected: int
    hardware_errors: int
    clock_mhz: float
    voltage_v: float
    """Probably the set point echoed, not a measurement."""
    fans_rpm: tuple[int, ...]
    chip_temperatures_c: tuple[float, ...]
    """``tstemp-0`` and ``tstemp-1``: averages of the chips, about 3 degC high."""
    board_temperature_c: float | None
    """``tstemp-2``; None without that sensor."""
    overheat: bool
    reboots: int


def device_row(device: BoxDevice, index: int = 0) -> dict[str, object]:
    """The item of ``DEVS`` as the box sends it."""
    done = device.nonces + device.hardware_errors
    board_c = NO_SENSOR_C if device.board_temperature_c is None else device.board_temperature_c
    return {
        "PGA": index,
        "Device Elapsed": int(device.elapsed_s),
        "MHS av": round(device.rate_average_mhs, 2),
        "MHS 20s": round(device.rate_20s_mhs, 2),
        "Nonced": device.nonces,
        "Accepted": device.accepted,
        "Rejected": device.rejected,
        "Hardware Errors": device.hardware_errors,
        "Device Hardware%": round(100.0 * device.hardware_errors / done, 4) if done else 0.0,
        "clock": device.clock_mhz,
        "voltage": device.voltage_v,
        **{f"fan{i}": rpm for i, rpm in enumerate(device.fans_rpm)},
        **{f"tstemp-{i}": round(celsius, 1) for i, celsius in enumerate(device.chip_temperatures_c[:2])},
        "tstemp-2": board_c,
        "overheat": int(device.overheat),
        "rebootcnt": device.reboots,
        "hwerr-ration": round(device.hardware_errors / done, 6) if done else 0.0,
    }


def parse_device(row: Row) -> BoxDevice:
    """Raises DataError naming the key."""

    def count(key: str) -> int:
        return as_integer(row.get(key, 0), f"Goldshell {key}", 0, 2**63)

    board_c = number(row, "tstemp-2", -300, 1000) if "tstemp-2" in row else float(NO_SENSOR_C)
    return BoxDevice(
        number(row, "Device Elapsed"),
        number(row, "MHS av"),
        number(row, "MHS 20s"),
        count("Nonced"),
        count("Accepted"),
        count("Rejected"),
        count("Hardware Errors"),
        number(row, "clock", 0, 1e5),
        number(row, "voltage", 0, 1e6),
        tuple(round(number(row, f"fan{i}", 0, 1e6)) for i in range(8) if f"fan{i}" in row),
        tuple(number(row, f"tstemp-{i}", -300, 1000) for i in range(2) if f"tstemp-{i}" in row),
        None if board_c <= NO_SENSOR_C else board_c,
        bool(count("overheat")),
        count("rebootcnt"),
    )


@dataclass(frozen=True, slots=True)
class ChipTally:
    """Nonces of one chip, counted by the box."""

    board: int
    chip: int
    """From 0; the wire counts from 1."""
    good: int
    bad: int


def encode_chips(chips: tuple[ChipTally, ...]) -> bytes:
    """``GET /dbg/icinfo``: JSON inside a string inside JSON."""
    boards: dict[int, list[dict[str, int]]] = {}
    for chip in chips:
        item = {"chipindex": chip.chip + 1, "perf": chip.good, "hwerr": chip.bad}
        boards.setdefault(chip.board, []).append(item)
    inner = {"drawdata": [{"board": board, "chips": items} for board, items in sorted(boards.items())]}
    return json.dumps({"body": json.dumps(inner, separators=(",", ":"))}, separators=(",", ":")).encode()


def parse_chips(body: bytes | str) -> tuple[ChipTally, ...]:
    """Raises DataError naming the key."""
    text = as_text(load_object(body, "Goldshell icinfo").get("body"), "Goldshell icinfo body")
    chips = []
    for index, value in enumerate(
        as_list(load_object(text, "Goldshell icinfo body").get("drawdata"), "icinfo drawdata")
    ):
        board = as_object(value, "Goldshell icinfo board")
        number_ = as_integer(board.get("board", index), "Goldshell icinfo board", 0, 255)
        for item in as_list(board.get("chips"), "Goldshell icinfo chips"):
            keys = as_object(item, "Goldshell icinfo chip")
            chips.append(
                ChipTally(
                    number_,
                    as_integer(keys.get("chipindex"), "Goldshell icinfo chipindex", 1, 65535) - 1,
                    as_integer(keys.get("perf"), "Goldshell icinfo perf", 0, 2**63),
                    as_integer(keys.get("hwerr"), "Goldshell icinfo hwerr", 0, 2**63),
                )
            )
    return tuple(chips)


def encode_history(rates_mhs: tuple[float, ...]) -> bytes:
    """``GET /cpb/hshistory``: one sample a minute, newest last."""
    return json.dumps([round(rate, 2) for rate in rates_mhs[-HISTORY_LENGTH:]], separators=(",", ":")).encode()


def parse_history(body: bytes | str) -> tuple[float, ...]:
    """Raises DataError."""
    samples = as_list(load_json(body, "Goldshell history"), "Goldshell history")
    return tuple(as_number(item, "Goldshell history sample", 0) for item in samples)


_BLOCK = re.compile(r"\[([A-Za-z0-9_]{1,32})\] =>")


def encode_minerinfo(blocks: Mapping[str, Mapping[str, str]]) -> str:
    """``GET /dbg/minerinfo``: blocks of ``key=value`` lines."""
    return "".join(
        f"[{name}] =>\n" + "".join(f"{key}={value}\n" for key, value in keys.items()) for name, keys in blocks.items()
    )


def parse_minerinfo(text: str) -> dict[str, dict[str, str]]:
    """The blocks by name. Raises DataError for a line that belongs to no block.

    >>> parse_minerinfo("[PGA0] =>\\nclock=725\\n")
    {'PGA0': {'clock': '725'}}
    """
    blocks: dict[str, dict[str, str]] = {}
    current: dict[str, str] | None = None
    for line in filter(None, (line.strip() for line in text.splitlines())):
        if match := _BLOCK.fullmatch(line):
            current = blocks.setdefault(match[1], {})
            continue
        key, equals, value = line.partition("=")
        if current is None or not equals:
            raise DataError(f"Goldshell minerinfo: {shown(line)}, must be '[NAME] =>' or 'key=value' in a block")
        current[key.strip()] = value.strip()
    return blocks
