"""From the voltage that is asked for to the one that the regulator's code gives."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from asic_reservoir.twin.spec import RegulatorSpec

# PIC16 of the S9 hashboard: code = 1608.420446 - 170.423497 V, 8 bits (Braiins OS, power.rs)
_PIC_OFFSET, _PIC_SLOPE = 1608.420446, 170.423497
# DS4432U on a Bitaxe-class board: V = 0.6 + 4750 (0.6/3320 +- m/127 * 98.921e-6), m of 7 bits (ESP-Miner, DS4432U.c)
_DS_FEEDBACK_V, _DS_TOP_OHM, _DS_BOTTOM_OHM, _DS_FULL_SCALE_A = 0.6, 4750.0, 3320.0, 98.921e-6
_DS_ZERO_V = _DS_FEEDBACK_V + _DS_TOP_OHM * _DS_FEEDBACK_V / _DS_BOTTOM_OHM


def quantize_mv(spec: RegulatorSpec, requested_mv: NDArray[np.float64]) -> NDArray[np.float64]:
    """Open-circuit output for the nearest code, in mV, elementwise."""
    volts = requested_mv / 1000.0
    if spec.kind == "pic16":
        code = np.clip(np.round(_PIC_OFFSET - _PIC_SLOPE * volts), 0, 255)
        return 1000.0 * (_PIC_OFFSET - code) / _PIC_SLOPE
    if spec.kind == "ds4432u":
        step_v = _DS_TOP_OHM * _DS_FULL_SCALE_A / 127.0
        code = np.clip(np.round((volts - _DS_ZERO_V) / step_v), -127, 127)
        return 1000.0 * (_DS_ZERO_V + code * step_v)
    return np.round(requested_mv / spec.step_mv) * spec.step_mv
