"""Power, speed and heat of a whole board through one step of virtual time.

Chips of a voltage domain are in parallel, domains of a hashboard in series: the same current flows through all of
them, so a domain whose chips draw less current takes a larger share of the voltage. Heat flows die -> package ->
heatsink -> air, heatsinks to their neighbours, and the air warms along the hashboard. Leakage grows with
temperature and voltage and feeds back on both.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

from asic_reservoir.twin.chips import X_HIGH, X_LOW, X_POINTS, Chips
from asic_reservoir.twin.spec import TwinSpec

FIRST_SUBSTEP_S = 0.02
"""Of the order of the die's time constant; substeps then grow threefold, since what is fast has settled."""
SUBSTEP_GROWTH = 3.0
MAX_SUBSTEP_S = 10.0
MIN_DOMAIN_V = 1e-3
MAX_LEAKAGE_LOG = 4.0
"""A chip in thermal runaway: its leakage stops growing here (55-fold), where a real supply gives up."""
_KELVIN = 273.15
_STILL_AIR_FLOW = 0.08
"""Natural convection, as a share of the full air flow [assumption]."""


@lru_cache(maxsize=64)
def substeps_s(duration_s: float) -> NDArray[np.float64]:
    """Lengths of the substeps of a step: 20 ms, then growing threefold up to 10 s.

    >>> substeps_s(0.1).tolist()
    [0.02, 0.08]
    """
    lengths: list[float] = []
    left, length = duration_s, FIRST_SUBSTEP_S
    while left > 1e-12:
        part = min(length, left)
        if left - part < 0.5 * part:  # no sliver at the end
            part = left
        lengths.append(part)
        left -= part
        length = min(SUBSTEP_GROWTH * length, MAX_SUBSTEP_S)
    return np.array([round(part, 12) for part in lengths])


@njit(cache=True)
def _advance(  # type: ignore[no-untyped-def]
    die, package, heatsink, domain_v, frequency, fan,  # state, changed in place
    target_mhz, open_v, fan_target, lengths,  # request
    edge_mhz, threshold_v, capacitance_w, leakage_w, table,  # chips
    n_hashboards, per_board, n_domains,
    reference_v, reference_c, alpha, threshold_slope, mobility, leakage_k, leakage_v,
    c_die, c_package, c_heatsink, r_die, r_package, r_heatsink, neighbour, airflow, inlet_c, fan_time,
    load_line_ohm, slew, rate_per_mhz,
    valid_hz, invalid_hz, relative, board_power, board_v,  # outputs
):  # fmt: skip
    per_domain = per_board // n_domains
    scale = (X_POINTS - 1) / (X_HIGH - X_LOW)
    reference_k = reference_c + _KELVIN
    power = np.zeros(die.shape[0])
    conductance = np.zeros(die.shape[0])
    clock = np.zeros(die.shape[0])
    for k in range(lengths.shape[0]):
        dt = lengths[k]
        fan[0] = fan_target + (fan[0] - fan_target) * math.exp(-dt / fan_time)
        flow = max(fan[0], _STILL_AIR_FLOW)
        g_air = flow**0.7 / r_heatsink
        total_power = 0.0
        for b in range(n_hashboards):
            first = b * per_board
            for i in range(first, first + per_board):  # clocks move toward what was asked for
                gap = target_mhz[i] - frequency[i]
                move = min(abs(gap), slew * dt)
                was = frequency[i]
                frequency[i] += move if gap >= 0 else -move
                clock[i] = 0.5 * (was + frequency[i]) if slew * dt < abs(gap) else frequency[i]
            # the voltages of the domains; leakage, a fifth of the current, follows the voltage of the substep before
            resistance = 0.0
            for d in range(n_domains):
                v = max(domain_v[b, d], MIN_DOMAIN_V)  # a supply that is off still has a conductance
                over_v = (v - reference_v) / leakage_v
                g = 0.0
                for i in range(first + d * per_domain, first + (d + 1) * per_domain):
                    leak_w = leakage_w[i] * math.exp(min((die[i] - reference_c) / leakage_k + over_v, MAX_LEAKAGE_LOG))
                    conductance[i] = capacitance_w[i] * clock[i] + leak_w / (reference_v * v)
                    g += conductance[i]
                domain_v[b, d] = g  # the conductance, for a moment
                resistance += 1.0 / g
            supply = open_v[b] / (1.0 + load_line_ohm / resistance)
            current = supply / resistance
            for d in range(n_domains):
                domain_v[b, d] = current / domain_v[b, d]
            board_v[b] = supply
            upstream = 0.0
            for i in range(first, first + per_board):
                v = max(domain_v[b, (i - first) // per_domain], MIN_DOMAIN_V)
                # speed: alpha-power law, relative to reference voltage and temperature
                kelvin = die[i] + _KELVIN
                over = v - (threshold_v[i] - threshold_slope * (die[i] - reference_c))
                over_reference = reference_v - threshold_v[i]
                rate = rate_per_mhz * clock[i]
                if over < 1e-3:  # below its threshold a chip answers nothing
                    over, rate = 1e-3, 0.0
                speed = (reference_v / v) * math.exp(
                    alpha * math.log(over / over_reference) - mobility * math.log(kelvin / reference_k)
                )
                x = clock[i] / (edge_mhz[i] * speed)
                place = (x - X_LOW) * scale
                if place <= 0.0:
                    error = table[i, 0]
                elif place >= X_POINTS - 1:
                    error = table[i, X_POINTS - 1]
                else:
                    cell = int(place)
                    error = table[i, cell] + (place - cell) * (table[i, cell + 1] - table[i, cell])
                valid_hz[k, i] = rate * (1.0 - error)
                invalid_hz[k, i] = rate * error
                relative[k, i] = x
                power[i] = v * v * conductance[i]
            # heat, backward Euler on each chip's chain of three; neighbours and air as they were
            for i in range(first, first + per_board):
                air_c = inlet_c + upstream / (airflow * flow)
                upstream += power[i]
                exchange = 0.0
                if i > first:
                    exchange += neighbour * (heatsink[i - 1] - heatsink[i])
                if i < first + per_board - 1:
                    exchange += neighbour * (heatsink[i + 1] - heatsink[i])
                a_die = c_die / dt + 1.0 / r_die
                source_die = c_die / dt * die[i] + power[i]
                a_package = c_package / dt + 1.0 / r_die + 1.0 / r_package - 1.0 / (r_die * r_die * a_die)
                source_package = c_package / dt * package[i] + source_die / (r_die * a_die)
                a_sink = c_heatsink / dt + 1.0 / r_package + g_air - 1.0 / (r_package * r_package * a_package)
                source_sink = (
                    c_heatsink / dt * heatsink[i] + g_air * air_c + exchange + source_package / (r_package * a_package)
                )
                heatsink[i] = source_sink / a_sink
                package[i] = (source_package + heatsink[i] / r_package) / a_package
                die[i] = (source_die + package[i] / r_die) / a_die
                total_power += power[i]
        board_power[k] = total_power


class Physics:
    """State of the board and its advance. All arrays float64 of shape (n_chips,) unless said otherwise."""

    def __init__(self, spec: TwinSpec, chips: Chips, inlet_c: float) -> None:
        self.spec, self.chips, self.inlet_c = spec, chips, inlet_c
        n = spec.n_chips
        self.die_c = np.full(n, inlet_c)
        self.package_c = np.full(n, inlet_c)
        self.heatsink_c = np.full(n, inlet_c)
        self.frequency_mhz = np.full(n, float(np.asarray(spec.nominal.frequency_mhz)))
        self.domain_v = np.full((spec.n_hashboards, spec.n_domains), spec.chip.reference_v)
        self.fan = np.array([(spec.nominal.fan_percent or 0.0) / 100.0])
        self.board_v = np.zeros(spec.n_hashboards)
        """Voltage at the hashboard's terminals after the last substep, in V, shape (n_hashboards,)."""

    STATE = ("die_c", "package_c", "heatsink_c", "frequency_mhz", "domain_v", "fan", "board_v")

    def copy_state(self) -> dict[str, NDArray[np.float64]]:
        return {name: getattr(self, name).copy() for name in self.STATE}

    def put_state(self, state: dict[str, NDArray[np.float64]]) -> None:
        for name in self.STATE:
            getattr(self, name)[...] = state[name]

    def advance(
        self,
        target_mhz: NDArray[np.float64],
        open_v: NDArray[np.float64],
        fan_share: float,
        rate_per_mhz: float,
        lengths_s: NDArray[np.float64],
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Advance by the given substeps.

        Returns the rates of valid and of invalid nonces in Hz and the frequency relative to each chip's edge,
        each of shape (n_substeps, n_chips), and the power of all chips in W, shape (n_substeps,).
        """
        spec, chip, heat = self.spec, self.spec.chip, self.spec.heat
        shape = (len(lengths_s), spec.n_chips)
        valid, invalid, relative = np.empty(shape), np.empty(shape), np.empty(shape)
        power = np.empty(len(lengths_s))
        _advance(
            self.die_c, self.package_c, self.heatsink_c, self.domain_v, self.frequency_mhz, self.fan,
            target_mhz, open_v, fan_share, lengths_s,
            self.chips.edge_mhz, self.chips.threshold_v, self.chips.capacitance_w, self.chips.leakage_w,
            self.chips.error_table,
            spec.n_hashboards, spec.chips_per_hashboard, spec.n_domains,
            chip.reference_v, chip.reference_c, chip.alpha, chip.threshold_slope_v_per_k, chip.mobility_exponent,
            chip.leakage_slope_k, chip.leakage_slope_v,
            heat.die_j_per_k, heat.package_j_per_k, heat.heatsink_j_per_k,
            heat.die_package_k_per_w, heat.package_heatsink_k_per_w, heat.heatsink_air_k_per_w,
            heat.neighbour_w_per_k, heat.airflow_w_per_k, self.inlet_c, heat.fan_time_s,
            spec.regulator.load_line_mohm / 1000.0, spec.slew_mhz_per_s, rate_per_mhz,
            valid, invalid, relative, power, self.board_v,
        )  # fmt: skip
        return valid, invalid, relative, power
