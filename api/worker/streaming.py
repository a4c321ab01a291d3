"""A stream between the database and the process that drives the board: one end in the worker, one in the runner."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sa

from api.queue.streams import read_inputs, stream_state
from api.worker.wire import Message

WINDOW = 64
"""Inputs that the runner has and has not answered, at most."""


class Feeder:
    """In the worker: sends inputs on as the runner answers those before."""

    def __init__(self, engine: sa.Engine, task_id: str, send: Callable[[Message], None]) -> None:
        self._engine, self._task_id, self._send = engine, task_id, send
        self._sent = self._answered = 0
        self._ended = False

    def answered(self, count: int) -> None:
        """So many outputs more have come back."""
        self._answered += count

    def feed(self) -> None:
        """Send what has come. Raises SQLAlchemyError where the database is away."""
        room = WINDOW - (self._sent - self._answered)
        if self._ended or room <= 0:
            return
        with self._engine.connect() as connection:
            # asked first: an end that is seen has every input before it
            state = stream_state(connection, self._task_id)
            inputs = read_inputs(connection, self._task_id, self._sent, room)
        if inputs:
            self._sent = inputs[-1][0] + 1
            self._send({"inputs": inputs})
        if state is not None and state.ended and self._sent >= state.next_input:
            self._ended = True
            self._send({"inputs_end": True})


class RunnerStream:
    """In the runner: the :class:`asic_reservoir.kinds.Stream` of the task."""

    def __init__(self, send: Callable[[Message], None]) -> None:
        self._send = send
        self._news = threading.Condition()
        self._inputs: deque[tuple[int, float]] = deque()
        self._ended = False

    def hear(self, message: Message) -> None:
        """From the thread that listens to the worker."""
        with self._news:
            self._inputs.extend((int(sequence), float(u)) for sequence, u in message.get("inputs", ()))
            self._ended = self._ended or "inputs_end" in message
            self._news.notify()

    def take(self, timeout_s: float) -> list[tuple[int, float]]:
        with self._news:
            if not self._inputs and not self._ended:
                self._news.wait(timeout_s)
            taken = list(self._inputs)
            self._inputs.clear()
            return taken

    @property
    def ended(self) -> bool:
        with self._news:
            return self._ended and not self._inputs

    def give(self, sequence: int, output: Mapping[str, Any]) -> None:
        self._send({"output": [sequence, dict(output)]})
