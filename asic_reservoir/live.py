"""A board used step by step, as inputs come: u[t] in, states and y[t] out, with the board in the loop.

It does to each input what a run does to a whole series, so that the same inputs on the same twin give the same states,
bit by bit.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asic_reservoir.board import Board, BoardInfo, Observation, Step
from asic_reservoir.edges import EdgeMap
from asic_reservoir.encoding import Encoder, EncodingSettings
from asic_reservoir.errors import DataError, UsageError
from asic_reservoir.observables import WINDOW, Record, check_observables, states_of
from asic_reservoir.trained import TrainedReadout

FloatArray = NDArray[np.float64]


class LiveEncoder(Encoder):
    """An encoder whose input is not known beforehand.

    Args:
        settings, info, edges, mask_seed: as of :class:`asic_reservoir.encoding.Encoder`.
    """

    def __init__(self, settings: EncodingSettings, info: BoardInfo, edges: EdgeMap | None, mask_seed: int) -> None:
        super().__init__(settings, info, edges, np.zeros(1), mask_seed)
        self._heard: deque[float] = deque([0.0] * settings.n_lags, maxlen=settings.n_lags)

    def following(self, scaled: float, before: Sequence[Observation]) -> list[Step]:
        """The Steps of the next input, in [-1, 1]; ``before`` are the observations of the one before it."""
        settings = self._settings
        self._heard.append(0.0 if settings.mode == "constant" else scaled)
        drive = self.mask.drive(np.array(self._heard))[-1]
        self._drive = drive.reshape(1, settings.n_slots, self.channels)
        return self.steps(0, before)


@dataclass(frozen=True, slots=True, eq=False)
class LiveStep:
    """What came of one input."""

    states: FloatArray
    """(n_states,)"""
    output: float | None
    """y[t]; None without a readout."""
    begin_ns: int
    end_ns: int
    """On the board's time line."""


class LiveReservoir:
    """An open board, driven by one input after the other.

    Args:
        board: open; it is not closed here.
        settings: encoding.
        edges: that the encoding is centred on.
        observables: what is read off a step.
        mask_seed: draws the input mask.
        input_range: low and high of the input.
        readout: gives the outputs; None gives states only.

    Raises:
        UsageError: the board cannot do what the encoding asks for; names what.
    """

    def __init__(
        self,
        board: Board,
        settings: EncodingSettings,
        edges: EdgeMap | None,
        *,
        observables: Sequence[str] = ("counts",),
        mask_seed: int = 0,
        input_range: tuple[float, float] = (0.0, 0.5),
        readout: TrainedReadout | None = None,
    ) -> None:
        check_observables(observables)
        low, high = input_range
        if not high > low:
            raise UsageError(f"input range: {low:g} to {high:g}, must grow")
        self._board, self._slots, self._readout = board, settings.n_slots, readout
        self._observables, self.low, self.high = tuple(observables), low, high
        self._encoder = LiveEncoder(settings, board.info, edges, mask_seed)
        self._before: Sequence[Observation] = ()
        self._recent: deque[Sequence[Observation]] = deque(maxlen=WINDOW)

    @classmethod
    def of_readout(cls, board: Board, readout: TrainedReadout) -> LiveReservoir:
        """As the readout was trained.

        Raises:
            UsageError: a board of another family, or with other counters.
        """
        wanted, info = readout.settings, board.info
        if (info.family, info.n_counters) != (wanted.family, wanted.n_counters):
            raise UsageError(
                f"model: of a {wanted.family} with {wanted.n_counters} counters, must be of the board's family, "
                f"{info.family} with {info.n_counters}"
            )
        return cls(
            board,
            wanted.encoding_settings(),
            readout.edges,
            observables=wanted.observables,
            mask_seed=wanted.mask_seed,
            input_range=(wanted.input_low, wanted.input_high),
            readout=readout,
        )

    def step(self, u: float) -> LiveStep:
        """Drive the board with one input.

        Raises:
            UsageError: the input is not finite, or outside its range; the board was not touched.
            DataError: the states have another width than the readout's.
        """
        if not self.low <= u <= self.high:  # NaN is in no range
            raise UsageError(f"u: {u!r}, must be a number from {self.low:g} to {self.high:g}")
        scaled = 2.0 * (u - self.low) / max(self.high - self.low, 1e-300) - 1.0
        self._before = [self._board.step(step) for step in self._encoder.following(scaled, self._before)]
        self._recent.append(self._before)
        record = Record.of(self._board.info, list(self._recent), self._slots)
        states = states_of(self._observables, record)[-1]
        output = None
        if self._readout is not None:
            if states.shape != (self._readout.n_states,):
                raise DataError(
                    f"states: {states.size} of this board, must be {self._readout.n_states} as in the model"
                )
            output = float(self._readout.predict(states[None])[0])
        return LiveStep(states, output, self._before[0].begin_ns, self._before[-1].end_ns)
