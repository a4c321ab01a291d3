"""The change of baud on a chain of chips: they are told on the old rate, and asked on the new one."""

from __future__ import annotations

import time
from collections.abc import Callable

from asic_reservoir.errors import TimeoutExpiredError
from firmware_bridge.serial_port import SerialPort

SETTLE_S = (0.05, 0.2, 1.0)
"""Around a change of baud the line may carry garbage; so long in turn where the chips have not followed."""
LAST_READS = 3
"""Reads of the last turn; one in those before."""


def change_baud(
    port: SerialPort,
    boot_baud: int,
    *,
    order: Callable[[], None],
    listen: Callable[[], None],
    forget: Callable[[], object],
    ask: Callable[[int], object],
) -> None:
    """Chips and host to the fast rate; where the order did not reach the chips in time, once more.

    Args:
        port: of the chips' UART, at the boot rate.
        boot_baud: at which chips listen that have not followed.
        order: tells the chips.
        listen: sets the fast rate of the port.
        forget: drops half a reply that came before the change.
        ask: reads a register of every chip, so many times; raises TimeoutExpiredError where they do not answer.

    Raises:
        TimeoutExpiredError: they did not follow.
        LinkError: the line is gone.
    """
    for settle_s in SETTLE_S:
        last = settle_s == SETTLE_S[-1]
        order()
        port.drain()
        time.sleep(settle_s)
        listen()
        time.sleep(settle_s)
        port.discard_input()
        forget()
        try:
            ask(LAST_READS if last else 1)
            return
        except TimeoutExpiredError:
            if last:
                raise
            port.set_baud(boot_baud)
