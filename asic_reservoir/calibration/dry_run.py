"""What a calibration would write, without a board: the same procedure on a twin that can set what the path can set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from asic_reservoir.board import BoardInfo, Observation, Step
from asic_reservoir.errors import UsageError
from asic_reservoir.registry import BoardUri
from asic_reservoir.twin.board import TwinBoard
from asic_reservoir.twin.spec import BM1366, LB_BOX, LV06, S9, SPECS, TwinSpec


@dataclass(frozen=True, slots=True)
class DryPath:
    """What stands in for a board on its path."""

    spec: TwinSpec
    voltage_settable: bool = True
    around: str = ""
    """What the driver writes beside the steps, at opening and at closing."""


_NETWORK_S9 = replace(S9, ticket_mask=64, ticket_mask_settable=False, per_chip_frequency=False, attributes_chips=False)
_PATHS = {
    "bm1366": DryPath(
        BM1366, around="opening: reset, regulator, registers, clock ramp; closing: reset low, supply off"
    ),
    "s9-chain": DryPath(
        replace(S9, n_hashboards=1), around="opening: PIC on at 9,400 mV, chips, clock; closing: PIC off"
    ),
    "lv06": DryPath(LV06, around="opening: its pool, 485 MHz, 1,200 mV; closing: 485 MHz, 1,200 mV, automatic fan"),
    "s9": DryPath(
        _NETWORK_S9,
        voltage_settable=False,
        around="opening: its pool, 650 MHz, fan 80 %; closing: the configuration as it was found; every change of the "
        "clock restarts the miner process; with firmware=braiins voltages are written too",
    ),
    "s9-braiins": DryPath(
        _NETWORK_S9,
        around="opening: its pool, 650 MHz, fan 80 %; closing: the configuration as it was found; every change "
        "restarts the miner process",
    ),
    "lb-box": DryPath(
        LB_BOX, voltage_settable=False, around="opening: its pools, 725 MHz; closing: settings and pools as found"
    ),
}


def dry_path(board: str) -> DryPath:
    """The stand-in for a URI. Nothing is opened, so what only the board can tell is taken as usual.

    Raises:
        UsageError: there is no twin of such a board.
    """
    uri = BoardUri.parse(board)
    name = uri.name if uri.scheme == "twin" else uri.scheme
    if uri.scheme == "twin" and name in SPECS:
        return DryPath(SPECS[name])
    if name == "s9" and uri.options.get("firmware") == "braiins":
        name = "s9-braiins"
    if uri.scheme == "twin" or name not in _PATHS:
        raise UsageError(f"--dry-run: no twin for {board!r}, must be a board of {', '.join(SPECS)}")
    return _PATHS[name]


class DryBoard(TwinBoard):
    """The twin of a path; tells of every step what it would write."""

    def __init__(self, path: DryPath, tell: Callable[[str], None]) -> None:
        super().__init__(path.spec)
        self._path, self._tell = path, tell

    @property
    def info(self) -> BoardInfo:
        return replace(super().info, voltage_settable=self._path.voltage_settable)

    def step(self, step: Step) -> Observation:
        """As the twin's; a line for it first."""
        point = step.operating_point
        parts = [
            f"{name}={getattr(point, name):g}"
            for name in ("frequency_mhz", "voltage_mv", "difficulty", "fan_percent")
            if getattr(point, name) is not None
        ]
        self._tell(f"{step.duration_ns * 1e-9:9.1f} s  {' '.join(parts) or 'no write'}")
        return super().step(step)
