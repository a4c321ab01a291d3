"""From Observations to states: what is kept of every step, and what is read off it as columns of the state matrix.

A :class:`Record` keeps what the board answered, as it came, in columns; states are computed from it afterwards, so
another observable can be tried on the same run. Every observable takes one step alone, without memory on the host,
except ``window``: the published timing features over the last ten answers, a memory of the host that is declared.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from asic_reservoir.board import BoardInfo, Observation
from asic_reservoir.errors import UsageError

FloatArray = NDArray[np.float64]
WINDOW = 10
"""Answers in a window of the published features."""
HISTOGRAM_EDGES = np.concatenate([[0.0], np.logspace(-3, 2, 11), [np.inf]])
"""Fixed bins in s for the entropy of response times: probabilities of fixed bins, in bits."""


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """What a board answered to a run of input steps, each of n_slots Steps."""

    valid: NDArray[np.int64]
    """Shape (n_steps, n_slots, n_counters)."""
    invalid: NDArray[np.int64]
    """Shape (n_steps, n_slots, n_counters)."""
    other: NDArray[np.int64]
    """Duplicate, stale and lost nonces of the whole board, shape (n_steps, n_slots, 3)."""
    begin_ns: NDArray[np.int64]
    """Shape (n_steps, n_slots)."""
    end_ns: NDArray[np.int64]
    """Shape (n_steps, n_slots)."""
    temperature_c: FloatArray
    """Sensors of chips and hashboards in the last slot, NaN where there is none, shape (n_steps, n_sensors)."""
    power_w: FloatArray
    """In the last slot, shape (n_steps,)."""

    def __len__(self) -> int:
        return len(self.power_w)

    @property
    def seconds(self) -> float:
        """Board time of all steps."""
        return float((self.end_ns - self.begin_ns).sum()) * 1e-9

    @property
    def joules(self) -> float:
        """Energy of the board over all steps; NaN without a power sensor."""
        return float((self.power_w * (self.end_ns - self.begin_ns).sum(axis=1)).sum()) * 1e-9

    @classmethod
    def of(cls, info: BoardInfo, steps: Sequence[Sequence[Observation]], n_slots: int) -> Record:
        """From the observations of each input step."""
        shape = (len(steps), n_slots, info.n_counters)
        flat = [o for seen in steps for o in seen]

        def column(values: list[object], *trailing: int) -> NDArray[np.int64]:
            return np.array(values, np.int64).reshape(len(steps), n_slots, *trailing)

        last = [seen[-1].telemetry for seen in steps]
        sensors = info.n_counters + info.n_hashboards
        return cls(
            valid=np.array([o.counts.valid for o in flat], np.int64).reshape(shape),
            invalid=np.array([o.counts.invalid for o in flat], np.int64).reshape(shape),
            other=column([[o.counts.duplicate.sum(), o.counts.stale.sum(), o.lost] for o in flat], 3),
            begin_ns=column([o.begin_ns for o in flat]),
            end_ns=column([o.end_ns for o in flat]),
            temperature_c=np.array(
                [np.concatenate([t.chip_temperature_c[-1], t.board_temperature_c[-1]]) for t in last], np.float64
            ).reshape(len(steps), sensors),
            power_w=np.array([t.power_w[-1] for t in last], np.float64),
        )

    @classmethod
    def concatenate(cls, parts: Sequence[Record]) -> Record:
        """Parts of one run, in order."""
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))


def counts(record: Record) -> FloatArray:
    """Valid and invalid nonces of every counter and slot, shape (n_steps, 2 * n_counters * n_slots)."""
    n = len(record)
    return np.concatenate([record.valid.reshape(n, -1), record.invalid.reshape(n, -1)], axis=1).astype(np.float64)


def valid_counts(record: Record) -> FloatArray:
    """Valid nonces of every counter and slot, shape (n_steps, n_counters * n_slots)."""
    return record.valid.reshape(len(record), -1).astype(np.float64)


def board_totals(record: Record) -> FloatArray:
    """Valid and invalid nonces of the whole board, shape (n_steps, 2 * n_slots)."""
    return np.concatenate([record.valid.sum(axis=2), record.invalid.sum(axis=2)], axis=1).astype(np.float64)


def thermal(record: Record) -> FloatArray:
    """Temperatures in degC and power in W, the sensors that the board has, shape (n_steps, n_sensors)."""
    values = np.column_stack([record.temperature_c, record.power_w])
    return values[:, np.isfinite(values).all(axis=0)]


def response(record: Record) -> FloatArray:
    """Response time of the handshake: dt in s and ln dt, shape (n_steps, 2)."""
    seconds = np.maximum((record.end_ns - record.begin_ns)[:, -1] * 1e-9, 1e-9)
    return np.stack([seconds, np.log(seconds)], axis=1)


def window(record: Record) -> FloatArray:
    """The published timing features: dt, and mean, CV and entropy of the last ten answers, shape (n_steps, 4)."""
    seconds = response(record)[:, 0]
    padded = np.concatenate([np.full(WINDOW - 1, seconds[0]), seconds])
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)
    mean = windows.mean(axis=1)
    cv = windows.std(axis=1) / np.maximum(mean, 1e-12)
    bins = np.digitize(windows, HISTOGRAM_EDGES)
    share = np.stack([(bins == b).mean(axis=1) for b in range(1, len(HISTOGRAM_EDGES) + 1)], axis=1)
    entropy = -np.where(share > 0, share * np.log2(np.where(share > 0, share, 1.0)), 0.0).sum(axis=1)
    return np.stack([seconds, mean, cv, entropy], axis=1)


OBSERVABLES: dict[str, Callable[[Record], FloatArray]] = {
    "counts": counts,
    "valid": valid_counts,
    "board": board_totals,
    "thermal": thermal,
    "response": response,
    "window": window,
}
"""Observables by name: each takes a record and gives its columns of the state matrix."""


def states_of(names: Sequence[str], record: Record) -> FloatArray:
    """The state matrix, float64 of shape (n_steps, n_states).

    Raises:
        UsageError: a name that does not exist, or no names.
    """
    check_observables(names)
    return np.concatenate([OBSERVABLES[name](record) for name in names], axis=1)


def check_observables(names: Sequence[str]) -> None:
    """Raises UsageError for a name that does not exist, or for no names."""
    for name in names or ("",):
        if name not in OBSERVABLES:
            raise UsageError(f"observable: {name!r}, must be one of {', '.join(OBSERVABLES)}")
