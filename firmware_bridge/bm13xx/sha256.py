"""The SHA-256 compression function, as far as midstates of mining jobs need it (FIPS 180-4, 6.2.2)."""

from __future__ import annotations

from struct import unpack

from asic_reservoir.errors import DataError

_MASK = 0xFFFFFFFF
INITIAL_STATE = (
    0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19,
)  # fmt: skip
"""FIPS 180-4, 5.3.3."""


def _primes(count: int) -> list[int]:
    found: list[int] = []
    candidate = 2
    while len(found) < count:
        if all(candidate % prime for prime in found):
            found.append(candidate)
        candidate += 1
    return found


def _cube_root_fraction(number: int) -> int:
    """First 32 bits of the fraction of the cube root, by integer bisection."""
    low, high = 0, number << 32
    scaled = number << 96
    while high - low > 1:
        middle = (low + high) // 2
        if middle**3 <= scaled:
            low = middle
        else:
            high = middle
    return low & _MASK


ROUND_CONSTANTS = tuple(_cube_root_fraction(prime) for prime in _primes(64))
"""FIPS 180-4, 4.2.2: fractions of the cube roots of the first 64 primes."""


def _rotate(word: int, by: int) -> int:
    return (word >> by | word << 32 - by) & _MASK


def midstate(block: bytes) -> tuple[int, ...]:
    """State words H0..H7 after the first 64 bytes of a header.

    Raises:
        DataError: not 64 bytes.

    >>> f"{midstate(bytes(64))[0]:08x}"
    'da5698be'
    """
    if len(block) != 64:
        raise DataError(f"midstate: {len(block)} bytes, must be the first 64 of a header")
    words = list(unpack(">16I", block))
    for t in range(16, 64):
        s0 = _rotate(words[t - 15], 7) ^ _rotate(words[t - 15], 18) ^ words[t - 15] >> 3
        s1 = _rotate(words[t - 2], 17) ^ _rotate(words[t - 2], 19) ^ words[t - 2] >> 10
        words.append((words[t - 16] + s0 + words[t - 7] + s1) & _MASK)
    a, b, c, d, e, f, g, h = INITIAL_STATE
    for constant, word in zip(ROUND_CONSTANTS, words, strict=True):
        sum1 = _rotate(e, 6) ^ _rotate(e, 11) ^ _rotate(e, 25)
        t1 = h + sum1 + (e & f ^ ~e & g) + constant + word
        sum0 = _rotate(a, 2) ^ _rotate(a, 13) ^ _rotate(a, 22)
        t2 = sum0 + (a & b ^ a & c ^ b & c)
        h, g, f, e, d, c, b, a = g, f, e, (d + t1) & _MASK, c, b, a, (t1 + t2) & _MASK
    return tuple((x + y) & _MASK for x, y in zip(INITIAL_STATE, (a, b, c, d, e, f, g, h), strict=True))
