"""BLAS threads where they help, one where they do not."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache

import scipy.linalg  # noqa: F401  (its BLAS must be loaded before the controller looks for it)
from threadpoolctl import ThreadpoolController

WORTH_A_SECOND_THREAD = 5e9
"""Multiplications (about 0.1 s of one core) below which waiting for each other costs threads more than they save."""


@lru_cache(maxsize=1)
def _controller() -> ThreadpoolController:
    return ThreadpoolController()


def single_thread() -> AbstractContextManager[object]:
    """One BLAS thread while this context is entered.

    Decompositions of a few hundred states gain nothing from a second thread, lose a factor of ten to it on a busy
    machine, and their last bits then depend on the number of cores.
    """
    context: AbstractContextManager[object] = _controller().limit(limits=1, user_api="blas")
    return context


def threads_for(multiplications: float) -> AbstractContextManager[object]:
    """One BLAS thread for small work, as many as the process is set to for large work."""
    return single_thread() if multiplications < WORTH_A_SECOND_THREAD else nullcontext()
