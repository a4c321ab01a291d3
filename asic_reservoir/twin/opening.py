"""From ``twin://…`` to a twin."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from asic_reservoir.board import Limits, Range
from asic_reservoir.errors import NotFoundError
from asic_reservoir.registry import BoardUri
from asic_reservoir.twin.board import TwinBoard
from asic_reservoir.twin.link import LINKS, link_of
from asic_reservoir.twin.pacing import PacedTwin
from asic_reservoir.twin.spec import SPECS

RESEARCH = {"lv06": (Range(50, 700), Range(990, 1350)), "bm1366": (Range(50, 700), Range(990, 1350))}
"""Wider frequency (MHz) and voltage (mV) ranges that ``range=research`` opens on purpose."""


def open_twin(uri: BoardUri) -> TwinBoard:
    """Open ``twin://<board>`` with its options.

    ``seed`` (the device), ``run`` (a draw of its noise), ``inlet_c``, ``link`` (off, usb, tcp, wifi), ``loss``,
    ``share_bits``; ``range=research`` where the board has one; ``chips`` of a bm1366; ``pace`` (seconds on the wall
    for a second of the board; 0, as fast as it can, where left out).

    Raises:
        NotFoundError: no twin of that name.
        UsageError: an option that does not exist or has a wrong value.
    """
    if uri.name not in SPECS:
        raise NotFoundError(f"board {uri.text!r}: no twin {uri.name!r}, must be one of {', '.join(SPECS)}")
    spec = SPECS[uri.name]
    known = {"seed", "run", "inlet_c", "link", "loss", "share_bits", "pace"}
    known |= {"range"} if uri.name in RESEARCH else set()
    known |= {"chips"} if uri.name == "bm1366" else set()
    uri.check_options(known)
    seed = uri.integer("seed", 0, 0, 2**31 - 1)
    link = link_of(
        uri.choice("link", "off", tuple(LINKS)), uri.number("loss", 0.0, 0.0, 1.0) if "loss" in uri.options else None
    )
    if uri.choice("range", "standard", ("standard", "research")) == "research":
        frequency, voltage = RESEARCH[uri.name]
        limits = spec.limits
        spec = replace(spec, limits=Limits(frequency, voltage, limits.chip_temperature_c, limits.power_w))
    if uri.name == "bm1366":
        spec = replace(spec, chips_per_hashboard=uri.integer("chips", 1, 1, 128))
    # run and pace are no properties of the device: the same board, another draw of its noise, as fast as one wants
    options = {key: value for key, value in uri.options.items() if key not in ("run", "pace")}
    name = f"twin://{uri.name}?" + "&".join(
        f"{key}={value}" for key, value in sorted({**options, "seed": str(seed)}.items())
    )
    pace = uri.number("pace", 0.0, 0.0, 10.0)
    make = partial(PacedTwin, pace=pace) if pace else TwinBoard
    return make(
        spec,
        seed,
        inlet_c=uri.number("inlet_c", spec.heat.inlet_c, -20.0, 60.0),
        link=link,
        share_bits=uri.integer("share_bits", 12, 1, 24),
        run=uri.integer("run", 0, 0, 2**31 - 1),
        uri=name,
    )
