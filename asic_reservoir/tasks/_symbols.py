"""Tasks whose target is a symbol: channel equalisation, parity, delayed exclusive or."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from asic_reservoir.tasks._task import Series, check_draw, draw_generator

DROPPED_STEPS = 200


@dataclass(frozen=True, slots=True)
class ChannelEqualisation:
    """Recover the symbol that was sent two steps ago through a nonlinear multipath channel with noise.

    Channel of Jaeger & Haas, Science 304 (2004) 78: symbols of {-3, -1, 1, 3},
    q[t] = 0.08 d[t+2] - 0.12 d[t+1] + d[t] + 0.18 d[t-1] - 0.1 d[t-2] + 0.091 d[t-3] - 0.05 d[t-4] + 0.04 d[t-5]
    + 0.03 d[t-6] + 0.01 d[t-7], u = q + 0.036 q² - 0.011 q³ + noise. The input of step t is u[t], its target d[t-2].
    """

    name: str
    snr_db: float

    def generate(self, seed: int, n_steps: int) -> Series:
        """Draw symbols and noise. Raises UsageError for a seed or a length out of range."""
        check_draw(self.name, seed, n_steps)
        generator = draw_generator(seed, 0)
        taps = np.array([0.08, -0.12, 1.0, 0.18, -0.1, 0.091, -0.05, 0.04, 0.03, 0.01])
        length = n_steps + DROPPED_STEPS
        symbols = generator.choice(np.array([-3.0, -1.0, 1.0, 3.0]), length + 2)
        # sent[k] = symbols[k]; the channel output at t weighs d[t+2] first, so its newest symbol is symbols[t + 2]
        q = np.convolve(symbols, taps)[2 : length + 2]
        clean = q + 0.036 * q**2 - 0.011 * q**3
        noise_sd = float(clean.std()) * 10.0 ** (-self.snr_db / 20.0)
        received = clean + noise_sd * generator.standard_normal(length)
        target = np.concatenate([np.full(2, symbols[0]), symbols[: length - 2]])
        definition = (
            f"channel of Jaeger & Haas 2004 at {self.snr_db:g} dB: d[t-2] of {{-3,-1,1,3}} from u[t], "
            f"{DROPPED_STEPS} steps dropped"
        )
        u = received[DROPPED_STEPS:]
        return Series(
            u, target[DROPPED_STEPS:], 0, definition, (float(u.min()), float(u.max())), (-3.0, -1.0, 1.0, 3.0)
        )


@dataclass(frozen=True, slots=True)
class Parity:
    """Product of ``n_bits`` successive ±1 inputs, the newest ``delay`` steps old: linear lags stay at chance."""

    name: str
    n_bits: int
    delay: int

    def generate(self, seed: int, n_steps: int) -> Series:
        """Draw bits. Raises UsageError for a seed or a length out of range."""
        check_draw(self.name, seed, n_steps)
        length = n_steps + DROPPED_STEPS
        bits = draw_generator(seed, 0).choice(np.array([-1.0, 1.0]), length)
        target = np.ones(n_steps)
        for lag in range(self.delay, self.delay + self.n_bits):
            target *= bits[DROPPED_STEPS - lag : length - lag]
        definition = (
            f"product of u[t-{self.delay}] … u[t-{self.delay + self.n_bits - 1}], u of {{-1, 1}}, "
            f"{DROPPED_STEPS} steps dropped"
        )
        return Series(bits[DROPPED_STEPS:], target, 0, definition, (-1.0, 1.0), (-1.0, 1.0))


SYMBOL_TASKS = (
    ChannelEqualisation("channel-12db", 12.0),
    ChannelEqualisation("channel-24db", 24.0),
    ChannelEqualisation("channel-32db", 32.0),
    Parity("xor", 2, 0),
    Parity("xor-delayed", 2, 3),
    Parity("parity3", 3, 0),
    Parity("parity5", 5, 0),
)
