"""BLAS threads where they help, one where they do not."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import lru_cache

import scipy.linalg  # noqa: F401  (its BLAS must be loaded before the controller looks for it)
from threadpoolctl import ThreadpoolController


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
