"""Shares of a recording, each checked against its own header.

A share is checked as a pool would: coinbase, Merkle root, header, hash, difficulty. What the recording does not say in
words is worked out from it:

* *job*: one (job id, previous hash, coinbase) is one job, numbered in order of its first share. The id alone is not
  enough: it is short and random.
* *stale*: the host sent a new clean job after every share, so every share but the first of its job came late.
* *duplicate*: the same header had been submitted before.
* *same read*: the share was taken from the buffer of the read before. Then the host reaches it within
  :data:`SAME_READ_NS` after sending the job that answered the share before (33 of the shipped shares lie below 0.1 ms,
  the next at 0.22 ms; a share of a read of its own cannot come so soon after the job before).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asic_reservoir.headers import difficulty_of, hash_of, header_bytes, merkle_root, swap_words
from asic_reservoir.nonces import NonceBatch, NonceFlag
from asic_reservoir.recording.addresses import chip_of, core_of
from asic_reservoir.recording.s9_csv import ShareRow, read_rows

SHIPPED_NAME = "s9-shares"
SAME_READ_NS = 100_000
LEAST_DIFFICULTY = 1.0
"""What every Bitcoin chip requires of a nonce before it reports it: 32 zero bits."""


@dataclass(frozen=True, slots=True, eq=False)
class ShareRecording:
    """Shares in order of arrival, n of them, on the recorded time line (nanoseconds since 1970)."""

    name: str
    nonces: NonceBatch
    difficulty: NDArray[np.float64]
    """Difficulty of each share's hash, shape (n,)."""
    age_ns: NDArray[np.int64]
    """Time since the host had last sent a job, shape (n,)."""
    begin_ns: int
    """When the first job was sent: the recording begins there."""
    end_ns: int
    """Just after the last share."""

    @property
    def n_jobs(self) -> int:
        """Jobs that have at least one share."""
        return int(self.nonces.job.max()) + 1

    @property
    def ticket_mask(self) -> int:
        """The filter that the machine used: the largest power of two that every valid share meets; 1 without any.

        A BM1387 filters by whole bits. With n shares the smallest difficulty lies above the filter by a factor of
        about 1 + 1/n, so it names the filter without doubt from a handful of shares on.
        """
        valid = self.difficulty[self.nonces.valid]
        return 1 if valid.size == 0 else 1 << (int(valid.min()).bit_length() - 1)


def load(path: Path, name: str | None = None) -> ShareRecording:
    """Read a CSV of shares and check every one of them.

    Raises:
        NotFoundError: there is no such file.
        DataError: it is not such a recording; names file, row, column, value and what would be right.
    """
    return rebuild(read_rows(path), name or path.name)


@lru_cache(maxsize=1)
def shipped() -> ShareRecording:
    """The recording of a real Antminer S9 that comes with the package.

    >>> round(float(shipped().difficulty.min()), 2), shipped().ticket_mask
    (256.21, 256)
    """
    with as_file(files("asic_reservoir") / "data" / "s9_shares" / "s9_shares.csv") as path:
        return load(path, SHIPPED_NAME)


def share_difficulty(row: ShareRow) -> float:
    """Difficulty of the header that a share stands for."""
    return difficulty_of(hash_of(_header(row)))


def rebuild(rows: Sequence[ShareRow], name: str) -> ShareRecording:
    """The recording behind rows, which must not be empty."""
    numbers: dict[tuple[str, bytes, bytes, bytes], int] = {}
    submitted: set[bytes] = set()
    job = np.empty(len(rows), np.int32)
    flags = np.zeros(len(rows), np.uint8)
    difficulty = np.empty(len(rows), np.float64)
    for index, row in enumerate(rows):
        header = _header(row)
        difficulty[index] = difficulty_of(hash_of(header))
        key = (row.job_id, row.prevhash, row.coinbase1, row.coinbase2)
        if key in numbers:
            flags[index] |= np.uint8(NonceFlag.STALE)
        job[index] = numbers.setdefault(key, len(numbers))
        if header in submitted:
            flags[index] |= np.uint8(NonceFlag.DUPLICATE)
        submitted.add(header)
    time_ns = np.array([row.time_ns for row in rows], np.int64)
    age_ns = np.array([row.age_ns for row in rows], np.int64)
    flags[difficulty >= LEAST_DIFFICULTY] |= np.uint8(NonceFlag.VALID)
    same_read = age_ns < SAME_READ_NS
    same_read[0] = False
    flags[same_read] |= np.uint8(NonceFlag.SAME_READ)
    nonce = np.array([row.nonce for row in rows], np.uint32)
    return ShareRecording(
        name=name,
        nonces=NonceBatch(
            time_ns=time_ns,
            chip=chip_of(nonce),
            core=core_of(nonce),
            job=job,
            nonce=nonce,
            version=np.zeros(len(rows), np.uint32),
            flags=flags,
        ),
        difficulty=difficulty,
        age_ns=age_ns,
        begin_ns=int(time_ns[0] - age_ns[0]),
        end_ns=int(time_ns[-1]) + 1,
    )


def _header(row: ShareRow) -> bytes:
    return header_bytes(
        version=row.version,
        previous=swap_words(row.prevhash),
        root=merkle_root(row.coinbase1, row.extranonce1, row.extranonce2, row.coinbase2, row.branches),
        ntime=row.ntime,
        nbits=row.nbits,
        nonce=row.nonce,
    )
