"""Steps that a link did not carry to their end: made again, named in the record, and nothing unbroken made of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from asic_reservoir.around import BoardAround
from asic_reservoir.board import Observation, OperatingPoint, Step
from asic_reservoir.calibration import Calibrator, Effort
from asic_reservoir.errors import TimeoutExpiredError
from asic_reservoir.twin import SPECS, TwinBoard

AWAY_S = 200.0


class Breaking(BoardAround):
    """A twin whose steps break where ``breaks`` says so; it idles meanwhile, and cools."""

    def __init__(self, breaks: Callable[[int, Step], bool]) -> None:
        super().__init__(TwinBoard(SPECS["lv06"], seed=3))
        self._breaks = breaks
        self._point = self.info.nominal
        self.number = 0

    def step(self, step: Step) -> Observation:
        self.number += 1
        self._point = self._point.merged(step.operating_point)
        if self._breaks(self.number, step):
            super().step(Step(OperatingPoint(frequency_mhz=400.0, voltage_mv=1100.0), round(AWAY_S * 1e9)))
            super().step(Step(self._point, 100_000_000))
            raise TimeoutExpiredError("link lost, it must be repeated")
        return super().step(step)


@pytest.mark.parametrize("section", ["mask", "rate", "frequency", "thermal", "timestamps", "edges"])
def test_every_section_gets_over_a_broken_step(section: str) -> None:
    """An early step breaks: what comes out is what comes out of a board that never breaks, within its error."""
    effort = Effort(edge_voltages=1)
    whole = Calibrator(Breaking(lambda number, step: False), effort)
    assert list(whole.run((section,))) == [section]
    calibrator = Calibrator(Breaking(lambda number, step: number == (2 if section == "timestamps" else 4)), effort)
    assert list(calibrator.run((section,))) == [section]
    found, wanted = calibrator.record, whole.record
    assert found.findings == [f"repeated: 1 steps; {section}: link lost, it must be repeated"]
    if found.thermal and wanted.thermal:
        assert found.thermal.time_constant_s == pytest.approx(wanted.thermal.time_constant_s, rel=0.15)
    if found.mask and wanted.mask:
        assert found.mask.measured == wanted.mask.measured
    if found.rate:
        assert abs(found.rate.overall - 1.0) < 4.9 * found.rate.standard_error
    if found.edges and wanted.edges:
        assert found.edges[0].edge_mhz == pytest.approx(wanted.edges[0].edge_mhz, abs=25.0 / 6.0)


def test_a_link_that_is_gone_ends_the_calibration_and_keeps_what_was_found() -> None:
    calibrator = Calibrator(Breaking(lambda number, step: number > 6), Effort())
    sections = calibrator.run(("mask", "rate"))
    assert next(sections) == "mask"
    with pytest.raises(TimeoutExpiredError, match="link lost"):
        list(sections)
    record = calibrator.record
    assert record.mask is not None
    assert record.rate is None
    assert record.findings[0] == "stopped: link lost, it must be repeated"
    assert record.findings[1].startswith("repeated: 2 steps; rate: ")
    again = Calibrator(Breaking(lambda number, step: False), Effort(), record)
    assert list(again.run(("mask", "rate"))) == ["rate"]
    assert again.record.mask == record.mask
    assert again.record.rate is not None


def test_a_restart_in_the_midst_of_every_watch_is_said_and_not_fitted() -> None:
    """A board that goes away in every single watch of its cooling has no time constant that could be believed."""
    calibrator = Calibrator(Breaking(lambda number, step: step.duration_ns == 5_000_000_000 and number % 40 == 0))
    assert list(calibrator.run(("thermal",))) == ["thermal"]
    record = calibrator.record
    assert record.thermal is not None
    assert record.thermal.time_constant_s == 0.0
    assert "no-thermal-response" in record.findings
