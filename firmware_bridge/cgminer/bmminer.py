"""The ``stats`` of an S9 with stock firmware (bmminer): chains, chips, temperatures and fans under numbered keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from asic_reservoir.errors import DataError
from firmware_bridge.cgminer.messages import Reply, Row
from firmware_bridge.fields import as_integer, as_number, as_text, shown

CHAINS = (6, 7, 8)
"""Connectors J6, J7, J8 of an S9."""
FANS = (3, 6)
"""The pair of fan connectors that is usually in use."""
_SLOTS = range(1, 17)


@dataclass(frozen=True, slots=True)
class Chain:
    """One hashboard."""

    index: int
    chips: int
    asic_status: str
    """``o`` for a working chip, ``x`` for a dead one; blanks group them."""
    rate_ghs: float
    temperature_c: float
    """``tempN``: the board's sensor on the common reading of an S9."""
    temperature2_c: float
    """``temp2_N``: the chip's. Other clients read the two the other way round (protocols.md, pitfall 42)."""


@dataclass(frozen=True, slots=True)
class S9Stats:
    """What ``stats`` says about the whole miner."""

    miner_type: str
    """Such as ``Antminer S9``."""
    elapsed_s: float
    rate_5s_ghs: float
    rate_average_ghs: float
    frequency_mhz: float
    """One average for the whole machine."""
    fans_rpm: Mapping[int, int]
    """By connector."""
    chains: Sequence[Chain]
    hardware_errors: int = 0


def stats_rows(
    stats: S9Stats, *, miner: str = "30.0.1.3", compiled: str = "Thu Jun  7 2018"
) -> list[dict[str, object]]:
    """The two rows of ``STATS``, with every numbered key that bmminer prints, used or not."""
    chains = {chain.index: chain for chain in stats.chains}
    row: dict[str, object] = {
        "STATS": 0,
        "ID": "BC50",
        "Elapsed": int(stats.elapsed_s),
        "Calls": 0,
        "Wait": 0.0,
        "Max": 0.0,
        "Min": 99999999.0,
        "GHS 5s": f"{stats.rate_5s_ghs:.2f}",
        "GHS av": round(stats.rate_average_ghs, 2),
        "miner_count": len(stats.chains),
        "frequency": f"{stats.frequency_mhz:g}",
        "fan_num": len(stats.fans_rpm),
        **{f"fan{i}": stats.fans_rpm.get(i, 0) for i in range(1, 9)},
        "temp_num": len(stats.chains),
        **{f"temp{i}": round(chains[i].temperature_c) if i in chains else 0 for i in _SLOTS},
        **{f"temp2_{i}": round(chains[i].temperature2_c) if i in chains else 0 for i in _SLOTS},
        **{f"chain_acn{i}": chains[i].chips if i in chains else 0 for i in _SLOTS},
        **{f"chain_acs{i}": chains[i].asic_status if i in chains else "" for i in _SLOTS},
        **{f"chain_rate{i}": f"{chains[i].rate_ghs:.2f}" if i in chains else "" for i in _SLOTS},
        "total_rateideal": round(sum(chain.rate_ghs for chain in stats.chains), 2),
        "rate_unit": "GH",
        "no_matching_work": stats.hardware_errors,
    }
    return [{"BMMiner": "2.0.0", "Miner": miner, "CompileTime": compiled, "Type": stats.miner_type}, row]


def parse_stats(reply: Reply) -> S9Stats:
    """Read a reply to ``stats``. Raises DataError naming the key."""
    rows = reply.rows("STATS")
    if len(rows) < 2:
        raise DataError(f"bmminer stats: {len(rows)} rows, must be 2")
    head, row = rows[0], rows[1]
    chains = []
    for index in _SLOTS:
        chips = as_integer(row.get(f"chain_acn{index}", 0), f"bmminer chain_acn{index}", 0, 255)
        if chips:
            chains.append(
                Chain(
                    index,
                    chips,
                    as_text(row.get(f"chain_acs{index}", ""), f"bmminer chain_acs{index}"),
                    number(row, f"chain_rate{index}"),
                    number(row, f"temp{index}"),
                    number(row, f"temp2_{index}"),
                )
            )
    fans = {i: round(number(row, f"fan{i}", 0.0, 1e6)) for i in range(1, 9)}
    return S9Stats(
        as_text(head.get("Type", ""), "bmminer Type"),
        number(row, "Elapsed"),
        number(row, "GHS 5s"),
        number(row, "GHS av"),
        number(row, "frequency"),
        {i: rpm for i, rpm in fans.items() if rpm},
        tuple(chains),
        as_integer(row.get("no_matching_work", 0), "bmminer no_matching_work", 0, 2**63),
    )


def number(row: Row, key: str, low: float = -1e18, high: float = 1e18) -> float:
    """A number that the miner may print as text; 0 where it is missing or empty. Raises DataError naming the key."""
    value = row.get(key, 0)
    if isinstance(value, str):
        try:
            value = float(value) if value.strip() else 0.0
        except ValueError:
            raise DataError(f"miner {key}: {shown(value)}, must be a number") from None
    return as_number(value, f"miner {key}", low, high)
