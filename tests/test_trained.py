"""Trained readouts as files: NumPy alone reads them, and what is none is refused."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asic_reservoir.board import Origin
from asic_reservoir.errors import DataError, NotFoundError
from asic_reservoir.trained import ReadoutSettings, TrainedReadout, load_readout


def readout(n: int = 4, **changes: Any) -> TrainedReadout:
    settings: dict[str, Any] = {
        "task": "narma10", "board": "twin://bm1366?seed=1", "family": "bm1366", "model": "BM1366", "n_counters": 1,
        "origin": Origin.SIMULATED, "encoding": "frequency", "mode": "monologue", "lags": 20, "slots": 2,
        "step_seconds": 10.0, "observables": ("counts",), "mask_seed": 0, "input_low": 0.0, "input_high": 0.5,
        "voltage_mv": 1200.0, "washout": 100, "train": 150, "alpha": 1e-3, "test_nrmse": 0.5, "provenance": {},
    }  # fmt: skip
    rng = np.random.default_rng(n)
    parts: dict[str, Any] = {
        "settings": ReadoutSettings(**settings),
        "weights": rng.normal(size=n),
        "intercept": 0.25,
        "state_mean": rng.normal(size=n),
        "state_scale": rng.uniform(1, 2, n),
        "feature_names": tuple(f"valid slot {i} counter 0" for i in range(n)),
        "edge_mhz": np.array([500.0]),
        "edge_width": np.array([0.03]),
    }
    return TrainedReadout(**(parts | changes))


def test_numpy_alone_reads_the_archive_and_predicts_the_same(tmp_path: Path) -> None:
    ours = readout()
    (tmp_path / "model.npz").write_bytes(ours.to_npz())
    states = np.random.default_rng(1).normal(size=(50, 4))
    with np.load(tmp_path / "model.npz", allow_pickle=False) as file:
        theirs = states @ file["weights"] + file["intercept"]
        assert json.loads(str(file["settings"]))["lags"] == 20
        assert file["feature_names"].tolist() == list(ours.feature_names)
    np.testing.assert_array_equal(theirs, ours.predict(states))


def test_files_keep_every_bit_and_are_the_same_bytes_again(tmp_path: Path) -> None:
    ours = readout()
    assert ours.to_npz() == ours.to_npz()
    (tmp_path / "a.npz").write_bytes(ours.to_npz())
    (tmp_path / "a.json").write_text(json.dumps(ours.to_json()))
    for path in (tmp_path / "a.npz", tmp_path / "a.json"):
        assert load_readout(path).to_npz() == ours.to_npz()


def test_states_that_do_not_fit_are_named() -> None:
    with pytest.raises(DataError, match=r"shape \(3, 5\), must be \(n_steps, 4\)"):
        readout().predict(np.zeros((3, 5)))
    states = np.zeros((3, 4))
    states[2, 1] = np.nan
    with pytest.raises(DataError, match="row 2, column 1"):
        readout().predict(states)
    with pytest.raises(DataError, match="weights"):
        readout(weights=np.zeros(3))
    with pytest.raises(DataError, match="edge_mhz"):
        readout(edge_mhz=np.zeros(2), edge_width=np.zeros(2))
    with pytest.raises(NotFoundError):
        load_readout("/nowhere/model.npz")


def archive(**arrays: Any) -> bytes:
    with np.load(io.BytesIO(readout().to_npz())) as file:
        parts = {name: file[name] for name in file.files} | arrays
    buffer = io.BytesIO()
    np.savez(buffer, **{name: value for name, value in parts.items() if value is not None})
    return buffer.getvalue()


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("a pickle was executed",))


def pickled() -> bytes:
    """An archive whose weights are a pickled object."""
    buffer = io.BytesIO(readout().to_npz())
    out = io.BytesIO()
    with zipfile.ZipFile(buffer) as source, zipfile.ZipFile(out, "w") as target:
        for info in source.infolist():
            content = source.read(info)
            if info.filename == "weights.npy":
                header = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"
                header += b" " * (64 - (len(header) + 11) % 64) + b"\n"
                content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + pickle.dumps([Bomb()])
            target.writestr(info.filename, content)
    return out.getvalue()


def huge() -> bytes:
    """A member that unpacks into far more than it is."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as target:
        target.writestr("weights.npy", bytes(65 << 20))
    return out.getvalue()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "must be an NPZ"),
        (b"PK\x03\x04", "must be an NPZ"),
        (archive(weights=None), "must be those of"),
        (archive(more=np.zeros(3)), "must be those of"),
        (archive(weights=np.zeros(4, np.float32)), "must be float64"),
        (archive(weights=np.full(4, np.inf)), "finite"),
        (archive(settings=np.array("{}")), "Field required"),
        (archive(settings=np.array("[" * 9999)), "must be an NPZ"),
        (archive(feature_names=np.zeros(4)), "must be text"),
        (pickled(), "must be an NPZ"),
        (huge(), "must be those of"),
    ],
)
def test_what_is_no_readout_is_refused(content: bytes, words: str) -> None:
    with pytest.raises(DataError, match=words):
        TrainedReadout.from_npz(content)


@given(st.integers(0, 3000), st.integers(0, 255))
def test_damage_is_found_or_harmless(place: int, value: int) -> None:
    """Whatever byte is changed: a readout that can be used, or one of our errors."""
    content = bytearray(readout().to_npz())
    content[place % len(content)] = value
    try:
        found = TrainedReadout.from_npz(bytes(content))
    except DataError:
        return
    assert np.isfinite(found.predict(np.ones((1, 4)))).all()
