"""From a URI to a BM1366 board.

``bm1366://usb`` or ``bm1366://usb?serial=2b7e1516``: a bitaxe-raw board found on USB.
``bm1366:///dev/ttyACM1?control=/dev/ttyACM0``: the same by its two ports.
``bm1366:///dev/ttyUSB0?i2c=/dev/i2c-1&reset=rts``: a bare chain with an I2C adapter of the kernel.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from asic_reservoir.board import Origin
from asic_reservoir.errors import NotFoundError, UsageError
from asic_reservoir.registry import BoardUri
from drivers.bm1366.board import NOMINAL, RESEARCH, STANDARD, Bm1366Board, Settings
from drivers.bm1366.link import LinkSettings
from drivers.uart_board import UartSettings

_OPTIONS = {
    "control", "i2c", "reset", "serial", "protocol", "regulator", "sensor", "chips", "range", "baud", "ramp_ms",
    "speed", "proof_bits", "guard_report",
}  # fmt: skip
REAL_PROOF_BITS = 32
EMULATED_PROOF_BITS = 6


def open_bm1366(uri: BoardUri) -> Bm1366Board:
    """Open a BM1366 board.

    Ports under ``/dev/pts`` are emulated devices: only there may ``speed`` and ``proof_bits`` be given, and what such
    a board gives is labelled simulated.

    Raises:
        UsageError: an option that does not exist, has a wrong value, or is missing.
        NotFoundError: no such port, no board on USB.
        BusyError, TimeoutExpiredError, DataError: see :class:`Bm1366Board`.
    """
    uri.check_options(_OPTIONS)
    uart, control, protocol = _ports(uri)
    emulated = Path(uart).resolve().is_relative_to("/dev/pts")
    for option in ("speed", "proof_bits"):
        if option in uri.options and not emulated:
            raise UsageError(f"board option {option}: only for emulated devices, {uart!r} is none")
    asked = uri.choice("protocol", "auto", ("auto", "0", "1"))
    link = LinkSettings(
        uart=uart,
        control=control,
        i2c=uri.options.get("i2c"),
        reset=uri.choice("reset", "rts", ("rts", "dtr")),
        protocol=protocol if asked == "auto" else int(asked),
        regulator=uri.choice("regulator", "auto", ("auto", "ds4432u", "tps546")),
        diode=uri.choice("sensor", "diode", ("diode", "internal")) == "diode",
        baud=uri.integer("baud", 1_000_000, 115_200, 3_125_000),
        guard_report=uri.options.get("guard_report"),
    )
    limits = RESEARCH if uri.choice("range", "standard", ("standard", "research")) == "research" else STANDARD
    chips = uri.integer("chips", 1, 1, 128)
    proof_bits = EMULATED_PROOF_BITS if emulated else REAL_PROOF_BITS
    common = UartSettings(
        uri=_identity(uri),
        limits=replace(limits, power_w=chips * (limits.power_w or 0.0)),
        origin=Origin.SIMULATED if emulated else Origin.MEASURED,
        nominal=NOMINAL,
        zero_bits=uri.integer("proof_bits", proof_bits, 1, 32),
        speed=uri.number("speed", 1.0, 0.1, 1000.0),
    )
    settings = Settings(common, link, uri.number("ramp_ms", 100.0, 0.0, 5000.0) / 1000.0)
    return Bm1366Board(settings, chips)


def _identity(uri: BoardUri) -> str:
    """The URI without what does not change the board."""
    kept = sorted((k, v) for k, v in uri.options.items() if k not in ("guard_report", "baud", "ramp_ms", "protocol"))
    query = "&".join(f"{key}={value}" for key, value in kept)
    return f"bm1366://{uri.name}{uri.path}" + (f"?{query}" if query else "")


def _ports(uri: BoardUri) -> tuple[str, str | None, int | None]:
    """UART, control port, and protocol version where USB tells it."""
    if uri.name == "usb":
        from firmware_bridge.usb import find_boards

        wanted = uri.options.get("serial")
        boards = [b for b in find_boards() if wanted in (None, b.serial_number) and b.chip_port and b.control_port]
        if not boards:
            which = f"of serial number {wanted!r}" if wanted else "with bitaxe-raw firmware"
            raise NotFoundError(f"board {uri.text!r}: no board {which} on USB")
        if len(boards) > 1:
            numbers = ", ".join(board.serial_number for board in boards)
            raise UsageError(f"board {uri.text!r}: {len(boards)} boards on USB, must name one with serial= ({numbers})")
        board = boards[0]
        return board.chip_port or "", board.control_port, board.protocol
    if uri.name or not uri.path.strip("/"):
        raise UsageError(f"board {uri.text!r}: no port, must look like 'bm1366:///dev/ttyACM1?control=/dev/ttyACM0'")
    if ("control" in uri.options) == ("i2c" in uri.options):
        raise UsageError(f"board {uri.text!r}: must have either control= (bitaxe-raw) or i2c= (bare UART)")
    return uri.path, uri.options.get("control"), None
