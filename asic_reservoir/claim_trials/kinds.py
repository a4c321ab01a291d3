"""The trials as kinds of tasks. None of them can be run without its controls."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from asic_reservoir.claim_trials.driving import Driver
from asic_reservoir.claim_trials.trial import outcome_of
from asic_reservoir.kinds import TaskContext, TaskKind, TaskOutcome
from asic_reservoir.registry import open_board
from asic_reservoir.report.model import Scalar

SEED: Any = Field(default=0, ge=0, le=2**31, description="Seed of orders and controls.")


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    def flat(self) -> dict[str, Scalar]:
        """As a report shows them."""
        return {
            name: value if isinstance(value, str | bool | int | float | None) else ", ".join(map(str, value))
            for name, value in self.model_dump().items()
        }


class HeartbeatSettings(_Settings):
    """How long to listen."""

    seconds: float = Field(
        default=120.0,
        ge=20.0,
        le=86_400.0,
        description="Board time; 1,000 nonces are little. A recorded run is played to its end.",
    )
    seed: int = SEED


class SweepSettings(_Settings):
    """The grid, and how much of each cell."""

    voltages_mv: tuple[float, ...] = Field(
        default=(), max_length=20, description="In mV; of the published ones those that the board allows where empty."
    )
    frequencies_mhz: tuple[float, ...] = Field(
        default=(), max_length=40, description="In MHz; four of the published ones where empty."
    )
    difficulties: tuple[int, ...] = Field(
        default=(), max_length=12, description="1024 and 4096 where empty, scaled to the rate of the board."
    )
    gaps: int = Field(default=150, ge=20, le=100_000, description="Gaps of a cell on each of two visits.")
    seed: int = SEED


class TransitionSettings(_Settings):
    """The two ways."""

    voltages: int = Field(default=9, ge=4, le=60, description="From the lowest that is allowed to the nominal one.")
    windows: int = Field(default=30, ge=10, le=1000, description="Windows at each voltage, on each way.")
    nonces: int = Field(default=200, ge=20, le=100_000, description="Nonces of a window, on average.")
    settle_seconds: float = Field(default=300.0, ge=1.0, le=3600.0, description="Rest before the first window, in s.")
    frequency_mhz: float | None = Field(
        default=None, gt=0, le=5000, description="Clock in MHz; where left out, one whose error edge is in the sweep."
    )
    seed: int = SEED


class DiffusionSettings(_Settings):
    """How many hashes."""

    nonces: int = Field(default=1500, ge=100, le=100_000, description="Pairs of hashes at each of two points.")
    seed: int = SEED


def heartbeat(settings: HeartbeatSettings, context: TaskContext) -> TaskOutcome:
    """Listen to the board, and judge its arrivals.

    Raises:
        DataError: no fresh nonces with times.
    """
    from asic_reservoir.claim_trials import rhythm
    from asic_reservoir.inspection import watch

    def progress(part: float) -> None:
        context.stop_if_cancelled()
        context.progress(round(part * settings.seconds), round(settings.seconds), "listening")

    with open_board(context.board) as board:
        info, stream = board.info, watch(board, settings.seconds, progress)
    context.progress(round(settings.seconds), round(settings.seconds), "judging")
    return outcome_of(rhythm.judge(stream, settings.seed), info, "heartbeat", settings.flat(), settings.seed, context)


def sweep(settings: SweepSettings, context: TaskContext) -> TaskOutcome:
    """Sweep the board, and judge its gaps.

    Raises:
        UsageError: a recording.
        LimitError: a cell outside the limits of the board.
    """
    from asic_reservoir.claim_trials import regimes

    with open_board(context.board) as board:
        driver = Driver(board, context, 1)
        cells = regimes.grid_of(driver, settings.voltages_mv, settings.frequencies_mhz, settings.difficulties)
        driver.steps = 6 * len(cells)
        found = regimes.collect(driver, cells, settings.gaps, settings.seed)
        info = board.info
    finding = regimes.judge(found, info, settings.seed)
    return outcome_of(finding, info, "regime-sweep", settings.flat(), settings.seed, context)


def transit(settings: TransitionSettings, context: TaskContext) -> TaskOutcome:
    """Take the board to low voltage and back, and judge the share of right nonces.

    Raises:
        UsageError: a recording.
        SafetyError: the board had to be made safe.
    """
    from asic_reservoir.claim_trials import transition

    with open_board(context.board) as board:
        info = board.info
        driver = Driver(board, context, 2 * settings.voltages * (settings.windows + 1) + 20)
        found = transition.collect(
            driver, settings.voltages, settings.windows, settings.nonces, settings.settle_seconds,
            settings.frequency_mhz,
        )  # fmt: skip
    finding = transition.judge_fixed(info.uri) if found is None else transition.judge(found, info.origin, settings.seed)
    return outcome_of(finding, info, "voltage-transition", settings.flat(), settings.seed, context)


def diffuse(settings: DiffusionSettings, context: TaskContext) -> TaskOutcome:
    """Compare hashes of a good and of a bad operating point.

    Raises:
        UsageError: a recording, or a board that does not do SHA-256.
        DataError: nonces of no real header.
    """
    from asic_reservoir.claim_trials import diffusion

    with open_board(context.board) as board:
        info = board.info
        driver = Driver(board, context, 8 * diffusion.BLOCKS + 25)
        found = diffusion.collect(driver, settings.nonces, settings.seed)
    finding = diffusion.judge(found, info, settings.seed)
    return outcome_of(finding, info, "diffusion", settings.flat(), settings.seed, context)


def kinds() -> list[TaskKind[Any]]:
    """The kinds, for the entry point."""
    return [
        TaskKind(
            name="heartbeat",
            title="Is there a rhythm in the arrivals?",
            description="Spectrum and gaps of the arrivals against independent ones. Tries a claim.",
            params=HeartbeatSettings,
            run=heartbeat,
            example={"seconds": 60.0},
        ),
        TaskKind(
            name="regime-sweep",
            title="Sweep voltage, clock and difficulty for regimes",
            description="CV and entropy of the gaps over a grid, each cell twice, against independent ones. Tries a "
            "claim.",
            params=SweepSettings,
            run=sweep,
            example={"gaps": 100},
        ),
        TaskKind(
            name="voltage-transition",
            title="Is the loss of nonces at low voltage a change of phase?",
            description="Share of right nonces to low voltage and back: fluctuations and hysteresis. Tries a claim.",
            params=TransitionSettings,
            run=transit,
            example={"voltages": 9, "windows": 30},
            restartable=False,  # what drove a board to its edge and died is looked at by a person first
        ),
        TaskKind(
            name="diffusion",
            title="Does the distance of hashes tell a board's quality?",
            description="Hamming distance of consecutive hashes at a good and a bad operating point. Tries a claim.",
            params=DiffusionSettings,
            run=diffuse,
            example={"nonces": 500},
            restartable=False,
        ),
    ]
