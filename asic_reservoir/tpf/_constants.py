"""Constants of SHA-256 (FIPS 180-4, sections 4.2.2 and 5.3.3) and the layout of a trace."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

ROUNDS: Final = 64
"""Rounds of one compression."""

_K_HEX = """
    428a2f98 71374491 b5c0fbcf e9b5dba5 3956c25b 59f111f1 923f82a4 ab1c5ed5 d807aa98 12835b01 243185be 550c7dc3
    72be5d74 80deb1fe 9bdc06a7 c19bf174 e49b69c1 efbe4786 0fc19dc6 240ca1cc 2de92c6f 4a7484aa 5cb0a9dc 76f988da
    983e5152 a831c66d b00327c8 bf597fc7 c6e00bf3 d5a79147 06ca6351 14292967 27b70a85 2e1b2138 4d2c6dfc 53380d13
    650a7354 766a0abb 81c2c92e 92722c85 a2bfe8a1 a81a664b c24b8b70 c76c51a3 d192e819 d6990624 f40e3585 106aa070
    19a4c116 1e376c08 2748774c 34b0bcb5 391c0cb3 4ed8aa4a 5b9cca4f 682e6ff3 748f82ee 78a5636f 84c87814 8cc70208
    90befffa a4506ceb bef9a3f7 c67178f2
"""
K_INTEGERS: Final = tuple(int(word, 16) for word in _K_HEX.split())
"""Round constants."""

_IV_HEX = "6a09e667 bb67ae85 3c6ef372 a54ff53a 510e527f 9b05688c 1f83d9ab 5be0cd19"
IV_INTEGERS: Final = tuple(int(word, 16) for word in _IV_HEX.split())
"""Initial hash value; the last of them is the H7 that makes digest word 7 = H7 + e after round 61."""

K: NDArray[np.uint32] = np.array(K_INTEGERS, dtype=np.uint32)
IV: NDArray[np.uint32] = np.array(IV_INTEGERS, dtype=np.uint32)

PADDING: Final = 0x80000000
"""First padding word of a message."""
HEADER_BITS: Final = 640
DIGEST_BITS: Final = 256

PAIRS: Final = 34
"""Rows of a trace. Row p holds [e(2p-3), e(2p-2), a(2p-3), a(2p-2)], the two working variables that a round makes
anew, after rounds 2p-3 and 2p-2; rounds -3 to 0 are the initial value. Every state of every round is in it:
(a, b, c, d) after round r are a(r), a(r-1), a(r-2), a(r-3), and likewise e to h. The SHA extensions
keep their registers in this order."""
