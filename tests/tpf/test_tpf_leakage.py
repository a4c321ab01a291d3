"""The leakage run: counts that survive any interruption, a control that is found, blindness where there is nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from shutil import copy

import numpy as np
import pytest

from asic_reservoir.errors import BusyError, DataError, UsageError
from asic_reservoir.tpf.compression import Job
from asic_reservoir.tpf.curve import Label, result_of
from asic_reservoir.tpf.leak_report import leak_json, leak_report
from asic_reservoir.tpf.leak_scores import CONTROL_ROUNDS
from asic_reservoir.tpf.leakage import LeakCounts, LeakSettings, run_leakage
from asic_reservoir.tpf.run_folder import RunFolder
from asic_reservoir.tpf.scoring import N_BINS, Background, ScoreKind, accumulate
from asic_reservoir.tpf.sha256 import Kernel, trace_of, zero_bits

SMALL = LeakSettings(
    headers=1 << 19,
    headers_per_job=1 << 15,
    train_jobs=16,
    zero_bits=(8,),
    kinds=(ScoreKind.BYTES,),
    negative_stride=16,
    control_headers=1 << 18,
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> LeakCounts:
    return run_leakage(tmp_path_factory.mktemp("whole"), SMALL, workers=2)


def test_compiled_bins_are_those_of_the_definition() -> None:
    job = Job.random(np.random.default_rng(0))
    trace = trace_of(job, np.arange(3000))
    truth = zero_bits(trace.digest()[:, 7]) >= 3
    for kind in ScoreKind:
        for compression, r in ((0, 2), (0, 64), (1, 1), (1, 33)):
            states = trace.state(compression, r)
            score = Background(states[~truth]).score(kind, states[truth])
            out = np.zeros((1, 2, N_BINS), np.int64)
            where = (np.array([compression]), np.array([r]))
            accumulate(
                trace.rows, truth, *where, score.table[None], np.array([score.low]), np.array([score.shift]), out
            )
            bins = score.bins(states)
            assert np.array_equal(out[0, 1], np.bincount(bins[truth], minlength=N_BINS))
            assert np.array_equal(out[0, 0], np.bincount(bins[~truth], minlength=N_BINS))


def test_every_share_is_counted(whole: LeakCounts) -> None:
    """Positives in the bins against a plain count over all headers of the run."""
    from asic_reservoir.tpf.leak_scores import job_of
    from asic_reservoir.tpf.leakage import _EVALUATE
    from asic_reservoir.tpf.sha256 import word7_of

    nonces = np.arange(SMALL.headers_per_job, dtype=np.uint32)
    shares = sum(
        int((zero_bits(word7_of(job_of(SMALL.seed, _EVALUATE, i), nonces, Kernel.PORTABLE)) >= 8).sum())
        for i in range(SMALL.n_jobs)
    )
    positives = whole.bins[:, 0, :, 1].sum(axis=(0, 2))
    assert (positives == shares).all()
    assert whole.headers_evaluated == 1 << 19


def test_blind_before_round_61_and_certain_after(whole: LeakCounts) -> None:
    result = result_of(whole)
    known = [p.auc.value for p in result.points if p.compression == 1 and p.round >= 61]
    assert min(known) > 0.99
    assert result.verdict.label is Label.NOT_SUPPORTED
    control = {(p.last, p.round): p.auc for p in result.control}
    assert all(control[last, last - 3].value > 0.97 for last in CONTROL_ROUNDS)
    assert max(abs(a.value - 0.5) for (last, r), a in control.items() if r < last - 3) < 0.15


def test_a_leak_before_round_61_would_be_told(whole: LeakCounts) -> None:
    """Counts of round 20 of the second hash shifted by two bins for one share in four."""
    bins = whole.bins.copy()
    row = 64 + 19
    moved = bins[:, 0, row, 1] // 4
    bins[:, 0, row, 1] -= moved
    bins[:, 0, row, 1] += np.roll(moved, 60, axis=1)
    leaky = LeakCounts(SMALL, bins, whole.control, whole.jobs_done, whole.headers_tapped, 1.0, 1.0)
    verdict = result_of(leaky).verdict
    assert verdict.label is Label.SUPPORTED
    assert "round 20 of the second hash" in verdict.sentence


def test_without_a_control_nothing_is_decided(whole: LeakCounts) -> None:
    blind = LeakCounts(SMALL, whole.bins, None, whole.jobs_done, whole.headers_tapped, 1.0, 1.0)
    assert result_of(blind).verdict.label is Label.UNDECIDED


def test_pieces_give_the_counts_of_the_whole_whatever_the_kernel(tmp_path: Path) -> None:
    """Cut after every third job; then in one go, by the other kernel, on two threads."""
    settings = replace(SMALL, headers=1 << 18, train_jobs=4, control_headers=0)
    pieces, done = tmp_path / "pieces", -1
    while done < settings.n_jobs:
        asked = iter([False] * 3 + [True] * 1000)
        counts = run_leakage(pieces, settings, workers=1, stop=lambda it=asked: next(it))  # type: ignore[misc]
        assert counts.jobs_done > done
        done = counts.jobs_done
    (tmp_path / "whole").mkdir()
    for name in ("settings.json", "scores.npz"):
        copy(pieces / name, tmp_path / "whole" / name)
    whole = run_leakage(tmp_path / "whole", settings, workers=2, kernel=Kernel.PORTABLE)
    assert np.array_equal(counts.bins, whole.bins)
    assert counts.headers_tapped == whole.headers_tapped


def command(folder: Path, *more: str, headers: int = 41_943_040) -> list[str]:
    return [
        *(
            sys.executable,
            "-c",
            "from asic_reservoir.cli import main; main()",
            "tpf",
            "leak",
            "--run",
            str(folder),
            "--headers",
            str(headers),
        ),
        *("--zero-bits", "8", "--score", "bytes", "--train-jobs", "1", "--control-headers", "65536", "--workers", "1"),
        *more,
    ]


def until_it_counts(folder: Path, headers: int = 41_943_040) -> subprocess.Popen[str]:
    """A run in a process of its own, given back when its first job is counted."""
    process = subprocess.Popen(
        command(folder, headers=headers), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("headers"):
            break
    return process


@pytest.mark.slow
def test_killed_runs_resume_to_the_same_counts(tmp_path: Path) -> None:
    """SIGKILL loses what was counted since the last checkpoint, SIGTERM nothing; both by turns, at random moments."""
    subprocess.run(command(tmp_path / "whole", "-q"), check=True, capture_output=True)
    rng = np.random.default_rng(1)
    for kill in (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL):
        process = until_it_counts(tmp_path / "killed")
        time.sleep(float(rng.uniform(0.0, 0.5)))
        process.send_signal(kill)
        process.communicate(timeout=120)
    subprocess.run(command(tmp_path / "killed", "-q"), check=True, capture_output=True)
    with np.load(tmp_path / "whole" / "counts.npz") as one, np.load(tmp_path / "killed" / "counts.npz") as other:
        assert np.array_equal(one["bins"], other["bins"])
        assert int(one["done"]) == int(other["done"]) == 10


def test_one_writer_a_folder(tmp_path: Path) -> None:
    with RunFolder(tmp_path, "leakage", "{}"), pytest.raises(BusyError, match=r"another process works in it"):
        RunFolder(tmp_path, "leakage", "{}").__enter__()


def test_other_settings_are_refused(tmp_path: Path) -> None:
    with RunFolder(tmp_path, "leakage", "{}"):
        pass
    with pytest.raises(UsageError, match=r"holds a run with other settings"):
        run_leakage(tmp_path, SMALL)


def test_a_foreign_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(UsageError, match=r"holds 'thesis\.tex' and no leakage run"):
        run_leakage(tmp_path, SMALL)


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 not a zip", b"\x00" * 100])
def test_a_damaged_checkpoint_is_named(damage: bytes, tmp_path: Path) -> None:
    with RunFolder(tmp_path, "leakage", "{}") as folder:
        folder.keep("counts.npz", {"bins": np.zeros(3, np.int64)})
        (tmp_path / "counts.npz").write_bytes(damage)
        with pytest.raises(DataError, match=r"counts\.npz: .*must be as this program wrote it"):
            folder.arrays("counts.npz")


@pytest.mark.parametrize(
    ("field", "value"),
    [("headers", 0), ("headers", True), ("zero_bits", (0,)), ("zero_bits", ()), ("kinds", ()), ("seed", -1)],
)
def test_bad_settings_are_named(field: str, value: object) -> None:
    with pytest.raises(UsageError, match=f"^{field}: "):
        LeakSettings(**{field: value})  # type: ignore[arg-type]


def test_report_and_json_are_whole(whole: LeakCounts) -> None:
    from asic_reservoir.report.page import render_html

    result = result_of(whole)
    report = leak_report(result, SMALL)
    assert [figure.id for figure in report.figures] == ["leakage", "blind-rounds", "information", "control"]
    assert any("control" in curve.name for curve in report.figures[0].curves)  # type: ignore[union-attr]
    assert "<img" in render_html(report)
    text = json.dumps(leak_json(result, SMALL), allow_nan=False)
    assert len(json.loads(text)["result"]["points"]) == 128


@pytest.mark.slow
def test_interrupt_keeps_what_was_counted(tmp_path: Path) -> None:
    process = until_it_counts(tmp_path / "run", headers=1 << 32)  # a run of minutes: it is not over before the signal
    os.kill(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "of 4,294,967,296 headers" in output
    assert (tmp_path / "run" / "report.html").exists()
