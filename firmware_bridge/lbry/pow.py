"""Header and proof of work of LBRY.

Header, 112 bytes: version 4, previous hash 32, Merkle root 32, claim-trie root 32, time 4, bits 4, nonce 4; integers
little-endian, hashes in header order. The block's id is its SHA-256d; the work is another hash of it
(:func:`pow_hash`), compared as a little-endian number with the target.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha512
from struct import Struct

from Crypto.Hash import RIPEMD160

from asic_reservoir.errors import DataError
from asic_reservoir.headers import sha256d

HEADER_SIZE = 112
MAX_TARGET = (0xFFFF << 224) | ((1 << 224) - 1)
"""Easiest target of the main chain."""

_HEADER = Struct("<I32s32s32sIII")


@dataclass(frozen=True, slots=True)
class LbryHeader:
    """The fields of a header. Hashes are 32 bytes in header order."""

    version: int
    previous: bytes
    root: bytes
    claim_trie: bytes
    ntime: int
    nbits: int
    nonce: int

    def to_bytes(self) -> bytes:
        """The 112 bytes. Raises DataError where a field does not fit."""
        for name in ("previous", "root", "claim_trie"):
            if len(getattr(self, name)) != 32:
                raise DataError(f"LBRY header {name}: {len(getattr(self, name))} bytes, must be 32")
        for name in ("version", "ntime", "nbits", "nonce"):
            if not 0 <= getattr(self, name) < 1 << 32:
                raise DataError(f"LBRY header {name}: {getattr(self, name)}, must be an integer from 0 to 2^32 - 1")
        return pack_header(self.version, self.previous, self.root, self.claim_trie, self.ntime, self.nbits, self.nonce)

    @classmethod
    def from_bytes(cls, data: bytes) -> LbryHeader:
        """Raises DataError where the length is not 112."""
        if len(data) != HEADER_SIZE:
            raise DataError(f"LBRY header: {len(data)} bytes, must be {HEADER_SIZE}")
        return cls(*_HEADER.unpack(data))

    @property
    def block_id(self) -> bytes:
        """SHA-256d of the header, in header order."""
        return sha256d(self.to_bytes())


def pack_header(
    version: int, previous: bytes, root: bytes, claim_trie: bytes, ntime: int, nbits: int, nonce: int
) -> bytes:
    """The 112 bytes from fields that are known to fit: the hot path of share checks."""
    return bytes(_HEADER.pack(version, previous, root, claim_trie, ntime, nbits, nonce))


def _find_ripemd160() -> Callable[[bytes], bytes]:
    """That of OpenSSL, five times faster, where hashlib has it: a version before 3.0.7 only with its legacy part."""
    try:
        hashlib.new("ripemd160")
    except ValueError:
        return lambda data: RIPEMD160.new(data).digest()
    new = hashlib.new
    return lambda data: new("ripemd160", data).digest()


ripemd160 = _find_ripemd160()


def pow_hash(data: bytes) -> bytes:
    """The proof-of-work hash: sha256d(ripemd160(s[:32]) + ripemd160(s[32:])) with s = sha512(sha256d(data)).

    >>> pow_hash(b"")[::-1].hex()
    '282d17dccbf49a3fb73fa0d1d59dcc9bcf9ad93be9c1c71e3dc6cbb889fb436d'
    """
    wide = sha512(sha256d(data)).digest()
    return sha256d(ripemd160(wide[:32]) + ripemd160(wide[32:]))
