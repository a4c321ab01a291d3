"""What the sensors of a board make of temperatures and voltages: noise, then their resolution."""

from __future__ import annotations

import numpy as np
from numba import njit

SENSOR_NOISE_C = 0.2  # [assumption] of a remote-diode sensor
SENSOR_STEP_C = 0.25  # a quarter of a degree: two fraction bits of the TMP42x class
VOLTAGE_NOISE = 0.001  # [assumption] relative


@njit(cache=True)
def sense(  # type: ignore[no-untyped-def]
    die_c, chips, counters, sinks_c, board_v, noise,
    chip_c, board_c, voltage_mv,  # outputs
):  # fmt: skip
    """One reading of every sensor. Compiled because a step of a whole board takes 0.2 ms in all.

    Dies (n_chips,) in degC; the chips that carry a sensor and the counters that show it, both (n_sensors,); heatsinks
    (n_hashboards,) in degC; terminals (n_hashboards,) in V; noise, at least (n_sensors + 2 * n_hashboards,) standard
    normal values: chips, heatsinks, voltages. Outputs, all of one row: chip_c (1, n_counters), where a counter without
    a sensor keeps what it holds, board_c and voltage_mv (1, n_hashboards).
    """
    n, boards = chips.shape[0], board_v.shape[0]
    for i in range(n):
        seen_c = die_c[chips[i]] + SENSOR_NOISE_C * noise[i]
        chip_c[0, counters[i]] = np.rint(seen_c / SENSOR_STEP_C) * SENSOR_STEP_C
    for b in range(boards):
        seen_c = sinks_c[b] + SENSOR_NOISE_C * noise[n + b]
        board_c[0, b] = np.rint(seen_c / SENSOR_STEP_C) * SENSOR_STEP_C
        voltage_mv[0, b] = np.rint(1000.0 * board_v[b] * (1.0 + VOLTAGE_NOISE * noise[n + boards + b]))
