"""Is the loss of right nonces at low voltage a change of phase, or the edge of ordinary timing errors?

Order parameter: the share ψ of right nonces. The null: every nonce is right or wrong by itself, with a probability that
rises smoothly with voltage (the error edge). Then the counts of windows scatter as a binomial law says, the way up is
the way down, and a smooth step describes ψ. A change of phase shows otherwise: fluctuations beyond counting at the
critical voltage (susceptibility), or a way down that is not the way up (hysteresis).

* Susceptibility: φ = mean of squared differences of neighbouring windows, standardized, over 2; 1 for the null. Taken
  from differences, so that slow warming does not count. The largest φ on the way up is held against the null's
  (max-statistic), and must be there again on the way down.
* Hysteresis: the largest |ψ up − ψ down| with an interval for all voltages together, against a margin of 0.05, which is
  what is left to the different temperatures of the two ways.
* Change point: likelihood of one jump against that of a logistic step, the null by parametric bootstrap; it is told,
  and not used.

Control: windows at the edge that switch between two states must be found; draws of the null must show nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from asic_reservoir.board import Origin
from asic_reservoir.claim_trials.driving import Driver, temperature_c
from asic_reservoir.claim_trials.trial import LEVEL, MOST_LOUD, QUIET_DRAWS, Effect, Finding, label_of
from asic_reservoir.controls import max_statistic
from asic_reservoir.report.model import Check, Curve, LinePlot, Scalar, Table

FloatArray = NDArray[np.float64]
Counts = NDArray[np.int64]
MARGIN = 0.05
"""Of ψ, that two ways may differ by."""
CROSSED = (0.25, 0.75)
"""The sweep reaches the edge where ψ falls below the first and rises above the second."""
SWITCHING = 0.2
"""The planted states lie so far from the mean."""
NEAR_LIMIT_K = 10.0
HIGHEST = 1.05
"""No clock beyond this share of the nominal one is looked for: at the nominal voltage the board would be too hot."""
DRAWS = 400
TOP_WRONG = 0.9
"""The clock is chosen so that at the lowest voltage so many nonces are wrong."""


@dataclass(frozen=True, slots=True, eq=False)
class Ways:
    """Right nonces and all of them, of every window on the way up (0) and down (1)."""

    millivolts: FloatArray
    """Rising, shape (n_voltages,)."""
    mhz: float
    right: Counts
    """Shape (2, n_voltages, n_windows)."""
    total: Counts
    temperature_c: tuple[tuple[float | None, ...], tuple[float | None, ...]]
    """At the end of each voltage, by way."""


def collect(
    driver: Driver, voltages: int, windows: int, nonces: int, settle_s: float, mhz: float | None
) -> Ways | None:
    """Up from the lowest voltage to the nominal one, and down again; ``None`` where the path cannot set a voltage.

    The way up ends early where a chip comes near its limit.

    Raises:
        SafetyError: the board had to be made safe.
    """
    info, high = driver.board.info, driver.nominal_mv
    if high is None:
        return None
    levels = np.linspace(info.limits.voltage_mv.low, high, voltages)
    clock = driver.climb(float(levels[0]), TOP_WRONG, 4 * nonces, HIGHEST) if mhz is None else mhz
    right = np.zeros((2, voltages, windows), np.int64)
    total = np.zeros_like(right)
    hot: list[list[float | None]] = [[None] * voltages, [None] * voltages]
    top = voltages
    for way in range(2):
        for index in range(top) if way == 0 else range(top - 1, -1, -1):
            text = f"{'up' if way == 0 else 'down'}, {levels[index]:.0f} mV"
            driver.ask(text, settle_s, clock, float(levels[index]))
            for window in range(windows):
                seen = driver.ask(text, nonces / driver.rate_hz(clock))
                right[way, index, window], total[way, index, window] = driver.right_and_all(seen)
            celsius = hot[way][index] = temperature_c(seen)
            if way == 0 and celsius is not None and celsius > info.limits.chip_temperature_c - NEAR_LIMIT_K:
                top = index + 1
                break
    return Ways(levels[:top], clock, right[:, :top], total[:, :top], (tuple(hot[0][:top]), tuple(hot[1][:top])))


def dispersion(right: Counts, total: Counts) -> FloatArray:
    """φ over the last axis: 1 where every nonce is right or wrong by itself; 1 too where nothing can scatter."""
    n = np.maximum(total.sum(axis=-1, keepdims=True), 1)
    psi = right.sum(axis=-1, keepdims=True) / n
    spread = np.maximum(total, 1) * psi * (1 - psi)
    enough = spread.mean(axis=-1) >= 1  # a handful of right or wrong nonces has no law of large numbers
    z = (right - total * psi) / np.sqrt(np.maximum(spread, 1e-9))
    return np.where(enough, (np.diff(z, axis=-1) ** 2).mean(axis=-1) / 2, 1.0)


def _draws(ways: Ways, n: int, rng: np.random.Generator) -> Counts:
    """Right nonces of whole runs of the null, shape (n, 2, n_voltages, n_windows)."""
    psi = ways.right.sum(axis=-1, keepdims=True) / np.maximum(ways.total.sum(axis=-1, keepdims=True), 1)
    return rng.binomial(ways.total, np.broadcast_to(psi, ways.total.shape), (n, *ways.total.shape)).astype(np.int64)


def _found(up: FloatArray, down: FloatArray, null: FloatArray) -> bool:
    """Whether the largest φ of the way up is beyond the null's, and φ is so again at that voltage on the way down.

    Args:
        null: φ of draws, shape (n_draws, 2, n_voltages).
    """
    place = int(np.argmax(up))
    if float(max_statistic(up, null[:, 0])[place]) > LEVEL:
        return False
    near = slice(max(0, place - 1), place + 2)
    return float(max_statistic(down[near], null[:, 1, near]).min()) <= LEVEL


def judge(ways: Ways, origin: Origin, seed: int = 0) -> Finding:
    """What the two ways say of the claim."""
    rng = np.random.default_rng([0x9A5E, seed])
    phi = dispersion(ways.right, ways.total)
    null = dispersion(_draws(ways, DRAWS, rng), ways.total)
    psi = ways.right.sum(axis=2) / np.maximum(ways.total.sum(axis=2), 1)
    mean = psi.mean(axis=0)
    crossed = bool(mean.min() < CROSSED[0] and mean.max() > CROSSED[1])
    peak = _found(phi[0], phi[1], null)
    hysteresis = _hysteresis(ways, psi)
    loop, no_loop = hysteresis.low > MARGIN, hysteresis.high < MARGIN
    p_peak = [float(max_statistic(phi[way], null[:, way]).min()) for way in range(2)]
    checks = (
        Check(
            name="the edge was crossed",
            passed=crossed,
            sentence=f"the share of right nonces goes from {mean.min():.3f} to {mean.max():.3f} within the limits; it "
            f"has to fall below {CROSSED[0]:g} and rise above {CROSSED[1]:g}.",
        ),
        _planted(ways, phi, null, psi, rng),
        _quiet(ways, null, rng),
    )
    label = label_of(
        controls=all(check.passed for check in checks),
        shown=peak or loop,
        excluded=not peak and no_loop and min(p_peak) > LEVEL / 2,
    )
    middle_mv, width_mv, p_jump = change_point(ways, rng)
    smooth = f"a smooth edge at {middle_mv:.0f} mV, {width_mv:.0f} mV wide"
    top = int(np.argmax(phi.max(axis=0)))
    phi_text = f"fluctuations at most {phi.max():.2f} of counting at {ways.millivolts[top]:.0f} mV"
    loop_text = f"way up and way down differ by {hysteresis.value:.3f} ({hysteresis.low:.3f} to {hysteresis.high:.3f})"
    apart_mv = float(np.diff(ways.millivolts).mean())
    failed = [check for check in checks if not check.passed]
    if label == "supported":
        why = phi_text + ", found on both ways" if peak else loop_text
        sentence = f"Supported: at {ways.mhz:.0f} MHz {why}; independent errors do not do that."
    elif label == "not supported":
        sentence = (
            f"Not supported: at {ways.mhz:.0f} MHz the share of right nonces has {smooth}; {phi_text} (p "
            f"{p_peak[0]:.2f} up, {p_peak[1]:.2f} down), {loop_text}: independent timing errors."
        )
    elif failed:
        sentence = f"Undecided: the control «{failed[0].name}» failed: {failed[0].sentence}"
    else:
        sentence = (
            f"Undecided: {phi_text} (p {p_peak[0]:.3f} up, {p_peak[1]:.3f} down), {loop_text}; "
            "more windows or nonces would decide."
        )
    return Finding(
        claim="phase-transition",
        label=label,
        sentence=sentence,
        effect=hysteresis,
        checks=checks,
        title="Is the loss of right nonces at low voltage a change of phase?",
        summary=f"{ways.millivolts.size} voltages up and down again at {ways.mhz:.0f} MHz, {ways.total.shape[2]} "
        f"windows each, {int(ways.total.sum())} nonces ({origin.value}).",
        figures=[_figure(ways, psi)],
        tables=[_table(ways, psi, phi)],
        notes=[
            "Published regimes: above 950, 870 to 950, 850 to 870, below 850 mV.",
            "No voltage below the limits of the board is set; the clock is chosen so that the edge lies within them.",
            f"One jump against a smooth step: p {p_jump:.3f}, at voltages {apart_mv:.0f} mV apart.",
        ],
        facts={
            "mhz": ways.mhz,
            "edge_mv": middle_mv,
            "edge_width_mv": width_mv,
            "jump_p": p_jump,
            "largest_dispersion": float(phi.max()),
            "dispersion_p": p_peak,
        },
    )


def judge_fixed(uri: str) -> Finding:
    """Of a board whose voltage cannot be set."""
    sentence = "Undecided: this path cannot set the voltage, so nothing was swept."
    check = Check(name="a voltage that can be set", passed=False, sentence=f"{uri}: it cannot.")
    return Finding("phase-transition", "undecided", sentence, None, (check,), "No voltage to sweep", sentence)


def _hysteresis(ways: Ways, psi: FloatArray) -> Effect:
    """Largest |ψ up − ψ down|, its interval good for all voltages together (Bonferroni)."""
    total = np.maximum(ways.total.sum(axis=2), 1)
    pooled = np.clip(psi, 0.5 / total, 1 - 0.5 / total)
    error = np.sqrt((pooled * (1 - pooled) / total).sum(axis=0))
    difference = np.abs(psi[1] - psi[0])
    wide = float(stats.norm.isf(LEVEL / 2 / difference.size))
    low, high = float((difference - wide * error).max()), float((difference + wide * error).max())
    return Effect("hysteresis of the share of right nonces", float(difference.max()), max(0.0, low), high, 0.0)


def _planted(ways: Ways, phi: FloatArray, null: FloatArray, psi: FloatArray, rng: np.random.Generator) -> Check:
    """The windows nearest to ψ = 1/2 switch between two states, on both ways."""
    place = int(np.argmin(np.abs(psi.mean(axis=0) - 0.5)))
    total = ways.total[:, place]
    states = np.clip(psi[:, place, None] + SWITCHING * rng.choice([-1.0, 1.0], total.shape), 0.0, 1.0)
    planted = phi.copy()
    planted[:, place] = dispersion(rng.binomial(total, states).astype(np.int64), total)
    hit = _found(planted[0], planted[1], null)
    text = f"windows at {ways.millivolts[place]:.0f} mV that switch by {SWITCHING:g} are {'' if hit else 'not '}found."
    return Check(name="planted switching", passed=hit, sentence=text)


def _quiet(ways: Ways, null: FloatArray, rng: np.random.Generator) -> Check:
    drawn = dispersion(_draws(ways, QUIET_DRAWS, rng), ways.total)
    loud = sum(_found(one[0], one[1], null) for one in drawn)
    text = f"{loud} of {QUIET_DRAWS} draws of independent errors show a peak, at most {MOST_LOUD} may."
    return Check(name="independent errors", passed=loud <= MOST_LOUD, sentence=text)


def change_point(ways: Ways, rng: np.random.Generator, draws: int = 199) -> tuple[float, float, float]:
    """Middle and width (10 to 90 %) of the logistic step that fits ψ best, in mV, and p of one jump against it."""
    mv, right, total = ways.millivolts, ways.right.sum(axis=(0, 2)), ways.total.sum(axis=(0, 2))
    span = float(mv[-1] - mv[0])
    middles = np.linspace(mv[0] - 0.25 * span, mv[-1] + 0.25 * span, 61)
    widths = np.geomspace(0.02, 1.0, 25) * span / (2 * np.log(9))
    x = (mv - middles[:, None, None]) / widths[:, None]
    steps = np.clip(1 / (1 + np.exp(-np.clip(x, -40, 40))), 1e-6, 1 - 1e-6).reshape(-1, mv.size)
    log_right, log_wrong = np.log(steps), np.log1p(-steps)

    def smooth(k: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(log_right @ k.T + log_wrong @ (total - k).T)

    def jump(k: NDArray[np.float64]) -> NDArray[np.float64]:
        best = np.full(k.shape[0], -np.inf)
        for split in range(1, mv.size):
            value = np.zeros(k.shape[0])
            for part in (slice(0, split), slice(split, None)):
                n = max(float(total[part].sum()), 1.0)
                level = np.clip(k[:, part].sum(axis=1) / n, 1e-6, 1 - 1e-6)
                hits = k[:, part].sum(axis=1)
                value += hits * np.log(level) + (n - hits) * np.log1p(-level)
            best = np.maximum(best, value)
        return best

    seen = right[None].astype(np.float64)
    fitted = smooth(seen)[:, 0]
    best = int(np.argmax(fitted))
    drawn = rng.binomial(total, steps[best], (draws, mv.size)).astype(np.float64)
    excess = float(jump(seen)[0] - fitted[best])
    null = jump(drawn) - smooth(drawn).max(axis=0)
    middle, width = float(middles[best // widths.size]), float(widths[best % widths.size] * 2 * np.log(9))
    return middle, width, float((1 + np.sum(null >= excess)) / (1 + draws))


def _figure(ways: Ways, psi: FloatArray) -> LinePlot:
    curves = []
    for way, name in enumerate(("up", "down")):
        total = np.maximum(ways.total[way].sum(axis=1), 1)
        half = 1.96 * np.sqrt(psi[way] * (1 - psi[way]) / total)
        curves.append(
            Curve.of(name, ways.millivolts, psi[way], low=psi[way] - half, high=psi[way] + half, style="line+points")
        )
    return LinePlot(
        id="order-parameter",
        title="Share of right nonces against voltage",
        caption="Two ways that lie on each other have no hysteresis. Bands: 95 %.",
        x_label="mV",
        y_label="share of right nonces",
        curves=curves,
    )


def _table(ways: Ways, psi: FloatArray, phi: FloatArray) -> Table:
    rows: list[list[Scalar]] = [
        [
            float(ways.millivolts[k]), float(psi[0, k]), float(psi[1, k]), float(phi[0, k]), float(phi[1, k]),
            ways.temperature_c[0][k], ways.temperature_c[1][k],
        ]
        for k in range(ways.millivolts.size)
    ]  # fmt: skip
    return Table(
        title="Voltages",
        columns=["mV", "right, up", "right, down", "φ, up", "φ, down", "°C, up", "°C, down"],
        rows=rows,
        caption="φ is 1 where every nonce is right or wrong by itself.",
    )
