"""What the gaps between nonces say of the claim that they are not independent."""

from __future__ import annotations

from typing import Literal

import numpy as np

from asic_reservoir.heartbeat import exponentiality
from asic_reservoir.inspection import Inspection
from asic_reservoir.kept import KeptClaim

SURROGATES, LEAST_GAPS = 20, 200
CLEAR_P, COMMON_P = 0.001, 0.05
"""Draws of the control; gaps below which nothing is said; p that is clear, p that is common."""


def of_inspection(found: Inspection) -> KeptClaim | None:
    """What the gaps between arrivals say of a rhythm of the silicon; None for too few of them.

    The control is as many independent arrivals through the same test. A departure alone supports nothing: dead time,
    batching and the grain of time stamps make one too.
    """
    tested = found.beyond_exponential or found.arrivals_exponential
    shape = found.beyond or found.arrivals
    if tested is None or shape is None or tested.n < LEAST_GAPS:
        return None
    rng = np.random.default_rng(0)
    same = [exponentiality(rng.exponential(size=tested.n)) for _ in range(SURROGATES)]
    passed = sum(one is not None and one.p_value >= CLEAR_P for one in same)
    label: Literal["not supported", "undecided"] = "undecided"
    if passed < SURROGATES - 1:
        sentence = f"Undecided: of {SURROGATES} draws of independent arrivals the test passes {passed} only."
    elif tested.p_value >= COMMON_P:
        label = "not supported"
        sentence = f"Not supported: {tested.n} gaps are as independent arrivals give them, p {tested.p_value:.3f}."
    else:
        sentence = (
            f"Undecided: {tested.n} gaps depart from independent arrivals, p {tested.p_value:.4f}; dead time, batching "
            "and the grain of the time stamps have to be ruled out first."
        )
    measured = {
        "gaps": tested.n,
        "cv": shape.cv,
        "p": tested.p_value,
        "same_read": found.shares["same_read"],
        "control": {"draws": SURROGATES, "passed": passed},
        "sentence": sentence,
    }
    return KeptClaim(claim="heartbeat", measured=measured, verdict=label)
