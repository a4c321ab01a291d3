"""The process that drives a board: ``python -m api.worker.runner FD PARENT``.

It does one task at a time, for its supervisor at the other end of the socket. It stops by itself when the
supervisor is gone, and when the lease is over; it leaves the board in its safe state either way. What crashes here
takes no lease and no queue with it.
"""

from __future__ import annotations

import ctypes
import gc
import math
import os
import resource
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from api.worker.fence import Fence, FencedBoard, FencedRecording, FencedResumableBoard, Player
from api.worker.process import GRACE_S
from api.worker.recorded import RunnerRecordings
from api.worker.streaming import RunnerStream
from api.worker.wire import Message, Wire
from asic_reservoir.board import Board, BoardInfo, Observation, Origin, Resumable
from asic_reservoir.errors import AsicReservoirError, ServerError, TimeoutExpiredError
from asic_reservoir.kinds import Cancelled, TaskContext, task_kind
from asic_reservoir.live_values import live_document
from asic_reservoir.metering import Usage
from asic_reservoir.provenance import collect
from asic_reservoir.registry import boards_through

PROGRESS_S = 0.5
"""Between two words of progress; the last one is always said."""
LIVE_S = 1.0
PR_SET_PDEATHSIG = 1
STOPPED = 143
"""Exit status after SIGTERM."""


class Stopped(BaseException):
    """SIGTERM: leave at once, the board in its safe state. No task may catch it as an error of its own."""


class Runner:
    """State of the process."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._fence: Fence | None = None
        self._job: Message | None = None
        self._stream: RunnerStream | None = None
        self._recordings: RunnerRecordings | None = None
        self._news = threading.Condition()
        self._leaving = False

    def listen(self) -> None:
        """In a thread: take messages, and watch over the end of the lease while the main thread is in a step.

        A message that cannot be understood (of a supervisor of another version) ends the process: without this thread
        nothing would watch over the lease, and the task would never end.
        """
        try:
            self._listen()
        except BaseException:
            _leave_soon()
            raise

    def _listen(self) -> None:
        self._wire.socket.settimeout(0.1)
        while True:
            messages = self._wire.receive()
            if messages is None:
                self._leave()
                return
            for message in messages:
                self._take(message)
            fence = self._fence
            if fence is not None and fence.over:
                _leave_soon()
                return

    def _take(self, message: Message) -> None:
        fence = self._fence
        if "extend" in message and fence is not None:
            fence.valid_until = message["extend"]
        elif "cancel" in message and fence is not None:
            fence.cancelled = True
        elif ("inputs" in message or "inputs_end" in message) and self._stream is not None:
            self._stream.hear(message)
        elif "recording_known" in message and self._recordings is not None:
            self._recordings.hear(message["recording_known"])
        elif "run" in message:
            with self._news:
                self._job = message["run"]
                job = self._job
                self._stream = RunnerStream(self._wire.send) if job["streaming"] else None
                self._fence = Fence(job["board"], job["token"], job["valid_until"])
                store = job["recordings"]
                self._recordings = RunnerRecordings(Path(store["root"]), store["about"], self._wire.send, self._fence)
                self._news.notify()

    def _leave(self) -> None:
        """The supervisor is gone."""
        with self._news:
            self._leaving = True
            idle = self._fence is None
            self._news.notify()
        if not idle:
            _leave_soon()

    def next_job(self) -> tuple[Message, Fence] | None:
        with self._news:
            while self._job is None and not self._leaving:
                self._news.wait()
            if self._leaving:
                return None
            job, self._job = self._job, None
            assert job is not None
            assert self._fence is not None
            return job, self._fence

    def work(self) -> None:
        """Do tasks until the supervisor hangs up."""
        self._wire.send({"ready": os.getpid()})
        while (given := self.next_job()) is not None:
            job, fence = given
            answer = self._do(job, fence)
            self._fence = None
            try:
                self._wire.send(answer)
            except (ValueError, TypeError) as error:
                self._wire.send({"failed": f"result of {job['kind']}: {error}, must be plain JSON"})

    def _do(self, job: Message, fence: Fence) -> Message:
        began, meter = time.monotonic(), Usage()
        limiter = _Limiter()
        energised = False

        def progress(done: int, total: int, text: str) -> None:
            if limiter.due("progress", PROGRESS_S) or done == total:
                self._wire.send({"progress": {"done": int(done), "total": int(total), "text": str(text)[:200]}})

        def live(document: Mapping[str, Any]) -> None:
            if limiter.due("live", LIVE_S):
                self._wire.send({"live": {**document, "task_id": job["task_id"]}})

        def seen(info: BoardInfo, observation: Observation) -> None:
            if limiter.due("live", LIVE_S):
                self._wire.send({"live": live_document(info, observation) | {"task_id": job["task_id"]}})

        def around(board: Board) -> Board:
            nonlocal energised
            guard = FencedResumableBoard if isinstance(board, Resumable) else FencedBoard
            guard = FencedRecording if isinstance(board, Player) else guard
            fenced = guard(board, fence, meter, job["board"], seen)
            if board.info.origin is Origin.MEASURED and not energised:
                energised = True
                self._wire.send({"energised": True})
            return fenced

        try:
            kind = task_kind(job["kind"])
            params = kind.parse(job["params"])
            given = {name: Path(path) for name, path in job["given"].items()}
            context = TaskContext(
                job["uri"], Path(job["folder"]), progress, lambda: fence.cancelled, given, self._stream,
                job["cores"], meter.include, live, self._recordings,
            )  # fmt: skip
            with boards_through(around):
                outcome = kind.run(params, context)
            return {
                "done": {
                    "kind": kind.name,
                    "board": job["board"],
                    "origin": outcome.origin.value,
                    "summary": dict(outcome.summary),
                    "data": dict(outcome.data),
                    "cost": _cost(meter, time.monotonic() - began),
                    "provenance": _provenance(job),
                },
                "facts": [fact.model_dump(mode="json") for fact in outcome.facts],
            }
        except Cancelled:
            return {"cancelled": True}
        except (TimeoutExpiredError, ServerError) as error:
            return {"failed": str(error), "again": True}
        except AsicReservoirError as error:
            return {"failed": str(error)}
        except MemoryError:
            return {"failed": "out of memory; ask for less"}
        except Exception as error:
            traceback.print_exc()
            where = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{Path(where.filename).name}:{where.lineno}"
            return {"failed": f"{type(error).__name__} in {place}: {error}; this is a fault of the program"}


def _cost(meter: Usage, wall_seconds: float) -> dict[str, Any]:
    return {
        "board_seconds": round(meter.board_seconds, 6),
        "wall_seconds": round(wall_seconds, 6),
        "energy_j": round(meter.energy_j, 3) if meter.metered_seconds else None,
        "steps": meter.steps,
        "valid": meter.valid,
        "invalid": meter.invalid,
    }


def _provenance(job: Message) -> dict[str, Any]:
    flat = {
        key: value
        for key, value in job["params"].items()
        if value is None or isinstance(value, str | bool | int | float)
    }
    seeds = [job["params"]["seed"]] if isinstance(job["params"].get("seed"), int) else []
    record = collect(seeds=seeds, settings=flat).model_dump(mode="json")
    return record | {"task_id": job["task_id"], "attempt": job["attempt"], "lease_token": job["token"]}


class _Limiter:
    """Lets something through at most so often."""

    def __init__(self) -> None:
        self._last: dict[str, float] = {}

    def due(self, name: str, every_s: float) -> bool:
        now = time.monotonic()
        if now - self._last.get(name, -1e9) < every_s:
            return False
        self._last[name] = now
        return True


def _leave_soon() -> None:
    """SIGTERM to the main thread; the kernel ends what has not made its board safe by then, whatever it is doing."""
    signal.alarm(math.ceil(GRACE_S))
    os.kill(os.getpid(), signal.SIGTERM)


def _on_sigterm(number: int, frame: FrameType | None) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once: the way out is not interrupted
    signal.alarm(math.ceil(GRACE_S))
    raise Stopped


def _die_with_parent(parent: int) -> bool:
    """SIGTERM when the thread that started us is gone, SIGKILL included (Linux); whether it is still there."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    return os.getppid() == parent


def main(arguments: list[str]) -> int:
    """Run until the supervisor hangs up. Arguments: number of the socket, process number of the supervisor."""
    signal.signal(signal.SIGTERM, _on_sigterm)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C at the terminal is the supervisor's to handle
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    runner = Runner(Wire(socket.socket(fileno=int(arguments[0]))))
    try:
        if not _die_with_parent(int(arguments[1])):
            return STOPPED
        threading.Thread(target=runner.listen, daemon=True).start()
        runner.work()
    except (Stopped, BrokenPipeError, ConnectionResetError):
        return STOPPED
    return 0


if __name__ == "__main__":
    status = main(sys.argv[1:])
    gc.collect()  # a pool that was cut short gives its semaphores back: Python would complain of them in the log
    os._exit(status)  # daemon threads of libraries do not keep a stopped runner alive
