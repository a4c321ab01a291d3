"""What a report says, as data. The JSON that other programs rely on is :meth:`ReportData.to_json` of this model.

The keys ``schema``, ``origin``, ``board``, ``task``, ``rows``, ``verdict`` and ``provenance`` are a promise; a change
of their meaning raises the number in :data:`SCHEMA`. Numbers are finite; a gap in a curve is ``null``. Equal content
gives equal bytes: the only clock is ``provenance.created``.

>>> report = ReportData(
...     origin="simulated", board="twin://s9?seed=1", task="narma10",
...     rows=[Row.of("silicon", [0.30, 0.31, 0.32])],
...     verdict=Verdict(label="undecided", sentence="Three seeds decide nothing."),
... )
>>> report.rows[0].nrmse.mean, report.rows[0].n_seeds
(0.31, 3)
>>> ReportData.from_json(report.to_json()) == report
True
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from asic_reservoir.board import Origin
from asic_reservoir.errors import DataError, UsageError
from asic_reservoir.provenance import Provenance
from asic_reservoir.report.words import ROW_WORDS

SCHEMA: Literal["asic-reservoir/report/1"] = "asic-reservoir/report/1"
CONFIDENCE = 0.95
"""Coverage of every interval in a report."""


def _plain(value: object) -> object:
    """Arrays and NumPy numbers as Python's own, NaN and infinity as ``None``; everything else as it is."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


Values = Annotated[list[float | None], BeforeValidator(_plain)]
"""A column of numbers; ``null`` is a gap. Takes arrays; NaN becomes ``null``."""
Integers = Annotated[list[int], BeforeValidator(_plain)]
Grid = Annotated[list[list[float | None]], BeforeValidator(_plain)]
Scalar = Annotated[str | bool | int | float | None, BeforeValidator(_plain)]


def numbers(values: ArrayLike) -> list[float | None]:
    """A column as the model keeps it: Python floats, NaN and infinity as ``None``.

    >>> numbers([1, float("nan")])
    [1.0, None]
    """
    return [value if np.isfinite(value) else None for value in np.asarray(values, dtype=np.float64).ravel().tolist()]


class Model(BaseModel):
    """Base: frozen, no unknown fields, no NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_by_name=True)


class Interval(Model):
    """A mean with its 95 % confidence interval."""

    mean: float
    low: float
    high: float

    @model_validator(mode="after")
    def _ordered(self) -> Interval:
        if not self.low <= self.mean <= self.high:
            raise ValueError(f"interval {self.low} … {self.mean} … {self.high}, must be low <= mean <= high")
        return self

    @classmethod
    def of(cls, values: ArrayLike) -> Interval:
        """Mean over seeds with Student's t interval at 95 %. One value gives an interval of no width.

        Raises:
            UsageError: no values, or one that is not finite.

        >>> Interval.of([0.30, 0.31, 0.32]).model_dump()
        {'mean': 0.31, 'low': 0.2851586, 'high': 0.3348414}
        """
        from scipy.stats import t

        array = np.asarray(values, dtype=np.float64).ravel()
        if array.size == 0 or not np.isfinite(array).all():
            raise UsageError(f"interval over seeds: {array.tolist()}, must be one or more finite numbers")
        mean = float(array.mean())
        half = 0.0
        if array.size > 1:
            quantile = float(t.ppf(0.5 + CONFIDENCE / 2, array.size - 1))
            half = quantile * float(array.std(ddof=1)) / float(np.sqrt(array.size))
        return cls(mean=_short(mean), low=_short(mean - half), high=_short(mean + half))


class Row(Model):
    """One line of the ladder: what a predictor scored on the test part, over seeds."""

    name: str = Field(min_length=1, max_length=60)
    nrmse: Interval
    n_seeds: int = Field(ge=1)
    values: Annotated[list[float], BeforeValidator(_plain)] = Field(default_factory=list)
    """The score of every seed, in the order of the seeds; empty where only the interval is known."""
    explanation: str = ""
    """What the row is, in one sentence for somebody who does not know the name."""

    @classmethod
    def of(cls, name: str, values: ArrayLike, explanation: str | None = None) -> Row:
        """From the scores of the seeds. The names of the ladder bring their own explanation."""
        scores = np.asarray(values, dtype=np.float64).ravel()
        return cls(
            name=name,
            nrmse=Interval.of(scores),
            n_seeds=int(scores.size),
            values=[_short(float(score)) for score in scores],
            explanation=ROW_WORDS.get(name, "") if explanation is None else explanation,
        )


class Check(Model):
    """A control that the verdict rests on."""

    name: str
    passed: bool
    sentence: str
    """What was expected, what was found."""


class Verdict(Model):
    """What the run shows, decided from intervals."""

    label: Literal["supported", "not supported", "undecided"]
    sentence: str = Field(min_length=1)
    checks: list[Check] = Field(default_factory=list)


CurveStyle = Literal["line", "points", "line+points", "bars", "steps"]


class Curve(Model):
    """One line of a plot. ``low`` and ``high`` draw a band; ``style`` is a hint."""

    name: str
    x: Values
    y: Values
    low: Values | None = None
    high: Values | None = None
    style: CurveStyle = "line"

    @model_validator(mode="after")
    def _same_length(self) -> Curve:
        for name in ("y", "low", "high"):
            column = getattr(self, name)
            if column is not None and len(column) != len(self.x):
                raise ValueError(
                    f"curve {self.name!r}: {len(column)} values of {name!r}, must be {len(self.x)} as in 'x'"
                )
        return self

    @classmethod
    def of(
        cls,
        name: str,
        x: ArrayLike,
        y: ArrayLike,
        *,
        low: ArrayLike | None = None,
        high: ArrayLike | None = None,
        style: CurveStyle = "line",
    ) -> Curve:
        """From arrays of one length."""
        return cls(
            name=name,
            x=numbers(x),
            y=numbers(y),
            low=None if low is None else numbers(low),
            high=None if high is None else numbers(high),
            style=style,
        )


class Reference(Model):
    """A horizontal line to compare with: a floor, a published value, a threshold."""

    name: str
    value: float


class _Figure(Model):
    id: str = Field(pattern=r"^[a-z][a-z0-9-]*$")
    """Anchor in the page, unique in the report."""
    title: str
    caption: str = ""
    """What to look for, in one or two sentences."""
    x_label: str = ""
    y_label: str = ""


class LinePlot(_Figure):
    """Curves over a common x. A second panel of its own unit goes below: ``lower`` (temperatures under rates)."""

    kind: Literal["lines"] = "lines"
    curves: list[Curve] = Field(min_length=1)
    references: list[Reference] = Field(default_factory=list)
    x_log: bool = False
    y_log: bool = False
    lower: list[Curve] = Field(default_factory=list)
    lower_label: str = ""


class RasterPlot(_Figure):
    """A dot a nonce: time against chip. ``mark`` (index into ``marks``) tells kinds apart: valid, stale, …"""

    kind: Literal["raster"] = "raster"
    time_s: Values
    row: Integers
    mark: Integers
    marks: list[str] = Field(min_length=1)

    @model_validator(mode="after")
    def _columns_agree(self) -> RasterPlot:
        n = len(self.time_s)
        for name in ("row", "mark"):
            if len(getattr(self, name)) != n:
                raise ValueError(
                    f"raster {self.id!r}: {len(getattr(self, name))} of {name!r}, must be {n} as in 'time_s'"
                )
        if any(not 0 <= mark < len(self.marks) for mark in self.mark):
            raise ValueError(f"raster {self.id!r}: a mark outside 0 to {len(self.marks) - 1}")
        return self


class MapPlot(_Figure):
    """A grid of numbers as colours: chips by cores, voltage by frequency. ``null`` is a cell that does not exist."""

    kind: Literal["map"] = "map"
    values: Grid = Field(min_length=1)
    """Row by row, shape (n_rows, n_columns)."""
    value_label: str = ""
    x_ticks: list[str] = Field(default_factory=list)
    y_ticks: list[str] = Field(default_factory=list)
    annotate: bool = False
    """Write the number into every cell."""

    @model_validator(mode="after")
    def _rectangular(self) -> MapPlot:
        if len({len(row) for row in self.values}) != 1 or not self.values[0]:
            raise ValueError(f"map {self.id!r}: rows of different or no length, must be rectangular")
        return self


Figure = Annotated[LinePlot | RasterPlot | MapPlot, Field(discriminator="kind")]


class Table(Model):
    """A table beside the ladder: redraws a seed, capacities, settings of a sweep."""

    title: str
    columns: list[str] = Field(min_length=1)
    rows: list[list[Scalar]]
    caption: str = ""

    @model_validator(mode="after")
    def _rectangular(self) -> Table:
        for index, row in enumerate(self.rows):
            if len(row) != len(self.columns):
                raise ValueError(f"table {self.title!r} row {index}: {len(row)} cells, must be {len(self.columns)}")
        return self


class ReportData(Model):
    """One run on one board, with everything that is needed to judge it.

    ``figures`` may be empty: the page shows what there is. The ladder is drawn from ``rows``. Build figures with
    :mod:`asic_reservoir.report.figures`.
    """

    schema_: Literal["asic-reservoir/report/1"] = Field(default=SCHEMA, alias="schema")
    origin: Origin
    board: str
    """URI of the board."""
    task: str
    title: str = ""
    """Heading of the page; made of task and board where empty."""
    summary: str = ""
    """One paragraph under the verdict, for a reader who knows nothing of the run."""
    rows: list[Row]
    verdict: Verdict
    controls: bool = True
    """False where the run was asked to leave the controls out; the page then says so first."""
    settings: dict[str, Scalar] = Field(default_factory=dict)
    """Everything that was chosen: encoding, mode, steps, seconds a step, lags of the host, seeds."""
    board_facts: dict[str, Scalar] = Field(default_factory=dict)
    figures: list[Figure] = Field(default_factory=list)
    tables: list[Table] = Field(default_factory=list)
    notes: list[str] = Field(default_factory=list)
    """Limits and remarks, a sentence each."""
    provenance: Provenance = Field(default_factory=Provenance)

    NRMSE_RULE: ClassVar[str] = "NRMSE = root mean square error / standard deviation of the target on the test part."

    @model_validator(mode="after")
    def _unique(self) -> ReportData:
        for what, names in (
            ("row", [row.name for row in self.rows]),
            ("figure", [figure.id for figure in self.figures]),
        ):
            twice = {name for name in names if names.count(name) > 1}
            if twice:
                raise ValueError(f"{what} {sorted(twice)[0]!r} is there twice, must be unique")
        return self

    def row(self, name: str) -> Row | None:
        """The row of that name, if the report has it."""
        return next((row for row in self.rows if row.name == name), None)

    def to_dict(self) -> dict[str, Any]:
        """Plain data with the key ``schema``, in the order of this class."""
        return self.model_dump(mode="json", by_alias=True)

    def to_json(self) -> str:
        """The report as JSON text, UTF-8 safe, ending with a newline. Equal reports give equal bytes."""
        return json.dumps(self.to_dict(), ensure_ascii=False, allow_nan=False, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, source: str = "report") -> ReportData:
        """Read a report again.

        Raises:
            DataError: not JSON, another schema, a field missing, unknown or of the wrong kind; names the first.
        """
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{source}: {_one_line(error)}, must be JSON of schema {SCHEMA}") from None
        if not isinstance(data, dict) or data.get("schema") != SCHEMA:
            found = data.get("schema") if isinstance(data, dict) else type(data).__name__
            raise DataError(f"{source}: schema {_brief(found)}, must be {SCHEMA!r}")
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = _one_line(".".join(str(part) for part in first["loc"])) or "report"
            raise DataError(f"{source}: {where[:100]}: {_brief(first['input'])}, {_one_line(first['msg'])}") from None


def interval_rows(names_and_values: Sequence[tuple[str, ArrayLike]]) -> list[Row]:
    """Rows of the ladder from (name, scores of the seeds) pairs."""
    return [Row.of(name, values) for name, values in names_and_values]


def _short(value: float) -> float:
    """Seven significant digits: more than any seed-to-seed spread can carry, the same on every machine."""
    return float(f"{value:.7g}")


def _brief(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _one_line(value: object) -> str:
    return " ".join(str(value).split())
