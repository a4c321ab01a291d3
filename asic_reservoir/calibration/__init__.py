"""Calibration of one board: what it really does, found by asking it within its limits, kept as a versioned record."""

from asic_reservoir.calibration.asking import Effort
from asic_reservoir.calibration.procedure import SECTIONS, Calibrator
from asic_reservoir.calibration.record import Calibration, load_calibration, save_calibration

__all__ = ["SECTIONS", "Calibration", "Calibrator", "Effort", "load_calibration", "save_calibration"]
