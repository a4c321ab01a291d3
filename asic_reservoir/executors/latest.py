"""The last word of any of several processes, in shared memory: nobody waits for who writes or for who reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from multiprocessing.context import BaseContext
from typing import Any

ROOM = 1 << 16
"""Bytes of a word, at most; what is shown of a board of 189 chips takes about one thousand."""


class Latest:
    """A place for one JSON document, given to processes when they are started.

    A word that comes before the one before it was read takes its place; one that comes while another is written or
    read, or that is too long, is left out: what is shown of a board now is no record of it. A process that is killed
    while it writes leaves the place closed, and whoever asks hears nothing more.

    >>> import multiprocessing
    >>> latest = Latest(multiprocessing.get_context("spawn"))
    >>> latest.put({"rate_hz": 1.0}), latest.put({"rate_hz": 2.0}), latest.take(), latest.take()
    (True, True, {'rate_hz': 2.0}, None)
    """

    def __init__(self, context: BaseContext) -> None:
        self._gate = context.Lock()
        self._length = context.RawValue("i", 0)
        self._text = context.RawArray("c", ROOM)

    def put(self, document: Mapping[str, Any]) -> bool:
        """Whether it was taken. Raises ValueError for what JSON cannot say."""
        text = json.dumps(document, allow_nan=False).encode()
        if len(text) > ROOM or not self._gate.acquire(block=False):
            return False
        try:
            self._text[: len(text)] = text
            self._length.value = len(text)
        finally:
            self._gate.release()
        return True

    def take(self) -> dict[str, Any] | None:
        """The last word; None where nothing was said since."""
        if not self._gate.acquire(block=False):
            return None
        try:
            length, self._length.value = self._length.value, 0
            text = bytes(self._text[:length])
        finally:
            self._gate.release()
        found: dict[str, Any] | None = json.loads(text) if text else None
        return found
