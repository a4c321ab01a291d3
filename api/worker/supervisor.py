"""A worker: threads that hold leases and queue work for runners. Embedded in the service, or a process of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable

import sqlalchemy as sa

from api.queue.notices import Listener
from api.worker.board_worker import BoardWorker
from api.worker.device_lock import lock_domain
from api.worker.settings import Said, WorkerSettings
from asic_reservoir.errors import NotFoundError
from asic_reservoir.store.facts import Writer, boards, shelf


class Worker:
    """One thread a board.

    Args:
        engine: of the database.
        writer: to it.
        settings: how it behaves.
        changed: told of every task that has a new event.
        said: told of what happens to boards, from their threads; must return at once.

    Raises:
        NotFoundError: a board that is not on the shelf.
    """

    def __init__(
        self,
        engine: sa.Engine,
        writer: Writer,
        settings: WorkerSettings,
        changed: Callable[[str], None] = lambda task_id: None,
        said: Said = lambda board, what, content: None,
    ) -> None:
        self.settings = settings
        domain = lock_domain(settings.folder / "locks")
        with engine.connect() as connection:
            rows = connection.execute(
                sa.select(shelf.c.board_id, shelf.c.name, shelf.c.uri, boards.c.origin)
                .join(boards, boards.c.id == shelf.c.board_id)
                .order_by(shelf.c.name)
            ).all()
        known = {row.name for row in rows}
        for name in settings.boards:
            if name not in known:
                raise NotFoundError(f"board {name!r}: not on the shelf, must be one of {', '.join(sorted(known))}")
        chosen = [row for row in rows if not settings.boards or row.name in settings.boards]
        self._engine = engine
        self._listener = Listener(engine, self._heard, self._nudge_all)

        def make(board_id: str, name: str, uri: str) -> BoardWorker:
            return BoardWorker(engine, writer, settings, board_id, name, uri, domain, changed, self._pause_s, said)

        self._make = make
        self._boards = {row.board_id: self._make(row.board_id, row.name, row.uri) for row in chosen}
        self.boards: list[tuple[str, str]] = [(row.name, row.origin) for row in chosen]
        """Name and origin of each."""
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Begin to take tasks."""
        self._listener.start()
        for board_id in self._boards:
            self._begin(board_id)

    def add(self, board_id: str) -> None:
        """Take a board that came to the shelf while this worker runs; nothing where it has it already."""
        if board_id in self._boards:
            return
        with self._engine.connect() as connection:
            row = connection.execute(
                sa.select(shelf.c.name, shelf.c.uri, boards.c.origin)
                .join(boards, boards.c.id == shelf.c.board_id)
                .where(shelf.c.board_id == board_id)
            ).one()
        # a new dictionary: other threads go through the old one
        self._boards = self._boards | {board_id: self._make(board_id, row.name, row.uri)}
        self.boards.append((row.name, row.origin))
        self._begin(board_id)

    def _begin(self, board_id: str) -> None:
        thread = threading.Thread(target=self._boards[board_id].run, name=f"board-{board_id[:8]}", daemon=True)
        thread.start()
        self._threads.append(thread)

    def nudge(self, board_id: str) -> None:
        """There is something new for this board: look now."""
        if board_id in self._boards:
            self._boards[board_id].nudge()

    def nudge_task(self, task_id: str) -> None:
        """There is something new for the board that has this task in hand."""
        for board in self._boards.values():
            if board.task_id == task_id:
                board.nudge()

    def _pause_s(self) -> float:
        return self._listener.pause_s(self.settings.poll_s)

    def _heard(self, topic: str, identifier: str) -> None:
        if topic == "board":
            self.nudge(identifier)

    def _nudge_all(self) -> None:
        for board in self._boards.values():
            board.nudge()

    def stop(self, patience_s: float = 10.0) -> None:
        """Stop what runs (it is queued again), leave the boards safe, give the leases back."""
        self._listener.stop()
        for board in self._boards.values():
            board.stop()
        for thread in self._threads:
            thread.join(patience_s)
        self._threads = []
