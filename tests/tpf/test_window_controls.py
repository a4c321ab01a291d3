"""The timing of a board against its shares: a verdict has a planted leak and shifted labels beside it."""

from __future__ import annotations

import numpy as np
import pytest

from asic_reservoir.board import Origin
from asic_reservoir.claim_verdicts import of_windows
from asic_reservoir.kept import KeptClaim
from asic_reservoir.report.model import Check
from asic_reservoir.tpf.board_windows import Windows, WindowSettings, judge
from asic_reservoir.tpf.detectors import Dataset
from asic_reservoir.tpf.window_controls import TIMING, control


def made(leak: float, n: int = 1200, seed: int = 1) -> Windows:
    """Windows of a board whose timing is shorter by ``leak`` before a share; 0: that of no real board is."""
    rng = np.random.default_rng(seed)
    share = rng.random(n) < 0.4
    timing = rng.gamma(4.0, 0.1, (n, 3)) * np.where(share, 1 - leak, 1.0)[:, None]
    data = Dataset.of(timing, share, names=TIMING)
    return Windows(data, (rng.random(n) < 0.05).astype(np.int64), share.astype(np.int64), Origin.SIMULATED, "twin://s9")


def verdict(windows: Windows, settings: WindowSettings) -> tuple[KeptClaim | None, list[Check]]:
    checks, p = control(windows, settings)
    return of_windows(judge(windows, settings), checks, p), checks


@pytest.mark.slow
def test_a_board_that_leaks_supports_the_claim_and_one_that_does_not_does_not() -> None:
    settings = WindowSettings(windows=1200)
    leaking, checks = verdict(made(0.5), settings)
    assert leaking is not None
    assert leaking.verdict == "supported", leaking.measured["sentence"]
    assert leaking.measured["effect"]["low"] > 1
    assert leaking.measured["auc"]["p"] <= 0.05
    quiet, checks = verdict(made(0.0), settings)
    assert quiet is not None
    assert quiet.verdict == "not supported", quiet.measured["sentence"]
    assert all(check.passed for check in checks)


@pytest.mark.slow
def test_too_few_windows_decide_nothing_and_a_planted_leak_is_no_finding() -> None:
    few, checks = verdict(made(0.0, 100, seed=3), WindowSettings(windows=100))
    assert few is not None
    assert few.verdict == "undecided" or all(check.passed for check in checks)
    result = judge(made(0.0), WindowSettings(windows=1200))
    failed = [Check(name="a planted leak", passed=False, sentence="not found.")]
    undecided = of_windows(result, failed, 0.5)
    assert undecided is not None
    assert undecided.verdict == "undecided"
    assert "a planted leak" in undecided.measured["sentence"]
    assert of_windows(result, [], 0.5) is None
    assert of_windows(judge(made(0.0), WindowSettings(windows=1200, plant=0.3)), failed, 0.5) is None
