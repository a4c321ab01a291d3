"""How an attempt ended, out of the last word of its runner."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from api.queue.states import TaskState
from api.queue.work import Finished
from api.worker.collect import collect_files
from api.worker.wire import Message
from asic_reservoir.errors import AsicReservoirError
from asic_reservoir.kept import KeptModel, parse_kept
from asic_reservoir.store.registration import Registration


def ending(message: Message, folder: Path, recorded: Callable[[], Mapping[str, Registration]]) -> Finished | None:
    """What a message says of the end; None where it says nothing of it.

    Args:
        message: of the runner.
        folder: of the attempt; its files are read when the task is done.
        recorded: gives the runs that the attempt recorded, by identifier, as they are on the disk; likewise.
    """
    if "done" in message:
        report = message["done"]
        files, left_out = collect_files(folder)
        report["files"] = [
            {"name": f.name, "bytes": len(f.content), "sha256": f.sha256, "media_type": f.media_type} for f in files
        ]
        report["files_left_out"] = left_out
        names = {file.name for file in files}
        kept = [parse_kept(fact) for fact in message["facts"]]
        # a model that is too large to keep is named in files_left_out
        facts = [fact for fact in kept if not isinstance(fact, KeptModel) or fact.file in names]
        try:
            runs = recorded()
        except AsicReservoirError as error:
            return Finished(TaskState.FAILED, str(error))
        return Finished(TaskState.SUCCEEDED, "", report["origin"], report, files, facts=facts, recorded=runs)
    if "failed" in message:
        return Finished(TaskState.QUEUED if message.get("again") else TaskState.FAILED, message["failed"])
    if "cancelled" in message:
        return Finished(TaskState.CANCELLED, "cancelled")
    return None
