"""A Goldshell LB-Box as a Board: settings over its web interface, sensors over port 4028, work over LBRY Stratum."""

from __future__ import annotations

import time
from dataclasses import replace

from asic_reservoir.board import BoardInfo, Limits, OperatingPoint, Origin, Range, TimestampSource
from asic_reservoir.errors import BusyError, SafetyError, ServerError, UsageError
from asic_reservoir.registry import BoardUri
from drivers.guard import Guard, Plan, RequestPlan
from drivers.sensors import Sample
from drivers.stratum_board import StratumBoard
from firmware_bridge.cgminer.messages import PORT, ApiRequest, decode_reply, encode_request
from firmware_bridge.goldshell.login import DEFAULT_PASSWORD, DEFAULT_USER, login_path, parse_token
from firmware_bridge.goldshell.settings import (
    FREQUENCY_STEP_MHZ,
    PoolEntry,
    Settings,
    encode_delete_pool,
    encode_new_pool,
    encode_settings,
    parse_pools,
    parse_settings,
)
from firmware_bridge.goldshell.status import BoxDevice, parse_device, parse_status
from firmware_bridge.http import HttpAnswer, HttpLink
from firmware_bridge.tcp import address_towards, ask_once

MIN_GAP_S = 0.1
"""Host time between two requests: 15 in a second bring the box's backend down."""
_RETRIES = 3
"""About one request in 200 gets a 401 that it does not deserve."""
TICKET_MASK = 256
"""[assumption] No source names the mask of an LB-Box; ``mask`` says what the shares show."""
CHIPS, CORES, HASHES_PER_CLOCK = 12, 20, 20
"""[assumption] 175 GH/s at 725 MHz divided up; only the product is known."""
LIMITS = Limits(Range(300, 800), Range(380, 450), chip_temperature_c=95.0, power_w=260.0)
NOMINAL = OperatingPoint(frequency_mhz=725.0, voltage_mv=410.0, difficulty=TICKET_MASK)
SETTLE_S = 15.0
"""Board time in which the clock follows a setting."""


class GoldshellClient:
    """The web interface of one box: requests in turn, not too fast, a wrong 401 asked again."""

    def __init__(self, link: HttpLink, user: str, password: str) -> None:
        self._link, self._user, self._password = link, user, password
        self._last = 0.0
        self._token = ""

    @property
    def token(self) -> str:
        """The same on all units; it guards nothing."""
        if not self._token:
            answer = self._paced("GET", login_path(self._user, self._password), None, {})
            if answer.status >= 400:
                raise ServerError(f"Goldshell login of {self._user!r}: status {answer.status}, must be let in")
            self._token = parse_token(answer.body)
        return self._token

    def fetch(self, method: str, path: str, body: bytes | None = None) -> HttpAnswer:
        """A request with the token. Raises ServerError, TimeoutExpiredError."""
        answer = None
        for _ in range(_RETRIES):
            answer = self._paced(method, path, body, {"Authorization": f"Bearer {self.token}"})
            if answer.status != 401:
                break
        assert answer is not None
        if answer.status >= 400:
            raise ServerError(f"{method} {self._link.base}{path}: status {answer.status}, must be below 400")
        return answer

    def model(self) -> str:
        """What the box calls itself; needs no token."""
        answer = self._paced("GET", "/mcb/status", None, {})
        if answer.status >= 400:
            raise ServerError(
                f"GET {self._link.base}/mcb/status: status {answer.status}, must be that of a Goldshell box"
            )
        return parse_status(answer.body).model

    def _paced(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> HttpAnswer:
        wait = self._last + MIN_GAP_S - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        try:
            return self._link.request(method, path, body, headers)
        finally:
            self._last = time.monotonic()


class LbBoxBoard(StratumBoard):
    """The box as a whole.

    Timestamp quality: this kernel's receive stamp of every submit; what the box's own path adds is not known.
    A nonce does not tell its chip; wrong nonces are seen as a counter. The voltage in a power plan is passed through
    unchanged, since nobody knows whether the box obeys it; asking for another one is refused. The box has no counter of
    shares that it could not deliver: a step in which its link broke is refused as a whole.
    """

    back_within_s = 90.0
    """Its controller answers again 60 to 66 s after a restart."""

    def __init__(
        self,
        link: HttpLink,
        client: GoldshellClient,
        info: BoardInfo,
        *,
        host: str,
        api_port: int,
        listen: str,
        stratum_port: int,
    ) -> None:
        super().__init__(info, announcement=link.announcement, host=host, listen=listen, stratum_port=stratum_port)
        self._link, self._client, self._host, self._api_port = link, client, host, api_port
        try:
            self._found: Settings = parse_settings(client.fetch("GET", "/mcb/setting").body)
            json = {"Content-Type": "application/json", "Authorization": f"Bearer {client.token}"}
            body = encode_settings(self._found).decode()
            self._guard = Guard(Plan(requests=[RequestPlan(f"{link.base}/mcb/setting", "PUT", body, headers=json)]))
            self._take_over(address_towards(host) if listen in ("", "0.0.0.0") else listen)
            self.server.wait_connected(self._back_within_host_s)
            self._applied = OperatingPoint(difficulty=NOMINAL.difficulty, voltage_mv=NOMINAL.voltage_mv)
            self._apply(OperatingPoint(frequency_mhz=NOMINAL.frequency_mhz))
            self.sensors.start()
        except BaseException:
            self.sensors.stop()
            self.server.close()
            self._release(safe=False)
            raise

    def _take_over(self, address: str) -> None:
        """Our pool first and alone; the others are put back when the board is closed."""
        self._url = f"stratum+tcp://{address}:{self.server.port}"
        self._pools = parse_pools(self._client.fetch("GET", "/mcb/pools").body)
        for pool in self._pools:
            self._client.fetch("PUT", "/mcb/delpool", encode_delete_pool(pool))
        self._mine = PoolEntry(self._url, "asic-reservoir.lb-box", "x")
        self._client.fetch("PUT", "/mcb/newpool", encode_new_pool(self._mine))

    def _apply(self, point: OperatingPoint) -> None:
        asked = self._applied.merged(point)
        if point.fan_percent is not None:
            raise UsageError(f"fan_percent: {point.fan_percent:g}, must be left out: the box regulates its own fans")
        if point.voltage_mv is not None and point.voltage_mv != self._applied.voltage_mv:
            raise UsageError(
                f"voltage_mv: {point.voltage_mv}, must be left at {NOMINAL.voltage_mv:g}: whether the box obeys its "
                "voltage setting is not known"
            )
        if point.frequency_mhz is not None and point.frequency_mhz != self._applied.frequency_mhz:
            if not isinstance(point.frequency_mhz, int | float):
                raise UsageError("frequency_mhz: one value a chip, must be a number: the box has one clock")
            runs = self._set_frequency(float(point.frequency_mhz))
            asked = replace(asked, frequency_mhz=runs)
        self._accept(asked)

    def _set_frequency(self, frequency_mhz: float) -> float:
        """Read, modify, write; then wait for the clock that the box reports."""
        wanted = FREQUENCY_STEP_MHZ * round(frequency_mhz / FREQUENCY_STEP_MHZ)
        if wanted != self._applied.frequency_mhz:
            settings = parse_settings(self._client.fetch("GET", "/mcb/setting").body)
            self._client.fetch("PUT", "/mcb/setting", encode_settings(settings.with_frequency(wanted)))
            deadline = time.monotonic() + self.clock.host_s(int(SETTLE_S * 1e9)) + 2.0
            while abs((clock := self._device().clock_mhz) - wanted) > 1.0:
                if time.monotonic() > deadline:
                    raise SafetyError(f"LB-Box clock: asked for {wanted} MHz, runs at {clock:g} MHz")
                time.sleep(MIN_GAP_S)
        return float(wanted)

    def _device(self) -> BoxDevice:
        """Over port 4028, which neither crashes nor forgets the token."""
        data = ask_once(self._host, self._api_port, encode_request(ApiRequest(("devs",))))
        return parse_device(decode_reply(data).rows("DEVS")[0])

    def _sample(self) -> Sample:
        device = self._device()
        nan = float("nan")
        return Sample(
            self.clock.now_ns(),
            max(device.chip_temperatures_c, default=nan),
            (device.board_temperature_c if device.board_temperature_c is not None else nan,),
            (nan,),
            nan,
            float(max(device.fans_rpm, default=0)),
            device.hardware_errors,
            fallback="the box reports that it is too hot" if device.overheat else "",
        )

    def _place(self, nonce: int) -> tuple[int, int]:
        return -1, -1

    def _make_safe(self) -> None:
        """Settings and pools as they were found."""
        self._client.fetch("PUT", "/mcb/setting", encode_settings(self._found))
        self._client.fetch("PUT", "/mcb/delpool", encode_delete_pool(self._mine))
        for pool in self._pools:
            self._client.fetch("PUT", "/mcb/newpool", encode_new_pool(pool))

    def _release(self, safe: bool) -> None:
        super()._release(safe)
        self._link.close()

    def _explain_silence(self) -> None:
        pools = parse_pools(self._client.fetch("GET", "/mcb/pools").body)
        if pools and pools[0].url != self._url:
            raise BusyError(f"board {self._info.uri}: another program points it at {pools[0].url}")


def open_lb_box(uri: BoardUri) -> LbBoxBoard:
    """Open ``lb-box://host[:port]`` with options api_port, user, password, listen, stratum_port.

    Raises:
        UsageError: an option that does not exist or has a wrong value.
        TimeoutExpiredError: nobody answers there, or the miner does not connect.
        ServerError: wrong password.
    """
    uri.check_options({"api_port", "user", "password", "listen", "stratum_port"})
    if not uri.name:
        raise UsageError(f"board {uri.text!r}: no host, must look like 'lb-box://192.168.1.40'")
    link = HttpLink(f"http://{uri.name}:{uri.port or 80}")
    client = GoldshellClient(link, uri.options.get("user", DEFAULT_USER), uri.options.get("password", DEFAULT_PASSWORD))
    try:
        model = client.model()
        info = BoardInfo(
            uri=f"lb-box://{uri.name}:{uri.port or 80}",
            family="lb-box",
            model=model or "Goldshell LB-Box",
            chip="LB-Box chip",
            algorithm="lbry",
            origin=Origin.MEASURED,
            timestamp_source=TimestampSource.KERNEL,
            n_chips=CHIPS,
            n_counters=1,
            cores_per_chip=CORES,
            n_hashboards=1,
            n_domains=1,
            hashes_per_clock=HASHES_PER_CLOCK,
            ticket_mask=TICKET_MASK,
            ticket_mask_settable=False,
            per_chip_frequency=False,
            limits=LIMITS,
            nominal=NOMINAL,
            firmware="intminer",
            voltage_settable=False,
        )
        return LbBoxBoard(
            link,
            client,
            info,
            host=uri.name,
            api_port=uri.integer("api_port", PORT, 1, 65535),
            listen=uri.options.get("listen", "0.0.0.0"),
            stratum_port=uri.integer("stratum_port", 0, 0, 65535),
        )
    except BaseException:
        link.close()
        raise
