"""A board as a scikit-learn transformer: whoever knows scikit-learn can use it.

>>> from sklearn.pipeline import make_pipeline
>>> from asic_reservoir.readout import RidgeReadout
>>> u = np.random.default_rng(0).uniform(0, 0.5, (300, 1))
>>> y = np.convolve(u[:, 0], [0.5, 0.3, 0.2])[:300]
>>> model = make_pipeline(BoardReservoir("twin://s9?seed=1"), RidgeReadout(washout=20)).fit(u[:200], y[:200])
>>> model.predict(u[200:]).shape
(100,)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self, cast

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from asic_reservoir.board import Board
from asic_reservoir.drive import drive
from asic_reservoir.edge_sources import edges_for
from asic_reservoir.encoding import Encoder, EncodingName, EncodingSettings, Mode, default_encoding
from asic_reservoir.observables import check_observables, states_of
from asic_reservoir.registry import open_board

FloatArray = NDArray[np.float64]


class BoardReservoir(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Inputs in, states of a board out: rows are steps in time.

    ``fit`` opens the board, finds the edges of its chips and takes the range of each input from the rows given;
    ``transform`` opens it again and drives it with the rows as one series, from the first on. A twin then starts from
    the same state and draws the same noise, so equal rows give equal states; a real board does not.

    Parameters:
        board: URI of the board.
        encoding: ``"auto"`` or a name of :mod:`asic_reservoir.encoding`.
        mode: ``"monologue"``, ``"dialogue"`` or ``"constant"``.
        lags: Past inputs that the encoding mixes; 1 sees the present row only.
        slots: Time slots of a step.
        step_seconds: Board time of a step.
        observables: Names of :mod:`asic_reservoir.observables`.
        mask_seed: Draws the input mask.

    Attributes:
        input_low_, input_high_: Range of each input in the rows of ``fit``, (n_features_in_,). Later rows beyond it
            are refused where they would take the board out of its limits.
        edges_: What was found of the chips, or None where the encoding needs nothing.
        origin_: ``simulated``, ``replayed`` or ``measured``.

    As a time-ordered estimator it does not keep three of scikit-learn's common promises: a subset or another order of
    rows is another series, and gives other states.
    """

    def __init__(
        self,
        board: str = "twin://s9?seed=1",
        *,
        encoding: str = "auto",
        mode: str = "monologue",
        lags: int = 20,
        slots: int = 1,
        step_seconds: float = 10.0,
        observables: Sequence[str] = ("counts",),
        mask_seed: int = 0,
    ) -> None:
        self.board = board
        self.encoding = encoding
        self.mode = mode
        self.lags = lags
        self.slots = slots
        self.step_seconds = step_seconds
        self.observables = observables
        self.mask_seed = mask_seed

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the range of the inputs, (n_steps, n_inputs), and the edges of the board. ``y`` is not looked at."""
        rows = validate_data(self, X, dtype=np.float64)
        check_observables(self.observables)
        self.input_low_, self.input_high_ = rows.min(axis=0), rows.max(axis=0)
        with open_board(self.board) as board:
            settings = self._settings(board)
            needs_edges = settings.name not in ("work", "difficulty")
            self.edges_ = edges_for(board, settings) if needs_edges else None
            self.origin_ = board.info.origin.value
        return self

    def transform(self, X: Any) -> FloatArray:
        """States, (n_steps, n_states): row t has seen the inputs up to row t."""
        check_is_fitted(self, "edges_")
        rows = validate_data(self, X, dtype=np.float64, reset=False)
        span = np.where(self.input_high_ > self.input_low_, self.input_high_ - self.input_low_, 1.0)
        scaled = 2.0 * (rows - self.input_low_) / span - 1.0
        with open_board(self.board) as board:
            settings = self._settings(board)
            encoder = Encoder(settings, board.info, self.edges_, scaled, self.mask_seed)
            record = drive(board, encoder, len(rows), settings.n_slots)
        return states_of(self.observables, record)

    def _settings(self, board: Board) -> EncodingSettings:
        name = default_encoding(board.info) if self.encoding == "auto" else self.encoding
        return EncodingSettings(
            cast(EncodingName, name), cast(Mode, self.mode), self.lags, self.slots, self.step_seconds
        )
