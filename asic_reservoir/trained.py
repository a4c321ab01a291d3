"""A trained readout with everything that is needed to use it again: weights, and how the states were made.

As a file it is an NPZ archive that NumPy reads without us (``numpy.load(path)``, no pickled objects)::

    weights        float64 (n_states,)    in units of the states: standardisation is folded in
    intercept      float64 ()
    state_mean     float64 (n_states,)    over the training rows, for whoever wants to see how far a state lies out
    state_scale    float64 (n_states,)    standard deviation over the training rows
    feature_names  text (n_states,)       what each column of the states is
    edge_mhz       float64 (n_counters,)  edges that the encoding was centred on; empty where it needs none
    edge_width     float64 (n_counters,)  their widths in ln(f)
    settings       text ()                a JSON object, see :class:`ReadoutSettings`

    y[t] = states[t] @ weights + intercept

:meth:`TrainedReadout.to_json` gives the same as one JSON object, with lists for the arrays and an object for
``settings``.
"""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from asic_reservoir.board import Origin
from asic_reservoir.edges import EdgeMap
from asic_reservoir.encoding import EncodingName, EncodingSettings, Mode
from asic_reservoir.errors import DataError, NotFoundError

FloatArray = NDArray[np.float64]
FORMAT = "asic-reservoir readout 1"
LARGEST = 64 << 20
"""Bytes of a file that is taken for a readout, and of all arrays in it."""
_VECTORS = ("weights", "state_mean", "state_scale")
_EDGES = ("edge_mhz", "edge_width")
_MEMBERS = (*_VECTORS, *_EDGES, "intercept", "feature_names", "settings")


class ReadoutSettings(BaseModel):
    """How the states were made, and what the readout was trained on."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    format: Literal["asic-reservoir readout 1"] = "asic-reservoir readout 1"
    task: str = Field(description="What it was trained to do.")
    board: str = Field(description="URI of the board whose states it was trained on.")
    family: str
    model: str
    n_counters: int = Field(ge=1)
    origin: Origin
    encoding: EncodingName
    mode: Mode
    lags: int = Field(ge=1, le=1000)
    slots: int = Field(ge=1, le=1000)
    step_seconds: float = Field(gt=0)
    difficulty: int | None = None
    observables: tuple[str, ...]
    mask_seed: int = Field(ge=0)
    input_low: float = Field(description="Inputs are scaled from [input_low, input_high] to [-1, 1].")
    input_high: float
    voltage_mv: float | None = Field(default=None, description="Supply that the edges hold for.")
    coupling: float = Field(default=0.0, description="Of the clocks of one voltage domain, as found with the edges.")
    washout: int = Field(ge=0, description="Steps after a start whose outputs do not count yet.")
    train: int = Field(ge=0, description="Rows that it was trained on, after the washout.")
    alpha: float = Field(description="Penalty of the ridge, on states of unit variance.")
    test_nrmse: float = Field(description="On the rows after the training rows.")
    provenance: dict[str, Any]

    def encoding_settings(self) -> EncodingSettings:
        """For :class:`asic_reservoir.encoding.Encoder`."""
        return EncodingSettings(self.encoding, self.mode, self.lags, self.slots, self.step_seconds, self.difficulty)


@dataclass(frozen=True, slots=True, eq=False)
class TrainedReadout:
    """A linear readout of the states of a board.

    Raises:
        DataError: arrays that do not fit each other, or that are not finite.
    """

    settings: ReadoutSettings
    weights: FloatArray
    """(n_states,)"""
    intercept: float
    state_mean: FloatArray
    """(n_states,)"""
    state_scale: FloatArray
    """(n_states,)"""
    feature_names: tuple[str, ...]
    edge_mhz: FloatArray
    """(n_counters,) or empty."""
    edge_width: FloatArray
    """As ``edge_mhz``."""

    def __post_init__(self) -> None:
        n = len(self.feature_names)
        for name in _VECTORS:
            array = getattr(self, name)
            if array.shape != (n,) or not np.all(np.isfinite(array)):
                raise DataError(f"readout {name}: shape {array.shape}, must be {(n,)} and finite as feature_names says")
        if self.edge_mhz.shape != self.edge_width.shape or self.edge_mhz.size not in (0, self.settings.n_counters):
            raise DataError(f"readout edge_mhz: shape {self.edge_mhz.shape}, must be one a counter or empty")
        if not np.isfinite([self.intercept, *self.edge_mhz, *self.edge_width]).all() or n == 0:
            raise DataError("readout: an edge or the intercept is not finite, or there are no states")

    @property
    def n_states(self) -> int:
        return len(self.weights)

    @property
    def edges(self) -> EdgeMap | None:
        """What the encoding is centred on; None where it needs nothing."""
        if self.edge_mhz.size == 0 or self.settings.voltage_mv is None:
            return None
        return EdgeMap(self.settings.voltage_mv, self.edge_mhz, self.edge_width, self.settings.coupling, 0.0)

    def predict(self, states: FloatArray) -> FloatArray:
        """One output a row of states.

        Args:
            states: (n_steps, n_states), finite.

        Returns:
            (n_steps,)

        Raises:
            DataError: another width, or a state that is not finite; names row and column.
        """
        if states.ndim != 2 or states.shape[1] != self.n_states:
            raise DataError(f"states: shape {states.shape}, must be (n_steps, {self.n_states})")
        bad = np.argwhere(~np.isfinite(states))
        if bad.size:
            row, column = (int(place) for place in bad[0])
            raise DataError(f"states: row {row}, column {column} is {states[row, column]}, must be finite")
        return np.asarray(states @ self.weights + self.intercept)

    # -- files ---------------------------------------------------------------------------------------------------

    def to_npz(self) -> bytes:
        """The archive; the same readout gives the same bytes."""
        buffer = io.BytesIO()
        arrays: dict[str, Any] = {name: getattr(self, name) for name in (*_VECTORS, *_EDGES)}
        arrays |= {
            "intercept": np.float64(self.intercept),
            "feature_names": np.array(self.feature_names),
            "settings": np.array(self.settings.model_dump_json()),
        }
        np.savez(buffer, **arrays)
        return buffer.getvalue()

    def to_json(self) -> dict[str, Any]:
        """One object; floats keep every bit."""
        lists = {name: getattr(self, name).tolist() for name in (*_VECTORS, *_EDGES)}
        rest = {"intercept": self.intercept, "feature_names": list(self.feature_names)}
        return {"settings": self.settings.model_dump(mode="json"), **rest, **lists}

    @classmethod
    def from_npz(cls, content: bytes, source: str = "readout") -> Self:
        """Read what :meth:`to_npz` wrote.

        Raises:
            DataError: it is something else; names what.
        """
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                # the directory is asked first, so that no archive unpacks into more than it says
                size = sum(info.file_size for info in archive.infolist())
                names = sorted(info.filename for info in archive.infolist())
            if size > LARGEST or names != sorted(f"{name}.npy" for name in _MEMBERS):
                raise DataError(f"{source}: {len(names)} arrays of {size:,} bytes, must be those of {FORMAT!r}")
            with np.load(io.BytesIO(content), allow_pickle=False) as file:
                arrays = {name: file[name] for name in _MEMBERS}
            for name in (*_VECTORS, *_EDGES, "intercept"):
                if arrays[name].dtype != np.float64:
                    raise DataError(f"{source}: {name} is {arrays[name].dtype}, must be float64")
            for name in ("feature_names", "settings"):
                if arrays[name].dtype.kind != "U":
                    raise DataError(f"{source}: {name} is {arrays[name].dtype}, must be text")
            parts = {name: arrays[name] for name in (*_VECTORS, *_EDGES)}
            return cls(
                settings=ReadoutSettings.model_validate_json(str(arrays["settings"])),
                intercept=float(arrays["intercept"]),
                feature_names=tuple(arrays["feature_names"].tolist()),
                **parts,
            )
        except DataError:
            raise
        except (zipfile.BadZipFile, OSError, ValueError, TypeError, EOFError, KeyError, SyntaxError) as error:
            reason = _first_line(error)
            raise DataError(f"{source}: {reason}, must be an NPZ of {FORMAT!r}") from None

    @classmethod
    def from_json(cls, document: dict[str, Any], source: str = "readout") -> Self:
        """Read what :meth:`to_json` gave. Raises DataError."""
        try:
            return cls(
                settings=ReadoutSettings.model_validate_json(json.dumps(document["settings"])),
                intercept=float(document["intercept"]),
                feature_names=tuple(map(str, document["feature_names"])),
                **{name: np.asarray(document[name], np.float64) for name in (*_VECTORS, *_EDGES)},
            )
        except (KeyError, ValueError, TypeError) as error:
            raise DataError(f"{source}: {_first_line(error)}, must be a JSON of {FORMAT!r}") from None


def load_readout(path: Path | str) -> TrainedReadout:
    """Read a readout from an ``.npz`` or ``.json`` file.

    Raises:
        NotFoundError: no such file.
        DataError: too large, or something else than a readout.
    """
    path = Path(path)
    try:
        if path.stat().st_size > LARGEST:
            raise DataError(f"{path}: {path.stat().st_size:,} bytes, must be at most {LARGEST:,}")
        content = path.read_bytes()
    except FileNotFoundError:
        raise NotFoundError(f"{path}: no such file") from None
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}, must be a readable file") from None
    if path.suffix.lower() == ".json":
        try:
            return TrainedReadout.from_json(json.loads(content), str(path))
        except ValueError as error:
            raise DataError(f"{path}: {_first_line(error)}, must be JSON") from None
    return TrainedReadout.from_npz(content, str(path))


def _first_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        return f"settings {'.'.join(map(str, first['loc']))}: {first['msg']}"
    return " ".join(str(error).split())[:160] or type(error).__name__
