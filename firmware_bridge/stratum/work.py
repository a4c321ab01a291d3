"""Jobs and the header arithmetic around them: extranonce, version rolling, hash of a share."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from struct import Struct
from typing import ClassVar, Protocol

from asic_reservoir.headers import DIFFICULTY_ONE, sha256d
from firmware_bridge.stratum.messages import Notify

DEFAULT_VERSION_MASK = 0x1FFFE000
"""Version bits 28..13, which miners may roll (BIP 320); what ESP-Miner takes without an answer to ``configure``."""

_HEADER = Struct("<I32s32sIII")
_MAX_ROOTS = 4096


class Hashable(Protocol):
    """A job of any algorithm whose shares can be hashed."""

    difficulty_one: ClassVar[int]
    """Target of difficulty 1 on the scale of its pools."""

    @property
    def job_id(self) -> str: ...

    @property
    def ntime(self) -> int: ...

    def hash_value(self, extranonce2: bytes, ntime: int, nonce: int, version_bits: int) -> int:
        """Hash of the share as the little-endian number that is compared with the target."""
        ...


@dataclass(frozen=True, slots=True)
class Sha256dWork:
    """A Bitcoin job of one connection: the notify and the extranonce1 it was sent under.

    The Merkle root of an extranonce2 is kept: a miner sends many shares of few of them.
    """

    difficulty_one: ClassVar[int] = DIFFICULTY_ONE
    notify: Notify
    extranonce1: bytes
    _roots: dict[bytes, bytes] = field(default_factory=dict, compare=False, repr=False)

    @property
    def job_id(self) -> str:
        return self.notify.job_id

    @property
    def ntime(self) -> int:
        return self.notify.ntime

    def root(self, extranonce2: bytes) -> bytes:
        """Merkle root in header order, 32 bytes."""
        root = self._roots.get(extranonce2)
        if root is None:
            root = root_of(self.notify, self.extranonce1, extranonce2)
            if len(self._roots) >= _MAX_ROOTS:
                self._roots.clear()
            self._roots[extranonce2] = root
        return root

    def header(self, extranonce2: bytes, ntime: int, nonce: int, version_bits: int = 0) -> bytes:
        """The 80 bytes that are hashed."""
        job = self.notify
        version = job.version ^ version_bits
        return bytes(_HEADER.pack(version, job.prev_hash, self.root(extranonce2), ntime, job.nbits, nonce))

    def hash_value(self, extranonce2: bytes, ntime: int, nonce: int, version_bits: int = 0) -> int:
        header = self.header(extranonce2, ntime, nonce, version_bits)
        return int.from_bytes(sha256(sha256(header).digest()).digest(), "little")


def root_of(notify: Notify, extranonce1: bytes, extranonce2: bytes) -> bytes:
    """:func:`asic_reservoir.headers.merkle_root` for branches that were checked when the job was read."""
    root = sha256d(notify.coinbase1 + extranonce1 + extranonce2 + notify.coinbase2)
    for branch in notify.branches:
        root = sha256(sha256(root + branch).digest()).digest()
    return root


def extranonce2_of(counter: int, size: int) -> bytes:
    """extranonce2 as ESP-Miner counts it: little-endian, the lowest ``size`` bytes.

    >>> extranonce2_of(0x7FFFFFFF, 6).hex()
    'ffffff7f0000'
    """
    return int(counter % 256**size).to_bytes(size, "little")


def next_version(version: int, mask: int) -> int:
    """The next rolled version: the bits under ``mask`` count up by one, with carry, and wrap.

    >>> f"{next_version(0x20000004, 0x00FFFF00):08x}"
    '20000104'
    """
    return (version & ~mask) | (((version | ~mask & 0xFFFFFFFF) + (mask & -mask)) & mask)
