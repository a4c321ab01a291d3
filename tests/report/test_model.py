"""The report's JSON: the keys that other programs rely on, and a typed error for everything else."""

import copy
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import stats

from asic_reservoir.errors import DataError, UsageError
from asic_reservoir.provenance import Provenance, collect
from asic_reservoir.report import Curve, Interval, LinePlot, MapPlot, RasterPlot, ReportData, Row, Table, Verdict
from asic_reservoir.report import figures as build


def a_report(**changes):
    content = {
        "origin": "simulated",
        "board": "twin://s9?seed=1",
        "task": "narma10",
        "rows": [
            Row.of("constant", [1.0, 1.01, 0.99]),
            Row.of("silicon", [0.31, 0.30, 0.32]),
            Row.of("difference", [-0.12, -0.11, -0.13]),
        ],
        "verdict": Verdict(label="supported", sentence="The board adds something."),
        "settings": {"steps": 4200, "encoding": "frequency", "step_seconds": 10.0, "resume": None, "controls": True},
        "figures": [
            build.prediction(np.sin(np.arange(300)), {"silicon": np.cos(np.arange(300))}, first_step=100),
            build.capacity(np.arange(5), {"silicon": [0.9, 0.5, 0.2, 0.1, np.nan]}, 0.01),
            build.nonce_budget([17, 166], {"silicon": [Interval.of([0.4, 0.5])] * 2}, {"host": 0.376}),
            build.heat_map([[1.0, np.nan], [2.0, 3.0]], id="grid", title="Grid", value_label="CV"),
        ],
        "tables": [Table(title="Redraws", columns=["seed", "redrawn"], rows=[[1, 0], [2, 1]])],
        "notes": ["A note."],
    }
    return ReportData(**{**content, **changes})


def test_keys_that_other_programs_rely_on():
    data = json.loads(a_report().to_json())
    assert data["schema"] == "asic-reservoir/report/1"
    assert (data["origin"], data["board"], data["task"]) == ("simulated", "twin://s9?seed=1", "narma10")
    row = data["rows"][1]
    assert row["name"] == "silicon"
    assert set(row["nrmse"]) == {"mean", "low", "high"}
    assert row["n_seeds"] == 3
    assert data["verdict"]["label"] == "supported"
    assert data["verdict"]["sentence"]
    assert "provenance" in data


def test_the_interval_is_students_over_seeds():
    values = np.random.default_rng(0).normal(0.3, 0.02, 10)
    low, high = stats.t.interval(0.95, 9, loc=values.mean(), scale=stats.sem(values))
    interval = Interval.of(values)
    assert (interval.mean, interval.low, interval.high) == pytest.approx((values.mean(), low, high), rel=1e-6)
    assert Interval.of([0.5]).model_dump() == {"mean": 0.5, "low": 0.5, "high": 0.5}
    for bad in ([], [np.nan], [1.0, np.inf]):
        with pytest.raises(UsageError, match="must be one or more finite numbers"):
            Interval.of(bad)


def test_equal_content_gives_equal_bytes_and_comes_back():
    assert a_report().to_json() == a_report().to_json()
    text = a_report().to_json()
    assert ReportData.from_json(text) == a_report()
    assert ReportData.from_json(text).to_json() == text
    assert "NaN" not in text


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("schema",), "asic-reservoir/report/0", "schema 'asic-reservoir/report/0', must be"),
        (("origin",), "guessed", "origin: 'guessed'"),
        (("verdict", "label"), "maybe", "verdict.label: 'maybe'"),
        (("rows", 1, "nrmse", "mean"), "low", "rows.1.nrmse.mean: 'low'"),
        (("rows", 1, "nrmse", "low"), 0.5, "must be low <= mean <= high"),
        (("rows", 1, "n_seeds"), 0, "rows.1.n_seeds: 0"),
        (("rows", 1, "name"), "constant", "row 'constant' is there twice"),
        (("extra",), 1, "extra: 1"),
        (("figures", 0, "kind"), "pie", "figures.0"),
        (("figures", 0, "curves", 0, "y"), [1.0], "must be 200 as in 'x'"),
        (("tables", 0, "rows", 0), [1], "1 cells, must be 2"),
    ],
)
def test_a_bad_field_is_named_in_one_line(path, value, message):
    data = json.loads(a_report().to_json())
    place = data
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(DataError) as caught:
        ReportData.from_json(json.dumps(data), source="run.json")
    assert str(caught.value).startswith("run.json: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "null", "{", '{"schema": 1}', "[" * 100_000, b"\xff\xfe", "1e999", "NaN"])
def test_what_is_no_report(text):
    with pytest.raises(DataError, match="report: "):
        ReportData.from_json(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=8), children, max_size=3),
    max_leaves=8,
)
WHOLE = json.loads(a_report().to_json())


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_field_replaced_by_anything_is_a_report_or_a_typed_error(data):
    content = copy.deepcopy(WHOLE)
    place, key = content, data.draw(st.sampled_from(sorted(content)))
    while isinstance(place[key], dict | list) and place[key] and data.draw(st.booleans()):
        place = place[key]
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
    place[key] = data.draw(JSON)
    try:
        report = ReportData.from_json(json.dumps(content))
    except DataError as error:
        assert "\n" not in str(error)  # noqa: PT017
        return
    assert ReportData.from_json(report.to_json()) == report


def test_figures_refuse_columns_that_do_not_fit():
    with pytest.raises(UsageError, match=r"silicon: an array of shape \(3,\), must be one column of 4"):
        build.prediction(np.zeros(4), {"silicon": np.zeros(3)})
    with pytest.raises(UsageError, match="1 intervals, must be 2"):
        build.nonce_budget([1, 2], {"silicon": [Interval.of([1.0])]})
    with pytest.raises(ValidationError, match="must be 2 as in 'time_s'"):
        RasterPlot(id="raster", title="r", time_s=[0.0, 1.0], row=[1], mark=[0, 0], marks=["valid"])
    with pytest.raises(ValidationError, match="must be rectangular"):
        MapPlot(id="map", title="m", values=[[1.0], [1.0, 2.0]])
    with pytest.raises(ValidationError, match="at least 1 item"):
        LinePlot(id="line", title="l", curves=[])
    assert Curve.of("c", [0, 1], [np.nan, np.inf]).y == [None, None]


def test_provenance_names_the_code_and_no_person():
    record = collect(seeds=[1, 2], settings={"encoding": "frequency"})
    assert record.version
    assert record.libraries["numpy"] == np.__version__
    assert len(record.environment_sha256) == len(record.lock_sha256) == 64
    assert record.commit == "" or len(record.commit) == 40
    assert Provenance.model_validate_json(record.model_dump_json()) == record
    import getpass
    import platform

    text = record.model_dump_json()
    assert platform.node() not in text or len(platform.node()) < 4
    assert f"/{getpass.getuser()}/" not in text
