"""Files that users bring: streamed to the disk, bounded in size and time, read by a process of their own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from api.intake_process import DATABASE
from api.problems import ProblemError
from api.worker.process import ONE_THREAD
from asic_reservoir.errors import BusyError, DataError
from asic_reservoir.store.facts import new_id

TOGETHER = 2
"""Uploads at once; more are told to come again."""
ARRIVE_S = 900.0
"""An upload must have arrived after so long."""
READ_S = {"series": 120.0, "recording": 900.0}
"""And be read after so long."""
STALE_S = 86_400.0
SPARE_BYTES = 256 << 20
"""Left free on the disk."""


def sweep(folder: Path) -> None:
    """Delete what a service that was killed left behind: nothing in use is so old."""
    old = time.time() - STALE_S
    for path in folder.glob("*"):
        with contextlib.suppress(OSError):
            if path.stat().st_mtime < old:
                path.unlink()


class Intake:
    """Takes uploads into a folder of the service."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._busy = 0
        sweep(folder)

    @asynccontextmanager
    async def receive(self, request: Request, suffix: str) -> AsyncIterator[Path]:
        """The body of a request as a file, which is gone afterwards.

        Raises:
            ProblemError: ``unavailable`` where too many come at once or the disk is full, ``malformed`` where it does
                not arrive in time, or not at all.
        """
        if self._busy >= TOGETHER:
            raise ProblemError("unavailable", f"{TOGETHER} uploads are under way", headers={"Retry-After": "5"})
        self._busy += 1
        path = self._folder / f"{new_id()}{suffix}"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            size = 0
            try:
                async with asyncio.timeout(ARRIVE_S):
                    with path.open("wb") as file:
                        async for piece in request.stream():
                            size += len(piece)
                            await run_in_threadpool(file.write, piece)
            except TimeoutError:
                raise ProblemError("malformed", f"body: not here after {ARRIVE_S:g} s, must come faster") from None
            except OSError as error:
                raise ProblemError("unavailable", f"disk: {error.strerror}", headers={"Retry-After": "60"}) from None
            if shutil.disk_usage(self._folder).free < size + SPARE_BYTES:
                raise ProblemError("unavailable", "disk: too little is free", headers={"Retry-After": "60"})
            if not size:
                raise ProblemError("malformed", "body: empty, must be a file")
            yield path
        finally:
            self._busy -= 1
            path.unlink(missing_ok=True)

    async def read(
        self, word: Literal["series", "recording"], source: Path, target: Path, database: str, name: str
    ) -> dict[str, Any]:
        """Let a process of its own read it; what it says.

        Raises:
            DataError: it is not what it claims to be, or its reader did not live through it.
            BusyError: it is here already.
        """
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "api.intake_process", word, str(source), str(target),
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
            env=os.environ | ONE_THREAD | {DATABASE: database}, start_new_session=True,
        )  # fmt: skip
        try:
            output, _ = await asyncio.wait_for(process.communicate(), READ_S[word])
        except TimeoutError:
            raise DataError(f"{name}: not read after {READ_S[word]:g} s, must be smaller") from None
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        try:
            said = json.loads(output.splitlines()[-1])
        except (IndexError, ValueError):
            raise DataError(f"{name}: its reader ended with {process.returncode}, must be a sound file") from None
        if "error" in said:
            words = said["error"]["words"].replace(str(source), name)
            raise (BusyError if said["error"]["kind"] == "BusyError" else DataError)(words)
        found: dict[str, Any] = said["ok"]
        return found
