"""The columns of every nonce of a step: found, repeated and stale ones, as they reach the host."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from asic_reservoir.nonces import NonceBatch, NonceFlag
from asic_reservoir.twin.arrivals import Arrivals
from asic_reservoir.twin.link import arrive
from asic_reservoir.twin.nonce_values import draw_values, search_values
from asic_reservoir.twin.spec import LinkSpec, TwinSpec

DUPLICATE_DELAY_S = 0.05  # [assumption] mean time from a nonce to its repetition


def assemble(
    rng: np.random.Generator,
    spec: TwinSpec,
    link: LinkSpec,
    header: bytes | None,
    share_bits: int,
    span_ns: tuple[int, int],
    job_number: int,
    found: Arrivals,
    duplicate: NDArray[np.int64],
    stale: NDArray[np.int64],
) -> NonceBatch:
    """Nonces in order of arrival.

    ``duplicate`` and ``stale`` are counts a chip, shape (n_chips,); ``span_ns`` is begin and end of the step. With a
    header the nonces belong to it, at ``share_bits`` leading zero bits; stale ones never do.
    """
    begin_ns, end_ns = span_ns
    if header is not None and spec.algorithm == "sha256d":
        nonce = search_values(rng, spec, found.chip, found.core, found.valid, header, share_bits)
        version, synthetic = np.zeros(len(nonce), np.uint32), 0
    else:
        nonce, version = draw_values(rng, spec, found.chip, found.core)
        synthetic = int(NonceFlag.SYNTHETIC)
    flags = np.where(found.valid, np.uint8(NonceFlag.VALID | synthetic), np.uint8(synthetic))
    offset, chip, core = found.offset_s, found.chip, found.core
    job = np.full(len(offset), job_number)
    again = _pick(rng, chip, found.valid, duplicate)
    late_chip = np.repeat(np.arange(spec.n_chips), stale)
    late_core = rng.integers(0, spec.chip.cores, len(late_chip))
    late_nonce, late_version = draw_values(rng, spec, late_chip, late_core)
    duration = (end_ns - begin_ns) * 1e-9
    repeated_at = np.minimum(offset[again] + rng.exponential(DUPLICATE_DELAY_S, len(again)), duration)
    late_at = np.minimum(rng.exponential(max(spec.job.stale_s, 1e-4), len(late_chip)), duration)
    offset = np.concatenate([offset, repeated_at, late_at])
    at, order, same_read = arrive(rng, link, begin_ns * 1e-9, offset)
    flags = np.concatenate(
        [
            flags,
            flags[again] | np.uint8(NonceFlag.DUPLICATE),
            np.full(len(late_chip), np.uint8(NonceFlag.VALID | NonceFlag.STALE | NonceFlag.SYNTHETIC)),
        ]
    )[order] | np.where(same_read, np.uint8(NonceFlag.SAME_READ), np.uint8(0))
    chip = np.concatenate([chip, chip[again], late_chip])[order]
    core = np.concatenate([core, core[again], late_core])[order]
    return NonceBatch(
        time_ns=begin_ns + np.round(at * 1e9).astype(np.int64),
        chip=(chip if spec.attributes_chips or spec.n_chips == 1 else np.full(len(chip), -1)).astype(np.int16),
        core=core.astype(np.int16),
        job=np.concatenate([job, job[again], np.full(len(late_chip), job_number - 1)])[order].astype(np.int32),
        nonce=np.concatenate([nonce, nonce[again], late_nonce])[order],
        version=np.concatenate([version, version[again], late_version])[order],
        flags=flags.astype(np.uint8),
    )


def _pick(
    rng: np.random.Generator, chip: NDArray[np.intp], valid: NDArray[np.bool_], wanted: NDArray[np.int64]
) -> NDArray[np.intp]:
    """Rows of valid nonces to repeat: ``wanted[c]`` of chip c, without replacement."""
    rows = np.flatnonzero(valid)
    shuffled = rows[rng.permutation(len(rows))]
    by_chip = shuffled[np.argsort(chip[shuffled], kind="stable")]
    start = np.searchsorted(chip[by_chip], np.arange(len(wanted)))
    rank = np.arange(len(by_chip)) - start[chip[by_chip]]
    return np.sort(by_chip[rank < wanted[chip[by_chip]]])
