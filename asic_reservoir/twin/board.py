"""A twin as a Board: Steps in, Observations out, in virtual time."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from asic_reservoir.board import (
    BoardInfo,
    ChipCounts,
    Detail,
    NonceBatch,
    Observation,
    OperatingPoint,
    Origin,
    Step,
    Telemetry,
    TimestampSource,
    WorkMode,
)
from asic_reservoir.errors import DataError, LimitError, SafetyError, UsageError
from asic_reservoir.twin.arrivals import Exposure, place
from asic_reservoir.twin.batch import assemble
from asic_reservoir.twin.chips import draw_chips
from asic_reservoir.twin.physics import Physics, substeps_s
from asic_reservoir.twin.pll import quantize_mhz
from asic_reservoir.twin.regulator import quantize_mv
from asic_reservoir.twin.sensors import sense
from asic_reservoir.twin.spec import LinkSpec, TwinSpec

WARM_UP_S = 1200.0
"""A twin opens at thermal equilibrium of its nominal point: it has been running for so long."""
POWER_NOISE = 0.005  # [assumption] relative
_NO_NONCES = NonceBatch.empty()


class TwinBoard:
    """The twin of one board.

    Deterministic: the same URI and the same steps give the same observations, bit by bit.

    >>> from asic_reservoir.twin import SPECS
    >>> with TwinBoard(SPECS["s9"], seed=1) as board:
    ...     seen = board.step(Step(OperatingPoint(frequency_mhz=650.0), duration_ns=10_000_000_000))
    >>> seen.origin.value, seen.counts.valid.shape
    ('simulated', (189,))
    """

    def __init__(
        self,
        spec: TwinSpec,
        seed: int = 0,
        *,
        inlet_c: float | None = None,
        link: LinkSpec | None = None,
        share_bits: int = 12,
        run: int = 0,
        uri: str = "",
    ) -> None:
        self._spec, self._seed, self._run = spec, seed, run
        self._link = link or spec.link
        self._share_bits = share_bits
        self._chips = draw_chips(spec, seed)
        inlet = spec.heat.inlet_c if inlet_c is None else inlet_c
        self._physics = Physics(spec, self._chips, inlet)
        self._rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, 0x57E9, run])))
        self._detail_rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, 0xDE7A, run])))
        self._point = spec.nominal
        self._target_mhz = np.full(spec.n_chips, float(np.asarray(spec.nominal.frequency_mhz)))
        self._open_v = np.full(spec.n_hashboards, float(np.asarray(spec.nominal.voltage_mv)) / 1000.0)
        self._index, self._now_ns, self._job = 0, 0, 0
        self._tripped = ""
        self._sensor_chips = np.array(
            [b * spec.chips_per_hashboard + sensor for b in range(spec.n_hashboards) for sensor in spec.sensor_chips]
        )
        self._sensor_counters = self._sensor_chips if spec.attributes_chips else np.zeros_like(self._sensor_chips)
        self._means = np.empty((3, spec.n_chips))
        self._per_chip = spec.attributes_chips or spec.n_chips == 1
        self._share = np.full(spec.chips_per_hashboard, 1.0 / spec.chips_per_hashboard)
        self._no_sensor = np.full((1, spec.n_chips if spec.attributes_chips else 1), np.nan)
        self._info = self._describe(uri or f"twin://{spec.family}?seed={seed}", inlet)
        self._set(spec.nominal)
        self._physics.advance(self._target_mhz, self._open_v, self._fan(), self._rate(), substeps_s(WARM_UP_S))
        self._watch_heat()

    @property
    def info(self) -> BoardInfo:
        return self._info

    def step(self, step: Step) -> Observation:
        """Advance virtual time by one step.

        Raises:
            LimitError: an operating point outside the limits; nothing changed.
            UsageError: an array of the wrong shape.
            SafetyError: a chip became too hot; the board has stopped.
        """
        if self._tripped:
            raise SafetyError(f"board {self._info.uri}: stopped, {self._tripped}")
        changed = self._set(step.operating_point)
        fresh = step.work.clean or step.work.mode is WorkMode.HANDSHAKE
        exposure = Exposure.of(self._spec.job, fresh)
        if fresh:
            self._job += 1
        longest_s = duration_s = step.duration_ns * 1e-9
        if step.until_nonces is not None:
            duration_s = min(longest_s, self._time_of_nonce(step.until_nonces, exposure))
        lengths = substeps_s(duration_s)
        valid_hz, invalid_hz, relative, power = self._physics.advance(
            self._target_mhz, self._open_v, self._fan(), self._rate(), lengths
        )
        bounds = None
        if fresh or step.detail is Detail.NONCES:
            bounds = np.concatenate([[0.0], np.cumsum(lengths)])
        weight = np.diff(exposure.until(bounds)) if fresh and bounds is not None else lengths
        mean_valid, mean_invalid = weight @ valid_hz, weight @ invalid_hz
        if changed is not None:  # a chip whose PLL moved makes nothing while it locks
            lost_s = min(self._spec.relock_s, float(weight[0])) * changed
            mean_valid -= lost_s * valid_hz[0]
            mean_invalid -= lost_s * invalid_hz[0]
        ended_by = step.until_nonces if duration_s < longest_s else None
        kept, lost = self._count(step, ended_by, mean_valid, mean_invalid, valid_hz[0])
        counts = ChipCounts(*kept) if self._per_chip else ChipCounts(*(part.sum(keepdims=True) for part in kept))
        begin = self._now_ns
        end = begin + (step.duration_ns if step.until_nonces is None else max(1, round(duration_s * 1e9)))
        nonces = _NO_NONCES
        if step.detail is Detail.NONCES:
            assert bounds is not None
            valid, invalid, duplicate, stale = kept
            found = place(
                self._detail_rng, self._chips, valid, invalid, valid_hz, invalid_hz, relative, bounds, exposure
            )
            if ended_by is not None and len(found.offset_s):
                found.offset_s[-1] = duration_s  # the step ended with this nonce
            nonces = assemble(
                self._detail_rng,
                self._spec,
                self._link,
                step.work.header,
                self._share_bits,
                (begin, end),
                self._job,
                found,
                duplicate,
                stale,
            )
        telemetry = self._telemetry(end, float(power[-1]))
        observation = Observation(
            origin=Origin.SIMULATED,
            board=self._info.uri,
            index=self._index,
            begin_ns=begin,
            end_ns=end,
            applied=OperatingPoint(
                self._point.frequency_mhz, 1000.0 * self._open_v, self._point.difficulty, self._point.fan_percent
            ),
            counts=counts,
            nonces=nonces,
            telemetry=telemetry,
            timestamp_source=TimestampSource.VIRTUAL,
            lost=lost,
        )
        self._index += 1
        self._now_ns = end
        self._watch_heat()
        if self._tripped:
            raise SafetyError(f"board {self._info.uri}: {self._tripped}; set a lower voltage or more air")
        return observation

    def _count(
        self,
        step: Step,
        ended_by: int | None,
        mean_valid: NDArray[np.float64],
        mean_invalid: NDArray[np.float64],
        valid_hz: NDArray[np.float64],
    ) -> tuple[tuple[NDArray[np.int64], ...], int]:
        """Valid, invalid, duplicate and stale nonces of each chip that reached the host, and how many did not.

        A thinned Poisson process is two independent ones: nonces reported once, and nonces reported twice.
        """
        rng, again = self._rng, self._spec.job.duplicate_probability
        means = self._means
        np.multiply(mean_valid, 1.0 - again, out=means[0])
        means[1] = mean_invalid
        np.multiply(mean_valid, again, out=means[2])
        once, invalid, duplicate = rng.poisson(means)
        valid = once + duplicate
        stale = rng.poisson(valid_hz * self._spec.job.stale_s) if step.work.clean else np.zeros_like(valid)
        if step.until_nonces is not None:
            valid, invalid = self._exactly(step.until_nonces, ended_by is not None, mean_valid, mean_invalid)
            duplicate = np.minimum(duplicate, valid)
        found = valid, invalid, duplicate, stale
        if not self._link.loss:
            return found, 0
        arrived = tuple(rng.binomial(part, 1.0 - self._link.loss) for part in found)
        return arrived, int(sum(part.sum() for part in found) - sum(part.sum() for part in arrived))

    def _watch_heat(self) -> None:
        hottest, limit = float(self._physics.die_c.max()), self._info.limits.chip_temperature_c
        if hottest > limit:
            self._tripped = f"chip at {hottest:.0f} degC, limit {limit:.0f} degC"

    def close(self) -> None:
        """Nothing is energised in a twin; closing is for symmetry."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def snapshot(self) -> bytes:
        """Everything that the next step depends on, as an .npz archive."""
        facts = {
            "uri": self._info.uri,
            "run": self._run,
            "index": self._index,
            "now_ns": self._now_ns,
            "job": self._job,
            "tripped": self._tripped,
            "difficulty": self._point.difficulty,
            "fan_percent": self._point.fan_percent,
            "rng": self._rng.bit_generator.state,
            "detail_rng": self._detail_rng.bit_generator.state,
        }
        buffer = io.BytesIO()
        np.savez(
            buffer,
            facts=np.frombuffer(json.dumps(facts, sort_keys=True).encode(), np.uint8),
            target_mhz=self._target_mhz,
            open_v=self._open_v,
            **self._physics.copy_state(),  # type: ignore[arg-type]
        )
        return buffer.getvalue()

    def restore(self, state: bytes) -> None:
        """Put back what :meth:`snapshot` kept; raises DataError where it belongs to another board."""
        try:
            with np.load(io.BytesIO(state), allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
            facts = json.loads(arrays.pop("facts").tobytes())
        except (ValueError, KeyError, OSError, EOFError) as error:
            raise DataError(f"board state: not a twin's snapshot ({error})") from None
        if facts["uri"] != self._info.uri or facts["run"] != self._run:
            mine = f"{self._info.uri} run {self._run}"
            raise DataError(f"board state: of {facts['uri']} run {facts['run']}, must be of {mine}")
        self._target_mhz, self._open_v = arrays["target_mhz"], arrays["open_v"]
        self._physics.put_state(arrays)
        self._index, self._now_ns, self._job = facts["index"], facts["now_ns"], facts["job"]
        self._tripped = facts["tripped"]
        self._point = replace(
            self._point,
            frequency_mhz=self._frequency_word(),
            difficulty=facts["difficulty"],
            fan_percent=facts["fan_percent"],
        )
        self._rng.bit_generator.state = facts["rng"]
        self._detail_rng.bit_generator.state = facts["detail_rng"]

    # -- settings ------------------------------------------------------------------------------------------------

    def _set(self, point: OperatingPoint) -> NDArray[np.bool_] | None:
        """Check and apply; returns the chips whose clock changes, shape (n_chips,), or None where none was asked."""
        spec = self._spec
        self._info.limits.check(point)
        changed = None
        target, open_v = self._target_mhz, self._open_v
        if point.frequency_mhz is not None:
            target = quantize_mhz(spec.pll, self._shaped("frequency_mhz", point.frequency_mhz, spec.n_chips))
            changed = target != self._target_mhz
        if point.voltage_mv is not None:
            asked_mv = self._shaped("voltage_mv", point.voltage_mv, spec.n_hashboards)
            open_v = quantize_mv(spec.regulator, asked_mv) / 1000.0
        if point.difficulty is not None and spec.ticket_mask_settable and point.difficulty & (point.difficulty - 1):
            raise LimitError(f"difficulty: {point.difficulty}, must be a power of two (ticket mask of the chip)")
        self._target_mhz, self._open_v = target, open_v
        was = self._point
        self._point = OperatingPoint(
            self._frequency_word(),
            point.voltage_mv if point.voltage_mv is not None else was.voltage_mv,
            point.difficulty if point.difficulty is not None else was.difficulty,
            point.fan_percent if point.fan_percent is not None else was.fan_percent,
        )
        return changed

    def _shaped(self, name: str, value: float | NDArray[np.float64], n: int) -> NDArray[np.float64]:
        array = np.asarray(value, np.float64)
        if array.ndim == 0:
            return np.full(n, float(array))
        if name == "frequency_mhz" and not self._spec.per_chip_frequency:
            raise UsageError(f"frequency_mhz: one value a chip, but {self._spec.model} has one clock for all")
        if array.shape != (n,):
            raise UsageError(f"{name}: shape {array.shape}, must be a number or ({n},)")
        return array.copy()

    def _frequency_word(self) -> float | NDArray[np.float64]:
        return self._target_mhz if self._spec.per_chip_frequency else float(self._target_mhz[0])

    def _fan(self) -> float:
        return (self._point.fan_percent or 0.0) / 100.0

    def _rate(self) -> float:
        """Nonces a second and MHz of one chip: the stricter of ticket mask and request decides."""
        return self._info.chip_rate_hz(1.0, self._point.difficulty)

    # -- nonces --------------------------------------------------------------------------------------------------

    def _time_of_nonce(self, k: int, exposure: Exposure) -> float:
        """When the k-th nonce arrives: gamma-distributed in exposure.

        Uses the rate of the moment: temperature hardly moves within a few arrivals.
        """
        state = self._physics.copy_state()
        valid_hz, invalid_hz, _, _ = self._physics.advance(
            self._target_mhz, self._open_v, self._fan(), self._rate(), np.array([1e-3])
        )
        self._physics.put_state(state)
        total_hz = float(valid_hz.sum() + invalid_hz.sum())
        needed = self._rng.standard_gamma(k) / total_hz
        return float(exposure.inverse(np.array([needed]))[0])

    def _exactly(
        self, k: int, in_time: bool, mean_valid: NDArray[np.float64], mean_invalid: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """k nonces where the k-th ended the step; where time ran out, what a Poisson count below k gives."""
        weights = np.concatenate([mean_valid, mean_invalid])
        expected = float(weights.sum())
        number = k
        if not in_time:
            below = np.arange(k)
            log_weight = below * np.log(max(expected, 1e-300)) - gammaln(below + 1.0)
            share = np.exp(log_weight - log_weight.max())
            number = int(self._rng.choice(below, p=share / share.sum()))
        drawn = self._rng.multinomial(number, weights / expected)
        return drawn[: len(mean_valid)], drawn[len(mean_valid) :]

    # -- sensors -------------------------------------------------------------------------------------------------

    def _telemetry(self, time_ns: int, chips_w: float) -> Telemetry:
        """One sample at the end of the step, as the board's sensors see it."""
        spec, physics = self._spec, self._physics
        boards, sensors = spec.n_hashboards, len(spec.sensor_chips)
        noise = self._rng.standard_normal(boards * (sensors + 2) + 1)
        chip_c, board_c, voltage_mv = self._no_sensor.copy(), np.empty((1, boards)), np.empty((1, boards))
        sinks_c = physics.heatsink_c.reshape(boards, -1) @ self._share
        sense(
            physics.die_c, self._sensor_chips, self._sensor_counters, sinks_c, physics.board_v, noise,
            chip_c, board_c, voltage_mv,
        )  # fmt: skip
        power = (chips_w / spec.regulator.efficiency + spec.overhead_w) * (1.0 + POWER_NOISE * float(noise[-1]))
        rpm = round(float(physics.fan[0]) * spec.heat.fan_full_rpm)
        return Telemetry(
            time_ns=np.array([time_ns], np.int64),
            chip_temperature_c=chip_c,
            board_temperature_c=board_c,
            voltage_mv=voltage_mv,
            power_w=np.array([round(power, 1)]),
            fan_rpm=np.array([float(rpm)]),
        )

    def _describe(self, uri: str, inlet_c: float) -> BoardInfo:
        spec = self._spec
        return BoardInfo(
            uri=uri,
            family=spec.family,
            model=spec.model,
            chip=spec.chip.name,
            algorithm=spec.algorithm,
            origin=Origin.SIMULATED,
            timestamp_source=TimestampSource.VIRTUAL,
            n_chips=spec.n_chips,
            n_counters=spec.n_chips if spec.attributes_chips else 1,
            cores_per_chip=spec.chip.cores,
            n_hashboards=spec.n_hashboards,
            n_domains=spec.n_domains,
            hashes_per_clock=spec.chip.hashes_per_clock,
            ticket_mask=spec.ticket_mask,
            ticket_mask_settable=spec.ticket_mask_settable,
            per_chip_frequency=spec.per_chip_frequency,
            limits=spec.limits,
            nominal=spec.nominal,
            firmware=spec.firmware,
            physical={"seed": str(self._seed), "inlet_c": f"{inlet_c:g}"},
        )
