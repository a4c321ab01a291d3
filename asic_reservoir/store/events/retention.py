"""What may go: raw nonces into summaries, and old rows altogether, by age and by size."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from asic_reservoir.errors import UsageError
from asic_reservoir.nonces import NonceFlag
from asic_reservoir.store.errors import DamageError
from asic_reservoir.store.events.catalogue import Catalogue
from asic_reservoir.store.events.compact import read_whole
from asic_reservoir.store.events.folder import RunFolder
from asic_reservoir.store.events.kinds import Kind
from asic_reservoir.store.events.segment import Segment, write_segment
from asic_reservoir.store.facts.identifiers import now_ns

Window = tuple[int, int]


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """What to keep. ``None``: no bound.

    Raises:
        UsageError: a value is not positive, or rows would be deleted before they are thinned.
    """

    thin_after_s: float | None = None
    """Nonces that were sealed so long ago become counts of a chip in an interval."""
    delete_after_s: float | None = None
    """Everything that was sealed so long ago goes."""
    max_bytes: int | None = None
    """Of all runs together: the oldest nonces are thinned until it is met, then the oldest rows deleted."""
    summary_s: float = 60.0
    """Interval of the summaries."""

    def __post_init__(self) -> None:
        for name in ("thin_after_s", "delete_after_s", "max_bytes", "summary_s"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise UsageError(f"retention {name}: {value}, must be positive")
        if self.thin_after_s and self.delete_after_s and self.thin_after_s > self.delete_after_s:
            raise UsageError(
                f"retention delete_after_s: {self.delete_after_s}, must be at least thin_after_s, {self.thin_after_s}"
            )


@dataclass(frozen=True, slots=True)
class Action:
    """One thing to do."""

    folder: RunFolder
    segment: Segment
    verb: str
    """``thin`` or ``delete``."""


@dataclass
class Pruning:
    """What was done, and what was not."""

    actions: list[Action] = field(default_factory=list)
    freed_bytes: int = 0
    held: list[Action] = field(default_factory=list)
    """What a kept result refers to: left alone."""
    failed: list[str] = field(default_factory=list)
    """Damaged segments that could not be thinned: left alone."""
    over_bytes: int = 0
    """By how much the runs are still too large: what is left is held."""


def prune(
    folders: Sequence[RunFolder],
    policy: RetentionPolicy,
    protected: Mapping[str, Sequence[Window]],
    *,
    dry_run: bool = False,
    utc_ns: int | None = None,
) -> Pruning:
    """Apply a policy. The caller holds the locks of all folders and has recovered them.

    Args:
        folders: runs that may be touched.
        policy: what to keep.
        protected: by run identifier, the windows that kept results refer to; no row of a segment with a time in one
            of them is touched.
        dry_run: say what would be done, and do nothing.
        utc_ns: the time of day, now. A segment from the future has no age.
    """
    report = Pruning()
    now = now_ns() if utc_ns is None else utc_ns
    listed: list[tuple[RunFolder, Segment]] = []
    for folder in folders:
        with Catalogue(folder.catalogue_path, folder.record().run_id) as catalogue:
            listed += [(folder, segment) for segment in catalogue.segments() if segment.file is not None]
    windows = {folder.path: protected.get(folder.record().run_id, ()) for folder in folders}
    listed.sort(key=lambda item: (item[1].created_utc_ns, item[1].kind.value, item[1].first_row))
    total = sum(segment.bytes for _, segment in listed)
    left: list[tuple[RunFolder, Segment]] = []
    for folder, segment in listed:
        age_s = (now - segment.created_utc_ns) * 1e-9
        if policy.delete_after_s is not None and age_s >= policy.delete_after_s:
            verb = "delete"
        elif policy.thin_after_s is not None and age_s >= policy.thin_after_s and segment.kind is Kind.NONCES:
            verb = "thin"
        else:
            left.append((folder, segment))
            continue
        total -= _act(Action(folder, segment, verb), windows[folder.path], policy, report, dry_run)
    for verb in ("thin", "delete") if policy.max_bytes is not None else ():
        for folder, segment in left:
            if total <= (policy.max_bytes or 0):
                break
            thinned = any(a.segment is segment for a in report.actions)
            if thinned or (verb == "thin" and segment.kind is not Kind.NONCES):
                continue
            total -= _act(Action(folder, segment, verb), windows[folder.path], policy, report, dry_run)
    if policy.max_bytes is not None:
        report.over_bytes = max(0, total - policy.max_bytes)
    return report


def _act(action: Action, windows: Sequence[Window], policy: RetentionPolicy, report: Pruning, dry_run: bool) -> int:
    """Do one thing; gives the bytes that it freed."""
    segment = action.segment
    if any(segment.end_ns >= begin and segment.begin_ns < end for begin, end in windows):
        if action not in report.held:
            report.held.append(action)
        return 0
    freed = segment.bytes
    if not dry_run:
        with Catalogue(action.folder.catalogue_path, action.folder.record().run_id) as catalogue:
            try:
                new = _thin(action.folder, catalogue, segment, policy.summary_s) if action.verb == "thin" else []
            except DamageError as error:
                report.failed.append(f"{action.folder.path.name}/{error}")
                return 0
            tombstone = replace(segment, file=None, bytes=0)
            catalogue.replace([segment], [(tombstone, None), *new])
            freed -= sum(summary.bytes for summary, _ in new)
        assert segment.file is not None
        (action.folder.path / segment.file).unlink(missing_ok=True)
    report.actions.append(action)
    report.freed_bytes += freed
    return freed


def _thin(
    folder: RunFolder, catalogue: Catalogue, segment: Segment, interval_s: float
) -> list[tuple[Segment, bytes | None]]:
    """The summary of a segment of nonces, written."""
    table = summarise(read_whole(folder, segment), round(interval_s * 1e9))
    path = folder.segment_path(Kind.SUMMARIES, segment.first_row, segment.end_row)
    made = write_segment(
        path, Kind.SUMMARIES, segment.first_row, catalogue.run_id, [table], segment.created_utc_ns, segment.end_row
    )
    return [made]


def summarise(tables: Iterable[pa.Table], interval_ns: int) -> pa.Table:
    """Counts of every chip in every interval, from tables of nonces. Intervals begin at multiples of their length."""
    columns: dict[str, list[NDArray[np.int64]]] = defaultdict(list)
    for table in tables:
        flags = table.column("flags").to_numpy()
        duplicate, stale = (flags & NonceFlag.DUPLICATE) != 0, (flags & NonceFlag.STALE) != 0
        valid = (flags & NonceFlag.VALID) != 0
        fresh = ~(duplicate | stale)
        columns["bin"].append(table.column("time_ns").to_numpy() // interval_ns)
        columns["chip"].append(table.column("chip").to_numpy().astype(np.int64))
        for name, rows in (
            ("valid", fresh & valid), ("invalid", fresh & ~valid), ("duplicate", duplicate),
            ("stale", stale & ~duplicate),
        ):  # fmt: skip
            columns[name].append(rows.astype(np.int64))
    joined = {name: np.concatenate(parts) for name, parts in columns.items()}
    keys, inverse = np.unique(np.stack([joined["bin"], joined["chip"]]), axis=1, return_inverse=True)
    inverse = inverse.reshape(-1)
    counts = {
        name: np.bincount(inverse, joined[name], keys.shape[1]).astype(np.int64)
        for name in ("valid", "invalid", "duplicate", "stale")
    }
    return pa.table(
        {
            "time_ns": keys[0] * interval_ns,
            "duration_ns": np.full(keys.shape[1], interval_ns, np.int64),
            "chip": keys[1].astype(np.int16),
            **counts,
        },
        schema=Kind.SUMMARIES.schema,
    )
