"""Nonce values that carry chip and core as the real parts do.

BM1387: chip = (n >> 2) & 0x3F, core = (n >> 24) & 0x7F of the little-endian integer n. BM1366: with w the same four
bytes read big-endian, core = (w >> 25) & 0x7F; the small core is in the low three bits of the rolled version.
"""

from __future__ import annotations

import hashlib
import struct

import numpy as np
from numpy.typing import NDArray

from asic_reservoir.errors import UsageError
from asic_reservoir.twin.spec import TwinSpec

VERSION_SHIFT = 13
"""The chip's 16 rolled bits are bits 28..13 of the header version."""


def _fields(spec: TwinSpec, chip: NDArray[np.intp], core: NDArray[np.intp]) -> tuple[NDArray[np.uint32], int]:
    """Fixed bits of each nonce, and the mask of the bits that are free."""
    number = np.asarray(spec.core_numbers, np.uint32)[core]
    if spec.chip.name == "BM1387":
        index = (chip % spec.chips_per_hashboard).astype(np.uint32)
        return (index << np.uint32(2)) | (number << np.uint32(24)), 0x80FFFF03
    if spec.chip.name == "BM1366":
        return (number << np.uint32(25)).byteswap(), int(np.uint32(0x01FFFFFF).byteswap())
    return np.zeros(len(chip), np.uint32), 0xFFFFFFFF


def draw_values(
    rng: np.random.Generator, spec: TwinSpec, chip: NDArray[np.intp], core: NDArray[np.intp]
) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Nonce and version bits, uint32 of shape (n,), of nonces that belong to no real header."""
    fixed, free = _fields(spec, chip, core)
    nonce = (rng.integers(0, 2**32, len(chip), np.uint32) & np.uint32(free)) | fixed
    if spec.chip.name != "BM1366":
        return nonce, np.zeros(len(chip), np.uint32)
    epoch = np.sort(rng.integers(0, 8192, len(chip), np.uint32))  # the version field counts up within a job
    version = (epoch << np.uint32(3)) | rng.integers(0, 8, len(chip), np.uint32)
    return nonce, version << np.uint32(VERSION_SHIFT)


def search_values(
    rng: np.random.Generator,
    spec: TwinSpec,
    chip: NDArray[np.intp],
    core: NDArray[np.intp],
    valid: NDArray[np.bool_],
    header: bytes,
    share_bits: int,
) -> NDArray[np.uint32]:
    """Nonces of a real header: where ``valid``, the hash has ``share_bits`` leading zero bits; where not, it has not.

    A real share has 32 or more; a twin finds easier ones by hashing, 2^share_bits a nonce.

    Raises:
        UsageError: the header is not 80 bytes.
    """
    if len(header) != 80:
        raise UsageError(f"work header: {len(header)} bytes, must be 80")
    fixed, free = _fields(spec, chip, core)
    first = hashlib.sha256(header[:64])
    tail = header[64:76]
    limit = 1 << (256 - share_bits)
    found = np.empty(len(chip), np.uint32)
    for i in range(len(chip)):
        base = int(fixed[i])
        while True:
            for candidate in rng.integers(0, 2**32, 1024, np.uint32).tolist():
                value = (candidate & free) | base
                head = first.copy()
                head.update(tail + struct.pack("<I", value))
                digest = hashlib.sha256(head.digest()).digest()
                if (int.from_bytes(digest, "little") < limit) == bool(valid[i]):
                    break
            else:
                continue
            found[i] = value
            break
    return found
