"""Arithmetic of Bitcoin block headers: from the fields of a Stratum job to the hash and its difficulty.

Byte orders, named once:

* *header order*: the bytes as they stand in the serialized 80-byte header; integers little-endian, hashes as SHA-256
  gives them.
* *display order*: the whole 32 bytes of a hash reversed, as block explorers print it.
* *Stratum order*: header order with the bytes inside every 4-byte word reversed (:func:`swap_words`); the ``prevhash``
  of ``mining.notify`` comes so.

Header = LE32(version) ‖ previous hash ‖ Merkle root ‖ LE32(ntime) ‖ LE32(nbits) ‖ LE32(nonce); hash = SHA-256 twice.
Difficulty = 0xFFFF · 2^208 / hash, the hash read as a little-endian integer.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from asic_reservoir.errors import DataError

HEADER_SIZE = 80
"""Bytes of a serialized Bitcoin header."""
HASH_SIZE = 32
DIFFICULTY_ONE = 0xFFFF << 208
"""Target of difficulty 1 (compact form 0x1d00ffff)."""
DIFFICULTY_ONE_LBRY = DIFFICULTY_ONE << 8
"""Target of difficulty 1 as LBRY pools count it, 256 times easier."""


def sha256d(data: bytes) -> bytes:
    """SHA-256 of the SHA-256 of ``data``, 32 bytes in header order."""
    return sha256(sha256(data).digest()).digest()


def swap_words(data: bytes) -> bytes:
    """Bytes inside every 4-byte word reversed, the words left in place. Its own inverse.

    Raises:
        DataError: the length is no multiple of 4.

    >>> swap_words(bytes.fromhex("0102030405060708")).hex()
    '0403020108070605'
    """
    _whole_words(data)
    return b"".join(data[i : i + 4][::-1] for i in range(0, len(data), 4))


def reverse_words(data: bytes) -> bytes:
    """Order of the 4-byte words reversed, the bytes inside each left in place (the order of BM13xx job frames).

    Raises:
        DataError: the length is no multiple of 4.

    >>> reverse_words(bytes.fromhex("0102030405060708")).hex()
    '0506070801020304'
    """
    _whole_words(data)
    return b"".join(data[i : i + 4] for i in range(len(data) - 4, -1, -4))


def coinbase_of(coinbase1: bytes, extranonce1: bytes, extranonce2: bytes, coinbase2: bytes) -> bytes:
    """The coinbase transaction that a Stratum miner assembles."""
    return coinbase1 + extranonce1 + extranonce2 + coinbase2


def merkle_root(
    coinbase1: bytes, extranonce1: bytes, extranonce2: bytes, coinbase2: bytes, branches: Sequence[bytes] = ()
) -> bytes:
    """Merkle root in header order: h = sha256d(coinbase), then h = sha256d(h ‖ branch) for every branch.

    Raises:
        DataError: a branch is not 32 bytes.
    """
    root = sha256d(coinbase_of(coinbase1, extranonce1, extranonce2, coinbase2))
    for index, branch in enumerate(branches):
        _hash_size(f"merkle branch {index}", branch)
        root = sha256d(root + branch)
    return root


def header_bytes(*, version: int, previous: bytes, root: bytes, ntime: int, nbits: int, nonce: int) -> bytes:
    """The serialized header, 80 bytes.

    Args:
        version: With the rolled bits already applied (version of the job xor the version bits of the submit).
        previous: Hash of the previous block in header order: ``swap_words`` of the Stratum ``prevhash``.
        root: Merkle root in header order.
        ntime, nbits, nonce: Integers as Stratum prints them (``%08x``).

    Raises:
        DataError: an integer does not fit 32 bits, or a hash is not 32 bytes.
    """
    _hash_size("previous", previous)
    _hash_size("root", root)
    return b"".join(
        (
            _u32("version", version),
            previous,
            root,
            _u32("ntime", ntime),
            _u32("nbits", nbits),
            _u32("nonce", nonce),
        )
    )


def hash_of(header: bytes) -> bytes:
    """Block hash in header order (32 bytes).

    Raises:
        DataError: the header is not 80 bytes.

    >>> display(hash_of(header_bytes(version=1, previous=bytes(32), root=bytes.fromhex(
    ...     "3ba3edfd7a7b12b27ac72c3e67768f617fc81bc3888a51323a9fb8aa4b1e5e4a"),
    ...     ntime=0x495FAB29, nbits=0x1D00FFFF, nonce=0x7C2BAC1D)))
    '000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f'
    """
    if len(header) != HEADER_SIZE:
        raise DataError(f"header: {len(header)} bytes, must be {HEADER_SIZE}")
    return sha256d(header)


def display(digest: bytes) -> str:
    """A hash as block explorers print it: hex of the bytes reversed."""
    return digest[::-1].hex()


def difficulty_of(digest: bytes, difficulty_one: int = DIFFICULTY_ONE) -> float:
    """Difficulty of a hash in header order; infinite for the hash 0.

    Raises:
        DataError: the hash is not 32 bytes.

    >>> round(difficulty_of(bytes.fromhex("6fe28c0ab6f1b372c1a6a246ae63f74f931e8365e15a089c68d6190000000000")), 3)
    2536.426
    """
    _hash_size("hash", digest)
    value = int.from_bytes(digest, "little")
    return difficulty_one / value if value else float("inf")


def target_of_difficulty(difficulty: float, difficulty_one: int = DIFFICULTY_ONE) -> int:
    """Largest hash value that meets ``difficulty``, at most 2^256 - 1. Exact where the difficulty is an integer.

    Raises:
        DataError: the difficulty is not positive and finite.

    >>> target_of_difficulty(1) == DIFFICULTY_ONE
    True
    """
    if not 0.0 < difficulty < float("inf"):
        raise DataError(f"difficulty: {difficulty}, must be a positive number")
    numerator, denominator = difficulty.as_integer_ratio()
    return min(difficulty_one * denominator // numerator, (1 << 256) - 1)


def target_of_bits(nbits: int) -> int:
    """Target from its compact form: mantissa · 256^(exponent - 3).

    Raises:
        DataError: more than 32 bits, a negative target, or one above 2^256 - 1.

    >>> target_of_bits(0x1D00FFFF) == DIFFICULTY_ONE
    True
    """
    _u32("nbits", nbits)
    exponent, mantissa = nbits >> 24, nbits & 0x7FFFFF
    if nbits & 0x800000 and mantissa:
        raise DataError(f"nbits: {nbits:08x}, must not be negative (bit 23 is its sign)")
    target = mantissa << 8 * (exponent - 3) if exponent >= 3 else mantissa >> 8 * (3 - exponent)
    if target >= 1 << 256:
        raise DataError(f"nbits: {nbits:08x}, target must be below 2^256")
    return target


def _u32(name: str, value: int) -> bytes:
    if not 0 <= value < 1 << 32:
        raise DataError(f"{name}: {value}, must be an integer from 0 to 2^32 - 1")
    return value.to_bytes(4, "little")


def _hash_size(name: str, value: bytes) -> None:
    if len(value) != HASH_SIZE:
        raise DataError(f"{name}: {len(value)} bytes, must be {HASH_SIZE}")


def _whole_words(data: bytes) -> None:
    if len(data) % 4:
        raise DataError(f"words: {len(data)} bytes, must be a multiple of 4")
