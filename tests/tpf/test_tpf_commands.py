"""``asic-reservoir tpf``: the four commands from the outside, and the GPU kernel in numba's simulator."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from asic_reservoir.cli import main
from asic_reservoir.report.files import read_report
from asic_reservoir.tpf import gpu
from asic_reservoir.tpf.compression import Job
from asic_reservoir.tpf.report_parts import published_table
from asic_reservoir.tpf.sha256 import tap

GPU_SCRIPT = """
import numpy as np
from asic_reservoir.tpf.gpu import available, tap_on_gpu
from asic_reservoir.tpf.compression import Job
from asic_reservoir.tpf.sha256 import Kernel, tap, word7_of
assert available()
job = Job.random(np.random.default_rng(0))
nonces = np.array([0, 1, 2**31, 2**32 - 1], np.uint32)
with np.errstate(over="ignore"):  # the simulator adds NumPy scalars, a device adds words
    for compression, r in ((0, 0), (0, 5), (0, 64), (1, 0), (1, 61), (1, 64)):
        for one, other in zip(tap_on_gpu(job, nonces, compression, r), tap(job, nonces, compression, r)):
            assert np.array_equal(one, other), (compression, r)
    assert np.array_equal(word7_of(job, nonces, Kernel.GPU), word7_of(job, nonces))
"""


def call(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(["tpf", *arguments])
    assert isinstance(stop.value.code, int)
    return stop.value.code


def test_energy_prints_the_exact_numbers(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert call("energy", "--keep", "0.01", "--recall", "0.01", "--run", str(tmp_path), "-o", "json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["verdict"]["label"] == "not supported"
    assert "0.11449 " in report["verdict"]["sentence"]  # 1 / 8.734375
    assert read_report(tmp_path / "report.json").task == "tpf energy"


def test_published_numbers_stand_beside_what_they_find() -> None:
    rows = {row[0]: row[1:] for row in published_table().rows}
    assert rows["1 - 5/64"] == ["92.19 %", "0.921875", 0.0, 0.0]
    assert rows["64/5"][:2] == ["12.8x", "12.8"]
    assert rows["96 of 100 windows aborted"][:3] == ["88.50 %", "0.885", 0.04]
    assert rows["96 of 100 windows aborted"][3] == pytest.approx(0.04 / 0.115)


def test_train_then_evaluate(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder = tmp_path / "filter"
    small = ("--jobs", "16", "--score", "bytes", "--predictors", "none", "--bound", "0.01", "-q")
    assert call("train", "--run", str(folder), *small) == 0
    assert call("evaluate", "miner", "--filter", str(folder), "--run", str(tmp_path / "out"), "--jobs", "8", "-q") == 0
    output = capsys.readouterr().out
    assert "passed  rounds counted as derived" in output
    report = read_report(tmp_path / "out" / "report.json")
    assert report.verdict.label == "supported"
    assert [table.title for table in report.tables] == [
        "Account against no filter",
        "The published numbers as what they are",
    ]
    assert any("no_free_lunch" in note for note in report.notes)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("leak", "--headers", "0"), 2, "headers: 0, must be an integer from 1"),
        (("leak", "--zero-bits", "8,x"), 2, "zero-bits: '8,x', must be integers"),
        (("leak", "--score", "deep"), 2, "score: 'deep', must be one of linear, bytes"),
        (("train", "--round", "65"), 2, "round: 65, must be an integer from 0 to 64"),
        (("train", "--rule", "hope"), 2, "rule: 'hope', must be one of keep-rate, conformal, neyman-pearson"),
        (("train", "--predictors", "oracle"), 2, "predictors: 'oracle', must be one of lda"),
        (("evaluate", "miner", "--filter", "/nonexistent"), 3, "no filter.json"),
        (("evaluate", "replay:///nonexistent.csv"), 3, "no such file"),
        (("evaluate", "twin://nosuch"), 3, "no twin 'nosuch'"),
        (("energy", "--recall", "2"), 2, "recall: 2, must be from 0 to 1"),
    ],
)
def test_bad_calls_end_in_one_line(
    arguments: tuple[str, ...], code: int, message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run = () if arguments[0] == "energy" else ("--run", str(tmp_path / "run"))
    assert call(*arguments, *run) == code
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ")
    assert message in error


def test_gpu_kernel_in_the_simulator() -> None:
    """Arithmetic and indexing of the kernel, without a device and without speed."""
    environment = {**os.environ, "NUMBA_ENABLE_CUDASIM": "1"}
    subprocess.run([sys.executable, "-c", GPU_SCRIPT], check=True, env=environment, timeout=120)


@pytest.mark.skipif(gpu.available(), reason="a CUDA device is here")
def test_no_device_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert call("leak", "--kernel", "gpu", "--run", str(tmp_path / "run"), "--headers", "4096", "-q") == 2
    assert "gpu: no CUDA device" in capsys.readouterr().err


@pytest.mark.skipif(not gpu.available(), reason="no CUDA device here; the kernel runs in numba's simulator instead")
def test_gpu_kernel_on_a_device() -> None:
    job = Job.random(np.random.default_rng(1))
    nonces = np.arange(100_000, dtype=np.uint32)
    for compression, r in ((0, 5), (1, 60), (1, 61)):
        for one, other in zip(
            gpu.tap_on_gpu(job, nonces, compression, r), tap(job, nonces, compression, r), strict=True
        ):
            assert np.array_equal(one, other)
