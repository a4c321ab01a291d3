"""Finds boards: miners on a network (pyasic does the looking), bitaxe-raw boards on USB."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import warnings
from dataclasses import dataclass
from typing import Any

from asic_reservoir.errors import AsicReservoirError, UsageError
from drivers.s9.control import CgminerApi
from firmware_bridge.announcement import Announcement
from firmware_bridge.cgminer.messages import PORT
from firmware_bridge.http import HttpLink
from firmware_bridge.usb import find_boards

MAX_HOSTS = 65_536


@dataclass(frozen=True, slots=True)
class FoundBoard:
    """Something that a driver may speak with."""

    where: str
    """Address on the network, or place on USB."""
    make: str
    model: str
    firmware: str
    uri: str | None
    """How to open it; None where no driver of ours fits."""
    simulated: bool = False
    """It announces itself as an emulated device."""


def hosts_of(text: str) -> list[str]:
    """Addresses of a network such as ``192.168.1.0/24``, or a single one.

    Raises:
        UsageError: no network, or one of more than 65,536 addresses.

    >>> hosts_of("10.0.0.0/30")
    ['10.0.0.1', '10.0.0.2']
    """
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise UsageError(f"network: {text!r}, must look like '192.168.1.0/24'") from None
    if network.num_addresses > MAX_HOSTS:
        raise UsageError(f"network: {text}, {network.num_addresses} addresses, must be at most {MAX_HOSTS}")
    return [str(host) for host in network.hosts()]


def scan_network(text: str) -> list[FoundBoard]:
    """Every miner that answers on a network.

    Raises:
        UsageError: as :func:`hosts_of`, or pyasic is not installed.
    """
    hosts = hosts_of(text)
    try:
        import pyasic
    except ImportError:
        raise UsageError("scan: pyasic is not installed, install the extra 'scan'") from None

    async def look() -> list[Any]:
        return list(await pyasic.MinerNetwork([ipaddress.IPv4Address(host) for host in hosts]).scan())

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of every model that it has no class for
        miners = asyncio.run(look())
    return [_described(miner) for miner in miners]


def _described(miner: Any) -> FoundBoard:
    host = str(miner.ip)
    make, model = str(miner.make or type(miner).__name__), str(miner.raw_model or "")
    firmware = str(miner.firmware or "")
    uri = None
    kind = f"{type(miner).__mro__}"
    if "ESPMiner" in kind:
        uri = f"lv06://{host}"
    elif model.upper() == "S9" and ("BMMiner" in kind or "Braiins" in firmware or "BOSMiner" in kind):
        uri = f"s9://{host}"
    elif "Goldshell" in kind:
        uri = f"lb-box://{host}"
    return FoundBoard(host, make, model, firmware, uri, _announced(host) is not None)


def _announced(host: str) -> Announcement | None:
    """Whether it says that it is emulated: in the headers of its web page, or in its API."""
    with contextlib.suppress(AsicReservoirError), HttpLink(f"http://{host}", timeout_s=2.0) as link:
        link.request("GET", "/")
        if link.announcement is not None:
            return link.announcement
    with contextlib.suppress(AsicReservoirError):
        return CgminerApi(host, PORT, 2.0).announcement()
    return None


def scan_usb() -> list[FoundBoard]:
    """Every board with bitaxe-raw firmware on this host. Raises UsageError where pyusb is not installed."""
    return [
        FoundBoard(
            f"usb {board.bus}:{board.address}",
            "OSMU",
            board.product,
            f"bitaxe-raw V{board.protocol}",
            None
            if board.chip_port is None or board.control_port is None
            else f"bm1366://{board.chip_port}?control={board.control_port}",
        )
        for board in find_boards()
    ]
