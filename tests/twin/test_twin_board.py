"""What the twin must have in it, and what it must not."""

from __future__ import annotations

import hashlib
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from asic_reservoir.board import (
    Board,
    ChipCounts,
    Detail,
    NonceFlag,
    OperatingPoint,
    Origin,
    Resumable,
    Step,
    Work,
    WorkMode,
)
from asic_reservoir.errors import DataError, LimitError, NotFoundError, SafetyError, UsageError
from asic_reservoir.registry import open_board
from asic_reservoir.twin import SPECS, TwinBoard
from asic_reservoir.twin.pll import grid_mhz, quantize_mhz
from asic_reservoir.twin.regulator import quantize_mv

SECOND = 1_000_000_000


def fingerprint(board: Board, steps: list[Step]) -> str:
    digest = hashlib.sha256()
    for step in steps:
        seen = board.step(step)
        for part in (
            seen.counts.valid,
            seen.counts.invalid,
            seen.telemetry.power_w,
            seen.nonces.time_ns,
            seen.nonces.nonce,
        ):
            digest.update(np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()


def at(frequency_mhz: float | np.ndarray, seconds: float = 1.0, **more: object) -> Step:
    return Step(OperatingPoint(frequency_mhz=frequency_mhz), round(seconds * SECOND), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", sorted(SPECS))
def test_one_seed_is_one_bit_pattern_and_another_seed_another(name: str) -> None:
    steps = [Step(OperatingPoint(), SECOND, detail=Detail.NONCES), Step(OperatingPoint(), 100 * SECOND)]
    first = fingerprint(open_board(f"twin://{name}?seed=4"), steps)
    assert fingerprint(open_board(f"twin://{name}?seed=4"), steps) == first
    assert fingerprint(open_board(f"twin://{name}?seed=5"), steps) != first
    assert fingerprint(open_board(f"twin://{name}?seed=4&run=1"), steps) != first


def test_counting_and_simulating_every_nonce_draw_the_same_counts() -> None:
    counted, simulated = open_board("twin://s9?seed=2"), open_board("twin://s9?seed=2")
    for frequency in (650.0, 780.0, 850.0):
        few = counted.step(at(frequency, 2.0))
        all_of_them = simulated.step(at(frequency, 2.0, detail=Detail.NONCES))
        from_nonces = ChipCounts.of(all_of_them.nonces, 189)
        for name in ("valid", "invalid", "duplicate", "stale"):
            assert np.array_equal(getattr(few.counts, name), getattr(all_of_them.counts, name))
            if name != "valid":
                assert np.array_equal(getattr(few.counts, name), getattr(from_nonces, name))
        # a nonce that is reported twice is valid once, and once a duplicate
        assert np.array_equal(few.counts.valid, from_nonces.valid)


def test_the_rate_is_hashrate_over_difficulty_times_two_to_the_32() -> None:
    for name, frequency in (("s9", 600.0), ("bm1366", 400.0)):
        board = open_board(f"twin://{name}?seed=3")
        board.step(at(frequency, 20.0))  # the clock of a BM1366 board moves at 62.5 MHz/s
        seconds = 400.0
        total = sum(int(board.step(at(frequency, 20.0)).counts.total.sum()) for _ in range(20))
        found = float(quantize_mhz(SPECS[name].pll, np.array([frequency]))[0])
        duplicates = 1.0 + SPECS[name].job.duplicate_probability
        expected = board.info.chip_rate_hz(found, 1) * board.info.n_chips * seconds * duplicates
        assert total == pytest.approx(expected, abs=5 * np.sqrt(expected))


def test_a_stock_lv06_reports_nothing_easier_than_256() -> None:
    board = open_board("twin://lv06?seed=1")
    expected = board.info.chip_rate_hz(485.0, 256) * 10_000
    for difficulty in (1, 256):
        point = OperatingPoint(frequency_mhz=485.0, difficulty=difficulty)
        total = int(board.step(Step(point, 10_000 * SECOND)).counts.total.sum())
        assert total == pytest.approx(expected, abs=6 * np.sqrt(expected))


def test_arrivals_are_poisson_at_a_steady_point() -> None:
    board = open_board("twin://s9?seed=1")
    for _ in range(200):
        board.step(at(600.0, 10.0))
    counts = np.array([board.step(at(600.0, 1.0)).counts.valid.sum() for _ in range(2000)])
    assert counts.var(ddof=1) / counts.mean() == pytest.approx(1.0, abs=5 * np.sqrt(2 / 2000))
    nonces = board.step(at(600.0, 5.0, detail=Detail.NONCES)).nonces
    gaps = np.diff(nonces.select(~nonces.has(NonceFlag.DUPLICATE)).time_ns) * 1e-9
    assert stats.kstest(gaps / gaps.mean(), "expon").pvalue > 1e-4


def test_errors_rise_steeply_and_more_voltage_moves_the_edge_up() -> None:
    board = open_board("twin://s9?seed=1")

    def error(frequency: float, voltage_mv: float) -> float:
        for _ in range(5):
            seen = board.step(Step(OperatingPoint(frequency, voltage_mv), 10 * SECOND))
        return float(seen.counts.invalid.sum() / seen.counts.total.sum())

    assert error(600.0, 8800.0) < 1e-3 < 0.01 < error(750.0, 8800.0) < 0.5 < error(880.0, 8800.0)
    assert error(750.0, 9400.0) < 0.2 * error(750.0, 8800.0)


def test_chips_differ_by_seed_and_a_chip_keeps_its_edge() -> None:
    first, again, other = (TwinBoard(SPECS["s9"], seed) for seed in (1, 1, 2))
    edges = first._chips.edge_mhz
    assert np.array_equal(edges, again._chips.edge_mhz)
    assert abs(np.corrcoef(edges, other._chips.edge_mhz)[0, 1]) < 0.3
    assert 0.02 < edges.std() / edges.mean() < 0.04


def test_a_slow_domain_takes_voltage_from_the_others() -> None:
    board = TwinBoard(SPECS["s9"], 1)
    clocks = np.full(189, 600.0)
    board.step(at(clocks, 10.0))
    before = board._physics.domain_v.copy()
    clocks[:3] = 500.0  # the first domain of the first hashboard
    board.step(at(clocks, 10.0))
    after = board._physics.domain_v
    assert after[0, 0] > 1.05 * before[0, 0]
    assert np.all(after[0, 1:] < before[0, 1:])
    assert after[0].sum() == pytest.approx(board._physics.board_v[0])


def test_heat_has_fast_and_slow_parts() -> None:
    board = TwinBoard(SPECS["s9"], 1)
    for _ in range(100):
        board.step(at(500.0, 10.0))
    start = board._physics.die_c[61]
    clocks = np.full(189, 500.0)
    clocks[61] = 650.0
    board.step(at(clocks, 0.1))
    at_once = board._physics.die_c[61] - start
    for _ in range(60):
        board.step(at(clocks, 10.0))
    in_the_end = board._physics.die_c[61] - start
    assert 0.1 * in_the_end < at_once < 0.5 * in_the_end


def test_heat_reaches_the_neighbours() -> None:
    spec = SPECS["s9"]
    apart = replace(spec, heat=replace(spec.heat, neighbour_w_per_k=0.0))
    steps_between = []
    for which in (spec, apart):
        board = TwinBoard(which, 1)
        board.step(at(600.0, 600.0))
        steps_between.append(np.abs(np.diff(board._physics.heatsink_c[:63])).mean())
    assert steps_between[0] < 0.8 * steps_between[1]  # a hot chip warms the ones beside it


def test_less_air_is_hotter_and_leaks_more() -> None:
    seen = []
    for fan in (100.0, 50.0):
        board = open_board("twin://s9?seed=1")
        for _ in range(60):
            observation = board.step(
                Step(OperatingPoint(frequency_mhz=500.0, voltage_mv=8400.0, fan_percent=fan), 10 * SECOND)
            )
        seen.append(observation.telemetry)
    assert np.nanmax(seen[1].chip_temperature_c) > np.nanmax(seen[0].chip_temperature_c) + 5
    assert seen[1].power_w[-1] > seen[0].power_w[-1]


def test_the_content_of_the_work_reaches_nothing() -> None:
    boards = [open_board("twin://s9?seed=1") for _ in range(2)]
    for word in range(20):
        answers = [
            board.step(
                Step(
                    OperatingPoint(),
                    SECOND,
                    Work(WorkMode.HANDSHAKE, clean=True, extranonce2=content),
                    Detail.NONCES,
                    until_nonces=1,
                )
            )
            for board, content in zip(boards, (word.to_bytes(4, "big"), b"\xff\xff\xff\xff"), strict=True)
        ]
        assert answers[0].end_ns == answers[1].end_ns
        assert answers[0].nonces.equals(answers[1].nonces)


def test_a_handshake_ends_with_its_nonce_after_dead_time_and_ramp() -> None:
    board = open_board("twin://s9?seed=1")
    job = SPECS["s9"].job
    waits = []
    for _ in range(400):
        step = Step(
            OperatingPoint(difficulty=256), 100 * SECOND, Work(WorkMode.HANDSHAKE), Detail.NONCES, until_nonces=1
        )
        seen = board.step(step)
        fresh = seen.nonces.select(~(seen.nonces.has(NonceFlag.DUPLICATE) | seen.nonces.has(NonceFlag.STALE)))
        assert len(fresh) == 1
        assert fresh.time_ns[0] == pytest.approx(seen.end_ns, abs=2)
        waits.append(seen.duration_s)
    assert min(waits) > job.dead_s
    rate = board.info.chip_rate_hz(650.0, 256) * 189
    assert np.mean(waits) == pytest.approx(job.dead_s + 0.5 * job.ramp_s + 1 / rate, rel=0.25)


def test_after_a_clean_job_nothing_fresh_comes_for_the_dead_time() -> None:
    board = open_board("twin://s9?seed=1")
    board.step(at(650.0))
    seen = board.step(at(650.0, 1.0, work=Work(clean=True), detail=Detail.NONCES))
    late = seen.nonces.has(NonceFlag.STALE)
    fresh = (seen.nonces.time_ns[~late] - seen.begin_ns) * 1e-9
    assert fresh.min() > SPECS["s9"].job.dead_s
    assert late.sum() == seen.counts.stale.sum() > 0
    assert set(seen.nonces.job[late]) == {0}
    assert set(seen.nonces.job[~late]) == {1}


def test_nonces_carry_chip_and_core_as_a_bm1387_does() -> None:
    seen = open_board("twin://s9?seed=1").step(at(650.0, 1.0, detail=Detail.NONCES))
    n = seen.nonces
    assert np.array_equal((n.nonce >> 2) & 0x3F, n.chip % 63)
    numbers = np.array(SPECS["s9"].core_numbers)
    assert np.array_equal((n.nonce >> 24) & 0x7F, numbers[n.core])
    assert len(numbers) == 114  # values in use in the shipped recording
    assert n.has(NonceFlag.SYNTHETIC).all()


def test_nonces_carry_core_and_small_core_as_a_bm1366_does() -> None:
    seen = open_board("twin://bm1366?seed=1").step(at(485.0, 20.0, detail=Detail.NONCES))
    word = seen.nonces.nonce.byteswap()
    assert np.array_equal((word >> 25) & 0x7F, seen.nonces.core)
    assert np.all((seen.nonces.version >> 13) <= 0xFFFF)
    assert np.all(seen.nonces.version & 0x1FFF == 0)


def test_nonces_of_a_real_header_hash_as_they_say() -> None:
    header = bytes(range(80))
    board = open_board("twin://s9?seed=1&share_bits=6")
    seen = board.step(
        Step(OperatingPoint(frequency_mhz=800.0, difficulty=64), SECOND, Work(header=header), Detail.NONCES)
    )
    assert 0 < seen.nonces.valid.sum() < len(seen.nonces)
    for nonce, valid in zip(seen.nonces.nonce.tolist(), seen.nonces.valid.tolist(), strict=True):
        digest = hashlib.sha256(hashlib.sha256(header[:76] + nonce.to_bytes(4, "little")).digest()).digest()
        assert (int.from_bytes(digest, "little") < 1 << 250) == valid
    with pytest.raises(UsageError, match="79 bytes, must be 80"):
        board.step(Step(OperatingPoint(), SECOND, Work(header=header[1:]), Detail.NONCES))


def test_links_batch_and_lose_and_say_so() -> None:
    usb = open_board("twin://s9?seed=1&link=usb").step(at(650.0, 1.0, detail=Detail.NONCES))
    assert np.all(usb.nonces.time_ns % 1_000_000 == 0)
    assert usb.nonces.has(NonceFlag.SAME_READ).any()
    lossy = open_board("twin://s9?seed=1&link=wifi&loss=0.15")
    lost = kept = 0
    for _ in range(20):
        seen = lossy.step(at(650.0, 1.0))
        lost, kept = lost + seen.lost, kept + int(seen.counts.total.sum())
    assert lost / (lost + kept) == pytest.approx(0.15, abs=0.01)


def test_a_restored_twin_goes_on_bit_by_bit() -> None:
    board, other = open_board("twin://s9?seed=1"), open_board("twin://s9?seed=1")
    assert isinstance(board, Resumable)
    board.step(at(np.linspace(500, 800, 189), 3.0))
    other.restore(board.snapshot())  # type: ignore[attr-defined]
    steps = [at(700.0, 1.0, detail=Detail.NONCES), Step(OperatingPoint(), SECOND)]
    assert fingerprint(board, steps) == fingerprint(other, steps)
    with pytest.raises(DataError, match="must be of twin://s9"):
        open_board("twin://s9?seed=2").restore(board.snapshot())  # type: ignore[attr-defined]
    with pytest.raises(DataError, match="not a twin's snapshot"):
        board.restore(b"nonsense")


@pytest.mark.parametrize(
    ("point", "message"),
    [
        (OperatingPoint(frequency_mhz=901.0), "frequency_mhz: 901 MHz, must be 200 to 900 MHz"),
        (OperatingPoint(frequency_mhz=float("nan")), "frequency_mhz: nan"),
        (OperatingPoint(voltage_mv=9500.0), "voltage_mv: 9500 mV, must be 7950 to 9400 mV"),
        (OperatingPoint(difficulty=3), "must be a power of two"),
        (OperatingPoint(frequency_mhz=np.full(188, 650.0)), r"must be a number or \(189,\)"),
        (OperatingPoint(frequency_mhz=np.array([])), r"shape \(0,\), must be a number or \(189,\)"),
    ],
)
def test_a_wrong_operating_point_is_named_and_changes_nothing(point: OperatingPoint, message: str) -> None:
    board, untouched = open_board("twin://s9?seed=1"), open_board("twin://s9?seed=1")
    with pytest.raises((LimitError, UsageError), match=message):
        board.step(Step(point, SECOND))
    assert fingerprint(board, [at(650.0)]) == fingerprint(untouched, [at(650.0)])


def test_a_board_that_gets_too_hot_stops() -> None:
    board = open_board("twin://s9?seed=1&inlet_c=35")
    point = OperatingPoint(frequency_mhz=900.0, voltage_mv=9400.0, fan_percent=10.0)
    with pytest.raises(SafetyError, match=r"chip at \d+ degC, limit 110 degC"):
        board.step(Step(point, 500 * SECOND))
    with pytest.raises(SafetyError, match="stopped, chip at"):
        open_board("twin://s9?seed=1&inlet_c=60").step(at(650.0))
    with pytest.raises(SafetyError, match="stopped"):
        board.step(at(300.0))


@pytest.mark.parametrize(
    ("uri", "error", "message"),
    [
        ("twin://s10", NotFoundError, "must be one of s9, lv06, bm1366, lb-box"),
        ("twin://s9?sede=1", UsageError, "did you mean 'seed'"),
        ("twin://s9?seed=x", UsageError, "seed: 'x', must be an integer"),
        ("twin://s9?seed=1&seed=2", UsageError, "given twice"),
        ("twin://s9?link=carrier-pigeon", UsageError, "must be one of off, usb, tcp, wifi"),
        ("twin://s9?loss=2", UsageError, "must be a number from 0 to 1"),
        ("twn://s9", NotFoundError, "did you mean 'twin'"),
        ("s9", UsageError, "no scheme"),
    ],
)
def test_a_wrong_uri_is_named(uri: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        open_board(uri)


def test_everything_a_twin_makes_is_simulated() -> None:
    for name in SPECS:
        with open_board(f"twin://{name}") as board:
            assert isinstance(board, Board)
            assert board.info.origin is Origin.SIMULATED
            assert board.step(Step(OperatingPoint(), SECOND)).origin is Origin.SIMULATED


def test_clock_frequencies_are_those_of_the_real_parts() -> None:
    s9, lv06 = grid_mhz("bm1387"), grid_mhz("bm1366")
    # Braiins OS bm1387.rs and ESP-Miner pll.c, as decoded in their register vectors
    for value in (375.0, 431.25, 500.0, 650.0, 718.75):
        assert np.abs(s9 - value).min() < 0.5
    for value in (50.0, 62.5, 400.0, 450.0, 485.0, 550.0):
        assert np.abs(lv06 - value).min() < 1e-9


@given(st.floats(210.0, 890.0))
def test_the_nearest_clock_is_chosen(frequency: float) -> None:
    grid = grid_mhz("bm1387")
    chosen = float(quantize_mhz("bm1387", np.array([frequency]))[0])
    assert abs(chosen - frequency) == pytest.approx(np.abs(grid - frequency).min())


def test_regulators_give_the_voltage_of_their_codes() -> None:
    # PIC16 of the S9, Braiins OS power.rs: code 6 is 9.4027 V, 254 is 7.9474 V; DS4432U: FC is 0.9997 V, C6 1.1994 V
    assert quantize_mv(SPECS["s9"].regulator, np.array([9400.0, 7950.0])) == pytest.approx([9402.6, 7947.4], abs=0.1)
    assert quantize_mv(SPECS["lv06"].regulator, np.array([1000.0, 1200.0])) == pytest.approx([999.7, 1199.4], abs=0.1)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(0.0005, 5.0), min_size=2, max_size=4))
def test_time_of_the_board_is_the_sum_of_its_steps(seconds: list[float]) -> None:
    board = TwinBoard(SPECS["bm1366"], 1)
    end = 0
    for length in seconds:
        seen = board.step(at(400.0, length))
        assert seen.begin_ns == end
        end = seen.end_ns
    assert end == sum(round(length * SECOND) for length in seconds)


def test_a_board_without_clock_or_supply_is_quiet_and_cold() -> None:
    twin = TwinBoard(SPECS["s9"], 1)
    for clock, volts in ((0.0, 8.8), (0.0, 0.0), (650.0, 0.0)):
        valid, invalid, _, power = twin._physics.advance(
            np.full(189, clock), np.full(3, volts), 0.5, 0.02, np.array([0.02, 1.0, 100.0])
        )
        assert np.isfinite(twin._physics.die_c).all()
        assert np.isfinite(power).all()
        assert valid[-1].sum() < 1.0 or volts > 0.0
        assert invalid.min() >= 0.0
    assert twin._physics.die_c.max() < 45.0


def test_a_paced_twin_is_the_same_twin_in_real_time() -> None:
    point = Step(OperatingPoint(), duration_ns=30_000_000)
    with open_board("twin://bm1366?seed=1&pace=2") as paced, open_board("twin://bm1366?seed=1") as quick:
        began = time.monotonic()
        seen = [paced.step(point).counts.valid for _ in range(3)]
        assert time.monotonic() - began >= 3 * 0.06
        assert np.array_equal(seen, [quick.step(point).counts.valid for _ in range(3)])
        assert paced.info.uri == quick.info.uri
        assert isinstance(paced, Resumable)
    with pytest.raises(UsageError, match="pace"):
        open_board("twin://bm1366?pace=11")
