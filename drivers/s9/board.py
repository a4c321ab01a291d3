"""An Antminer S9 over the network as a Board, with stock or with Braiins firmware."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from asic_reservoir.board import BoardInfo, Limits, OperatingPoint, Origin, Range, TimestampSource
from asic_reservoir.errors import BusyError, UsageError
from asic_reservoir.registry import BoardUri
from drivers.clock import BoardClock
from drivers.guard import Guard
from drivers.s9.control import RESTART_WITHIN_S, BraiinsControl, CgminerApi, S9Control, StockControl
from drivers.s9.shell import Address, BraiinsShell, default_known_hosts
from drivers.sensors import Sample
from drivers.stratum_board import StratumBoard
from firmware_bridge.announcement import Announcement
from firmware_bridge.bm13xx.bm1387 import CORE_NUMBERS, chip_of_nonce, core_of_nonce
from firmware_bridge.cgminer.config import PoolSetting
from firmware_bridge.cgminer.messages import PORT
from firmware_bridge.http import HttpLink
from firmware_bridge.tcp import address_towards

TICKET_MASK = 64
"""Set by Braiins (``config.rs``); that of stock firmware is in no source read. ``mask`` says what the shares show."""
CHIPS, CHIPS_PER_BOARD, CORES = 189, 63, 114
_CORE_OF = {number: core for core, number in enumerate(CORE_NUMBERS)}
LIMITS = Limits(Range(200, 900), Range(7950, 9400), chip_temperature_c=110.0, power_w=1900.0)
"""Braiins ``config.rs``; 110 degC is its "dangerous"."""
NOMINAL = OperatingPoint(frequency_mhz=650.0, voltage_mv=8800.0, difficulty=TICKET_MASK, fan_percent=80.0)


class S9Board(StratumBoard):
    """The miner as a whole.

    Timestamp quality: this kernel's receive stamp of every submit; the firmware batches its FIFO and its submit path
    adds milliseconds. A nonce names its place in the chain (0 to 62) but not which of the three hashboards it sits on,
    so counts are of the whole miner; ``nonces.chip`` holds the place. Wrong nonces are seen as a counter only.

    A change of clock, voltage or fan restarts the miner process: tens of seconds without nonces before the step.
    With stock firmware the voltage cannot be set. ``losses.reported`` is what the firmware counts as stale: shares that
    it had and could not deliver.
    """

    back_within_s = RESTART_WITHIN_S

    def __init__(
        self,
        control: S9Control,
        info: BoardInfo,
        *,
        announcement: Announcement | None,
        host: str,
        listen: str,
        stratum_port: int,
        link: HttpLink | None,
    ) -> None:
        super().__init__(info, announcement=announcement, host=host, listen=listen, stratum_port=stratum_port)
        self._control, self._link = control, link
        try:
            self._guard = Guard(control.guard_plan())
            address = address_towards(host) if listen in ("", "0.0.0.0") else listen
            self._url = f"stratum+tcp://{address}:{self.server.port}"
            control.take_over(PoolSetting(self._url, "asic-reservoir.s9", "x"))
            self.server.wait_connected(self._back_within_host_s)
            self._applied = OperatingPoint(difficulty=NOMINAL.difficulty, voltage_mv=NOMINAL.voltage_mv)
            self._asked_mhz: float | None = None
            self._runs_mhz: float | None = None
            self._apply(OperatingPoint(frequency_mhz=NOMINAL.frequency_mhz, fan_percent=NOMINAL.fan_percent))
            self.sensors.start()
        except BaseException:
            self.sensors.stop()
            self.server.close()
            self._release(safe=False)
            raise

    def _apply(self, point: OperatingPoint) -> None:
        asked = self._applied.merged(point)
        frequency = _changed("frequency_mhz", point.frequency_mhz, self._asked_mhz)
        voltages = self._voltages(point)
        fan = point.fan_percent if point.fan_percent != self._applied.fan_percent else None
        if frequency is not None or voltages is not None or fan is not None:
            runs = self._control.write(frequency, voltages, fan)
            self.server.wait_connected(self._back_within_host_s)
            if runs is not None:  # the PLL has steps
                self._asked_mhz, self._runs_mhz = frequency, runs
        self._accept(replace(asked, frequency_mhz=self._runs_mhz))

    def _voltages(self, point: OperatingPoint) -> tuple[float, float, float] | None:
        if point.voltage_mv is None:
            return None
        given = np.asarray(point.voltage_mv, np.float64)
        if given.ndim and given.shape != (3,):
            raise UsageError(f"voltage_mv: shape {given.shape}, must be a number or (3,)")
        if np.array_equal(np.broadcast_to(given, 3), np.broadcast_to(np.asarray(self._applied.voltage_mv), 3)):
            return None
        if not self._control.sets_voltage:
            raise UsageError(
                f"voltage_mv: {given.tolist()}, must be left at {NOMINAL.voltage_mv:g}: stock firmware has no setting "
                "that is known to work; use Braiins firmware or the board itself (s9-chain://)"
            )
        first, second, third = np.broadcast_to(given, 3).tolist()
        return first, second, third

    def _sample(self) -> Sample:
        reading = self._control.read()
        return Sample(
            self.clock.now_ns(),
            reading.chip_c,
            reading.boards_c,
            reading.voltages_mv,
            float("nan"),
            reading.fan_rpm,
            reading.hardware_errors,
            reading.stale,
        )

    def _place(self, nonce: int) -> tuple[int, int]:
        """Cores are counted without the holes in their numbers."""
        chip = chip_of_nonce(nonce)
        return (chip if chip < CHIPS_PER_BOARD else -1), _CORE_OF.get(core_of_nonce(nonce), -1)

    def _make_safe(self) -> None:
        """The configuration as it was found."""
        self._control.restore()

    def _release(self, safe: bool) -> None:
        super()._release(safe)
        if self._link is not None:
            self._link.close()

    def _explain_silence(self) -> None:
        url = self._control.pool_url()
        if url and url != self._url:
            raise BusyError(f"board {self._info.uri}: another program points it at {url}")


def _changed(name: str, value: object, present: object) -> float | None:
    if value is None:
        return None
    if not isinstance(value, int | float):
        raise UsageError(f"{name}: one value a chip, must be a number: the firmware sets one clock for all")
    return None if value == present else float(value)


def open_s9(uri: BoardUri) -> S9Board:
    """Open ``s9://host[:port]`` (port of its web page) with options firmware, api_port, ssh_port, known_hosts,
    user, password, listen, stratum_port.

    Raises:
        UsageError: an option that does not exist or has a wrong value.
        TimeoutExpiredError: nobody answers there, or the miner does not connect.
        ServerError: wrong password.
        SafetyError: its SSH shows another host key than the one kept in ``known_hosts``.
    """
    uri.check_options({"firmware", "api_port", "ssh_port", "known_hosts", "user", "password", "listen", "stratum_port"})
    if not uri.name:
        raise UsageError(f"board {uri.text!r}: no host, must look like 's9://192.168.1.30'")
    wanted = uri.choice("firmware", "auto", ("auto", "stock", "braiins"))
    api = CgminerApi(uri.name, uri.integer("api_port", PORT, 1, 65535))
    login = uri.options.get("user", "root"), uri.options.get("password", "root")
    firmware = api.firmware() if wanted == "auto" else wanted
    announcement = api.announcement()
    clock = BoardClock(1.0 if announcement is None else announcement.speed)
    link: HttpLink | None = None
    control: S9Control
    try:
        if firmware == "stock":
            link = HttpLink(f"http://{uri.name}:{uri.port or 80}", digest=login)
            control = StockControl(link, api, clock.host_s, login)
        else:
            known = Path(uri.options["known_hosts"]) if "known_hosts" in uri.options else default_known_hosts()
            address = Address(uri.name, uri.integer("ssh_port", 22, 1, 65535), *login, known)
            control = BraiinsControl(api, BraiinsShell(address), clock.host_s)
        info = BoardInfo(
            uri=f"s9://{uri.name}:{uri.port or 80}",
            family="s9",
            model="Antminer S9",
            chip="BM1387",
            algorithm="sha256d",
            origin=Origin.MEASURED,
            timestamp_source=TimestampSource.KERNEL,
            n_chips=CHIPS,
            n_counters=1,
            cores_per_chip=CORES,
            n_hashboards=3,
            n_domains=21,
            hashes_per_clock=CORES,
            ticket_mask=TICKET_MASK,
            ticket_mask_settable=False,
            per_chip_frequency=False,
            limits=LIMITS,
            nominal=NOMINAL,
            firmware="bmminer" if firmware == "stock" else "bosminer",
            voltage_settable=control.sets_voltage,
        )
        return S9Board(
            control,
            info,
            announcement=announcement if link is None else announcement or link.announcement,
            host=uri.name,
            listen=uri.options.get("listen", "0.0.0.0"),
            stratum_port=uri.integer("stratum_port", 0, 0, 65535),
            link=link,
        )
    except BaseException:
        if link is not None:
            link.close()
        raise
