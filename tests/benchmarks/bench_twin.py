"""How fast the twin of a whole S9 runs against the time that it simulates, on one core.

Processor time, because a machine that others use would measure them too.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import numpy as np

from asic_reservoir.board import Detail, OperatingPoint, Step
from asic_reservoir.registry import open_board

STEPS, ROUNDS = 1000, 5


def run() -> list[dict[str, Any]]:
    clocks = 650.0 + 20.0 * np.random.default_rng(0).standard_normal((STEPS, 189))
    rows = []
    for seconds, detail, steps, steady in (
        (1, Detail.COUNTS, STEPS, True),
        (1, Detail.COUNTS, STEPS, False),
        (10, Detail.COUNTS, STEPS, False),
        (1, Detail.NONCES, 50, False),
    ):
        board = open_board("twin://s9?seed=1")
        asked = [
            Step(OperatingPoint() if steady else OperatingPoint(frequency_mhz=c), seconds * 10**9, detail=detail)
            for c in clocks[:steps]
        ]
        taken = []
        for _ in range(ROUNDS):
            started = time.process_time()
            for step in asked:
                board.step(step)
            taken.append(time.process_time() - started)
        each = statistics.median(taken) / steps
        rows.append(
            {
                "name": f"S9 twin, 189 chips, {seconds} s steps, {detail.value}",
                "value": each * 1e6,
                "unit": "us/step",
                "reference": "real time",
                "ratio": seconds / each,
                "note": "clocks as they are" if steady else "189 clocks changed every step",
            }
        )
    return rows
