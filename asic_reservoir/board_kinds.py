"""What is asked of a board itself, as kinds of tasks: its calibration, and what its arrivals say."""

from __future__ import annotations

from typing import Any, Literal
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field

from asic_reservoir.kept import KeptCalibration
from asic_reservoir.kinds import UUID, TaskContext, TaskKind, TaskOutcome
from asic_reservoir.registry import open_board

Section = Literal["mask", "rate", "voltage", "frequency", "thermal", "timestamps", "edges"]
RECORD = "calibration.json"
PAGE = "inspection.html"


class CalibrationSettings(BaseModel):
    """How much is asked of the board."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    sections: tuple[Section, ...] = Field(default=(), max_length=7, description="Only these; all of them where empty.")
    nonces: int = Field(default=250, ge=20, le=100_000, description="Nonces at every point of an edge.")
    thermal_seconds: float = Field(default=300.0, ge=20.0, le=7200.0, description="Length of warming and of cooling.")


class InspectionSettings(BaseModel):
    """How long to look."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    seconds: float = Field(
        default=60.0, ge=1.0, le=86_400.0, description="Board time; a recorded run is played to its end."
    )
    recording: str | None = Field(
        default=None,
        pattern=UUID,
        description="Look at this recording (GET /recordings) instead; the board is not asked, but says on which "
        "machine: a recording lies where it was made, or where it was uploaded to.",
    )


def calibrate(settings: CalibrationSettings, context: TaskContext) -> TaskOutcome:
    """Find out what the board really does; the record is kept as its calibration.

    Raises:
        SafetyError: the board had to be made safe before anything was found.
    """
    from asic_reservoir.calibration import SECTIONS, Calibrator, Effort, save_calibration

    wanted = settings.sections or SECTIONS
    done = 0

    def report(section: str, line: str) -> None:
        context.stop_if_cancelled()
        context.progress(done, len(wanted), f"{section}: {line}")

    effort = Effort(edge_nonces=settings.nonces, thermal_s=settings.thermal_seconds)
    with open_board(context.board) as board:
        calibrator = Calibrator(board, effort, None, report)
        for section in calibrator.run(tuple(wanted)):
            done += 1
            context.progress(done, len(wanted), f"{section} done")
    record = calibrator.record
    save_calibration(record, context.folder / RECORD)
    content: dict[str, Any] = record.model_dump(mode="json")
    summary = {"sections": done, "findings": len(record.findings)}
    return TaskOutcome(record.origin, content, summary, (KeptCalibration(content=content),))


def inspect(settings: InspectionSettings, context: TaskContext) -> TaskOutcome:
    """Describe the nonces of a board: rate, hashrate, gaps, chips and cores.

    Raises:
        DataError: there are no nonces, or none is valid.
    """
    from asic_reservoir.inspection import inspect as inspect_stream
    from asic_reservoir.inspection import watch
    from asic_reservoir.report.files import write_atomic
    from asic_reservoir.report.inspection_page import render_inspection

    def progress(part: float) -> None:
        context.stop_if_cancelled()
        context.progress(round(part * settings.seconds), round(settings.seconds), "watching")

    recorded = context.given.get("recording")
    with open_board(context.board if recorded is None else f"replay://{quote(str(recorded))}") as board:
        stream = watch(board, settings.seconds, progress)
    found = inspect_stream(stream)
    write_atomic(context.folder / PAGE, render_inspection(found).encode())
    data = found.to_dict()
    summary = {"shares": data["shares"]["total"], "hashrate_ths": data["rate"]["hashrate_ths"]["mean"]}
    return TaskOutcome(stream.origin, data, summary)


def kinds() -> list[TaskKind[Any]]:
    """The kinds, for the entry point."""
    return [
        TaskKind(
            name="calibrate",
            title="Calibrate a board",
            description="Share filter, rate law, voltage, clock, thermal time constant, time stamps, edges; kept.",
            params=CalibrationSettings,
            run=calibrate,
            example={"sections": ["mask", "rate"]},
            restartable=False,  # what drove a board to its edge and died is looked at by a person first
        ),
        TaskKind(
            name="inspect",
            title="Look at the nonces of a board",
            description="Rate and hashrate with intervals, gaps between arrivals, chips and cores; of a recording too.",
            params=InspectionSettings,
            run=inspect,
            example={"seconds": 10.0},
            given={"recording": "recording"},
        ),
    ]
