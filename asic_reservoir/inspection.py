"""What a stream of nonces says: of a recording, of a run, or of a board that is watched for a while.

:func:`watch` collects the stream, :func:`inspect` turns it into an :class:`Inspection`, whose ``to_dict``
is the JSON that other programs rely on: ``origin``, ``shares``, ``rate``, ``intervals``, ``chips``, ``cores``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asic_reservoir.around import inside
from asic_reservoir.board import Board, ChipCounts, Detail, Observation, OperatingPoint, Origin, Step
from asic_reservoir.errors import DataError
from asic_reservoir.heartbeat import (
    Estimate,
    Exponentiality,
    IntervalStatistics,
    JobAgeProfile,
    Uniformity,
    exponentiality,
    interval_statistics,
    job_age_profile,
    poisson_rate,
    uniformity,
)
from asic_reservoir.nonces import NonceBatch, NonceFlag
from asic_reservoir.provenance import Provenance, collect
from asic_reservoir.replay import ReplayBoard

SCHEMA = "asic-reservoir/inspection/1"
HASHES = {"sha256d": 2.0**32, "lbry": 2.0**24}
"""Hashes behind one nonce of difficulty 1."""
WATCH_STEP_NS = 1_000_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Stream:
    """Nonces with what is known of how they came. Ages and difficulties are ``None`` where nobody recorded them."""

    origin: Origin
    board: str
    algorithm: str
    nonces: NonceBatch
    duration_s: float
    effective_difficulty: int
    """The filter that held: the stricter of the chip's mask and what was asked for."""
    n_chips: int
    """Chips that a nonce can name."""
    counts: ChipCounts
    """The same nonces as counts a chip. Where the run kept only counts, ``nonces`` is empty."""
    age_ns: NDArray[np.int64] | None = None
    difficulty: NDArray[np.float64] | None = None


def watch(board: Board, seconds: float, progress: Callable[[float], None] | None = None) -> Stream:
    """Collect nonces from a board: a recording or a run to its end, any other board for ``seconds`` of its own time.

    Args:
        progress: Called with the part that is done, 0 to 1.

    Raises:
        DataError: the recording is damaged, or holds nothing.
    """
    if isinstance(shares := inside(board), ReplayBoard):  # is read, not driven: whoever stands around it has no say
        return _of_shares(shares)
    player = getattr(board, "play", None)
    observations = (observation for _, observation in player()) if player else _live(board, seconds, progress)
    return _of_observations(board, observations)


def _of_shares(board: ReplayBoard) -> Stream:
    recording, info = board.recording, board.info
    return Stream(
        origin=info.origin,
        board=info.uri,
        algorithm=info.algorithm,
        nonces=recording.nonces,
        duration_s=(recording.end_ns - recording.begin_ns) * 1e-9,
        effective_difficulty=recording.ticket_mask,
        n_chips=info.n_counters,
        counts=ChipCounts.of(recording.nonces, info.n_counters),
        age_ns=recording.age_ns,
        difficulty=recording.difficulty,
    )


def _live(board: Board, seconds: float, progress: Callable[[float], None] | None) -> Iterator[Observation]:
    """Steps of a second each, until ``seconds`` have passed on the board's time line."""
    spent_ns = 0
    while spent_ns < seconds * 1e9:
        observation = board.step(Step(OperatingPoint(), WATCH_STEP_NS, detail=Detail.NONCES))
        spent_ns += observation.end_ns - observation.begin_ns
        if progress is not None:
            progress(min(1.0, spent_ns / (seconds * 1e9)))
        yield observation


def _of_observations(board: Board, observations: Iterable[Observation]) -> Stream:
    info = board.info
    batches: list[NonceBatch] = []
    counted = np.zeros((4, info.n_counters), np.int64)
    spent_ns = 0
    effective = info.ticket_mask
    for observation in observations:
        counts = observation.counts
        counted += np.stack([counts.valid, counts.invalid, counts.duplicate, counts.stale])
        batches.append(observation.nonces)
        spent_ns += observation.end_ns - observation.begin_ns
        asked = observation.applied.difficulty
        if asked is not None:
            effective = asked if info.ticket_mask_settable else max(asked, info.ticket_mask)
    if not batches:
        raise DataError(f"{info.uri}: the run has no steps, must have at least one")
    nonces = NonceBatch.concatenate(batches)
    complete = len(nonces) == int(counted.sum())
    return Stream(
        origin=info.origin,
        board=info.uri,
        algorithm=info.algorithm,
        nonces=nonces if complete else NonceBatch.empty(),
        duration_s=spent_ns * 1e-9,
        effective_difficulty=effective,
        n_chips=info.n_counters,
        counts=ChipCounts(*counted),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Inspection:
    """Everything that :func:`inspect` found. Counts per chip and core: valid nonces, duplicates left out."""

    stream: Stream
    shares: dict[str, int]
    mean_hz: float
    """All arrivals over the whole time: not the rate of the machine where it idles after a job."""
    rate: Estimate
    """Rate of fresh valid nonces while the machine works on them: on the plateau where ages are known."""
    hashrate_ths: Estimate
    arrivals: IntervalStatistics | None
    """Gaps between consecutive arrivals, whatever they are."""
    arrivals_exponential: Exponentiality | None
    profile: JobAgeProfile | None
    job_age: IntervalStatistics | None
    """Ages of the job at its first share."""
    beyond: IntervalStatistics | None
    """Those ages, counted from the beginning of the plateau."""
    beyond_exponential: Exponentiality | None
    chips: dict[int, int]
    cores: dict[int, int]
    """By core address, those in use."""
    map: NDArray[np.int64]
    """Shape (n_chips, n_cores): rows as ``chips``, columns as ``cores``."""
    chip_uniformity: Uniformity | None
    core_uniformity: Uniformity | None
    provenance: Provenance

    def to_dict(self) -> dict[str, Any]:
        """Plain data, numbers with seven significant digits."""
        stream, profile = self.stream, self.profile
        data: dict[str, Any] = {
            "schema": SCHEMA,
            "origin": stream.origin.value,
            "board": stream.board,
            "duration_s": stream.duration_s,
            "shares": self.shares,
            "difficulty": {
                "filter": stream.effective_difficulty,
                "smallest": None if stream.difficulty is None else float(stream.difficulty.min()),
            },
            "rate": {
                "plateau_hz": self.rate.mean,
                "plateau_low_hz": self.rate.low,
                "plateau_high_hz": self.rate.high,
                "mean_hz": self.mean_hz,
                "hashrate_ths": asdict(self.hashrate_ths),
                "dead_time_s": profile and profile.dead_time_s,
                "ramp_s": profile and profile.ramp_s,
                "plateau_from_s": profile and profile.plateau_from_s,
                "plateau_shares": profile and profile.plateau_events,
            },
            "intervals": {
                **(asdict(self.arrivals) if self.arrivals else {"n": 0, "cv": None, "cv_unbiased": None}),
                "exponential": self.arrivals_exponential and asdict(self.arrivals_exponential),
                "job_age": self.job_age and asdict(self.job_age),
                "cv_dead_time": profile and profile.cv_predicted,
                "beyond_dead_time": self.beyond and asdict(self.beyond),
                "beyond_dead_time_exponential": self.beyond_exponential and asdict(self.beyond_exponential),
            },
            "chips": {str(chip): count for chip, count in self.chips.items()},
            "cores": {str(core): count for core, count in self.cores.items()},
            "uniformity": {
                "chips": self.chip_uniformity and asdict(self.chip_uniformity),
                "cores": self.core_uniformity and asdict(self.core_uniformity),
            },
            "map": self.map.tolist(),
            "provenance": self.provenance.model_dump(mode="json"),
        }
        return {key: _rounded(value) for key, value in data.items()}


def inspect(stream: Stream) -> Inspection:
    """Statistics of a stream.

    Raises:
        DataError: there are no nonces, or none is valid.
    """
    nonces, counts = stream.nonces, stream.counts
    fresh = nonces.valid & ~nonces.has(NonceFlag.STALE) & ~nonces.has(NonceFlag.DUPLICATE)
    n_fresh, total = int(counts.valid.sum()), int(counts.total.sum())
    if n_fresh == 0:
        raise DataError(f"{stream.board}: {total} nonces, none fresh and valid, must have at least one")
    profile = None if stream.age_ns is None else job_age_profile(stream.age_ns, fresh)
    job_age = beyond = None
    beyond_exponential = None
    rate = poisson_rate(n_fresh, stream.duration_s)
    if stream.age_ns is not None and profile is not None:
        rate = profile.plateau
        ages_s = stream.age_ns[fresh].astype(np.float64) * 1e-9
        late_s = ages_s[ages_s >= profile.plateau_from_s] - profile.plateau_from_s
        job_age, beyond = interval_statistics(ages_s), interval_statistics(late_s)
        beyond_exponential = exponentiality(late_s)
    gaps_s = np.diff(nonces.time_ns).astype(np.float64) * 1e-9
    chips, cores, grid = _where(stream)
    hashes = stream.effective_difficulty * HASHES[stream.algorithm]
    return Inspection(
        stream=stream,
        shares={
            "total": total,
            "valid": int(nonces.valid.sum()) if len(nonces) else total - int(counts.invalid.sum()),
            "duplicate": int(nonces.has(NonceFlag.DUPLICATE).sum()) if len(nonces) else int(counts.duplicate.sum()),
            "stale": int(nonces.has(NonceFlag.STALE).sum()) if len(nonces) else int(counts.stale.sum()),
            "same_read": int(nonces.has(NonceFlag.SAME_READ).sum()),
            "fresh": n_fresh,
        },
        mean_hz=total / stream.duration_s,
        rate=rate,
        hashrate_ths=rate.scaled(hashes * 1e-12),
        arrivals=interval_statistics(gaps_s),
        arrivals_exponential=exponentiality(gaps_s),
        profile=profile,
        job_age=job_age,
        beyond=beyond,
        beyond_exponential=beyond_exponential,
        chips=chips,
        cores=cores,
        map=grid,
        chip_uniformity=uniformity(np.array(list(chips.values()), np.int64)),
        core_uniformity=uniformity(np.array(list(cores.values()), np.int64)),
        provenance=collect(),
    )


def _where(stream: Stream) -> tuple[dict[int, int], dict[int, int], NDArray[np.int64]]:
    """Counts a chip (all of them), a core (addresses in use), and both; nonces of unknown place are left out."""
    nonces = stream.nonces
    if not len(nonces):
        return dict(enumerate(stream.counts.valid.tolist())), {}, np.zeros((stream.n_chips, 0), np.int64)
    known = nonces.select(
        nonces.valid
        & ~nonces.has(NonceFlag.DUPLICATE)
        & (nonces.core >= 0)
        & (nonces.chip >= 0)
        & (nonces.chip < stream.n_chips)
    )
    addresses = np.unique(known.core)
    grid = np.zeros((stream.n_chips, addresses.size), np.int64)
    np.add.at(grid, (known.chip, np.searchsorted(addresses, known.core)), 1)
    chips = dict(enumerate(grid.sum(axis=1).tolist()))
    cores = dict(zip(addresses.tolist(), grid.sum(axis=0).tolist(), strict=True))
    return chips, cores, grid


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return float(f"{value:.7g}") if isinstance(value, float) else value
