"""``asic-reservoir emulate bm1366``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class RegulatorName(StrEnum):
    """Regulators that a board may have."""

    ds4432u = "ds4432u"
    tps546 = "tps546"


def register(emulate: typer.Typer) -> None:
    emulate.command("bm1366")(bm1366)


def bm1366(
    folder: Annotated[
        Path | None, typer.Option(help="Where to put links 'chips' and 'control' to the ptys, for stable paths.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Which specimen.", min=0)] = 0,
    chips: Annotated[int, typer.Option(help="Chips on the chain.", min=1, max=128)] = 1,
    regulator: Annotated[RegulatorName, typer.Option(help="Voltage regulator on the board.")] = RegulatorName.ds4432u,
    protocol: Annotated[int, typer.Option(help="Version of the control protocol.", min=0, max=1)] = 1,
    speed: Annotated[float, typer.Option(help="Seconds of the board in a second here.", min=0.1, max=1000.0)] = 1.0,
    proof_bits: Annotated[
        int, typer.Option(help="Zero bits in the hash of a nonce of difficulty 1; hardware has 32.", min=1, max=20)
    ] = 6,
    corrupt: Annotated[float, typer.Option(help="Probability of a wrong bit in a frame.", min=0.0, max=1.0)] = 0.0,
    drop: Annotated[float, typer.Option(help="Probability that a frame is lost.", min=0.0, max=1.0)] = 0.0,
    duplicate: Annotated[float, typer.Option(help="Probability that a frame comes twice.", min=0.0, max=1.0)] = 0.0,
    ignore_voltage: Annotated[bool, typer.Option(help="The regulator acknowledges and does nothing.")] = False,
) -> None:
    """A BM1366 board with bitaxe-raw firmware on two ptys: the chips' UART and the control port.

    Prints the board URI to use and runs until interrupted.
    """
    from drivers.bm1366.emulated import EmulatedBm1366
    from drivers.emulated_serial import Faults, run_in_foreground

    faults = Faults(corrupt=corrupt, drop=drop, duplicate=duplicate, ignore_voltage=ignore_voltage)
    device = EmulatedBm1366(
        seed,
        n_chips=chips,
        regulator=regulator.value,
        protocol=protocol,
        speed=speed,
        proof_bits=proof_bits,
        faults=faults,
        data_link=folder / "chips" if folder else None,
        control_link=folder / "control" if folder else None,
    )
    changed = (("chips", chips, 1), ("speed", speed, 1.0), ("proof_bits", proof_bits, 6))
    extra = "".join(f"&{name}={value:g}" for name, value, usual in changed if value != usual)
    path, control = Path(device.data.path).absolute(), Path(device.control.path).absolute()
    run_in_foreground(device, f"bm1366://{path}?control={control}{extra}")
