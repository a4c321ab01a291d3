"""Does the Hamming distance of consecutive hashes tell how good a board is?

Of any two hashes it is 256/2 bits on average, whatever made them; of shares a little less, because they begin with the
same zero bits. So the first bits that every share here has are left out, and distances are shares of the rest: 0.5.

A board works at its nominal point and at one where it errs, in turns; the same for hashes that this machine computes of
nonces of its own (no board), and for the board's hashes in random order. The claim needs a difference between the two
points beyond a margin of 0.005; equal within it (two one-sided tests, :func:`asic_reservoir.controls.equivalence`) is
not supported.

Control: hashes of consecutive nonces with few rounds, where diffusion is not complete, must be told from 0.5.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asic_reservoir.board import BoardInfo, Detail, NonceFlag, Work
from asic_reservoir.claim_trials.driving import LONGEST_S, START, Driver
from asic_reservoir.claim_trials.trial import Effect, Finding, label_of
from asic_reservoir.controls import Equivalence, equivalence
from asic_reservoir.errors import DataError, UsageError
from asic_reservoir.evaluation import mean_interval
from asic_reservoir.headers import sha256d
from asic_reservoir.report.model import Check, Scalar, Table
from asic_reservoir.tpf.compression import Job
from asic_reservoir.tpf.sha256 import trace_of

FloatArray = NDArray[np.float64]
BITS = 256
MARGIN = 0.005
"""Of the mean distance; a sixth of what two hashes scatter by."""
BLOCKS = 5
"""Turns of each point."""
WRONG, LEAST_WRONG = 0.3, 0.1
"""Share of wrong nonces that is looked for at the worse point, and that it must have more than the nominal one."""
HIGHEST = 1.15
PROBE_NONCES = 200
REDUCED_ROUND = 6
"""Of the second block: the nonce goes in at round 4 and has reached little by round 6."""
PATIENCE = 8.0


@dataclass(frozen=True, slots=True, eq=False)
class Hashes:
    """Digests in order of arrival by turn, as bits, most significant first: each uint8 of shape (n, 256)."""

    nominal: tuple[NDArray[np.uint8], ...]
    worse: tuple[NDArray[np.uint8], ...]
    host: tuple[NDArray[np.uint8], ...]
    """Of nonces that this machine drew, same jobs, no board."""
    reduced: NDArray[np.uint8]
    """States after few rounds for consecutive nonces."""
    wrong: tuple[float, float]
    """Share of wrong nonces at the nominal and at the worse point."""


def collect(driver: Driver, nonces: int, seed: int) -> Hashes:
    """Turns at the nominal point and at one where the board errs.

    Raises:
        UsageError: a board that does not do SHA-256.
        DataError: nonces of no real header, or none at all.
    """
    info = driver.board.info
    if info.algorithm != "sha256d":
        raise UsageError(f"board {info.uri}: algorithm {info.algorithm}, must be sha256d")
    worse = driver.worse_point(WRONG, PROBE_NONCES, HIGHEST)
    points = ((driver.nominal_mhz, driver.nominal_mv), worse)
    digests: tuple[list[NDArray[np.uint8]], list[NDArray[np.uint8]]] = ([], [])
    host: list[NDArray[np.uint8]] = []
    counts = np.zeros((2, 2))
    slowest_mhz = max(info.limits.frequency_mhz.low, START * driver.nominal_mhz)
    rng = np.random.default_rng([0xD1FF, seed])
    for turn in range(2 * BLOCKS):
        point = (turn + turn // 2) % 2  # A B B A A B …: neither is always first
        mhz, millivolts = points[point]
        text = f"turn {turn + 1} of {2 * BLOCKS}, {mhz:.0f} MHz"
        driver.ask(text, 0.2, slowest_mhz)
        driver.ask(text, 3.0, mhz, millivolts)
        job = Job.random(rng)
        found, right, total = _turn(driver, text, job, mhz, 1 + nonces // BLOCKS)
        digests[point].append(found)
        counts[point] += right, total
        if point == 0:
            host.append(digest_bits(job.prefix, rng.integers(0, 2**32, 1 + nonces // BLOCKS)))
    job = Job.random(rng)
    states = trace_of(job, np.arange(nonces + 1, dtype=np.uint32)).state(0, REDUCED_ROUND)
    reduced = np.unpackbits(np.ascontiguousarray(states.astype(">u4")).view(np.uint8), axis=1)
    shares = 1 - counts[:, 0] / np.maximum(counts[:, 1], 1)
    return Hashes(tuple(digests[0]), tuple(digests[1]), tuple(host), reduced, (float(shares[0]), float(shares[1])))


def _turn(driver: Driver, text: str, job: Job, mhz: float, wanted: int) -> tuple[NDArray[np.uint8], int, int]:
    """Digests of right nonces of one job, and how many were right, of all."""
    work = Work(header=job.prefix + bytes(4), clean=True)
    expected_s = wanted / driver.rate_hz(mhz)
    found: list[NDArray[np.uint8]] = []
    right = total = got = 0
    spent_s = 0.0
    while got < wanted and spent_s < PATIENCE * expected_s + 10:
        length_s = min(LONGEST_S, PATIENCE * expected_s + 10 - spent_s)
        seen = driver.ask(text, length_s, work=work, nonces=wanted - got, detail=Detail.NONCES)
        work = Work(header=work.header)
        nonces = seen.nonces
        fresh = nonces.valid & ~nonces.has(NonceFlag.STALE) & ~nonces.has(NonceFlag.DUPLICATE)
        if (nonces.has(NonceFlag.SYNTHETIC) & fresh).any():
            raise DataError(f"board {seen.board!r}: nonces of no real header, must hash the header it is given")
        kept = nonces.select(fresh)
        found.append(digest_bits(job.prefix, kept.nonce, kept.version))
        counted = driver.right_and_all(seen)
        right, total = right + counted[0], total + counted[1]
        got += len(kept)
        spent_s += seen.duration_s
    if got < 2:
        raise DataError(f"board {driver.board.info.uri!r}: {got} right nonces in {spent_s:.0f} s, must be at least 2")
    return np.concatenate(found), right, total


def digest_bits(
    prefix: bytes, nonces: NDArray[np.generic], version: NDArray[np.uint32] | None = None
) -> NDArray[np.uint8]:
    """Block hashes of header prefix (76 bytes) and nonces as bits, most significant first, shape (n, 256).

    Args:
        prefix: header without its nonce.
        nonces: shape (n,).
        version: bits that were rolled, to be xored into the version, shape (n,).
    """
    first = int.from_bytes(prefix[:4], "little")
    rolled = [0] * len(nonces) if version is None else version.tolist()
    rows = [
        sha256d((first ^ bits).to_bytes(4, "little") + prefix[4:] + int(nonce).to_bytes(4, "little"))[::-1]
        for nonce, bits in zip(nonces.tolist(), rolled, strict=True)
    ]
    packed = np.frombuffer(b"".join(rows), np.uint8).reshape(-1, BITS // 8)
    return np.unpackbits(packed, axis=1)


def distances(turns: tuple[NDArray[np.uint8], ...], skip: int) -> FloatArray:
    """Distances of consecutive hashes of each turn, as shares of the bits after the first ``skip``."""
    parts = [(turn[1:, skip:] != turn[:-1, skip:]).mean(axis=1) for turn in turns]
    return np.concatenate(parts).astype(np.float64)


def leading_zeros(turns: tuple[NDArray[np.uint8], ...]) -> int:
    """Zero bits that every hash begins with."""
    used = np.concatenate(turns).any(axis=0)
    return int(np.argmax(used)) if used.any() else BITS - 1


def judge(hashes: Hashes, info: BoardInfo, seed: int = 0) -> Finding:
    """What the hashes say of the claim."""
    rng = np.random.default_rng([0x0D1F, seed])
    skip = min(leading_zeros(hashes.nominal), leading_zeros(hashes.worse))
    arms = {
        "nominal": distances(hashes.nominal, skip),
        "worse": distances(hashes.worse, skip),
        "host": distances(hashes.host, skip),
        "nominal, shuffled": distances(tuple(turn[rng.permutation(len(turn))] for turn in hashes.nominal), skip),
    }
    points = _compared(arms["worse"], arms["nominal"])
    null = _compared(arms["host"], arms["nominal, shuffled"])
    reduced = distances((hashes.reduced,), 0)
    planted = _compared(reduced, arms["host"])
    more_wrong = hashes.wrong[1] - hashes.wrong[0]
    host = mean_interval(arms["host"].tolist())
    checks = (
        Check(
            name="the quality differs",
            passed=more_wrong >= LEAST_WRONG,
            sentence=f"{hashes.wrong[0]:.3f} of the nonces are wrong at the nominal point, {hashes.wrong[1]:.3f} at "
            f"the worse one; {LEAST_WRONG:g} more are asked for.",
        ),
        Check(
            name="hashes of the host",
            passed=host.low <= 0.5 + MARGIN and host.high >= 0.5 - MARGIN and null.label != "different",
            sentence=f"without a board the distance is {host.mean:.4f}, and 0.5 by construction; against the board's "
            f"hashes in random order {_text(null)}.",
        ),
        Check(
            name="few rounds",
            passed=planted.label == "different" and planted.difference.mean < 0,
            sentence=f"after round {REDUCED_ROUND} the distance is {reduced.mean():.4f}: "
            f"{'told' if planted.label == 'different' else 'not told'} from 0.5.",
        ),
    )
    label = label_of(
        controls=all(check.passed for check in checks),
        shown=points.label == "different",
        excluded=points.label == "equivalent",
    )
    effect = Effect(
        "distance at the worse point less that at the nominal one",
        points.difference.mean, points.difference.low, points.difference.high, 0.0,
    )  # fmt: skip
    failed = [check for check in checks if not check.passed]
    wrong = f"{hashes.wrong[1]:.2f} of the nonces wrong against {hashes.wrong[0]:.2f}"
    numbers = f"distances differ by {_text(points)}, {wrong}"
    if label == "supported":
        sentence = f"Supported: {numbers}."
    elif label == "not supported":
        sentence = f"Not supported: {numbers}, equal within {MARGIN:g}: it is 0.5 by construction."
    elif failed:
        sentence = f"Undecided: the control «{failed[0].name}» failed: {failed[0].sentence}"
    else:
        sentence = f"Undecided: {numbers}; more nonces would decide whether that is within {MARGIN:g}."
    rows: list[list[Scalar]] = []
    for name, values in {**arms, f"round {REDUCED_ROUND}": reduced}.items():
        interval = mean_interval(values.tolist())
        rows.append([name, int(values.size), interval.mean, interval.low, interval.high, float(values.std())])
    return Finding(
        claim="diffusion",
        label=label,
        sentence=sentence,
        effect=effect,
        checks=checks,
        title="Does the Hamming distance of hashes tell how good a board is?",
        summary=f"{arms['nominal'].size + arms['worse'].size} pairs of consecutive hashes of {info.uri}, at the "
        f"nominal point and at one where it errs; the {skip} bits that all of them have in common are left out.",
        tables=[
            Table(
                title="Distance of consecutive hashes over the bits that can differ",
                columns=["hashes", "pairs", "mean", "low", "high", "sd of a pair"],
                rows=rows,
                caption=f"By construction 0.5, sd {0.5 / np.sqrt(BITS - skip):.4f}.",
            )
        ],
        notes=[
            f"Of all 256 bits it is {0.5 * (BITS - skip) / BITS:.4f} here: the zero bits of a share are in it.",
        ],
        facts={"skipped_bits": skip, "wrong": list(hashes.wrong), "margin": MARGIN},
    )


def _compared(first: FloatArray, second: FloatArray) -> Equivalence:
    return equivalence(first.tolist(), second.tolist(), MARGIN)


def _text(found: Equivalence) -> str:
    d = found.difference
    return f"{d.mean:+.4f} ({d.low:+.4f} to {d.high:+.4f})"
