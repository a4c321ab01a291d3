"""The way from the chip to the host: what it does to times, and what it loses."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from asic_reservoir.errors import UsageError
from asic_reservoir.twin.spec import LinkSpec

LINKS: dict[str, LinkSpec] = {
    "off": LinkSpec(),
    "usb": LinkSpec(usb_frame_s=1e-3, jitter_s=0.2e-3),
    "tcp": LinkSpec(tcp_coalesce_s=0.04, jitter_s=0.3e-3),
    "wifi": LinkSpec(tcp_coalesce_s=0.04, jitter_s=8e-3, loss=0.02),
}
"""Ways by name: USB full-speed frames; TCP with Nagle and delayed acknowledgement; the same over Wi-Fi."""


def link_of(name: str, loss: float | None) -> LinkSpec:
    """The link of that name, with its loss replaced where one is given; raises UsageError."""
    if name not in LINKS:
        raise UsageError(f"board option link: {name!r}, must be one of {', '.join(LINKS)}")
    link = LINKS[name]
    if loss is None:
        return link
    return LinkSpec(link.usb_frame_s, link.tcp_coalesce_s, link.jitter_s, loss)


def arrive(
    rng: np.random.Generator, link: LinkSpec, begin_s: float, offset_s: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.intp], NDArray[np.bool_]]:
    """When nonces that were found at ``offset_s`` after ``begin_s`` reach the host.

    Returns arrival offsets in order, the index of each in ``offset_s``, and whether it came in the same read as
    the one before it.
    """
    at = offset_s + (rng.exponential(link.jitter_s, len(offset_s)) if link.jitter_s else 0.0)
    for grain in (link.usb_frame_s, link.tcp_coalesce_s):
        if grain:
            at = np.ceil((begin_s + at) / grain) * grain - begin_s
    order = np.argsort(at, kind="stable")
    at = at[order]
    batched = bool(link.usb_frame_s or link.tcp_coalesce_s)
    same_read = np.zeros(len(at), np.bool_)
    if batched and len(at):
        same_read[1:] = np.diff(at) < 1e-9
    return at, order, same_read
