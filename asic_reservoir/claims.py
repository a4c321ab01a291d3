"""The published claims in one catalogue: what was stated, where, and which task of ours tries it.

Both papers are of January 2026: 1, «Toward Thermodynamic Reservoir Computing: Exploring SHA-256 ASICs as Potential
Physical Substrates» (hypotheses and first observations); 2, «Speaking to Silicon: Neural Communication with Bitcoin
Mining ASICs» (results).

What a result says of a claim is decided in :mod:`asic_reservoir.claim_verdicts`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from asic_reservoir.errors import NotFoundError

BOTH, SECOND = "papers 1 and 2", "paper 2"


@dataclass(frozen=True, slots=True)
class PublishedClaim:
    """One claim."""

    id: str
    title: str
    published: str
    """The figures as published."""
    where: str
    how: str
    """How it is tried here, and what the control is."""
    kind: str | None = None
    """Kind of task that tries it; None: none does by itself."""
    params: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the task."""
    missing: str | None = None
    """Why it cannot be tried: the part that this would take, and that does not exist here; None: it can."""


CATALOGUE: tuple[PublishedClaim, ...] = (
    PublishedClaim(
        "reservoir",
        "The silicon of a miner can be the reservoir of a task that needs memory",
        "NARMA-10 is solved by states of the silicon",
        BOTH,
        "NARMA-10 with an encoding that reaches the chips; controls: decoupled input, shuffled states, the host's own "
        "delay line, an echo state network at the same counting noise",
        "experiment",
        {"task": "narma10"},
    ),
    PublishedClaim(
        "narma10-dialogue",
        "Dialogue through extranonce2 solves NARMA-10 better than chance",
        "NRMSE 0.8661 dialogue, 0.9550 monologue, 1.0 constant; ridge with 1e-6",
        "paper 2; an experiment to be done in table VII of paper 1",
        "The published setting (input in extranonce2, one job in flight, timing features); controls: decoupled input, "
        "shuffled states, monologue, constant input, and the best score without memory, 0.8673",
        "experiment",
        {"task": "narma10", "preset": "published"},
    ),
    PublishedClaim(
        "tpf-rounds",
        "The state after the first rounds tells whether a hash will be a share",
        "rounds 1 to 5 of 64; 92.19 % of the work saved, 12.8 times the hashrate",
        SECOND,
        "Every round of real SHA-256 tapped; control: reduced rounds, where prediction must work",
        "tpf-leak",
        {"headers": 2**25},
    ),
    PublishedClaim(
        "tpf-timing",
        "The timing of a board tells its shares to come",
        "88.5 % saved on an LV06 without false aborts",
        SECOND,
        "Windows of jobs on the board: timing and temperature against the shares that follow, counted in shares a "
        "joule; controls, in the same answers: a planted leak, labels shifted in time",
        "tpf-windows",
    ),
    PublishedClaim(
        "heartbeat",
        "Arrivals of nonces are not those of independent events",
        "non-Poissonian arrivals; a rhythm of 2.4 Hz, withdrawn to a hypothesis",
        BOTH,
        "Spectrum of the arrivals against that of their gaps in random order, in both halves of the time, and gaps "
        "against an exponential of unknown rate; controls: planted lines at 2.4 and 3.7 Hz, planted batching, as many "
        "independent arrivals",
        "heartbeat",
        {"seconds": 120.0},
    ),
    PublishedClaim(
        "edge-of-chaos",
        "Voltage, clock and difficulty take the arrivals through regimes",
        "CV 0.586 at 7.6 V, 200 MHz, 1024; 0.092 at 7.6 V, 325 MHz, 4096; 0.98 at 7.6 V, 300 MHz, 16384",
        BOTH,
        "The part of the published grid that the board allows, each cell twice in random order, CV and entropy of the "
        "gaps against independent ones, over all cells; controls: a planted CV of 0.586, sweeps of independent gaps",
        "regime-sweep",
    ),
    PublishedClaim(
        "phase-transition",
        "Below a critical voltage the chip changes its phase",
        "regimes above 950, 870 to 950, 850 to 870, below 850 mV",
        BOTH,
        "Share of right nonces to the lowest voltage that is allowed and back: fluctuations beyond counting, "
        "hysteresis, change point; controls: planted switching, draws of independent errors",
        "voltage-transition",
    ),
    PublishedClaim(
        "diffusion",
        "The Hamming distance of consecutive hashes measures quality",
        "distance / 256 as a proxy",
        BOTH,
        "Distances at the nominal point and at one where the board errs, in turns, equal within a margin or not; "
        "controls: hashes without a board, in random order, and after few rounds",
        "diffusion",
    ),
    PublishedClaim(
        "vbm",
        "Local templates raise the effective hashrate",
        "175 to 220 GH/s on an LB-Box, 25 % more",
        BOTH,
        "Accepted difficulty a second with and without the proxy, in randomized blocks, for known latencies of a pool",
        missing="it needs a proxy between pool and miner that hands out templates of its own, and this package has "
        "none: without it there is no second arm to measure",
    ),
    PublishedClaim(
        "hns",
        "A hierarchical number system costs O(log N) energy",
        "O(log N) against O(2^N)",
        BOTH,
        "Digit operations counted for one task in both number systems",
        missing="it needs arithmetic in that number system, and this package has none: there are no operations to "
        "count",
    ),
    PublishedClaim(
        "puf",
        "The timing of a board is its fingerprint",
        "the NRMSE floor is the signature of a device",
        BOTH,
        "Distances within and between boards, false acceptance and rejection over many boards",
        missing="it needs enrolment and verification of many boards, and this package has neither: one board alone "
        "cannot show that it differs from others",
    ),
    PublishedClaim(
        "universality",
        "The same holds on S9, LV06 and LB-Box",
        "189 × BM1387, 1 × BM1366, and an LB-Box (listed as BM1366; it is an LBRY miner)",
        BOTH,
        "Try the other claims on an S9, an LV06 and an LB-Box of the shelf: their newest verdicts are compared by "
        "themselves, those of one origin only; the controls are those of each",
    ),
)
"""Every claim; identifiers are stable."""
_BY_ID = {claim.id: claim for claim in CATALOGUE}


def claim_of(name: str) -> PublishedClaim:
    """Raises NotFoundError that names those there are.

    >>> claim_of("tpf-rounds").kind
    'tpf-leak'
    """
    if name not in _BY_ID:
        raise NotFoundError(f"claim {name[:60]!r}: unknown, must be one of {', '.join(_BY_ID)}")
    return _BY_ID[name]
