"""Shares as the rows of an observation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from asic_reservoir.board import NonceBatch, NonceFlag
from firmware_bridge.stratum.server import ShareEvent
from firmware_bridge.stratum.shares import Verdict

LOST_VERDICTS = frozenset({Verdict.UNKNOWN_JOB, Verdict.MALFORMED})
"""A share that no job of its link explains is no nonce of any step: it is counted as lost."""


@dataclass(frozen=True, slots=True)
class Row:
    """A nonce of a step."""

    time_ns: int
    chip: int
    core: int
    job: int
    nonce: int
    version: int
    flags: NonceFlag


def row_of(event: ShareEvent, time_ns: int, chip: int, core: int) -> Row:
    """The row of a share that belongs to a job of ours."""
    share, submit = event.share, event.submit
    flags = NonceFlag.VALID if share.good_hash else NonceFlag(0)
    if share.verdict is Verdict.DUPLICATE:
        flags |= NonceFlag.DUPLICATE
    if share.verdict is Verdict.STALE:
        flags |= NonceFlag.STALE
    if event.same_read:
        flags |= NonceFlag.SAME_READ
    return Row(time_ns, chip, core, share.job, submit.nonce, submit.version_bits or 0, flags)


def batch_of(rows: list[Row]) -> NonceBatch:
    """The columns of the rows, in their order."""
    return NonceBatch.from_columns(
        time_ns=np.array([row.time_ns for row in rows], np.int64),
        chip=np.array([row.chip for row in rows], np.int16),
        core=np.array([row.core for row in rows], np.int16),
        job=np.array([row.job for row in rows], np.int32),
        nonce=np.array([row.nonce for row in rows], np.uint32),
        version=np.array([row.version for row in rows], np.uint32),
        flags=np.array([int(row.flags) for row in rows], np.uint8),
    )
