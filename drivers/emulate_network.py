"""``asic-reservoir emulate lv06|s9|lb-box``."""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from drivers.emulated_device import EmulatedDevice

Host = Annotated[str, typer.Option(help="Address to listen on; a device of its own for each, such as 127.0.0.2.")]
Seed = Annotated[int, typer.Option(help="Which specimen.", min=0)]
Speed = Annotated[float, typer.Option(help="Seconds of the board in a second here.", min=0.1, max=1000.0)]
Loss = Annotated[float, typer.Option(help="Probability that a segment is lost on its radio link.", min=0.0, max=0.9)]


class GenerationName(StrEnum):
    """Generations of AxeOS."""

    stock = "stock"
    live = "live"


class FirmwareName(StrEnum):
    """Firmwares of an S9."""

    stock = "stock"
    braiins = "braiins"


def register_lv06(emulate: typer.Typer) -> None:
    emulate.command("lv06")(lv06)


def register_s9(emulate: typer.Typer) -> None:
    emulate.command("s9")(s9)


def register_lb_box(emulate: typer.Typer) -> None:
    emulate.command("lb-box")(lb_box)


def lv06(
    host: Host = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port of its web page; 0 lets the system choose.", min=0, max=65535)] = 0,
    generation: Annotated[GenerationName, typer.Option(help="Of the firmware.")] = GenerationName.live,
    seed: Seed = 0,
    speed: Speed = 1.0,
    loss: Loss = 0.0,
    overheated: Annotated[bool, typer.Option(help="It was left in its overheat fallback.")] = False,
    ignore_voltage: Annotated[bool, typer.Option(help="Its regulator does not follow.")] = False,
) -> None:
    """An LV06 with AxeOS: web interface, log stream, Stratum client.

    Prints the board URI to use and runs until interrupted.
    """
    from drivers.emulated_pool_client import LinkFaults
    from drivers.lv06.emulated import EmulatedLv06
    from firmware_bridge.axeos import Generation

    device = EmulatedLv06(
        generation=Generation(generation.value),
        host=host,
        port=port,
        seed=seed,
        speed=speed,
        settings={"frequency": 50, "coreVoltage": 990} if overheated else None,
        faults=LinkFaults(loss=loss),
        voltage_ignored=ignore_voltage,
    )
    _serve(device, lambda: f"lv06://{host}:{device.port}")


def s9(
    host: Host = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port of its web page; 0 lets the system choose.", min=0, max=65535)] = 0,
    api_port: Annotated[int, typer.Option(help="Port of the cgminer API, 4028 on hardware.", min=0, max=65535)] = 0,
    ssh_port: Annotated[int, typer.Option(help="Port of SSH, 22 on hardware.", min=0, max=65535)] = 0,
    firmware: Annotated[FirmwareName, typer.Option(help="Its firmware.")] = FirmwareName.stock,
    seed: Seed = 0,
    speed: Speed = 1.0,
    loss: Loss = 0.0,
) -> None:
    """An Antminer S9: cgminer API, configuration page or SSH, Stratum client.

    Prints the board URI to use and runs until interrupted.
    """
    from drivers.emulated_pool_client import LinkFaults
    from drivers.s9.emulated import EmulatedS9

    device = EmulatedS9(
        firmware="stock" if firmware is FirmwareName.stock else "braiins",
        host=host,
        http_port=port,
        api_port=api_port,
        ssh_port=ssh_port,
        seed=seed,
        speed=speed,
        faults=LinkFaults(loss=loss),
    )

    def uri() -> str:
        ssh = f"&ssh_port={device.ssh_port}" if firmware is FirmwareName.braiins else ""
        return f"s9://{host}:{device.http_port}?api_port={device.api_port}{ssh}"

    _serve(device, uri)


def lb_box(
    host: Host = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port of its web page; 0 lets the system choose.", min=0, max=65535)] = 0,
    api_port: Annotated[int, typer.Option(help="Port of its API, 4028 on hardware.", min=0, max=65535)] = 0,
    seed: Seed = 0,
    speed: Speed = 1.0,
    loss: Loss = 0.0,
    fragile: Annotated[bool, typer.Option(help="Undeserved 401s; too many requests crash its backend.")] = False,
) -> None:
    """A Goldshell LB-Box: web interface, API, LBRY Stratum client.

    Prints the board URI to use and runs until interrupted.
    """
    from drivers.emulated_pool_client import LinkFaults
    from drivers.lb_box.emulated import EmulatedLbBox

    device = EmulatedLbBox(
        host=host,
        http_port=port,
        api_port=api_port,
        seed=seed,
        speed=speed,
        fragile=fragile,
        faults=LinkFaults(loss=loss),
    )
    _serve(device, lambda: f"lb-box://{host}:{device.http_port}?api_port={device.api_port}")


def _serve(device: EmulatedDevice, uri: Callable[[], str]) -> None:
    """Run until Ctrl-C, SIGTERM, or until the device itself fails."""
    from drivers.foreground import at_end_signals

    asked: list[bool] = []
    with at_end_signals(lambda: asked.append(True)), device:
        typer.echo(uri())
        while device.alive and not asked:
            time.sleep(0.2)
    device.check()
