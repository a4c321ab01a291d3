"""The user's own series: read as they are, or refused with file, column and row."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asic_reservoir.errors import AsicReservoirError, DataError, NotFoundError
from asic_reservoir.tasks import load_series, open_task

U, Y = np.array([0.1, 0.25, -3.0]), np.array([1.0, 2.5e-3, 7.0])


def write(path: Path, kind: str) -> Path:
    target = path / f"mine.{kind}"
    if kind == "csv":
        target.write_text(
            "time,target,input\n"
            + "".join(f"{k},{y!r},{u!r}\n" for k, (u, y) in enumerate(zip(U.tolist(), Y.tolist(), strict=True)))
        )
    elif kind == "npy":
        np.save(target, np.stack([U, Y], axis=1))
    else:
        pq.write_table(pa.table({"target": Y, "input": U}), target)
    return target


@pytest.mark.parametrize("kind", ["csv", "npy", "parquet"])
def test_a_series_comes_back_as_it_was_written(tmp_path: Path, kind: str) -> None:
    series = open_task(str(write(tmp_path, kind))).generate(seed=9, n_steps=3)
    np.testing.assert_array_equal(series.input, U)
    np.testing.assert_array_equal(series.target, Y)
    assert series.input_range == (-3.0, 0.25)


def test_a_structured_array_is_read_by_field(tmp_path: Path) -> None:
    path = tmp_path / "mine.npy"
    np.save(path, np.array(list(zip(Y, U, strict=True)), dtype=[("target", "f4"), ("input", "f8")]))
    np.testing.assert_array_equal(load_series(path).input, U)


def csv(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "bad.csv"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("input,target\n1,2\n3,nan\n", r"bad\.csv: column 'target', row 2: nan"),
        ("input,target\n1,2\ninf,4\n", r"bad\.csv: column 'input', row 2: inf"),
        ("input,target\n1,2\n3,four\n", r"bad\.csv: column 'target', row 2: 'four'"),
        ("input,target\n1,2\n3\n", r"bad\.csv: row 2: 1 fields, must be 2"),
        ("u,target\n1,2\n", r"bad\.csv: no column 'input', .* found u, target"),
        ("input,target\n1,2\n", r"bad\.csv: 1 rows, must have at least 2"),
        ("", r"bad\.csv: no column 'input', .* found none"),
    ],
)
def test_a_bad_csv_names_column_and_row(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_series(csv(tmp_path, text))


def test_bad_arrays_are_named(tmp_path: Path) -> None:
    path = tmp_path / "bad.npy"
    for array, message in (
        (np.zeros((3, 3)), r"shape \(3, 3\), must be \(n_steps, 2\)"),
        (np.zeros((3, 2), dtype=complex), "dtype complex128"),
        (np.zeros((3, 2), dtype=bool), "dtype bool"),
        (np.array([[1.0, 2.0], [np.nan, 3.0]]), "column 'input', row 2: nan"),
    ):
        np.save(path, array)
        with pytest.raises(DataError, match=message):
            load_series(path)


def test_a_pickled_array_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "evil.npy"
    np.save(path, np.array([[{}, 1], [2, 3]], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match=r"evil\.npy: not an NPY file of numbers"):
        load_series(path)


def test_null_and_text_in_parquet_are_named(tmp_path: Path) -> None:
    path = tmp_path / "bad.parquet"
    pq.write_table(pa.table({"input": [1.0, None], "target": [1, 2]}), path)
    with pytest.raises(DataError, match="column 'input', row 2: nan"):
        load_series(path)
    pq.write_table(pa.table({"input": ["a", "b"], "target": [1, 2]}), path)
    with pytest.raises(DataError, match="column 'input': type string"):
        load_series(path)


def test_missing_file_wrong_suffix_and_too_many_steps(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"absent\.csv: no such file"):
        load_series(tmp_path / "absent.csv")
    (tmp_path / "mine.txt").write_text("1")
    with pytest.raises(DataError, match=r"suffix '\.txt', must be one of"):
        load_series(tmp_path / "mine.txt")
    with pytest.raises(DataError, match="3 rows, must be at least the 4 steps"):
        open_task(str(write(tmp_path, "csv"))).generate(0, 4)


@pytest.mark.parametrize("kind", ["csv", "npy", "parquet"])
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(data=st.data())
def test_any_damage_gives_a_series_or_a_typed_error(tmp_path: Path, kind: str, data: st.DataObject) -> None:
    whole = write(tmp_path, kind).read_bytes()
    cut = data.draw(st.integers(0, len(whole)))
    patch = data.draw(st.binary(max_size=8))
    damaged = tmp_path / f"damaged.{kind}"
    damaged.write_bytes(
        whole[:cut] + patch + whole[cut + len(patch) :] if data.draw(st.booleans()) else whole[:cut] + patch
    )
    outcome: object
    try:
        outcome = load_series(damaged)
    except AsicReservoirError as error:
        outcome = str(error)
    if isinstance(outcome, str):
        assert "damaged" in outcome.splitlines()[0]
        assert len(outcome.splitlines()) == 1
    else:
        assert len(outcome.input) == len(outcome.target) >= 2
        assert np.all(np.isfinite([outcome.input, outcome.target]))
