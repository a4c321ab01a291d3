"""The order in which a board is asked, from what is harmless to what errs, and the record that grows by it.

Works on any Board. How many nonces a section collects follows from the precision it needs; how long that takes follows
from the board's rate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from asic_reservoir import __version__
from asic_reservoir.board import Board, BoardInfo
from asic_reservoir.calibration.asking import SHORTEST_S, Asker, Effort, Report
from asic_reservoir.calibration.counting import find_mask, find_rate, find_settling, find_stamps
from asic_reservoir.calibration.edge import EdgeSearch, voltages_of
from asic_reservoir.calibration.record import Calibration
from asic_reservoir.calibration.supply import NO_VOLTAGE, find_cooling, find_voltage
from asic_reservoir.errors import SafetyError, TimeoutExpiredError

SECTIONS = ("mask", "rate", "voltage", "frequency", "thermal", "timestamps", "edges")
_WAITED_S = 1.0
"""A driver that waited longer than so long for a clock has hidden how the clock arrived."""


class Calibrator:
    """Runs sections on an open board.

    Args:
        board: open; it is not closed here.
        effort: how much is collected.
        record: what was found before; its sections are kept.
        report: told of progress.

    Attributes:
        record: what has been found so far; of the edges every single one.
    """

    def __init__(
        self,
        board: Board,
        effort: Effort | None = None,
        record: Calibration | None = None,
        report: Report | None = None,
    ) -> None:
        self._asker = Asker(board, effort or Effort(), report or (lambda section, line: None))
        self.record = record or blank_record(board.info)
        self._asker.mask = self.record.mask.measured if self.record.mask else None
        for finding in board.info.findings:
            self._find(finding)

    def run(self, sections: tuple[str, ...] = SECTIONS) -> Iterator[str]:
        """Do the sections that the record lacks; yields the name of each when the record holds it.

        A board that stops itself (SafetyError) ends the run: what was found stays, and the record names the reason. A
        step that its link or a restart of the firmware broke is made again, and named too.

        Raises:
            TimeoutExpiredError: the link is gone for good; the record says so.
        """
        todo: dict[str, Callable[[], None]] = {
            "mask": self._mask,
            "rate": self._rate,
            "voltage": self._voltage,
            "frequency": self._frequency,
            "thermal": self._thermal,
            "timestamps": self._timestamps,
            "edges": self._edges,
        }
        for name in SECTIONS:
            if name not in sections or self._has(name):
                continue
            self._asker.section = name
            try:
                todo[name]()
            except SafetyError as error:
                for finding in findings_of(error):
                    self._find(finding)
                yield name
                return
            except TimeoutExpiredError as error:
                self._find(f"stopped: {error}")
                raise
            finally:
                self._note_broken()
            yield name

    def _note_broken(self) -> None:
        """What broke a step is a finding, once a section."""
        broken, self._asker.broken = self._asker.broken, []
        if broken:
            self._find(f"repeated: {len(broken)} steps; {broken[-1]}")

    def _has(self, name: str) -> bool:
        if name != "edges":
            return getattr(self.record, name) is not None
        done = {edge.voltage_mv for edge in self.record.edges or []}
        return self.record.edges is not None and done >= set(voltages_of(self._asker))

    def _find(self, finding: str) -> None:
        if finding not in self.record.findings:
            self._keep(findings=[*self.record.findings, finding])

    def _cannot(self, quantity: str, reason: str) -> None:
        self._keep(cannot={**self.record.cannot, quantity: reason})

    def _keep(self, **changes: object) -> None:
        self.record = self.record.model_copy(update=changes)

    def _mask(self) -> None:
        result, findings = find_mask(self._asker)
        self._asker.mask = result.measured
        for finding in findings:
            self._find(finding)
        self._keep(mask=result)

    def _rate(self) -> None:
        self._keep(rate=find_rate(self._asker))

    def _voltage(self) -> None:
        if not self._asker.info.voltage_settable:
            self._cannot("voltage", "this path cannot set it")
            self._keep(voltage=NO_VOLTAGE)
            return
        result, findings = find_voltage(self._asker)
        for finding in findings:
            self._find(finding)
        self._keep(voltage=result)

    def _frequency(self) -> None:
        result, waited_s = find_settling(self._asker)
        if waited_s > _WAITED_S:
            self._cannot("clock settling", f"the driver waits {waited_s:.1f} s for the clock before nonces count")
        self._keep(frequency=result)

    def _thermal(self) -> None:
        result, findings = find_cooling(self._asker)
        for finding in findings:
            self._find(finding)
        self._keep(thermal=result)

    def _timestamps(self) -> None:
        self._keep(timestamps=find_stamps(self._asker))

    def _edges(self) -> None:
        """Kept one by one: whoever is interrupted goes on with the next voltage."""
        asker, info = self._asker, self._asker.info
        if not info.voltage_settable:
            self._cannot("edges at other voltages", "this path cannot set the voltage")
        if info.n_counters < info.n_chips:
            self._cannot("edges of single chips", "this path does not tell chips apart")
        done = list(self.record.edges or [])
        for millivolts in voltages_of(asker):
            if not any(edge.voltage_mv == millivolts for edge in done):
                done.append(EdgeSearch(asker, millivolts).run())
                self._keep(edges=list(done))
        asker.ask(SHORTEST_S, frequency_mhz=asker.calm_mhz, voltage_mv=asker.nominal_mv)


def blank_record(info: BoardInfo) -> Calibration:
    """A record that holds nothing yet but whose it is."""
    return Calibration(
        board=info.uri,
        family=info.family,
        model=info.model,
        origin=info.origin,
        code_version=__version__,
        created_utc=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def findings_of(error: SafetyError) -> list[str]:
    """What a board that stopped itself puts into the record: the name of the trouble, where it has one, and why."""
    return [*([error.finding] if error.finding else []), f"stopped: {error}"]
