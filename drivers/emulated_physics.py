"""The physics of a twin, without its own idea of settings: what an emulated device puts behind its wires.

A twin as a Board quantises, limits and slews for itself. Here the device has done all that (registers, regulator
codes, ramps come over the wire), so only what silicon and air do is left.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from asic_reservoir.twin.arrivals import Arrivals, Exposure, place
from asic_reservoir.twin.chips import X_HIGH, X_LOW, X_POINTS, draw_chips
from asic_reservoir.twin.physics import Physics, substeps_s
from asic_reservoir.twin.spec import TwinSpec

OFF_V = 0.01
"""Voltage of a rail that is off: leakage of the supply, and finite for the arithmetic."""
_CLOCKS_JUMP = 1e9


class DevicePhysics:
    """Chips, power and heat of a device; the caller owns time.

    Args:
        spec: which device.
        seed: which specimen.

    Attributes:
        frequency_mhz: clock of every chip that hashes, 0 for one that does not, shape (n_chips,).
        voltage_v: supply of every hashboard, shape (n_hashboards,).
        fan_share: 0 to 1.
    """

    def __init__(self, spec: TwinSpec, seed: int) -> None:
        self.spec = replace(spec, slew_mhz_per_s=_CLOCKS_JUMP)
        self.chips = draw_chips(spec, seed)
        self._physics = Physics(self.spec, self.chips, spec.heat.inlet_c)
        self._rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, 0xE111])))
        self.frequency_mhz = np.zeros(spec.n_chips)
        self.voltage_v = np.full(spec.n_hashboards, OFF_V)
        self.fan_share = 1.0
        self._physics.frequency_mhz[:] = 0.0
        self._chips_w = 0.0
        self.advance(1e-3, difficulty=2**40)  # compiled before time begins to count

    def warm_up(self, frequency_mhz: float, voltage_v: float, duration_s: float = 1200.0) -> None:
        """Heat as after running at a point for so long; the settings themselves are put back."""
        kept = self.frequency_mhz.copy(), self.voltage_v.copy()
        self.frequency_mhz[:], self.voltage_v[:] = frequency_mhz, voltage_v
        self.advance(duration_s, difficulty=2**40)
        self.frequency_mhz[:], self.voltage_v[:] = kept

    def advance(self, duration_s: float, difficulty: int, unit: float = 2.0**32) -> Arrivals:
        """Let time pass; the nonces found in it, at the given difficulty (in ``unit`` hashes)."""
        lengths = substeps_s(round(duration_s, 9))
        rate_per_mhz = 1e6 * self.spec.chip.hashes_per_clock / (difficulty * unit)
        valid_hz, invalid_hz, relative, power = self._physics.advance(
            self.frequency_mhz, np.maximum(self.voltage_v, OFF_V), self.fan_share, rate_per_mhz, lengths
        )
        self._chips_w = float(power[-1])
        valid = self._rng.poisson(lengths @ valid_hz)
        invalid = self._rng.poisson(lengths @ invalid_hz)
        if not valid.any() and not invalid.any():
            none = np.empty(0, np.intp)
            return Arrivals(np.empty(0), none, none, np.empty(0, np.bool_))
        bounds = np.concatenate([[0.0], np.cumsum(lengths)])
        steady = Exposure(0.0, 0.0)
        return place(self._rng, self.chips, valid, invalid, valid_hz, invalid_hz, relative, bounds, steady)

    @property
    def die_c(self) -> NDArray[np.float64]:
        """Temperature of every die, shape (n_chips,)."""
        return self._physics.die_c

    @property
    def heatsink_c(self) -> NDArray[np.float64]:
        """Temperature of every heatsink, shape (n_chips,)."""
        return self._physics.heatsink_c

    @property
    def board_v(self) -> NDArray[np.float64]:
        """Voltage at the terminals of every hashboard under load, shape (n_hashboards,)."""
        return self._physics.board_v

    @property
    def input_w(self) -> float:
        """Power that the board draws from its supply."""
        return self._chips_w / self.spec.regulator.efficiency + self.spec.overhead_w

    @property
    def fan_rpm(self) -> float:
        """Speed of the fan."""
        return float(self._physics.fan[0]) * self.spec.heat.fan_full_rpm

    def edge_mhz(self) -> NDArray[np.float64]:
        """Clock at which half of the hashes of each chip are wrong, at its voltage and temperature now: the truth that
        a calibration is compared with, shape (n_chips,)."""
        spec, chip, chips = self.spec, self.spec.chip, self.chips
        per_domain = spec.chips_per_hashboard // spec.n_domains
        volts = np.repeat(self._physics.domain_v.reshape(-1), per_domain)
        die = self._physics.die_c
        over = volts - (chips.threshold_v - chip.threshold_slope_v_per_k * (die - chip.reference_c))
        speed = chip.reference_v / volts * (over / (chip.reference_v - chips.threshold_v)) ** chip.alpha
        speed *= ((die + 273.15) / (chip.reference_c + 273.15)) ** -chip.mobility_exponent
        grid = np.linspace(X_LOW, X_HIGH, X_POINTS)
        half = np.array([np.interp(0.5, row, grid) for row in chips.error_table])
        return np.asarray(chips.edge_mhz * speed * half)
