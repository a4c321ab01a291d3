"""The LV06 as a Board: settings over AxeOS, work over our Stratum server, nonces from its log."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace

from asic_reservoir.board import (
    BoardInfo,
    Limits,
    NonceFlag,
    OperatingPoint,
    Origin,
    Range,
    TimestampSource,
)
from asic_reservoir.errors import BusyError, SafetyError, TimeoutExpiredError, UsageError
from asic_reservoir.registry import BoardUri
from drivers.guard import Guard, Plan, RequestPlan
from drivers.lv06.device import SETTLE_S, AxeosDevice, overheat_text
from drivers.lv06.log_reader import LoggedNonce, LogReader
from drivers.sensors import Sample
from drivers.stratum_board import StratumBoard
from drivers.stratum_rows import Row
from firmware_bridge.axeos import Generation
from firmware_bridge.axeos.settings import Pool, Setting, encode_patch
from firmware_bridge.http import HttpLink
from firmware_bridge.stratum.server import ShareEvent
from firmware_bridge.tcp import address_towards

TICKET_MASK = 256
"""Every generation of ESP-Miner fixes it for the BM1366 (protocols.md 1.7)."""
CORES = 112
HASHES_PER_CLOCK = 894
NOMINAL = OperatingPoint(frequency_mhz=485.0, voltage_mv=1200.0, difficulty=256, fan_percent=100.0)
STANDARD = Limits(Range(400, 575), Range(1100, 1300), chip_temperature_c=75.0, power_w=25.0)
"""What the board's own page offers (ESP-Miner ``device_config.h``), its over-temperature trip and its supply."""
RESEARCH = Limits(Range(50, 700), Range(990, 1350), chip_temperature_c=75.0, power_w=25.0)
"""Opened on purpose with ``range=research``; below 990 mV the DS4432U's code wraps to about 1.4 V."""
_LOG_GRACE_S = 0.06
_KEYS_KEPT = 16_384

Key = tuple[int, int, int]


class Lv06Board(StratumBoard):
    """A Lucky Miner LV06, or another board with one BM1366 and AxeOS.

    Timestamp quality. ``source=log``: the device's own stamp, 1 ms resolution and its tick's jitter, behind a constant
    offset of the shortest network path (about 1 ms). ``source=stratum``: this kernel's receive stamp, to which the
    firmware's path and Wi-Fi add 1 to 20 ms, with power save up to 300 ms.

    Wrong nonces are seen in the log only. Nonces that the log lost are taken from the submits and counted in
    :attr:`recovered`; wrong ones lost with them cannot be known.
    """

    def __init__(
        self,
        link: HttpLink,
        info: BoardInfo,
        *,
        host: str,
        listen: str,
        stratum_port: int,
        source: str,
        clear_overheat: bool,
    ) -> None:
        super().__init__(info, announcement=link.announcement, host=host, listen=listen, stratum_port=stratum_port)
        self._link, self._host = link, host
        self._log: LogReader | None = None
        self._sightings: OrderedDict[Key, list[int]] = OrderedDict()
        self.recovered = 0
        """Nonces that the log did not show and a submit did."""
        self._breaks_seen = 0
        try:
            self._device = AxeosDevice(link, self.clock.host_s)
            self.generation = self._device.detect()
            self._refuse_fallback(clear_overheat)
            self._guard = Guard(self._safe_plan())
            self._take_over(listen)
            if source == "log":
                self._log = LogReader(f"ws{link.base.removeprefix('http')}/api/ws", self.clock)
                self._log.wait_open(10.0)
            self._applied = OperatingPoint(difficulty=NOMINAL.difficulty)
            self._apply(NOMINAL)
            self.sensors.start()
        except BaseException:
            self.sensors.stop()
            self.server.close()
            self._release(safe=False)
            raise

    # -- opening -------------------------------------------------------------------------------------------------

    def _refuse_fallback(self, clear: bool) -> None:
        found = self._device.info()
        if not found.overheated:
            return
        if not clear:
            raise SafetyError(
                f"board {self._info.uri}: {overheat_text(found)}", finding="overheat-fallback", info=self._info
            )
        self._info = replace(self._info, findings=("overheat-fallback",))
        settings: dict[str, Setting] = {"frequency": 485, "coreVoltage": 1200}
        if self.generation is Generation.LIVE:
            settings = {"overheat_mode": 0, "frequency": 485.0, "coreVoltage": 1200}
        self._device.patch(settings)

    def _take_over(self, listen: str) -> None:
        """Point the miner at our server."""
        address = address_towards(self._host) if listen in ("", "0.0.0.0") else listen
        self._pool = Pool(address, self.server.port, f"asic-reservoir.{self._info.family}")
        self._device.set_pool(self._pool)
        try:
            if self.generation is Generation.STOCK:
                self._device.restart()
            self.server.wait_connected(self.clock.host_s(15_000_000_000) + 5.0)
        except TimeoutExpiredError:  # some versions take a new pool only when they start
            self._device.restart()
            self.server.wait_connected(self.clock.host_s(60_000_000_000) + 5.0)

    def _safe_plan(self) -> Plan:
        """AxeOS defaults, should this process die."""
        settings: dict[str, Setting] = {"frequency": 485, "coreVoltage": 1200}
        if self.generation is Generation.LIVE:
            settings |= {"autofanspeed": True}
        else:
            settings |= {"autofanspeed": 1}
        json = {"Content-Type": "application/json"}
        body = encode_patch(settings, self.generation).decode()
        requests = [RequestPlan(f"{self._link.base}/api/system", "PATCH", body, headers=json)]
        if self.generation is Generation.STOCK:
            requests.append(RequestPlan(f"{self._link.base}/api/system/restart", "POST"))
        return Plan(requests=requests)

    # -- settings and sensors ------------------------------------------------------------------------------------

    def _apply(self, point: OperatingPoint) -> None:
        asked = self._applied.merged(point)
        frequency = _scalar("frequency_mhz", point.frequency_mhz)
        voltage = _scalar("voltage_mv", point.voltage_mv)
        if frequency == self._applied.frequency_mhz:
            frequency = None
        if voltage == self._applied.voltage_mv:
            voltage = None
        if point.fan_percent is not None and point.fan_percent != self._applied.fan_percent:
            self._device.set_fan(point.fan_percent)
        if frequency is not None or voltage is not None:
            try:
                self._device.set_operating_point(frequency, voltage)
            except SafetyError:
                self._make_safe()
                raise
            if self.generation is Generation.STOCK and self._log is not None:
                self._log.wait_open(self.clock.host_s(int(SETTLE_S * 1e9)) + 5.0)
        self._accept(asked)

    def _sample(self) -> Sample:
        info = self._device.info()
        nan = float("nan")
        chip_c = nan if info.temperature_c is None or info.temperature_c < 0 else info.temperature_c
        regulator_c = info.regulator_temperature_c or nan
        return Sample(
            self.clock.now_ns(),
            chip_c,
            (regulator_c,),
            (info.core_voltage_actual_mv if info.core_voltage_actual_mv is not None else nan,),
            info.power_w if info.power_w is not None else nan,
            info.fan_rpm if info.fan_rpm is not None else nan,
            fallback=overheat_text(info) if info.overheated else "",
        )

    def _make_safe(self) -> None:
        """AxeOS defaults. A board that its firmware holds in its overheat fallback is left there: somebody has to look
        at it first, and the next start finds it so."""
        settings: dict[str, Setting] = {"frequency": 485, "coreVoltage": 1200}
        if self._device.info().overheated:
            return
        if self.generation is Generation.LIVE:
            self._device.patch({"frequency": 485.0, "coreVoltage": 1200, "autofanspeed": True})
        else:
            stored = self._device.info()
            self._device.patch(settings | {"autofanspeed": 1})
            if (stored.frequency_mhz, stored.core_voltage_mv) != (485, 1200):
                self._device.restart()
        self._applied = OperatingPoint(frequency_mhz=485.0, voltage_mv=1200.0, difficulty=self._applied.difficulty)

    def _release(self, safe: bool) -> None:
        super()._release(safe)
        if self._log is not None:
            self._log.close()
        self._link.close()

    def _explain_silence(self) -> None:
        found = self._device.info()
        if found.stratum_url is not None and (found.stratum_url, found.stratum_port) != (
            self._pool.url,
            self._pool.port,
        ):
            raise BusyError(
                f"board {self._info.uri}: another program points it at {found.stratum_url}:{found.stratum_port}"
            )

    # -- nonces --------------------------------------------------------------------------------------------------

    def _grace_s(self) -> float:
        return super()._grace_s() if self._log is None else _LOG_GRACE_S

    def _link_broke(self) -> bool:
        if self._log is None:
            return False
        broke = self._log.breaks != self._breaks_seen or not self._log.is_open
        self._breaks_seen = self._log.breaks
        return broke

    def _drop_before(self, begin_ns: int) -> None:
        super()._drop_before(begin_ns)
        if self._log is not None:
            self._log.before(begin_ns)
            self._breaks_seen = self._log.breaks

    def _rows(self, begin_ns: int, end_ns: int, until_nonces: int | None) -> list[Row]:
        if self._log is None:
            return super()._rows(begin_ns, end_ns, until_nonces)
        rows = [row for nonce in self._log.before(end_ns) if (row := self._logged_row(nonce)) is not None]
        for event in self._events_before(end_ns):
            row = self._submitted_row(event)
            if row is not None:
                rows.append(row)
                self.recovered += 1
        kept = [row for row in rows if row.time_ns >= begin_ns]
        self.between_steps += len(rows) - len(kept)
        return sorted(kept, key=lambda row: row.time_ns)

    def _seen(self, key: Key, column: int) -> int | None:
        """Note a sighting in the log (0) or in a submit (1): 0 where it is the nonce's first, 1 a repetition, None
        where the other path had shown it already."""
        counts = self._sightings.setdefault(key, [0, 0])
        most = max(counts)
        counts[column] += 1
        while len(self._sightings) > _KEYS_KEPT:
            self._sightings.popitem(last=False)
        if counts[column] <= most:
            return None
        return 0 if most == 0 else 1

    def _logged_row(self, nonce: LoggedNonce) -> Row | None:
        wrong = nonce.difficulty < TICKET_MASK * 0.999  # one decimal is printed
        if nonce.job_id is None:
            return Row(nonce.time_ns, 0, -1, -1, 0, 0, NonceFlag(0)) if wrong else None
        if not wrong and nonce.difficulty < float(self._applied.difficulty or 1) * 0.999:
            return None  # easier than asked for
        job = self._maker.number_of(nonce.job_id)
        seen = self._seen((job, nonce.nonce, nonce.version_bits), 0)
        if seen is None:
            return None
        flags = NonceFlag(0) if wrong else NonceFlag.VALID
        flags |= NonceFlag.DUPLICATE if seen else NonceFlag(0)
        if nonce.time_ns > self._withdrawn_ns.get(job, nonce.time_ns):
            flags |= NonceFlag.STALE
        chip, core = self._place(nonce.nonce)
        return Row(nonce.time_ns, chip, core, job, nonce.nonce, nonce.version_bits, flags)

    def _submitted_row(self, event: ShareEvent) -> Row | None:
        row = self._row(event)
        seen = self._seen((row.job, row.nonce, row.version), 1)
        return None if seen is None else row

    def _place(self, nonce: int) -> tuple[int, int]:
        """Core from the big-endian reading (protocols.md 1.12)."""
        core = int.from_bytes(nonce.to_bytes(4, "little"), "big") >> 25 & 0x7F
        return 0, core if core < CORES else -1


def _scalar(name: str, value: object) -> float | None:
    if value is None:
        return None
    if not isinstance(value, int | float):
        raise UsageError(f"{name}: one value a chip, must be a number: the board has one chip")
    return float(value)


def open_lv06(uri: BoardUri) -> Lv06Board:
    """Open ``lv06://host[:port]`` with options listen, stratum_port, source, range, clear_overheat.

    Raises:
        UsageError: an option that does not exist or has a wrong value.
        TimeoutExpiredError: nobody answers there, or the miner does not connect.
        SafetyError: the board is in its overheat fallback.
    """
    uri.check_options({"listen", "stratum_port", "source", "range", "clear_overheat"})
    if not uri.name:
        raise UsageError(f"board {uri.text!r}: no host, must look like 'lv06://192.168.1.20'")
    source = uri.choice("source", "log", ("log", "stratum"))
    limits = RESEARCH if uri.choice("range", "standard", ("standard", "research")) == "research" else STANDARD
    clear = uri.choice("clear_overheat", "no", ("no", "yes")) == "yes"
    stratum_port = uri.integer("stratum_port", 0, 0, 65535)
    port = uri.port or 80
    link = HttpLink(f"http://{uri.name}:{port}")
    try:
        found = AxeosDevice(link, lambda ns: ns * 1e-9).info()
        info = BoardInfo(
            uri=f"lv06://{uri.name}:{port}",
            family="lv06",
            model="Lucky Miner LV06",
            chip=found.asic_model or "BM1366",
            algorithm="sha256d",
            origin=Origin.MEASURED,
            timestamp_source=TimestampSource.DEVICE if source == "log" else TimestampSource.KERNEL,
            n_chips=1,
            n_counters=1,
            cores_per_chip=CORES,
            n_hashboards=1,
            n_domains=1,
            hashes_per_clock=HASHES_PER_CLOCK,
            ticket_mask=TICKET_MASK,
            ticket_mask_settable=False,
            per_chip_frequency=False,
            limits=limits,
            nominal=NOMINAL,
            reports_invalid=source == "log",
            firmware=f"AxeOS {found.version or '?'}",
            physical={"hostname": found.hostname or "", "board_version": found.board_version or ""},
        )
        return Lv06Board(
            link,
            info,
            host=uri.name,
            listen=uri.options.get("listen", "0.0.0.0"),
            stratum_port=stratum_port,
            source=source,
            clear_overheat=clear,
        )
    except BaseException:
        link.close()
        raise
