"""One board of a worker: take the lease, claim, let the runner work, write what came, all under the token."""

from __future__ import annotations

import select
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import sqlalchemy as sa
import structlog

from api.queue import streams, work
from api.queue.leases import Lease, LeaseWatch, StaleTokenError, boot_clock, free, renew, take
from api.queue.states import TaskState
from api.worker.alarm_clock import AlarmClock
from api.worker.device_lock import DeviceLock
from api.worker.ending import ending
from api.worker.given import GoneError, fetch_given
from api.worker.process import RunnerProcess
from api.worker.recorded import BoardRecordings
from api.worker.settings import Said, WorkerSettings
from api.worker.streaming import Feeder
from api.worker.wire import Message
from asic_reservoir.errors import AsicReservoirError, BusyError
from asic_reservoir.kinds import task_kinds
from asic_reservoir.store.facts import Writer, boards, now_ns, shelf, tasks

COOPERATE_S = 0.4
"""So long a cancelled task may stop by itself; then its process is told to."""
RETRY_S = 0.5
"""After a database error."""
FAULT_S = 5.0
"""After an error that should not be."""

log = structlog.get_logger("worker")

P = ParamSpec("P")
T = TypeVar("T")


class BoardWorker:
    """Holds one lease. ``run`` is the body of a thread."""

    def __init__(
        self,
        engine: sa.Engine,
        writer: Writer,
        settings: WorkerSettings,
        board_id: str,
        name: str,
        uri: str,
        domain: str,
        changed: Callable[[str], None],
        pause_s: Callable[[], float],
        said: Said,
    ) -> None:
        self._engine, self._writer, self._settings = engine, writer, settings
        self._board_id, self._name, self._uri, self._domain = board_id, name, uri, domain
        self._changed, self._pause_s = changed, pause_s
        self._said = said
        self._lock = DeviceLock(settings.folder / "locks", board_id)
        self._recordings = BoardRecordings(engine, writer, settings.folder / "recordings", domain, board_id, name)
        self._watch = LeaseWatch(boot_clock, settings.term_s, settings.margin_s)
        self._clock = AlarmClock()
        self._stopping = threading.Event()
        self._runner: RunnerProcess | None = None
        self._log = log.bind(board=name, worker=settings.name)
        self._lease: Lease | None = None
        self.task_id = ""
        """Of the task in hand; empty where there is none."""
        self._renew_at = 0.0
        self._control_at = 0.0

    # -- from other threads --------------------------------------------------------------------------------------

    def nudge(self) -> None:
        """Look into the queue now."""
        self._clock.ring()

    def stop(self) -> None:
        """Let ``run`` return soon."""
        self._stopping.set()
        self.nudge()

    # -- the thread ----------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Until :meth:`stop`. A database that is away, full or locked is waited for."""
        while not self._stopping.is_set():
            try:
                if self._acquire():
                    self._serve()
                else:
                    self._clock.sleep(min(1.0, self._settings.term_s / 4))
            except StaleTokenError:
                self._log.warning("lease_lost", token=self._lease.token if self._lease else None)
                self._lose()
            except (sa.exc.SQLAlchemyError, BusyError, OSError) as error:
                self._log.warning("retrying", error=" ".join(str(error).split())[:300])
                self._lose()  # taken anew, with a greater token, it finds what was left in its hands
                self._clock.sleep(RETRY_S)
            except Exception:
                # a fault of the program: a board without its thread would be unattended and nobody would know why
                self._log.exception("fault")
                self._lose()
                self._clock.sleep(FAULT_S)
        self._leave()

    def _acquire(self) -> bool:
        """Device lock first: who has it knows that no process of this machine drives the board."""
        if self._lease is not None:
            return True
        if not self._lock.acquire():
            return False
        self._recordings.settle()  # also where another host has the lease: what was recorded here lies here
        holder, watch = self._settings.name, self._watch
        lease = self._writer.run(lambda c: take(c, self._board_id, holder, self._domain, watch, holder_is_dead=True))
        if lease is None:
            return False
        self._lease, self._renew_at = lease, boot_clock() + self._settings.renew_s
        self._log.info("lease_taken", token=lease.token)
        self._say_lease("taken", lease)
        restartable = {name: kind.restartable for name, kind in task_kinds().items()}
        for recovered in self._write(work.recover, restartable):
            self._log.warning("recovered", task_id=recovered.task_id, state=recovered.state.value)
            self._changed(recovered.task_id)
        return True

    def _serve(self) -> None:
        """Claim and work while the lease holds."""
        while not self._stopping.is_set():
            self._keep()
            self._recordings.settle(self._keep)
            claimed = self._write(work.claim) if self._something_waits() else None
            if claimed is None:
                self._clock.sleep(min(self._pause_s(), max(0.0, self._renew_at - boot_clock())))
                continue
            self._changed(claimed.task_id)
            self._log.info("task_begun", task_id=claimed.task_id, attempt=claimed.attempt, kind=claimed.kind)
            self.task_id = claimed.task_id
            try:
                end = self._attempt(claimed)
            finally:
                self.task_id = ""
            self._write_end(claimed, end)

    def _something_waits(self) -> bool:
        """A read, so that an idle worker does not take the one writer's time."""
        with self._engine.connect() as connection:
            waiting = sa.select(tasks.c.id).where(
                tasks.c.board_id == self._board_id, tasks.c.state == TaskState.QUEUED.value
            )
            return connection.execute(waiting.limit(1)).first() is not None

    def _keep(self) -> None:
        """Renew the lease where it is time; raises StaleTokenError where it is lost or past its end."""
        began = boot_clock()
        if began >= self._renew_at:
            try:
                self._lease = self._write(renew, self._watch, began)
                self._renew_at = began + self._settings.renew_s
                self._say("renewal", {"outcome": "done"})
                if self._runner is not None:
                    self._runner.send({"extend": self._lease.valid_until})
            except (sa.exc.SQLAlchemyError, BusyError) as error:
                if isinstance(error, StaleTokenError):
                    raise
                self._renew_at = began + RETRY_S
                self._say("renewal", {"outcome": "failed"})
                self._log.warning("renewal_failed", error=" ".join(str(error).split())[:300])
        assert self._lease is not None
        if boot_clock() >= self._lease.valid_until:
            raise StaleTokenError(f"lease of board {self._name}: past its term")

    def _attempt(self, claimed: work.Claim) -> work.Finished:
        """One attempt in the runner: pump its messages until it ends, one way or the other."""
        began = time.monotonic_ns()
        folder = self._settings.folder / "tasks" / claimed.task_id / str(claimed.attempt)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        params = claimed.request.get("params", {})
        try:
            given = fetch_given(self._scalar, claimed.kind, params, folder.with_name(f"{claimed.attempt}-given"))
        except GoneError as error:
            return work.Finished(TaskState.FAILED, str(error))
        kind = task_kinds().get(claimed.kind)
        streaming = kind is not None and kind.streaming
        lease = self._lease
        assert lease is not None
        if self._runner is None or not self._runner.alive:
            self._runner = RunnerProcess.start(self._lock.files)
        runner = self._runner
        runner.send(
            {
                "run": {
                    "task_id": claimed.task_id,
                    "attempt": claimed.attempt,
                    "kind": claimed.kind,
                    "params": params,
                    "given": given,
                    "streaming": streaming,
                    "uri": self._uri,
                    "board": self._device(),
                    "folder": str(folder),
                    "token": lease.token,
                    "cores": self._settings.cores,
                    "recordings": self._recordings.job(claimed.task_id, claimed.attempt, lease.token),
                    "valid_until": lease.valid_until,
                }
            }
        )
        feeder = Feeder(self._engine, claimed.task_id, runner.send) if streaming else None
        try:
            end = self._pump(runner, claimed, folder, feeder)
        except BaseException:
            self._stop_runner()
            raise
        return replace(end, served_ns=time.monotonic_ns() - began)

    def _scalar(self, statement: sa.Select[Any]) -> Any:
        with self._engine.connect() as connection:
            return connection.execute(statement).scalar()

    def _device(self) -> str:
        return str(self._scalar(sa.select(boards.c.uri).where(boards.c.id == self._board_id)))

    def _pump(self, runner: RunnerProcess, claimed: work.Claim, folder: Path, feeder: Feeder | None) -> work.Finished:
        cancelled_at: float | None = None
        terminated = False
        self._control_at = 0.0
        while True:
            messages = self._wait(runner)
            if messages is None:
                why = runner.reap()
                self._say("died", {"why": why})
                self._runner = None
                if cancelled_at is not None:
                    return work.Finished(TaskState.CANCELLED, "cancelled")
                return work.Finished(TaskState.QUEUED, f"its process ended ({why})")
            if feeder is not None:
                self._stream(feeder, claimed.task_id, messages)
            for message in messages:
                if (end := self._hear(message, runner, claimed, folder)) is not None:
                    return end
            self._keep()
            now = time.monotonic()
            if self._stopping.is_set():
                self._stop_runner()
                return work.Finished(TaskState.QUEUED, "its worker was stopped")
            if cancelled_at is None and now >= self._control_at:
                self._control_at = now + self._pause_s()
                state, stopped, reason = self._control(claimed.task_id)
                if stopped:
                    self._stop_runner()
                    self._note_safe()
                    return work.Finished(TaskState.FAILED, f"emergency stop: {reason}")
                if state != TaskState.RUNNING:
                    cancelled_at = now
                    runner.send({"cancel": True})
            if cancelled_at is not None and not terminated and now >= cancelled_at + COOPERATE_S:
                terminated = True
                self._stop_runner()
                return work.Finished(TaskState.CANCELLED, "cancelled")

    def _wait(self, runner: RunnerProcess) -> list[Message] | None:
        """Messages of the runner; empty after a short time or a nudge; None where it is gone."""
        timeout = min(self._settings.poll_s, 0.1)
        readable, _, _ = select.select([runner.wire.socket, self._clock.socket], [], [], timeout)
        if self._clock.socket in readable:
            self._clock.quiet()
            self._control_at = 0.0
        return runner.wire.receive() if runner.wire.socket in readable else []

    def _control(self, task_id: str) -> tuple[str | None, bool, str]:
        """State of the task, and whether the board was stopped. A database that is away says nothing new."""
        try:
            with self._engine.connect() as connection:
                row = connection.execute(
                    sa.select(tasks.c.state, shelf.c.stopped, shelf.c.reason)
                    .join(shelf, shelf.c.board_id == tasks.c.board_id)
                    .where(tasks.c.id == task_id)
                ).one_or_none()
        except sa.exc.SQLAlchemyError:
            return TaskState.RUNNING, False, ""
        return (None, False, "") if row is None else (row.state, row.stopped, row.reason)

    def _stream(self, feeder: Feeder, task_id: str, messages: list[Message]) -> None:
        """Write what the board answered, and send on what came in the meantime."""
        outputs = [message["output"] for message in messages if "output" in message]
        if outputs:
            self._write(streams.put_outputs, task_id, outputs)
            feeder.answered(len(outputs))
            self._changed(task_id)
        feeder.feed()

    def _hear(self, message: Message, runner: RunnerProcess, claimed: work.Claim, folder: Path) -> work.Finished | None:
        if "progress" in message:
            self._quietly(work.say, claimed.task_id, "progress", message["progress"])
            self._changed(claimed.task_id)
        elif "live" in message:
            self._quietly(_note_live, message["live"])
            self._say("live", {"live": message["live"]})
        elif "energised" in message:
            self._write(work.energise, claimed)
        elif "recording" in message:
            self._write(self._recordings.begin, claimed.task_id, message["recording"])
            runner.send({"recording_known": message["recording"]})
        else:
            return ending(message, folder, self._recordings.described)
        return None

    def _write(self, unit: Callable[Concatenate[sa.Connection, Lease, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """A unit of work under the lease."""
        lease = self._lease
        assert lease is not None
        return self._writer.run(lambda connection: unit(connection, lease, *args, **kwargs))

    def _quietly(
        self, unit: Callable[Concatenate[sa.Connection, Lease, P], Any], *args: P.args, **kwargs: P.kwargs
    ) -> None:
        """Progress is not worth a task: what the database does not take now is dropped, a lost lease is not."""
        try:
            self._write(unit, *args, **kwargs)
        except StaleTokenError:
            raise
        except (sa.exc.SQLAlchemyError, BusyError) as error:
            self._log.warning("progress_dropped", error=" ".join(str(error).split())[:300])

    def _write_end(self, claimed: work.Claim, end: work.Finished) -> None:
        """Write how it ended; again and again while the lease holds, since a disk that is full may be freed."""
        while True:
            try:
                state = self._write(work.finish, claimed, end)
                break
            except StaleTokenError:
                raise
            except (sa.exc.SQLAlchemyError, BusyError) as error:
                self._log.warning("end_not_written", task_id=claimed.task_id, error=" ".join(str(error).split())[:300])
                self._clock.sleep(RETRY_S)
                self._keep()
        self._log.info("task_ended", task_id=claimed.task_id, state=state.value, reason=end.reason)
        cost = end.report.get("cost", {})
        self._say("ended", {"state": state.value, "seconds": end.served_ns * 1e-9, "cost": cost})
        self._changed(claimed.task_id)
        if state is TaskState.SUCCEEDED:
            shutil.rmtree(
                self._settings.folder / "tasks" / claimed.task_id, ignore_errors=not end.report["files_left_out"]
            )

    # -- leaving -------------------------------------------------------------------------------------------------

    def _stop_runner(self) -> None:
        if self._runner is not None:
            self._runner.stop()
            self._runner = None

    def _note_safe(self) -> None:
        self._quietly(_note_live, {"safe": True})

    def _lose(self) -> None:
        """The board first, then the lease."""
        self._stop_runner()
        lease, self._lease = self._lease, None
        if lease is not None:
            self._say_lease("lost", lease)

    def _say(self, what: str, content: Mapping[str, Any]) -> None:
        self._said(self._name, what, content)

    def _say_lease(self, state: str, lease: Lease) -> None:
        self._say("lease", {"state": state, "token": lease.token, "holder": lease.holder})

    def _leave(self) -> None:
        self._stop_runner()
        lease, self._lease = self._lease, None
        if lease is not None:
            try:
                self._writer.run(lambda c: free(c, lease))
                self._say_lease("freed", lease)
            except (sa.exc.SQLAlchemyError, AsicReservoirError) as error:  # the writer is closed where we come too late
                self._log.warning("lease_not_freed", error=" ".join(str(error).split())[:300])
        self._lock.release()


def _note_live(connection: sa.Connection, lease: Lease, live: Message) -> None:
    connection.execute(shelf.update().where(shelf.c.board_id == lease.board_id).values(live=live, live_utc_ns=now_ns()))
