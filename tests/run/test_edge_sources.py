"""Edges for a run at a wire: from a calibration, or from a search that is bounded and says how long it takes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from asic_reservoir.around import BoardAround
from asic_reservoir.board import BoardInfo, Observation, Origin, Step
from asic_reservoir.calibration import Calibration, save_calibration
from asic_reservoir.calibration.procedure import blank_record
from asic_reservoir.calibration.record import EdgeResult
from asic_reservoir.cli import main
from asic_reservoir.edge_sources import edges_for, expected_search_s
from asic_reservoir.encoding import Encoder, EncodingSettings
from asic_reservoir.errors import DataError, TimeoutExpiredError, UsageError
from asic_reservoir.twin import SPECS, TwinBoard

WIRE = "lv06://192.168.1.20:80"
FREQUENCY = EncodingSettings(name="frequency")


class AtWire(BoardAround):
    """A twin that says of itself that it is at a wire; every new clock takes it so much of its time."""

    def __init__(self, seed: int, restart_s: float = 0.0, family: str = "lv06") -> None:
        super().__init__(TwinBoard(SPECS[family], seed))
        self._restart_s, self._clock = restart_s, None
        self.steps = 0

    @property
    def info(self) -> BoardInfo:
        return replace(super().info, uri=WIRE)

    def step(self, step: Step) -> Observation:
        self.steps += 1
        clock = step.operating_point.frequency_mhz
        if self._restart_s and clock is not None and clock != self._clock:
            self._clock = clock
            super().step(Step(step.operating_point, round(self._restart_s * 1e9)))
        return super().step(step)


def edge(voltage_mv: float, mhz: float | None, extrapolated: bool = False) -> EdgeResult:
    return EdgeResult(
        voltage_mv=voltage_mv,
        edge_mhz=mhz,
        standard_error_mhz=None if mhz is None else 1.0,
        extrapolated=extrapolated,
        width_mhz=None if mhz is None else 0.03 * mhz,
        highest_tried_mhz=560.0,
        error_at_highest=0.5,
        temperature_c=60.0,
    )


def record_of(info: BoardInfo, *edges: EdgeResult) -> Calibration:
    return blank_record(info).model_copy(update={"edges": list(edges)})


@pytest.mark.parametrize("seed", [3, 5])
def test_a_search_at_a_wire_finds_where_half_of_the_nonces_are_wrong(seed: int) -> None:
    """In hours of an LV06, not in a day; at the clock that was found half of a thousand nonces are wrong."""
    board, told = AtWire(seed), list[str]()
    found = edges_for(board, FREQUENCY, say=told.append)
    assert found.source == "search"
    assert 0 < found.board_seconds < 2.0 * expected_search_s(board.info)
    assert board.info.limits.voltage_mv.contains(found.voltage_mv)
    assert told[0] == "finding the edge: 0 of about 104 min of the board (--calibration spares it)"
    point = Encoder(FREQUENCY, board.info, found, np.zeros(1), 0).steps(0, ())[0].operating_point
    at_edge = replace(point, frequency_mhz=float(found.edge_mhz[0]))
    board.step(Step(at_edge, 300_000_000_000))
    counts = board.step(Step(at_edge, 6_000_000_000_000)).counts
    share = counts.invalid.sum() / counts.total.sum()
    # the edge to 0.5 % and the board's heat of a degree are 0.05 of a curve 3 % wide; counting another 0.01
    assert abs(share - 0.5) < 0.2


def test_a_search_that_would_take_too_long_is_not_begun_and_says_what_to_do() -> None:
    board = AtWire(3)
    with pytest.raises(
        UsageError, match=r"takes about 104 min of its time, must be at most 60 \(--edge-minutes\)"
    ) as no:
        edges_for(board, FREQUENCY, limit_s=3600.0)
    assert f"asic-reservoir calibrate '{WIRE}' --sections mask,edges --out edges.json" in str(no.value)
    assert "--calibration edges.json" in str(no.value)
    assert board.steps == 0


def test_a_search_ends_at_its_limit() -> None:
    """A board that restarts for ten minutes at every clock."""
    board = AtWire(3, restart_s=600.0)
    with pytest.raises(TimeoutExpiredError, match=r"was not found in 1\d\d min of its time, must be found in 120"):
        edges_for(board, FREQUENCY)
    assert board.steps > 5


def test_a_board_without_an_edge_within_its_limits_is_named() -> None:
    class Calm(AtWire):
        @property
        def info(self) -> BoardInfo:
            info = super().info
            limits = replace(info.limits, frequency_mhz=replace(info.limits.frequency_mhz, high=450.0))
            return replace(info, limits=limits, voltage_settable=False)

    with pytest.raises(DataError, match=r"0\.\d % of its nonces are wrong at 450 MHz and 1200 mV, no edge within its"):
        edges_for(Calm(3), FREQUENCY)


def test_a_calibration_is_used_where_it_was_measured_and_nothing_is_asked() -> None:
    """Of the voltages between those measured the one that leaves most room: a clock 0.21 below 575 MHz in ln f, or the
    middle of 400 and 575 MHz where that is more."""
    board = AtWire(3)
    record = record_of(board.info, edge(1200.0, 540.0), edge(1130.0, 460.0), edge(1100.0, None))
    found = edges_for(board, FREQUENCY, record=record)
    assert board.steps == 0
    middle = np.sqrt(400.0 * 575.0)
    expected_mv = 1130.0 + 70.0 * np.log(middle / 460.0) / np.log(540.0 / 460.0)
    assert found.voltage_mv == pytest.approx(expected_mv, abs=1.0)
    assert found.edge_mhz[0] == pytest.approx(middle, rel=0.003)
    assert found.width[0] == pytest.approx(0.03)
    assert found.source == f"calibration of {record.created_utc}"
    # beyond what was measured nothing is taken
    only = edges_for(board, FREQUENCY, record=record_of(board.info, edge(1200.0, 540.0)))
    assert (only.voltage_mv, only.edge_mhz[0]) == (1200.0, pytest.approx(540.0))


def test_a_calibration_that_cannot_serve_is_refused() -> None:
    board = AtWire(3)
    info = board.info
    good = record_of(info, edge(1200.0, 540.0))
    ignored = good.model_copy(update={"findings": ["voltage-ignored"]})
    for record, message in (
        (good.model_copy(update={"board": "lv06://10.0.0.9:80"}), "is of 'lv06://10.0.0.9:80' .simulated., must be of"),
        (good.model_copy(update={"origin": Origin.MEASURED}), "measured., must be of"),
        (record_of(info), "no edge was reached in this record"),
        (record_of(info, edge(1200.0, None), edge(1150.0, 590.0, True)), "no edge was reached in this record"),
        (ignored, "names voltage-ignored"),
    ):
        with pytest.raises(DataError, match=message):
            edges_for(board, FREQUENCY, record=record)
    many = AtWire(1, family="s9")
    with pytest.raises(UsageError, match="with --encoding chip-frequency, must be left out"):
        edges_for(many, EncodingSettings(), record=record_of(many.info, edge(8800.0, 700.0)))
    assert (board.steps, many.steps) == (0, 0)


def run_code(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["run", *arguments])
    return int(ended.value.code or 0)


@pytest.mark.slow
def test_the_command_takes_a_calibration_and_the_report_names_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    uri, file, out = "twin://lv06?seed=3", tmp_path / "edges.json", tmp_path / "out"
    with TwinBoard(SPECS["lv06"], 3) as twin:
        record = record_of(twin.info, edge(1150.0, 486.0))
    save_calibration(record.model_copy(update={"board": uri}), file)
    short = ["narma10", "--board", uri, "--seeds", "1", "--steps", "200", "--no-controls", "--no-curve", "-q"]
    short += ["--workers", "1", "--encoding", "frequency", "--calibration", str(file)]
    assert run_code(*short, "--out", str(out), "--json", str(tmp_path / "report.json")) == 0
    text = (tmp_path / "report.json").read_text()
    assert f"calibration of {record.created_utc}" in text
    kept = json.loads((out / "edges.json").read_text())
    assert (kept["voltage_mv"], kept["edge_mhz"]) == (1150.0, [pytest.approx(486.0)])
    assert run_code(*short[:-2], "--calibration", str(tmp_path / "none.json")) == 3
    assert run_code(*short, "--encoding", "work") == 2
    assert "with encoding work, must be left out" in capsys.readouterr().err
