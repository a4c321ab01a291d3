"""Readouts: from states to targets, with the interface of scikit-learn."""

from asic_reservoir.readout._classifier import ReadoutClassifier
from asic_reservoir.readout._ridge import DEFAULT_ALPHAS, RidgeReadout
from asic_reservoir.readout._rls import RecursiveLeastSquares

__all__ = ["DEFAULT_ALPHAS", "ReadoutClassifier", "RecursiveLeastSquares", "RidgeReadout"]
