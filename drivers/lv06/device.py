"""Settings and sensors of an AxeOS board over HTTP: written in the right order, read back, in either generation."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping

from asic_reservoir.errors import (
    AsicReservoirError,
    DataError,
    SafetyError,
    ServerError,
    TimeoutExpiredError,
)
from firmware_bridge.axeos import Generation
from firmware_bridge.axeos.asic import parse_asic
from firmware_bridge.axeos.info import SystemInfo, parse_info
from firmware_bridge.axeos.settings import Pool, Setting, encode_patch, encode_pool
from firmware_bridge.http import HttpLink

RESTART_WITHIN_S = 90.0
"""Board time for boot, Wi-Fi and ramp; 15 to 40 s are usual."""
RAMP_MHZ_PER_S = 62.5
"""The live generation moves its clock by 6.25 MHz each 100 ms."""
SETTLE_S = 3.0
GRACE_S = 2.0
"""Host time beside it: an answer may be on its way for a while."""
_UPTIME_SLACK_S = 3.0
"""Whole seconds are told, and asked for a moment ago."""
VOLTAGE_TOLERANCE = 0.05
"""Read-back against request, relative: the load line and the sensor's error."""
_FOLLOWS = 0.4
"""Share of a change of voltage that must show in the read-back; less means that the setting is ignored."""
_NOTICEABLE_MV = 20.0


class AxeosDevice:
    """One board.

    Args:
        link: To its HTTP server.
        host_s: Converts board time in ns to seconds here.
    """

    def __init__(self, link: HttpLink, host_s: Callable[[int], float]) -> None:
        self._link, self._host_s = link, host_s
        self.generation = Generation.STOCK

    def info(self) -> SystemInfo:
        """Everything it says about itself. Raises TimeoutExpiredError, ServerError or DataError."""
        return parse_info(self._link.fetch("GET", "/api/system/info").body)

    def detect(self) -> Generation:
        """Which generation it is, by what it does: only the live one knows ``/api/system/asic`` and tells the clock of
        its PLL. Whether settings then really hold at once is seen when they are written (:meth:`set_operating_point`).
        """
        live = self.info().actual_frequency_mhz is not None
        answer = self._link.request("GET", "/api/system/asic")
        if answer.status == 200:
            with contextlib.suppress(DataError):
                parse_asic(answer.body)
                live = True
        self.generation = Generation.LIVE if live else Generation.STOCK
        return self.generation

    def patch(self, settings: Mapping[str, Setting]) -> None:
        """Store settings. Raises UsageError for a key that the board would ignore, ServerError where it refuses."""
        self._link.fetch("PATCH", "/api/system", encode_patch(settings, self.generation))

    def set_pool(self, pool: Pool) -> None:
        """Point the board at a pool; the live generation connects at once, the stock one after a restart."""
        if self.generation is Generation.LIVE:
            answer = self._link.request("PUT", "/api/system/pools/0", encode_pool(pool))
            if answer.status < 400:
                self.patch({"primaryPoolIndex": 0, "useFallbackStratum": False})
                return
            if answer.status != 404:
                raise ServerError(f"AxeOS pool: status {answer.status}, must be accepted")
        # the LVXX fork is of the live generation and keeps the flat keys of the stock one
        keys: dict[str, Setting] = {"stratumURL": pool.url, "stratumPort": pool.port, "stratumUser": pool.user}
        self._link.fetch("PATCH", "/api/system", encode_patch(keys, Generation.STOCK))

    def restart(self) -> SystemInfo:
        """Restart and wait until it answers again.

        Raises:
            TimeoutExpiredError: it does not come back in time.
        """
        before, since = self.info(), time.monotonic()
        with contextlib.suppress(TimeoutExpiredError):  # some boards drop the connection before they answer
            self._link.fetch("POST", "/api/system/restart", b"")
        deadline = since + self._wall_s(RESTART_WITHIN_S) + GRACE_S
        gone = False
        while time.monotonic() < deadline:
            time.sleep(min(1.0, max(0.02, self._wall_s(0.5))))
            passed_s = (time.monotonic() - since) / self._wall_s(1.0)
            try:
                now = self.info()
            except AsicReservoirError:
                gone = True
                continue
            if gone or _is_younger(before, now, passed_s):  # it may have been away between two looks
                return now
        raise TimeoutExpiredError(
            f"AxeOS {self._link.base}: not back after its restart, must answer within {RESTART_WITHIN_S:g} s"
        )

    def set_operating_point(self, frequency_mhz: float | None, voltage_mv: float | None) -> SystemInfo:
        """Write clock and core voltage and read them back; voltage rises before the clock and falls after it.

        Raises:
            SafetyError: the board does not do what it was told: it says so or its sensors say so.
        """
        before = self.info()
        if self.generation is Generation.STOCK:
            return self._set_stored(frequency_mhz, voltage_mv, before)
        else:
            after = before
            rising = voltage_mv is not None and voltage_mv >= (before.core_voltage_mv or 0.0)
            order = ("coreVoltage", "frequency") if rising else ("frequency", "coreVoltage")
            values = {"coreVoltage": voltage_mv, "frequency": frequency_mhz}
            for key in order:
                value = values[key]
                if value is not None:
                    after = self._set_live(key, value)
        self._check(frequency_mhz, voltage_mv, before, after)
        return after

    def _set_stored(self, frequency_mhz: float | None, voltage_mv: float | None, before: SystemInfo) -> SystemInfo:
        settings: dict[str, Setting] = {}
        if voltage_mv is not None:
            settings["coreVoltage"] = round(voltage_mv)
        if frequency_mhz is not None:
            settings["frequency"] = round(frequency_mhz)
        self.patch(settings)
        self.restart()
        time.sleep(self._wall_s(SETTLE_S))
        deadline = time.monotonic() + GRACE_S
        while True:
            asked_at, after = time.monotonic(), self.info()
            try:
                self._check(frequency_mhz, voltage_mv, before, after)
            except SafetyError:
                if asked_at > deadline or after.power_fault or after.overheated:
                    raise
                time.sleep(0.1)
            else:
                return after

    def _set_live(self, key: str, value: float) -> SystemInfo:
        before = self.info()
        self.patch({key: round(value) if key == "coreVoltage" else float(value)})
        distance = abs(value - (before.actual_frequency_mhz or value)) if key == "frequency" else 0.0
        deadline = time.monotonic() + self._wall_s(distance / RAMP_MHZ_PER_S + SETTLE_S) + GRACE_S
        while True:
            asked_at, info = time.monotonic(), self.info()
            if key == "frequency":
                actual = info.actual_frequency_mhz
                reached = actual is None or abs(actual - value) < 1.0
            else:
                reached = self._voltage_reached(value, before, info)
            if reached or asked_at > deadline:
                return info
            time.sleep(min(0.1, self._wall_s(0.1)))

    def _voltage_reached(self, asked: float, before: SystemInfo, now: SystemInfo) -> bool:
        actual, was, was_asked = now.core_voltage_actual_mv, before.core_voltage_actual_mv, before.core_voltage_mv
        if actual is None or was is None or was_asked is None:
            return True
        change = asked - was_asked
        follows = abs(change) < _NOTICEABLE_MV or (actual - was) / change > 1.0 - _FOLLOWS
        return follows and abs(actual - asked) <= VOLTAGE_TOLERANCE * asked

    def _check(
        self, frequency_mhz: float | None, voltage_mv: float | None, before: SystemInfo, after: SystemInfo
    ) -> None:
        if after.power_fault:
            raise SafetyError(f"AxeOS power_fault: {after.power_fault}, must be absent")
        if after.overheated:
            raise SafetyError(f"AxeOS {self._link.base}: {overheat_text(after)}", finding="overheat-fallback")
        if frequency_mhz is not None:
            runs = after.actual_frequency_mhz if after.actual_frequency_mhz is not None else after.frequency_mhz
            if runs is None or abs(runs - frequency_mhz) > 10.0:
                raise SafetyError(f"AxeOS frequency: asked for {frequency_mhz:g} MHz, reads back {runs} MHz")
        if voltage_mv is None:
            return
        if after.core_voltage_mv is None or abs(after.core_voltage_mv - voltage_mv) > 1.0:
            raise SafetyError(f"AxeOS coreVoltage: asked for {voltage_mv:g} mV, reads back {after.core_voltage_mv} mV")
        actual, was, was_asked = after.core_voltage_actual_mv, before.core_voltage_actual_mv, before.core_voltage_mv
        if actual is None:
            return
        if was is not None and was_asked is not None and abs(voltage_mv - was_asked) >= _NOTICEABLE_MV:
            moved = (actual - was) / (voltage_mv - was_asked)
            if moved < _FOLLOWS:
                raise SafetyError(
                    f"AxeOS coreVoltage: setting ignored, asked for {voltage_mv:g} mV after {was_asked:g} mV, but the "
                    f"core stays at {actual:g} mV (was {was:g} mV)",
                    finding="voltage-ignored",
                )
        if abs(actual - voltage_mv) > VOLTAGE_TOLERANCE * voltage_mv:
            raise SafetyError(
                f"AxeOS coreVoltage: asked for {voltage_mv:g} mV, the core has {actual:g} mV, must be within "
                f"{100 * VOLTAGE_TOLERANCE:g} %"
            )

    def set_fan(self, percent: float) -> None:
        """A fixed fan drive; holds at once in both generations."""
        key = "manualFanSpeed" if self.generation is Generation.LIVE else "fanspeed"
        flag: Setting = False if self.generation is Generation.LIVE else 0
        self.patch({"autofanspeed": flag, key: round(percent)})

    def _wall_s(self, board_s: float) -> float:
        return self._host_s(round(board_s * 1e9))


def _is_younger(before: SystemInfo, now: SystemInfo, passed_s: float) -> bool:
    """Whether a board has been up for less time than one that was not restarted would be."""
    if before.uptime_s is None or now.uptime_s is None:
        return False
    return now.uptime_s < before.uptime_s + passed_s - _UPTIME_SLACK_S


def overheat_text(info: SystemInfo) -> str:
    """What a board in its overheat fallback is told about."""
    return (
        f"in its overheat fallback ({info.frequency_mhz:g} MHz, {info.core_voltage_mv:g} mV), settings that nobody "
        "chose; let it cool, then open it with clear_overheat=yes"
    )
