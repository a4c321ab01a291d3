"""``asic-reservoir emulate s9-chain``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(emulate: typer.Typer) -> None:
    emulate.command("s9-chain")(s9_chain)


def s9_chain(
    folder: Annotated[
        Path | None, typer.Option(help="Where to put links 'chips' and 'control' to the ptys, for stable paths.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Which specimen.", min=0)] = 0,
    chips: Annotated[int, typer.Option(help="Chips on the hashboard, a multiple of 3.", min=3, max=63)] = 63,
    speed: Annotated[float, typer.Option(help="Seconds of the board in a second here.", min=0.1, max=1000.0)] = 1.0,
    proof_bits: Annotated[
        int, typer.Option(help="Zero bits in the hash of a nonce of difficulty 1; hardware has 32.", min=1, max=16)
    ] = 6,
    corrupt: Annotated[float, typer.Option(help="Probability of a wrong bit in a frame.", min=0.0, max=1.0)] = 0.0,
    drop: Annotated[float, typer.Option(help="Probability that a frame is lost.", min=0.0, max=1.0)] = 0.0,
    duplicate: Annotated[float, typer.Option(help="Probability that a frame comes twice.", min=0.0, max=1.0)] = 0.0,
) -> None:
    """One hashboard of an S9 on two ptys: the chips' UART, and an I2C adapter with the PIC on its bus.

    Prints the board URI to use and runs until interrupted.
    """
    from asic_reservoir.errors import UsageError
    from drivers.emulated_serial import Faults, run_in_foreground
    from drivers.s9.emulated_chain import EmulatedHashboard

    if chips % 3:
        raise UsageError(f"--chips: {chips}, must be a multiple of 3")
    device = EmulatedHashboard(
        seed,
        n_chips=chips,
        speed=speed,
        proof_bits=proof_bits,
        faults=Faults(corrupt=corrupt, drop=drop, duplicate=duplicate),
        data_link=folder / "chips" if folder else None,
        control_link=folder / "control" if folder else None,
    )
    changed = (("chips", chips, 63), ("speed", speed, 1.0), ("proof_bits", proof_bits, 6))
    extra = "".join(f"&{name}={value:g}" for name, value, usual in changed if value != usual)
    path, control = Path(device.data.path).absolute(), Path(device.control.path).absolute()
    run_in_foreground(device, f"s9-chain://{path}?control={control}{extra}")
