"""From input to Steps: what is set on the board, and for how long, at every step of the input.

Encodings

``chip-frequency``  every chip's own clock around its own error edge (boards with a PLL a chip)
``frequency``       one clock for the whole board around its edge
``voltage``         the supply of each hashboard, at a clock near the edge
``difficulty``      the share filter, in powers of two
``work``            the content of the job (extranonce2), as published: the board is not touched

Modes

``constant``   the input does not reach the board
``monologue``  the input does, the board's answer does not go back
``dialogue``   what the board answered to the step before is fed back into the next one

What the host adds is linear: a mask over so many past inputs (``n_lags``), declared in the report and given to the
host's own baseline too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from asic_reservoir.board import BoardInfo, Detail, Observation, OperatingPoint, Step, Work, WorkMode
from asic_reservoir.edges import EdgeMap, decoupled
from asic_reservoir.errors import UsageError
from asic_reservoir.masks import Mask

FloatArray = NDArray[np.float64]
EncodingName = Literal["chip-frequency", "frequency", "voltage", "difficulty", "work"]
Mode = Literal["constant", "monologue", "dialogue"]

ENCODINGS: tuple[EncodingName, ...] = ("chip-frequency", "frequency", "voltage", "difficulty", "work")
MODES: tuple[Mode, ...] = ("constant", "monologue", "dialogue")

REST_WIDTHS = 2.25
"""A node rests so many widths beside its edge, where the curvature of the error curve is large (at 0 it has none)."""
DEPTH_WIDTHS = 1.15
"""A drive of 1 moves the clock by twice so many widths; together with the rest it spans the edge."""
USUAL_WIDTH, USUAL_SPREAD = 0.03, 0.16
"""Of edges in ln(f): width of one, and distance of the fastest chip from the mean."""
FEEDBACK_GAIN = 0.5
FEEDBACK_SHIFT = 7
"""In dialogue a node hears the node so many places before it: never itself, since a feedback delay that equals the
input period wastes degrees of freedom."""
DIFFICULTY_OCTAVES = 3.0
ROOM_USED = 0.95
"""Share of the room within the limits that drives may use."""


@dataclass(frozen=True, slots=True)
class EncodingSettings:
    """What a user chooses.

    Raises:
        UsageError: a name or number that does not exist.
    """

    name: EncodingName = "chip-frequency"
    mode: Mode = "monologue"
    n_lags: int = 20
    """Past inputs that the host's mask mixes into the drive (1: u[t] only)."""
    n_slots: int = 1
    """Time slots of a step, each with a mask of its own (virtual nodes in time)."""
    step_s: float = 10.0
    """Board time of one input step, all slots together."""
    difficulty: int | None = None

    def __post_init__(self) -> None:
        if self.name not in ENCODINGS:
            raise UsageError(f"encoding: {self.name!r}, must be one of {', '.join(ENCODINGS)}")
        if self.mode not in MODES:
            raise UsageError(f"mode: {self.mode!r}, must be one of {', '.join(MODES)}")
        for key, low, high in (("n_lags", 1, 1000), ("n_slots", 1, 1000)):
            if not low <= getattr(self, key) <= high:
                raise UsageError(f"encoding {key}: {getattr(self, key)}, must be {low} to {high}")
        if not 1e-6 <= self.step_s <= 1e6:
            raise UsageError(f"step seconds: {self.step_s:g}, must be 1e-6 to 1e6 s")


def default_encoding(info: BoardInfo) -> EncodingName:
    """The encoding that uses most of a board: a clock a chip where there is one, else the common clock."""
    return "chip-frequency" if info.per_chip_frequency and info.n_counters == info.n_chips else "frequency"


def reach_of(settings: EncodingSettings) -> float:
    """Room in ln(f) that an encoding needs on either side of a chip's edge, for edges of the usual width.

    Includes the spread of the chips' edges.
    """
    widths = REST_WIDTHS + 2.0 * (2.0 * DEPTH_WIDTHS)
    return USUAL_WIDTH * widths + (USUAL_SPREAD if settings.name == "chip-frequency" else 0.0)


class Encoder:
    """Steps for one run: one board, one mask, one input.

    ``scaled_input`` is the input in [-1, 1], shape (n_steps,) or (n_steps, n_inputs).

    Raises:
        UsageError: the board cannot do what the encoding asks for.
    """

    def __init__(
        self,
        settings: EncodingSettings,
        info: BoardInfo,
        edges: EdgeMap | None,
        scaled_input: FloatArray,
        mask_seed: int,
    ) -> None:
        self._settings, self._info, self._edges = settings, info, edges
        self.channels = _channels(settings.name, info)
        """Number of things that can be set apart from each other."""
        rng = np.random.default_rng(np.random.SeedSequence([mask_seed, 0x3A5C]))
        n_nodes = self.channels * settings.n_slots
        self.mask = Mask.pairs(rng, n_nodes, settings.n_lags)
        driven = np.zeros_like(scaled_input) if settings.mode == "constant" else scaled_input
        self._drive = self.mask.drive(driven).reshape(len(driven), settings.n_slots, self.channels)
        self._side = self.mask.side.reshape(settings.n_slots, self.channels)
        self.depth = np.full(self.channels, DEPTH_WIDTHS)
        """Half the move of each channel's clock, in widths, for a drive of 1; less where the limits leave less room.
        Shape (n_channels,)."""
        self._prepare()

    def steps(self, t: int, before: Sequence[Observation]) -> list[Step]:
        """The Steps of input step t, one a slot. ``before`` are the observations of step t - 1 (empty at t = 0)."""
        settings = self._settings
        slot_ns = max(1, round(settings.step_s * 1e9 / settings.n_slots))
        if settings.name == "work":
            return [self._work_step(t, before)]
        return [
            Step(self._point(self._signal(t, slot, before), slot), duration_ns=slot_ns)
            for slot in range(settings.n_slots)
        ]

    def _signal(self, t: int, slot: int, before: Sequence[Observation]) -> FloatArray:
        drive: FloatArray = self._drive[t, slot]
        if self._settings.mode != "dialogue" or not before:
            return drive
        counts = before[slot].counts
        total = np.maximum(counts.valid + counts.invalid, 1)
        answer = 2.0 * counts.invalid / total - 1.0  # share of wrong nonces, in [-1, 1]
        heard = np.roll(np.resize(answer, self.channels), FEEDBACK_SHIFT % max(self.channels, 1))
        return np.asarray((1.0 - FEEDBACK_GAIN) * drive + FEEDBACK_GAIN * self.mask.reach * heard)

    # -- operating points ----------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        """Centres and depths, so that no drive can leave the limits; a depth that had to shrink is reported."""
        settings, info, edges = self._settings, self._info, self._edges
        limits = info.limits
        if settings.name in ("chip-frequency", "frequency", "voltage"):
            if edges is None:
                raise UsageError(f"encoding {settings.name}: needs the edges of the board")
            one = settings.name != "chip-frequency"
            self._edge = np.log(np.atleast_1d(np.mean(edges.edge_mhz) if one else edges.edge_mhz))
            self._width = np.atleast_1d(np.mean(edges.width) if one else edges.width)
            room_up = np.log(limits.frequency_mhz.high) - self._edge - REST_WIDTHS * self._width
            room_down = self._edge - REST_WIDTHS * self._width - np.log(limits.frequency_mhz.low)
            room = np.minimum(room_up, room_down)
            if settings.name == "voltage":
                room_mv = min(edges.voltage_mv - limits.voltage_mv.low, limits.voltage_mv.high - edges.voltage_mv)
                room = np.minimum(room, room_mv / edges.voltage_mv)
            needed = 2.0 * DEPTH_WIDTHS * self.mask.reach * self._width
            if float(room.min()) <= 0.0:
                raise UsageError(
                    f"encoding {settings.name}: the edge of {info.uri} lies too near to its limits of "
                    f"{limits.frequency_mhz.low:g} to {limits.frequency_mhz.high:g} MHz, "
                    f"{limits.voltage_mv.low:g} to {limits.voltage_mv.high:g} mV; must be driven with --encoding "
                    "difficulty or work"
                )
            self.depth = DEPTH_WIDTHS * np.minimum(1.0, ROOM_USED * room / needed)

    def _point(self, signal: FloatArray, slot: int) -> OperatingPoint:
        name, edges = self._settings.name, self._edges
        difficulty = self._settings.difficulty or self._info.nominal.difficulty
        if name == "difficulty":
            base = difficulty or 1
            octave = round(float(DIFFICULTY_OCTAVES * 0.5 * (1.0 + signal[0] / self.mask.reach)))
            return OperatingPoint(difficulty=base * 2**octave)
        assert edges is not None  # _prepare has refused these encodings without edges
        move = self._side[slot] * REST_WIDTHS * self._width
        if name == "voltage":
            centre_mhz = float(np.exp(self._edge[0]))
            # a rise of the voltage moves the edge away from the clock: the same as a lower clock
            return OperatingPoint(
                frequency_mhz=centre_mhz,
                voltage_mv=edges.voltage_mv * (1.0 - 2.0 * self.depth * self._width[0] * signal),
                difficulty=difficulty,
            )
        wanted = move + 2.0 * self.depth * self._width * signal
        if name == "frequency":
            return OperatingPoint(float(np.exp(self._edge + wanted)[0]), edges.voltage_mv, difficulty)
        if edges.coupling > 0.0:
            wanted = decoupled(self._info, edges.coupling, wanted)
        return OperatingPoint(np.exp(self._edge + wanted), edges.voltage_mv, difficulty)

    # -- work, as published --------------------------------------------------------------------------------------

    def _work_step(self, t: int, before: Sequence[Observation]) -> Step:
        """The input as a 32-bit word in extranonce2, one job in flight, until its first nonce."""
        value = float(self._drive[t, 0, 0]) / self.mask.reach
        word = round((0.5 + 0.5 * value) * 0xFFFFFFFF)
        if self._settings.mode == "dialogue" and before:
            word = (word ^ _response_word(before[-1])) & 0xFFFFFFFF
        return Step(
            OperatingPoint(difficulty=self._settings.difficulty),
            duration_ns=max(1, round(self._settings.step_s * 1e9)),
            work=Work(WorkMode.HANDSHAKE, clean=True, extranonce2=word.to_bytes(4, "big")),
            detail=Detail.NONCES,
            until_nonces=1,
        )


def _response_word(seen: Observation) -> int:
    """Response time of the step before, in microseconds, as a 32-bit word."""
    return int((seen.end_ns - seen.begin_ns) // 1000) & 0xFFFFFFFF


def _channels(name: EncodingName, info: BoardInfo) -> int:
    if name == "chip-frequency":
        if not info.per_chip_frequency or info.n_counters != info.n_chips:
            raise UsageError(
                f"encoding chip-frequency: {info.model} has one clock or one counter for all chips; use 'frequency'"
            )
        return info.n_chips
    return info.n_hashboards if name == "voltage" else 1
