"""Nonces that came back from a board, as columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from enum import IntFlag

import numpy as np
from numpy.typing import NDArray

from asic_reservoir.errors import DataError


class NonceFlag(IntFlag):
    """Bits of :attr:`NonceBatch.flags`."""

    VALID = 1
    """The hash of the header meets the difficulty that the board was asked for. Unset: a hardware error."""
    DUPLICATE = 2
    """The same (job, nonce, version bits) had been reported before."""
    STALE = 4
    """The nonce belongs to a job that had been withdrawn when it arrived."""
    SAME_READ = 8
    """It arrived in the same read as the nonce before it: its time stamp is the time of the read."""
    SYNTHETIC = 16
    """The value has the right structure (chip, core) but belongs to no real header."""


@dataclass(frozen=True, slots=True, eq=False)
class NonceBatch:
    """Nonces in order of arrival. All columns have the same length n.

    Raises:
        DataError: a column has another dtype or length.

    >>> batch = NonceBatch.from_columns(time_ns=[10, 20], chip=[0, 5], flags=[1, 0])
    >>> len(batch), batch.valid.tolist(), batch.nonce.dtype.name
    (2, [True, False], 'uint32')
    """

    time_ns: NDArray[np.int64]
    """Time of arrival on the board's time line (see ``Observation``), shape (n,)."""
    chip: NDArray[np.int16]
    """Index of the chip on the whole board, from 0; -1 where it is not known. Shape (n,)."""
    core: NDArray[np.int16]
    """Index of the core within its chip; -1 where it is not known. Shape (n,)."""
    job: NDArray[np.int32]
    """Number of the job, counted by us from 0. Shape (n,)."""
    nonce: NDArray[np.uint32]
    """Header nonce as the 32-bit integer (bytes 76..79 read little-endian). Shape (n,)."""
    version: NDArray[np.uint32]
    """Rolled version bits (xor with the version of the job), 0 without version rolling. Shape (n,)."""
    flags: NDArray[np.uint8]
    """Bits of :class:`NonceFlag`. Shape (n,)."""

    def __post_init__(self) -> None:
        length = self.time_ns.shape
        for name, dtype in DTYPES.items():
            column = getattr(self, name)
            if not isinstance(column, np.ndarray) or column.dtype != dtype or column.ndim != 1:
                found = getattr(column, "dtype", type(column).__name__)
                raise DataError(f"nonce column {name!r}: {found}, must be a 1-D array of {dtype.name}")
            if column.shape != length:
                raise DataError(f"nonce column {name!r}: {column.shape[0]} rows, must be {length[0]} as in 'time_ns'")

    def __len__(self) -> int:
        return int(self.time_ns.shape[0])

    @property
    def valid(self) -> NDArray[np.bool_]:
        """Rows whose hash meets the difficulty, shape (n,)."""
        return self.has(NonceFlag.VALID)

    def has(self, flag: NonceFlag) -> NDArray[np.bool_]:
        """Rows that carry ``flag``, shape (n,)."""
        return np.asarray((self.flags & np.uint8(flag)) != 0)

    def columns(self) -> Iterator[tuple[str, NDArray[np.generic]]]:
        """Name and array of every column, in schema order."""
        for field in fields(self):
            yield field.name, getattr(self, field.name)

    def select(self, rows: NDArray[np.bool_] | NDArray[np.intp] | slice) -> NonceBatch:
        """The rows chosen by a mask, an index array or a slice."""
        return NonceBatch(*(np.ascontiguousarray(column[rows]) for _, column in self.columns()))

    def equals(self, other: NonceBatch) -> bool:
        """Whether all columns agree bit by bit."""
        return all(np.array_equal(mine, getattr(other, name)) for name, mine in self.columns())

    @classmethod
    def empty(cls) -> NonceBatch:
        """A batch of length 0."""
        return cls(*(np.empty(0, dtype) for dtype in DTYPES.values()))

    @classmethod
    def from_columns(cls, *, time_ns: object, **columns: object) -> NonceBatch:
        """From anything array-like; columns left out are filled: chip, core -1, the others 0.

        Raises:
            DataError: an unknown column, or a value that its dtype cannot hold.
        """
        for name in columns:
            if name not in DTYPES:
                raise DataError(f"nonce column {name!r}: unknown, must be one of {', '.join(DTYPES)}")
        columns["time_ns"] = time_ns
        n = len(np.atleast_1d(np.asarray(time_ns)))
        arrays = []
        for name, dtype in DTYPES.items():
            if name in columns:
                raw = np.atleast_1d(np.asarray(columns[name]))
                cast = raw.astype(dtype)
                if raw.size and not np.array_equal(cast.astype(raw.dtype), raw):
                    raise DataError(f"nonce column {name!r}: a value does not fit {dtype.name}")
                arrays.append(cast)
            else:
                arrays.append(np.full(n, -1 if name in ("chip", "core") else 0, dtype))
        return cls(*arrays)

    @classmethod
    def concatenate(cls, batches: Sequence[NonceBatch]) -> NonceBatch:
        """All rows of ``batches``, in that order."""
        if not batches:
            return cls.empty()
        return cls(*(np.concatenate([getattr(b, name) for b in batches]) for name in DTYPES))


DTYPES: dict[str, np.dtype[np.generic]] = {
    "time_ns": np.dtype(np.int64),
    "chip": np.dtype(np.int16),
    "core": np.dtype(np.int16),
    "job": np.dtype(np.int32),
    "nonce": np.dtype(np.uint32),
    "version": np.dtype(np.uint32),
    "flags": np.dtype(np.uint8),
}
"""Name and dtype of every column, in schema order."""
