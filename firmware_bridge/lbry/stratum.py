"""The variant of Stratum V1 that LBRY pools speak.

``mining.notify`` has ten parameters, the claim-trie root third (word-swapped like ``prevhash``); ``mining.submit`` has
five, without version bits. Everything else is :mod:`firmware_bridge.stratum`. A difficulty is 256 times easier than
Bitcoin's: target = (0xFFFF << 208) * 256 / D.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import ClassVar

from asic_reservoir.errors import DataError
from asic_reservoir.headers import DIFFICULTY_ONE_LBRY, swap_words
from firmware_bridge.fields import as_hex, as_list, load_object
from firmware_bridge.lbry.pow import pack_header, pow_hash
from firmware_bridge.stratum.lines import decode, notify_params, read_notify
from firmware_bridge.stratum.messages import Answer, Message, MessageId, Notify
from firmware_bridge.stratum.work import root_of

CLAIM_TRIE_AT = 2
"""Index of the claim-trie root among the parameters of ``mining.notify``."""
_MAX_ROOTS = 4096


@dataclass(frozen=True, slots=True)
class LbryNotify:
    """``mining.notify`` of a LBRY pool."""

    notify: Notify
    claim_trie: bytes
    """Root of the claim trie, 32 bytes in header order."""


def decode_lbry(line: bytes | str) -> tuple[MessageId, Message | LbryNotify] | Answer:
    """One line of a LBRY pool or miner. Raises DataError as :func:`firmware_bridge.stratum.lines.decode` does."""
    fields = load_object(line, "stratum line")
    if fields.get("method") != "mining.notify":
        return decode(line)
    params = as_list(fields.get("params"), "notify params", 9)
    claim_trie = swap_words(as_hex(params[CLAIM_TRIE_AT], "notify claim trie", 32))
    notify = read_notify([*params[:CLAIM_TRIE_AT], *params[CLAIM_TRIE_AT + 1 :]])
    if fields.get("id") is not None:
        raise DataError(f"notify id: {fields['id']!r}, must be null")
    return None, LbryNotify(notify, claim_trie)


def encode_lbry_notify(job: LbryNotify) -> bytes:
    """The job as one line, newline included."""
    params = notify_params(job.notify)
    params.insert(CLAIM_TRIE_AT, swap_words(job.claim_trie).hex())
    line = {"id": None, "method": "mining.notify", "params": params}
    return json.dumps(line, separators=(",", ":")).encode() + b"\n"


@dataclass(frozen=True, slots=True)
class LbryWork:
    """A LBRY job of one connection; see :class:`firmware_bridge.stratum.work.Sha256dWork`."""

    difficulty_one: ClassVar[int] = DIFFICULTY_ONE_LBRY
    job: LbryNotify
    extranonce1: bytes
    _roots: dict[bytes, bytes] = field(default_factory=dict, compare=False, repr=False)

    @property
    def job_id(self) -> str:
        return self.job.notify.job_id

    @property
    def ntime(self) -> int:
        return self.job.notify.ntime

    def root(self, extranonce2: bytes) -> bytes:
        """Merkle root in header order, 32 bytes."""
        root = self._roots.get(extranonce2)
        if root is None:
            root = root_of(self.job.notify, self.extranonce1, extranonce2)
            if len(self._roots) >= _MAX_ROOTS:
                self._roots.clear()
            self._roots[extranonce2] = root
        return root

    def header(self, extranonce2: bytes, ntime: int, nonce: int, version_bits: int = 0) -> bytes:
        """The 112 bytes that are hashed."""
        notify = self.job.notify
        version = notify.version ^ version_bits
        root = self.root(extranonce2)
        return pack_header(version, notify.prev_hash, root, self.job.claim_trie, ntime, notify.nbits, nonce)

    def hash_value(self, extranonce2: bytes, ntime: int, nonce: int, version_bits: int = 0) -> int:
        return int.from_bytes(pow_hash(self.header(extranonce2, ntime, nonce, version_bits)), "little")
