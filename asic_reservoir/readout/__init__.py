"""Readouts: from states to targets, with the interface of scikit-learn."""

from asic_reservoir.readout._ridge import DEFAULT_ALPHAS, RidgeReadout

__all__ = ["DEFAULT_ALPHAS", "RidgeReadout"]
