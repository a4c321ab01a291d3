"""Where a BM1387 found a nonce: the nonce says it.

The host gives every chip of a hashboard an address and the chip starts its search there, so bits 2..7 of the nonce
are the index of the chip on its hashboard and bits 24..30 the address of the core. The hashboard is not in the nonce.
Source: the FPGA test bench of braiins/braiins (``axi_bm13xx_tb.sv``), whose replies come from known chips.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CHIPS = 63
"""Chips in one chain of an S9: indices 0 to 62 of the 64 that the field can hold."""
CORES = 114
"""Cores of a BM1387; their addresses lie in 0..127 with holes."""
CORE_ADDRESSES = 128


def chip_of(nonce: NDArray[np.uint32]) -> NDArray[np.int16]:
    """Index of the chip on its hashboard, shape as ``nonce``; -1 where the field names no chip (63).

    >>> chip_of(np.array([0x2A105D5D, 0xD25738D3, 0x47268D19], np.uint32)).tolist()
    [23, 52, 6]
    """
    index = ((nonce >> np.uint32(2)) & np.uint32(0x3F)).astype(np.int16)
    return np.where(index < CHIPS, index, np.int16(-1)).astype(np.int16)


def core_of(nonce: NDArray[np.uint32]) -> NDArray[np.int16]:
    """Address of the core within its chip, 0..127, shape as ``nonce``.

    >>> core_of(np.array([0x2A105D5D, 0xD25738D3, 0x47268D19], np.uint32)).tolist()
    [42, 82, 71]
    """
    return ((nonce >> np.uint32(24)) & np.uint32(0x7F)).astype(np.int16)
