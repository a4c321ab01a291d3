"""Calibration finds what a board hides: on twins in virtual time, and on the emulated BM1366 over its wires."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asic_reservoir.board import BoardInfo, Limits, Observation, OperatingPoint, Range, Step
from asic_reservoir.calibration import Calibration, Calibrator, Effort, load_calibration, save_calibration
from asic_reservoir.calibration.fits import fit_cooling, fit_edge
from asic_reservoir.calibration.record import EdgeResult
from asic_reservoir.cli import main
from asic_reservoir.errors import DataError, NotFoundError
from asic_reservoir.twin.board import TwinBoard
from asic_reservoir.twin.chips import X_HIGH, X_LOW, X_POINTS
from asic_reservoir.twin.spec import SPECS

PLL_STEP_MHZ = 25.0 / 6.0
"""Distance of neighbouring BM1366 clocks around 500 MHz with the dividers in use there: 25 MHz / (2 · 3)."""


def calibrated(board: TwinBoard, sections: tuple[str, ...], effort: Effort | None = None) -> Calibration:
    calibrator = Calibrator(board, effort)
    assert list(calibrator.run(sections)) == [name for name in sections if name]
    return calibrator.record


def true_edge_mhz(board: TwinBoard) -> float:
    """Where half of the nonces of chip 0 are wrong, from the twin's own constants, at its voltage and temperature."""
    chip, physics, chips = board._spec.chip, board._physics, board._chips
    volts, die = float(physics.domain_v[0, 0]), float(physics.die_c[0])
    over = volts - (float(chips.threshold_v[0]) - chip.threshold_slope_v_per_k * (die - chip.reference_c))
    speed = chip.reference_v / volts * (over / (chip.reference_v - float(chips.threshold_v[0]))) ** chip.alpha
    speed *= ((die + 273.15) / (chip.reference_c + 273.15)) ** -chip.mobility_exponent
    half = float(np.interp(0.5, chips.error_table[0], np.linspace(X_LOW, X_HIGH, X_POINTS)))
    return float(chips.edge_mhz[0]) * speed * half


@pytest.mark.parametrize(("family", "mask"), [("bm1366", 1), ("lv06", 256), ("s9", 1)])
def test_mask_exactly_and_the_rate_law(family: str, mask: int) -> None:
    record = calibrated(TwinBoard(SPECS[family], seed=11), ("mask", "rate"))
    assert record.mask is not None
    assert record.rate is not None
    assert record.mask.measured == mask
    assert abs(record.rate.overall - 1.0) < 4 * record.rate.standard_error


class Watched:
    """Notes the true edge after every step."""

    def __init__(self, board: TwinBoard) -> None:
        self.board, self.truths = board, list[tuple[float, float, float]]()

    @property
    def info(self) -> BoardInfo:
        return self.board.info

    def step(self, step: Step) -> Observation:
        seen = self.board.step(step)
        clock, voltage = (float(np.mean(np.asarray(v))) for v in (seen.applied.frequency_mhz, seen.applied.voltage_mv))
        self.truths.append((clock, voltage, true_edge_mhz(self.board)))
        return seen

    def truth_of(self, edge: EdgeResult) -> float:
        """When the board last ran at that voltage near that edge."""
        assert edge.edge_mhz is not None
        return next(
            truth
            for clock, voltage, truth in reversed(self.truths)
            if abs(voltage - edge.voltage_mv) < 8.0 and abs(clock / edge.edge_mhz - 1.0) < 0.05
        )


@pytest.mark.parametrize("seed", [4, 8, 11])
@pytest.mark.parametrize("family", ["bm1366", "lv06"])
def test_edge_within_one_pll_step(family: str, seed: int) -> None:
    """Virtual time: the same seeds give the same figures, on every machine."""
    board = TwinBoard(SPECS[family], seed=seed)
    watched = Watched(board)
    calibrator = Calibrator(watched, Effort(edge_voltages=2))  # type: ignore[arg-type]
    list(calibrator.run(("mask", "edges")))
    record = calibrator.record
    assert record.edges is not None
    assert len(record.edges) == 2
    for edge in record.edges:
        assert edge.edge_mhz is not None
        assert edge.standard_error_mhz is not None
        assert edge.standard_error_mhz < 0.5 * PLL_STEP_MHZ
        assert abs(edge.edge_mhz - watched.truth_of(edge)) < PLL_STEP_MHZ
    middle = float(np.mean([edge.voltage_mv for edge in record.edges]))
    tightened = record.tightened(board.info.limits, middle)
    assert tightened.frequency_mhz.high < board.info.limits.frequency_mhz.high
    assert record.tightened(board.info.limits, 2000.0) == board.info.limits


def test_an_edge_beyond_the_limits_is_extrapolated_and_says_how_well_it_is_known() -> None:
    """Seed 15: the edge lies 20 MHz above the highest clock that is allowed."""
    board = TwinBoard(SPECS["bm1366"], seed=15)
    watched = Watched(board)
    calibrator = Calibrator(watched, Effort(edge_voltages=1))  # type: ignore[arg-type]
    list(calibrator.run(("mask", "edges")))
    assert calibrator.record.edges is not None
    edge = calibrator.record.edges[0]
    assert edge.edge_mhz is not None
    assert edge.standard_error_mhz is not None
    assert edge.extrapolated
    truth = watched.truth_of(edge)
    assert truth > 585.0
    assert abs(edge.edge_mhz - truth) < 3.0 * edge.standard_error_mhz
    assert max(clock for clock, _, _ in watched.truths) <= 575.0


def test_thermal_time_constant_within_15_percent() -> None:
    """Truth: heat capacity times resistance of the heatsink at full air, from the twin's constants."""
    heat = SPECS["bm1366"].heat
    truth = heat.heatsink_j_per_k * heat.heatsink_air_k_per_w
    record = calibrated(TwinBoard(SPECS["bm1366"], seed=13), ("thermal",))
    assert record.thermal is not None
    assert record.thermal.time_constant_s == pytest.approx(truth, rel=0.15)


def test_voltage_clock_and_time_stamps() -> None:
    record = calibrated(TwinBoard(SPECS["bm1366"], seed=14), ("voltage", "frequency", "timestamps"))
    assert record.voltage is not None
    assert record.frequency is not None
    assert record.timestamps is not None
    assert record.voltage.slope == pytest.approx(1.0, abs=0.05)
    assert record.frequency.actual_mhz == pytest.approx(record.frequency.to_mhz, rel=0.15)
    slew_s = (record.frequency.to_mhz - record.frequency.from_mhz) / SPECS["bm1366"].slew_mhz_per_s
    assert abs(record.frequency.settling_s - slew_s) < 4 * record.frequency.settling_error_s
    assert record.timestamps.source == "virtual"
    assert record.timestamps.exponential_p > 1e-3
    assert record.findings == []


class Fallback(TwinBoard):
    """An LV06 in its overheat fallback: whatever is asked for, it runs at 50 MHz and 990 mV."""

    def __init__(self, seed: int) -> None:
        spec = SPECS["lv06"]
        wide = replace(spec, limits=Limits(Range(50, 575), Range(990, 1300), 75.0, 25.0))
        super().__init__(wide, seed)

    def step(self, step: Step) -> Observation:
        return super().step(replace(step, operating_point=OperatingPoint(50.0, 990.0)))


class Deaf(TwinBoard):
    """A board that ignores its voltage setting."""

    def step(self, step: Step) -> Observation:
        return super().step(replace(step, operating_point=replace(step.operating_point, voltage_mv=1200.0)))


class Fixed(TwinBoard):
    """A board on a path that cannot set its voltage and does not tell its chips apart."""

    @property
    def info(self) -> BoardInfo:
        return replace(super().info, voltage_settable=False, n_counters=1, n_chips=2, findings=("overheat-fallback",))

    def step(self, step: Step) -> Observation:
        assert step.operating_point.voltage_mv is None
        return super().step(step)


class Stalling(TwinBoard):
    """Of every three steps one loses two nonces in three."""

    def step(self, step: Step) -> Observation:
        seen = super().step(step)
        counts = seen.counts
        if seen.index % 3 == 1:
            counts = replace(counts, valid=counts.valid // 3, invalid=counts.invalid // 3)
        return replace(seen, counts=counts)


class Boaster(TwinBoard):
    """A board whose chip filters more than its description says."""

    @property
    def info(self) -> BoardInfo:
        return replace(super().info, ticket_mask=1)


def test_troubles_are_named() -> None:
    assert "overheat-fallback" in calibrated(Fallback(1), ("mask",)).findings
    assert calibrated(Fallback(1), ("mask",)).mask.measured == 256  # type: ignore[union-attr]
    assert "voltage-ignored" in calibrated(Deaf(SPECS["bm1366"], 1), ("voltage",)).findings
    strict = replace(SPECS["bm1366"], ticket_mask=64, ticket_mask_settable=False)
    assert calibrated(TwinBoard(strict, 1), ("mask",)).findings == []
    assert "mask-stricter-than-asked" in calibrated(Boaster(strict, 1), ("mask",)).findings


@pytest.mark.parametrize("seed", range(5))
def test_the_mask_is_found_where_the_path_stalls_now_and_then(seed: int) -> None:
    record = calibrated(Stalling(SPECS["lv06"], seed), ("mask",))
    assert record.mask is not None
    assert record.mask.measured == 256


def test_what_a_path_cannot_give_is_said_and_never_asked_for() -> None:
    record = calibrated(Fixed(SPECS["bm1366"], 1), ("voltage", "thermal", "edges"), Effort(edge_nonces=60))
    assert record.cannot["voltage"] == "this path cannot set it"
    assert record.cannot["edges at other voltages"] == "this path cannot set the voltage"
    assert record.cannot["edges of single chips"] == "this path does not tell chips apart"
    assert [edge.voltage_mv for edge in record.edges or []] == [1200.0]
    assert record.findings == ["overheat-fallback"]  # that it was found in when it was opened


class Silent(TwinBoard):
    """A board on a path that shows no wrong nonces, as an LV06 with source=stratum."""

    @property
    def info(self) -> BoardInfo:
        return replace(super().info, reports_invalid=False)

    def step(self, step: Step) -> Observation:
        seen = super().step(step)
        return replace(seen, counts=replace(seen.counts, invalid=0 * seen.counts.invalid))


def test_where_wrong_nonces_do_not_show_they_are_missing() -> None:
    """The edge from the rate law alone: half as sharp, from the same nonces."""
    board = Silent(SPECS["bm1366"], seed=8)
    watched = Watched(board)
    calibrator = Calibrator(watched, Effort(edge_voltages=1, edge_nonces=1000))  # type: ignore[arg-type]
    list(calibrator.run(("mask", "edges")))
    (edge,) = calibrator.record.edges or []
    assert edge.edge_mhz == pytest.approx(watched.truth_of(edge), abs=2 * PLL_STEP_MHZ)


def test_edges_are_kept_one_by_one_and_the_next_run_goes_on_with_the_rest() -> None:
    board = TwinBoard(SPECS["bm1366"], seed=2)
    effort = Effort(edge_nonces=40, edge_rest_s=10.0)

    def interrupt(section: str, line: str) -> None:
        if len(first.record.edges or []) == 2:
            raise KeyboardInterrupt

    first = Calibrator(board, effort, None, interrupt)
    with pytest.raises(KeyboardInterrupt):
        list(first.run(("edges",)))
    kept = first.record
    second = Calibrator(board, effort, kept)
    assert list(second.run(("edges",))) == ["edges"]
    assert second.record.edges is not None
    assert kept.edges is not None
    assert second.record.edges[:2] == kept.edges
    assert len(second.record.edges) == 3
    assert list(Calibrator(board, effort, second.record).run(("edges",))) == []


def test_a_board_that_stops_itself_keeps_what_was_found() -> None:
    board = TwinBoard(SPECS["bm1366"], seed=2)
    calibrator = Calibrator(board)
    steps = calibrator.run(("mask", "rate"))
    assert next(steps) == "mask"
    board._tripped = "too hot"
    assert list(steps) == ["rate"]
    assert calibrator.record.mask is not None
    assert calibrator.record.rate is None
    assert any(finding.startswith("stopped: ") for finding in calibrator.record.findings)


# -- record and command -----------------------------------------------------------------------------------------------


def test_the_record_comes_back_whole(tmp_path: Path) -> None:
    record = calibrated(TwinBoard(SPECS["bm1366"], seed=1), ("mask", "rate", "timestamps"))
    path = tmp_path / "record.json"
    save_calibration(record, path)
    assert load_calibration(path) == record
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "version 2, must be 1"),
        ({"mask": {"requested": 1}}, "mask"),
        ({"surprise": 1}, "surprise"),
        ({"origin": "guessed"}, "origin"),
    ],
)
def test_a_wrong_record_is_named(tmp_path: Path, change: dict[str, object], message: str) -> None:
    record = calibrated(TwinBoard(SPECS["bm1366"], seed=1), ("mask",))
    path = tmp_path / "record.json"
    path.write_text(json.dumps({**json.loads(record.model_dump_json()), **change}))
    with pytest.raises(DataError, match=message):
        load_calibration(path)
    with pytest.raises(NotFoundError):
        load_calibration(tmp_path / "other.json")


@given(st.binary(max_size=200))
def test_any_file_is_a_record_or_a_typed_error(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("record") / "record.json"
    path.write_bytes(data)
    with pytest.raises(DataError):
        load_calibration(path)


def run_command(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["calibrate", *arguments])
    return int(ended.value.code or 0)


def test_command_writes_resumes_and_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "record.json"
    assert run_command("twin://bm1366?seed=1", "--out", str(out), "--sections", "mask", "-q") == 0
    first = load_calibration(out)
    assert first.rate is None
    assert run_command("twin://bm1366?seed=1", "--out", str(out), "--sections", "mask,rate", "--resume", "-q") == 0
    second = load_calibration(out)
    assert second.mask == first.mask
    assert second.rate is not None
    assert "rate law" in capsys.readouterr().out
    assert run_command("twin://bm1366?seed=2", "--out", str(out), "--resume", "-q") == 8
    assert run_command("twin://bm1366?seed=1", "--out", str(out), "--sections", "colour") == 2
    assert run_command("twin://bm1366?seed=1", "--out", str(tmp_path / "no" / "x.json")) == 2


def test_dry_run_prints_every_write_and_touches_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The board does not even have to be there."""
    code = run_command("bm1366:///dev/none?control=/dev/none", "--dry-run", "--sections", "mask,voltage")
    printed = capsys.readouterr().out
    assert code == 0
    assert "frequency_mhz=363.75 voltage_mv=1200 difficulty=1" in printed
    assert printed.count("voltage_mv=") >= 6
    assert run_command("replay://x", "--dry-run") == 2


def test_ctrl_c_keeps_what_was_found_and_leaves_the_board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, closed = tmp_path / "record.json", []
    step = TwinBoard.step

    def interrupted(self: TwinBoard, asked: Step) -> Observation:
        if out.exists():
            raise KeyboardInterrupt
        return step(self, asked)

    monkeypatch.setattr(TwinBoard, "step", interrupted)
    monkeypatch.setattr(TwinBoard, "close", lambda self: closed.append(True))
    assert run_command("twin://bm1366?seed=1", "--out", str(out), "--sections", "mask,rate", "-q") == 130
    assert closed
    record = load_calibration(out)
    assert record.mask is not None
    assert record.rate is None


# -- curves -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def draw() -> np.random.Generator:
    return np.random.default_rng(5)


def test_edge_of_a_known_curve(draw: np.random.Generator) -> None:
    clocks = np.linspace(440, 560, 12)
    total = np.full(12, 400.0)
    deviations = []
    for _ in range(50):
        wrong = draw.binomial(400, 1 / (1 + np.exp(-(clocks - 500.0) / 13.0))).astype(float)
        fit = fit_edge(clocks, wrong, total)
        assert fit is not None
        deviations.append((fit.edge_mhz - 500.0) / fit.standard_error_mhz)
    assert abs(np.mean(deviations)) < 0.6
    assert 0.6 < np.std(deviations) < 1.5
    assert fit_edge(clocks, np.zeros(12), total) is None
    assert fit_edge(clocks, total, total) is None


def test_cooling_of_a_known_curve(draw: np.random.Generator) -> None:
    t = np.linspace(4, 300, 60)
    fit = fit_cooling(t, 28.0 + 14.0 * np.exp(-t / 85.0) + 0.2 * draw.standard_normal(60))
    assert fit is not None
    assert fit.time_constant_s == pytest.approx(85.0, rel=0.15)
    assert fit_cooling(t, 28.0 + 0.2 * draw.standard_normal(60)) is None
    assert fit_cooling(t[:3], t[:3]) is None
