"""Errors of the store, under those of the distribution."""

from __future__ import annotations

from asic_reservoir.errors import DataError


class DamageError(DataError):
    """Part of a run is damaged, missing or pruned: the message names the file and the rows."""


class StoreWriteError(DataError):
    """The store could not take what it was given: disk full, input/output error. Nothing of it was acknowledged."""
