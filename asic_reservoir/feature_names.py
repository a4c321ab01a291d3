"""What each column of a state matrix is, in words: the order is that of :mod:`asic_reservoir.observables`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from asic_reservoir.observables import Record, check_observables


def feature_names(observables: Sequence[str], record: Record) -> list[str]:
    """A name for every column of ``states_of(observables, record)``.

    Raises:
        UsageError: an observable that does not exist.
    """
    check_observables(observables)
    return [name for observable in observables for name in _NAMES[observable](record)]


def _per_counter(word: str, record: Record) -> list[str]:
    _, n_slots, n_counters = record.valid.shape
    return [f"{word} slot {slot} counter {counter}" for slot in range(n_slots) for counter in range(n_counters)]


def _counts(record: Record) -> list[str]:
    return _per_counter("valid", record) + _per_counter("invalid", record)


def _board(record: Record) -> list[str]:
    slots = range(record.valid.shape[1])
    return [f"{word} slot {slot} board" for word in ("valid", "invalid") for slot in slots]


def _thermal(record: Record) -> list[str]:
    words = [f"temperature_c sensor {sensor}" for sensor in range(record.temperature_c.shape[1])] + ["power_w"]
    values = np.column_stack([record.temperature_c, record.power_w])
    return [word for word, column in zip(words, values.T, strict=True) if np.isfinite(column).all()]


_NAMES: dict[str, Callable[[Record], list[str]]] = {
    "counts": _counts,
    "valid": lambda record: _per_counter("valid", record),
    "board": _board,
    "thermal": _thermal,
    "response": lambda record: ["response_s", "ln response_s"],
    "window": lambda record: ["response_s", "mean of 10", "cv of 10", "entropy of 10"],
}
