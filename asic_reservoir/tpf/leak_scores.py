"""What a leakage run learns before it counts: one score for every tapped round, from headers that are never used again.

Also the positive control: the same kind of score on a second hash cut to R rounds, where prediction must work from
round R - 3 on. A harness that does not find that would not find a leak either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asic_reservoir.errors import DataError
from asic_reservoir.tpf._constants import ROUNDS
from asic_reservoir.tpf.compression import Job, Trace
from asic_reservoir.tpf.scoring import N_BINS, Background, ScoreKind, ScoreTable, accumulate
from asic_reservoir.tpf.sha256 import Kernel, trace_of, word7_of, zero_bits

CONTROL_ROUNDS = tuple(range(4, 33))
"""R of the positive control."""
CONTROL_ZERO_BITS = 8
"""What counts as a share in the control."""
CONTROL_LEARN_HEADERS = 1 << 20
_CONTROL_STRIDE = 16
_CONTROL_PIECE = 1 << 15
_PIECE = 1024
"""Headers traced at once: their traces stay in the second cache while every score reads them."""
_LEARN_LIMIT = 32_768
"""Rows of a class that a score is learnt from: enough for 256 weights, and a round takes a tenth of a second."""

Progress = Callable[[str, int, int], None]
"""Called with what is done, how many, of how many."""


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """Headers of a job that are tapped: every share, and a sample of the rest that is drawn without looking."""

    nonces: NDArray[np.uint32]
    bits: NDArray[np.uint8]
    """Leading zero bits of the hash."""
    sampled: NDArray[np.bool_]
    """Whether the header is in the sample. Negatives are taken from it alone."""


def job_of(seed: int, stream: int, index: int) -> Job:
    """Job number ``index`` of a stream; streams (train, evaluate, control) never share one."""
    return Job.random(np.random.default_rng([seed, stream, index]))


def keep(job: Job, nonces: NDArray[np.uint32], min_bits: int, stride: int, kernel: Kernel) -> Kept:
    """Hash ``nonces`` and keep shares of at least ``min_bits`` zero bits and one in ``stride`` of all headers."""
    words = word7_of(job, nonces, kernel)
    first_byte = (0xFF00 >> min(min_bits, 8)) & 0xFF
    candidate = (words & np.uint32(first_byte)) == 0
    sampled = nonces * np.uint32(2654435761) <= np.uint32(2**32 // stride - 1)
    chosen = np.flatnonzero(candidate | sampled)
    bits = zero_bits(words[chosen])
    wanted = (bits >= min_bits) | sampled[chosen]
    chosen = chosen[wanted]
    return Kept(nonces[chosen], bits[wanted], sampled[chosen])


@dataclass(frozen=True, slots=True, eq=False)
class ScoreSet:
    """Scores of all rounds of both compressions for one target and kind, as arrays for the compiled accumulator."""

    zero_bits: int
    kind: ScoreKind
    tables: NDArray[np.int16]
    """Shape (128, 8, 4, 256): rounds 1..64 of compression 0, then of compression 1."""
    low: NDArray[np.int64]
    shift: NDArray[np.int64]

    def count(self, trace: Trace, positive: NDArray[np.bool_], out: NDArray[np.int64]) -> None:
        """Add the bins of ``trace`` to ``out`` (128, 2, N_BINS)."""
        accumulate(trace.rows, positive, COMPRESSIONS, TAPPED_ROUNDS, self.tables, self.low, self.shift, out)


COMPRESSIONS = np.repeat(np.arange(2, dtype=np.int64), ROUNDS)
TAPPED_ROUNDS = np.tile(np.arange(1, ROUNDS + 1, dtype=np.int64), 2)


def learn(
    seed: int,
    stream: int,
    n_jobs: int,
    headers_per_job: int,
    targets: tuple[int, ...],
    kinds: tuple[ScoreKind, ...],
    kernel: Kernel,
    progress: Progress,
) -> list[ScoreSet]:
    """Scores for every target and kind, from ``n_jobs`` jobs of a stream of their own.

    Raises:
        DataError: no share of a target among the headers.
    """
    traces, bits, sampled = [], [], []
    nonces = np.arange(headers_per_job, dtype=np.uint32)
    stride = max(1, n_jobs * headers_per_job // (2 * _LEARN_LIMIT))
    for index in range(n_jobs):
        job = job_of(seed, stream, index)
        kept = keep(job, nonces, min(targets), stride, kernel)
        few = _thin(kept, targets, _LEARN_LIMIT // n_jobs + 1)
        traces.append(trace_of(job, kept.nonces[few], kernel).rows)
        bits.append(kept.bits[few])
        sampled.append(kept.sampled[few])
        progress("learn: headers hashed", index + 1, n_jobs)
    trace, all_bits, in_sample = Trace(np.concatenate(traces)), np.concatenate(bits), np.concatenate(sampled)
    scores: dict[tuple[int, ScoreKind], list[ScoreTable]] = {(b, kind): [] for b in targets for kind in kinds}
    shares = {b: np.flatnonzero(all_bits >= b)[:_LEARN_LIMIT] for b in targets}
    others = np.flatnonzero(in_sample & (all_bits < min(targets)))[:_LEARN_LIMIT]
    for b, rows in shares.items():
        if rows.size == 0:
            raise DataError(f"target: {b} zero bits, no share among {n_jobs * headers_per_job} headers to learn from")
    for done, (compression, r) in enumerate(zip(COMPRESSIONS, TAPPED_ROUNDS, strict=True)):
        states = trace.state(int(compression), int(r))
        background = Background(states[others])
        for b, kind in scores:
            scores[b, kind].append(background.score(kind, states[shares[b]]))
        progress("learn: rounds", done + 1, COMPRESSIONS.size)
    return [
        ScoreSet(
            b,
            kind,
            np.stack([score.table for score in tables]),
            np.array([score.low for score in tables], np.int64),
            np.array([score.shift for score in tables], np.int64),
        )
        for (b, kind), tables in scores.items()
    ]


def _thin(kept: Kept, targets: tuple[int, ...], per_target: int) -> NDArray[np.intp]:
    """Rows to learn from: the sample, and so many shares of each target."""
    chosen = kept.sampled.copy()
    for b in targets:
        chosen[np.flatnonzero(kept.bits >= b)[:per_target]] = True
    return np.flatnonzero(chosen)


def count_job(
    job: Job, headers: int, scores: list[ScoreSet], stride: int, kernel: Kernel, out: NDArray[np.int64]
) -> int:
    """Hash ``headers`` nonces of ``job`` from 0 and add the bins of all scores to ``out`` (k, 128, 2, N_BINS).

    Gives the number of headers whose rounds were tapped.
    """
    kept = keep(job, np.arange(headers, dtype=np.uint32), min(s.zero_bits for s in scores), stride, kernel)
    for begin in range(0, kept.nonces.size, _PIECE):
        part = slice(begin, begin + _PIECE)
        trace = trace_of(job, kept.nonces[part], kernel)
        bits, sampled = kept.bits[part], kept.sampled[part]
        for index, score in enumerate(scores):
            rows = (bits >= score.zero_bits) | sampled
            score.count(Trace(np.ascontiguousarray(trace.rows[rows])), bits[rows] >= score.zero_bits, out[index])
    return int(kept.nonces.size)


def control_counts(
    seed: int, train_stream: int, test_stream: int, headers: int, kernel: Kernel, progress: Progress
) -> NDArray[np.int64]:
    """The positive control: bins of a byte score after rounds 1..R, second hash cut to R rounds.

    Learnt on :data:`CONTROL_LEARN_HEADERS` headers (or as many as are counted, if less), counted on ``headers``
    others. Shape (29, 32, 2, N_BINS); R = 4..32, r = 1..R, zero beyond.
    """
    pieces = list(_control_pieces(seed, train_stream, min(headers, CONTROL_LEARN_HEADERS), kernel))
    learnt = Trace(np.concatenate([trace.rows for trace, _ in pieces]))
    in_sample = np.concatenate([sampled for _, sampled in pieces])
    scores: dict[int, list[ScoreTable]] = {}
    for last in CONTROL_ROUNDS:
        positive = zero_bits(learnt.reduced_word7(last)) >= CONTROL_ZERO_BITS
        chosen = Trace(learnt.rows[positive])
        rest = Trace(learnt.rows[in_sample & ~positive][:_LEARN_LIMIT])
        scores[last] = [
            Background(rest.state(1, r)).score(ScoreKind.BYTES, chosen.state(1, r)) for r in range(1, last + 1)
        ]
        progress("control: learn", last - CONTROL_ROUNDS[0] + 1, len(CONTROL_ROUNDS))
    out = np.zeros((len(CONTROL_ROUNDS), CONTROL_ROUNDS[-1], 2, N_BINS), np.int64)
    for piece, (trace, sampled) in enumerate(_control_pieces(seed, test_stream, headers, kernel)):
        for index, last in enumerate(CONTROL_ROUNDS):
            positive = zero_bits(trace.reduced_word7(last)) >= CONTROL_ZERO_BITS
            used = positive | sampled
            accumulate(
                np.ascontiguousarray(trace.rows[used]),
                positive[used],
                np.ones(last, np.int64),
                np.arange(1, last + 1),
                np.stack([score.table for score in scores[last]]),
                np.array([score.low for score in scores[last]], np.int64),
                np.array([score.shift for score in scores[last]], np.int64),
                out[index, :last],
            )
        progress("control: headers", min(headers, (piece + 1) * _CONTROL_PIECE), headers)
    return out


def _control_pieces(seed: int, stream: int, headers: int, kernel: Kernel) -> Iterator[tuple[Trace, NDArray[np.bool_]]]:
    """Traces of headers that are a share for some R or in the sample, and which of them are; a new job every piece."""
    for index, begin in enumerate(range(0, headers, _CONTROL_PIECE)):
        nonces = np.arange(min(_CONTROL_PIECE, headers - begin), dtype=np.uint32)
        trace = trace_of(job_of(seed, stream, index), nonces, kernel)
        sampled = nonces % _CONTROL_STRIDE == 0
        used = sampled.copy()
        for last in CONTROL_ROUNDS:
            used |= zero_bits(trace.reduced_word7(last)) >= CONTROL_ZERO_BITS
        yield Trace(trace.rows[used]), sampled[used]
