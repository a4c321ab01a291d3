"""DS4432U+: a current source or sink at the feedback node of a TPS40305, which trims the core voltage.

code = ceil(\\|(0.6/3320 - (V - 0.6)/4750) / I_max\\| · 127) with I_max = 98.921 µA, bit 7 set where the part sources
current, which lowers the voltage (ESP-Miner ``DS4432U.c``). The firmware does not clamp the code: a request below
0.9886 V wraps to 1.3 to 1.45 V. Here it is refused.
"""

from __future__ import annotations

import math

from asic_reservoir.errors import LimitError, UsageError

ADDRESS = 0x48
REGISTER_OUT0 = 0xF8
_FEEDBACK_V = 0.6
_R_LOW_OHM, _R_HIGH_OHM = 3320.0, 4750.0
_FULL_SCALE_A = 9.8921e-5
_CODES = 127
_NEUTRAL_V = _FEEDBACK_V + _R_HIGH_OHM * _FEEDBACK_V / _R_LOW_OHM
"""Voltage without any current, 1.4584 V; below it the sign bit is set. The firmware compares with 1.451 V instead, so
between the two its codes push the wrong way, by up to 19 mV; here they do not."""
LOWEST_MV, HIGHEST_MV = 990.0, 1920.0
"""What 7 bits can express without wrapping, with a little room."""


def encode(voltage_mv: float) -> int:
    """Register F8 for a core voltage.

    Raises:
        LimitError: below 990 mV (the code would wrap to about 1.4 V) or above 1,920 mV.

    >>> f"{encode(1200.0):02x} {encode(1500.0):02x}"
    'c6 0c'
    """
    if not LOWEST_MV <= voltage_mv <= HIGHEST_MV:
        raise LimitError(
            f"voltage_mv: {voltage_mv:g} mV on a DS4432U, must be {LOWEST_MV:g} to {HIGHEST_MV:g} mV "
            "(below, its code wraps to about 1400 mV)"
        )
    volts = voltage_mv / 1000.0
    current = abs(_FEEDBACK_V / _R_LOW_OHM - (volts - _FEEDBACK_V) / _R_HIGH_OHM)
    code = math.ceil(current / _FULL_SCALE_A * _CODES)
    return code | (0x80 if volts < _NEUTRAL_V else 0)


def decode(code: int) -> float:
    """Core voltage in mV that a value of register F8 makes.

    Raises:
        UsageError: not a byte.

    >>> round(decode(0xC6), 1), round(decode(0xFF), 1)
    (1199.4, 988.6)
    """
    if not 0 <= code <= 255:
        raise UsageError(f"DS4432U code: {code}, must be an integer from 0 to 255")
    sign = -1.0 if code & 0x80 else 1.0
    current = _FEEDBACK_V / _R_LOW_OHM + sign * (code & 0x7F) / _CODES * _FULL_SCALE_A
    return 1000.0 * (_FEEDBACK_V + _R_HIGH_OHM * current)
