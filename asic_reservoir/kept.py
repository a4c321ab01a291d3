"""What a task leaves beside its result: facts that outlive it, and that others look up.

A kind of task puts them into :attr:`asic_reservoir.kinds.TaskOutcome.facts`; who runs the task writes them in the
transaction of its result, so that there is no result without its facts and no fact without its result.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, field_validator

from asic_reservoir.claims import claim_of
from asic_reservoir.errors import NotFoundError


class _Kept(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class KeptModel(_Kept):
    """A trained readout, in a file that the task left in its folder."""

    fact: Literal["model"] = "model"
    name: str = Field(max_length=128)
    """What it does; the service adds the name of the board and counts versions of the same name."""
    file: str
    """Name in the folder of the task, written by :meth:`asic_reservoir.trained.TrainedReadout.to_npz`."""
    format: str


class KeptCalibration(_Kept):
    """A calibration of the board that the task ran on."""

    fact: Literal["calibration"] = "calibration"
    content: dict[str, Any]
    """The record as a JSON document."""


class KeptClaim(_Kept):
    """A published claim, tried on the board that the task ran on."""

    fact: Literal["claim"] = "claim"
    claim: str
    """Identifier in :mod:`asic_reservoir.claims`."""
    measured: dict[str, Any]
    """Value, interval, control."""
    verdict: Literal["supported", "not supported", "undecided"]

    @field_validator("claim")
    @classmethod
    def _known(cls, name: str) -> str:
        try:
            return claim_of(name).id
        except NotFoundError as error:
            raise ValueError(str(error)) from None


class KeptRecording(_Kept):
    """A run that the task recorded, whole: what it was asked for. Its events lie in the store of who ran the task."""

    fact: Literal["recording"] = "recording"
    run: str
    """Identifier of the run."""


Kept: TypeAlias = KeptModel | KeptCalibration | KeptClaim | KeptRecording
_KEPT: TypeAdapter[Kept] = TypeAdapter(Annotated[Kept, Field(discriminator="fact")])


def parse_kept(document: dict[str, Any]) -> Kept:
    """A fact as it went over a wire.

    >>> parse_kept({"fact": "claim", "claim": "reservoir", "measured": {}, "verdict": "undecided"}).verdict
    'undecided'
    """
    return _KEPT.validate_python(document)
