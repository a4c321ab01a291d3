"""Where the edge comes from that an encoding is centred on: a stored calibration, or a search at the board itself.

A twin lives in virtual time and is searched thoroughly (:mod:`asic_reservoir.edges`). A board at a wire lives in real
time, and its nonces are few: an LV06 reports one in 2.5 s, so 250 of them, for one point of one edge, are eleven
minutes. There the search spends nonces where the edge is, as a calibration does; it says how long it will take, ends at
a limit, and is not needed where a calibration is at hand. Nothing here guesses an edge.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from asic_reservoir.around import BoardAround
from asic_reservoir.board import Board, BoardInfo, Observation, Step
from asic_reservoir.calibration.asking import SETTLE_S, Asker, Effort, fresh
from asic_reservoir.calibration.edge import EdgeSearch
from asic_reservoir.calibration.record import Calibration, EdgeResult
from asic_reservoir.edges import (
    BISECTIONS,
    ROUNDS,
    SETTLE_NS,
    SWEEP_POINTS,
    WANTED_COUNTS,
    WARM_STEPS,
    EdgeMap,
    find_edges,
)
from asic_reservoir.encoding import EncodingSettings, reach_of
from asic_reservoir.errors import DataError, TimeoutExpiredError, UsageError

SEARCH_LIMIT_S = 7200.0
"""Board time that a search at a wire may take where nothing else is said."""
EFFORT = Effort(edge_nonces=WANTED_COUNTS, edge_error=0.005, edge_rounds=3, edge_rest_s=120.0)
"""Of that search. An encoding rests two widths of 3 % beside the edge: half a percent is a twelfth of that."""
_COARSE_NONCES = 62
_VOLTAGE_BISECTIONS = 4
"""Of the room below the nominal voltage: 6 mV on an LV06."""
_COARSE_POINTS, _FINE_ROUNDS, _FINE_POINTS = 9, 2, 3
"""Usual number of points on the way to an edge, of rounds around it, and of points in a round."""
_CHANGE_S = 2.0
"""Usual time for a clock to arrive, beside what a step is given for it."""

Say = Callable[[str], None]


def how_to_calibrate(uri: str) -> str:
    """The commands that spare a board its search."""
    return (
        f"calibrate it once: asic-reservoir calibrate '{uri}' --sections mask,edges --out edges.json, "
        "then run with --calibration edges.json"
    )


def edges_for(
    board: Board,
    encoding: EncodingSettings,
    *,
    record: Calibration | None = None,
    say: Say | None = None,
    limit_s: float = SEARCH_LIMIT_S,
) -> EdgeMap:
    """The edges of an open board, for an encoding.

    Args:
        board: Open.
        encoding: One that needs edges.
        record: A calibration of this board; nothing is searched then.
        say: Told how far a search is.
        limit_s: Board time that a search at a wire may take.

    Raises:
        DataError: the record is of another board or holds no edge; or the board errs nowhere within its limits.
        UsageError: the search would take longer than the limit, or a record cannot serve the encoding.
        TimeoutExpiredError: the search took longer than the limit.
    """
    info = board.info
    if record is not None:
        return edges_of_record(record, info, encoding)
    if info.uri.startswith("twin://"):
        return find_edges(board, reach_of(encoding))
    expected_s = expected_search_s(info)
    if expected_s > limit_s:
        raise UsageError(
            f"board {info.uri}: finding its edge takes about {expected_s / 60:.0f} min of its time, must be at most "
            f"{limit_s / 60:g} (--edge-minutes); or {how_to_calibrate(info.uri)}"
        )
    watched = _Watched(board, expected_s, limit_s, say or (lambda text: None))
    if info.n_counters > 1:
        return replace(find_edges(watched, reach_of(encoding)), source="search")
    return _one_edge(watched, reach_of(encoding))


def expected_search_s(info: BoardInfo) -> float:
    """About how much board time a search takes by the rate law, without restarts that a driver needs for a setting."""
    nominal_mhz = float(np.asarray(info.nominal.frequency_mhz))
    rate_hz = info.chip_rate_hz(nominal_mhz, info.nominal.difficulty) * info.n_chips
    if info.n_counters > 1:
        points = 2 + 2 * BISECTIONS + WARM_STEPS + ROUNDS * (SWEEP_POINTS + 4)
        return points * (SETTLE_NS * 1e-9 + WANTED_COUNTS * info.n_counters / rate_hz)
    coarse = _COARSE_POINTS + (1 + _VOLTAGE_BISECTIONS if info.voltage_settable else 0)
    fine = _FINE_ROUNDS * _FINE_POINTS
    nonces = coarse * _COARSE_NONCES + fine * EFFORT.edge_nonces
    return nonces / rate_hz + EFFORT.edge_rest_s + (coarse + fine) * (SETTLE_S + _CHANGE_S)


def edges_of_record(record: Calibration, info: BoardInfo, encoding: EncodingSettings) -> EdgeMap:
    """The edge that a calibration measured, at the voltage that leaves most room around it.

    Between two voltages that were measured the edge is interpolated; beyond them, and from points that did not reach
    it, nothing is taken.

    Raises:
        DataError: the record is of another board, or holds no edge that was measured, or says that the board ignores
            its voltage.
        UsageError: the encoding drives every chip by itself, which needs what no record holds.
    """
    if record.board != info.uri or record.origin != info.origin:
        raise DataError(
            f"--calibration: the record is of {record.board!r} ({record.origin.value}), must be of {info.uri!r} "
            f"({info.origin.value})"
        )
    if encoding.name == "chip-frequency" and info.n_chips > 1:
        raise UsageError(
            "--calibration: with --encoding chip-frequency, must be left out: how the clocks of neighbouring chips act "
            "on each other is found by the search only; or take --encoding frequency"
        )
    if "voltage-ignored" in record.findings:
        raise DataError("--calibration: the record names voltage-ignored, must be of a board that follows its setting")
    known = sorted((edge for edge in record.edges or [] if _measured(edge)), key=lambda edge: edge.voltage_mv)
    if not known:
        raise DataError(
            f"--calibration: no edge was reached in this record, must hold one; {how_to_calibrate(info.uri)}"
        )
    volts = np.array([edge.voltage_mv for edge in known])
    middles = np.log([edge.edge_mhz or 0.0 for edge in known])
    widths = np.array([(edge.width_mhz or 0.0) / (edge.edge_mhz or 1.0) for edge in known])
    offered = np.unique(np.concatenate([volts, np.arange(np.ceil(volts[0]), volts[-1])]))
    distance = np.abs(np.interp(offered, volts, middles) - np.log(_wanted_mhz(info, reach_of(encoding))))
    voltage_mv = float(offered[int(np.argmin(distance))])
    return EdgeMap(
        voltage_mv,
        np.full(info.n_counters, np.exp(np.interp(voltage_mv, volts, middles))),
        np.full(info.n_counters, np.interp(voltage_mv, volts, widths)),
        0.0,
        0.0,
        f"calibration of {record.created_utc}",
    )


def _measured(edge: EdgeResult) -> bool:
    return edge.edge_mhz is not None and edge.width_mhz is not None and not edge.extrapolated


def _wanted_mhz(info: BoardInfo, reach: float) -> float:
    """The edge that leaves as much room, in ln f, below the upper limit as an encoding needs."""
    low, high = info.limits.frequency_mhz.low, info.limits.frequency_mhz.high
    return float(max(high * np.exp(-reach), np.sqrt(low * high)))


def _one_edge(board: _Watched, reach: float) -> EdgeMap:
    """Of a board with one counter: a voltage that leaves room, then the edge there."""
    asker = Asker(board, EFFORT, lambda section, line: None)
    voltage_mv = _voltage_with_room(asker, _wanted_mhz(board.info, reach))
    found = EdgeSearch(asker, voltage_mv).run()
    if found.edge_mhz is None or found.width_mhz is None or found.extrapolated:
        raise DataError(
            f"board {board.info.uri}: {100 * found.error_at_highest:.1f} % of its nonces are wrong at "
            f"{found.highest_tried_mhz:g} MHz and {voltage_mv:g} mV, no edge within its limits; must be driven with "
            "--encoding difficulty or work"
        )
    width = found.width_mhz / found.edge_mhz
    return EdgeMap(voltage_mv, np.array([found.edge_mhz]), np.array([width]), 0.0, board.used_s, "search")


def _voltage_with_room(asker: Asker, wanted_mhz: float) -> float:
    """At or below the nominal voltage: where the edge lies near the clock that is wanted, or as near as it gets."""
    limits, highest = asker.info.limits.voltage_mv, asker.nominal_mv
    if not asker.info.voltage_settable:
        return highest

    def errs(millivolts: float) -> bool:
        asker.ask(SETTLE_S, frequency_mhz=wanted_mhz, voltage_mv=millivolts)
        seen = asker.ask(asker.seconds_for(_COARSE_NONCES, wanted_mhz))
        good = int(seen.counts.valid.sum())
        total = int(fresh(seen).sum())
        if not asker.info.reports_invalid:
            total = max(good, round(asker.rate_hz(wanted_mhz) * seen.duration_s))
        return 2 * good < total

    lowest, highest = limits.low, min(highest, limits.high)
    if not errs(lowest):
        return lowest
    for _ in range(_VOLTAGE_BISECTIONS):
        middle = 0.5 * (lowest + highest)
        lowest, highest = (middle, highest) if errs(middle) else (lowest, middle)
    return highest


class _Watched(BoardAround):
    """A board that says how much of its time a search has used, and ends it at the limit."""

    def __init__(self, board: Board, expected_s: float, limit_s: float, say: Say) -> None:
        super().__init__(board)
        self._expected_s, self._limit_s, self._say = expected_s, limit_s, say
        self._begin_ns: int | None = None
        self.used_s = 0.0

    def step(self, step: Step) -> Observation:
        if self.used_s + step.duration_ns * 1e-9 > self._limit_s:
            raise TimeoutExpiredError(
                f"board {self.info.uri}: its edge was not found in {self.used_s / 60:.0f} min of its time, must be "
                f"found in {self._limit_s / 60:g} (--edge-minutes); or {how_to_calibrate(self.info.uri)}"
            )
        self._say(
            f"finding the edge: {self.used_s / 60:.0f} of about {self._expected_s / 60:.0f} min of the board "
            "(--calibration spares it)"
        )
        seen = super().step(step)
        if self._begin_ns is None:
            self._begin_ns = seen.begin_ns
        self.used_s = (seen.end_ns - self._begin_ns) * 1e-9
        return seen
