"""The rows of the table of all wires: which boards, and driving them side by side."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from asic_reservoir.drive import Interrupted
from asic_reservoir.errors import AsicReservoirError, ServerError, UsageError
from asic_reservoir.registry import BoardUri
from asic_reservoir.run_settings import RunSettings
from drivers.wires_devices import DEVICES, DeviceKind, EmulatedProcess
from drivers.wires_row import Row, WireRow

POLL_S = 0.2

Progress = Callable[[str, int, int, str], None]
"""Told the row, steps done, steps in all, and what is going on."""


@dataclass(frozen=True, slots=True)
class Job:
    """One row to fill."""

    name: str
    settings: RunSettings
    """Its board is empty where the device is emulated: the URI is known when that runs."""
    device: DeviceKind | None
    seed: int
    rate_nonces: int
    folder: Path | None


@dataclass(frozen=True, slots=True)
class Table:
    """What came of the jobs."""

    rows: tuple[WireRow, ...]
    """Those that were begun, in order."""
    stopped: bool
    failure: AsicReservoirError | None
    """Of the first row that failed."""


def jobs_of(
    *,
    only: str,
    boards: tuple[str, ...],
    seed: int,
    rate_nonces: int,
    out: Path | None,
    settings: Mapping[str, object],
) -> list[Job]:
    """The rows that were asked for.

    Raises:
        UsageError: a device, URI or setting that does not exist, or a folder that is not empty.
    """
    from pydantic import ValidationError

    names = [name.strip() for name in only.split(",") if name.strip()]
    for name in names:
        if name not in DEVICES:
            raise UsageError(f"--only: {name!r}, must be of {', '.join(DEVICES)}")
    if not names and not boards:
        names = list(DEVICES)
    if out is not None and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"--out: {str(out)!r} holds something already, must be a new or empty folder")
    wanted: list[tuple[str, str, DeviceKind | None]] = [(name, "", DEVICES[name]) for name in dict.fromkeys(names)]
    for uri in boards:
        scheme, number = BoardUri.parse(uri).scheme, 1
        while any(scheme_of == _numbered(scheme, number) for scheme_of, _, _ in wanted):
            number += 1
        wanted.append((_numbered(scheme, number), uri, None))
    jobs = []
    for name, uri, device in wanted:
        try:
            own = RunSettings.model_validate({**settings, "task": "narma10", "board": uri})
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False)[0]
            where = "--" + "-".join(str(part) for part in first["loc"]).replace("_", "-")
            text = first["msg"]
            raise UsageError(f"{where}: {first['input']!r}, {text[:1].lower()}{text[1:]}") from None
        jobs.append(Job(name, own, device, seed, rate_nonces, None if out is None else out / name))
    return jobs


def run_jobs(jobs: list[Job], side_by_side: int, progress: Progress, cancelled: Callable[[], bool]) -> Table:
    """Fill every row; so many boards at a time, each in a thread that mostly waits for its wire.

    Ended by ``cancelled``: every board that is open is closed, which leaves it safe, and every emulated device ends.
    """
    found: dict[str, WireRow] = {}
    failures: dict[str, AsicReservoirError] = {}
    lock = threading.Lock()
    stopped = False

    def fill(job: Job) -> None:
        nonlocal stopped
        if cancelled():
            stopped = True
            return
        row, failure = _fill(job, progress, cancelled)
        with lock:
            if failure is not None:
                failures[job.name] = failure
            if row is None:
                stopped = True
            else:
                found[job.name] = row

    with ThreadPoolExecutor(side_by_side, thread_name_prefix="wires") as pool:
        waiting: set[Future[None]] = {pool.submit(fill, job) for job in jobs}
        while waiting:
            done, waiting = wait(waiting, POLL_S)
            for future in done:
                future.result()
    rows = tuple(found[job.name] for job in jobs if job.name in found)
    failure = next((failures[job.name] for job in jobs if job.name in failures), None)
    return Table(rows, stopped, failure)


def _fill(
    job: Job, progress: Progress, cancelled: Callable[[], bool]
) -> tuple[WireRow | None, AsicReservoirError | None]:
    """The row, None where it was stopped, and why it failed."""

    def say(done: int, total: int, text: str) -> None:
        progress(job.name, done, total, text)

    row = Row(job.name, job.settings, job.rate_nonces, job.folder)
    try:
        if job.device is None:
            return row.run(say, cancelled), None
        say(0, 1, "starting the emulated device")
        arguments = (*job.device.arguments, "--speed", f"{job.device.speed:g}", "--seed", str(job.seed))
        with (
            tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as keys,
            EmulatedProcess(arguments, job.device.options) as device,
        ):
            known = f"&known_hosts={quote(keys)}/known_hosts" if job.device.has_host_key else ""
            settings = job.settings.model_copy(update={"board": device.uri + known})
            row = Row(job.name, settings, job.rate_nonces, job.folder)
            return row.run(say, cancelled), None
    except Interrupted:
        return None, None
    except AsicReservoirError as error:
        return row.row(error=_one_line(error)), error
    except Exception as error:  # a defect of one driver must not take the other rows with it
        named = ServerError(f"{job.name}: {type(error).__name__}: {_one_line(error)}")
        return row.row(error=str(named)), named
    finally:
        say(1, 1, "done")


def _numbered(scheme: str, number: int) -> str:
    return scheme if number == 1 else f"{scheme}-{number}"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
