"""Register arithmetic and PLL searches against values that the firmwares produce."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asic_reservoir.errors import DataError, UsageError
from firmware_bridge.bm13xx.pll import (
    BM1397_FEEDBACK,
    Pll,
    bm1366_pll,
    bm1366_register,
    bm1387_hz,
    bm1387_pll,
    bm1387_register,
    bm1387_table,
    ramp_mhz,
    solve_bm1366,
    solve_bm1387,
    solve_em218,
)
from firmware_bridge.bm13xx.registers import (
    address_interval,
    baud_of_divider,
    bm1366_ticket_difficulty,
    bm1366_ticket_mask,
    bm1387_ticket_mask,
    fast_uart,
    hash_counting_number,
    uart_divider,
    version_mask_of,
    version_rolling,
)


@pytest.mark.parametrize(
    ("difficulty", "register"),
    [
        (1, 0x00), (2, 0x80), (4, 0xC0), (16, 0xF0), (64, 0xFC), (128, 0xFE), (255, 0xFE), (256, 0xFF), (257, 0xFF),
        (1024, 0xC0FF), (2048, 0xE0FF), (65536, 0xFFFF),
    ],
)  # fmt: skip
def test_bm1366_ticket_mask(difficulty: int, register: int) -> None:
    """ESP-Miner asic_common.c."""
    assert bm1366_ticket_mask(difficulty) == register
    assert bm1366_ticket_difficulty(register) == 1 << (difficulty.bit_length() - 1)


@pytest.mark.parametrize(
    ("difficulty", "register"), [(1, 0), (2, 0x80), (16, 0xF0), (64, 0xFC), (256, 0xFF), (512, 0x80FF), (2048, 0xE0FF)]
)
def test_bm1387_ticket_mask(difficulty: int, register: int) -> None:
    """braiins bm1387.rs."""
    assert bm1387_ticket_mask(difficulty) == register


@pytest.mark.parametrize("difficulty", [0, 3, 257, -1])
def test_bm1387_wants_a_power_of_two(difficulty: int) -> None:
    with pytest.raises(UsageError, match="power of two"):
        bm1387_ticket_mask(difficulty)


@given(st.floats(1, 2**31))
def test_the_mask_is_never_stricter_than_asked(difficulty: float) -> None:
    granted = bm1366_ticket_difficulty(bm1366_ticket_mask(difficulty))
    assert granted / 2 < difficulty
    assert granted <= difficulty + 1


@pytest.mark.parametrize(
    ("mhz", "number"),
    [(50, 0x800000), (400, 0x100000), (485, 0x0D3224), (500, 0x0CCCCC), (525, 0x0C30C3), (575, 0x0B2164)],
)
def test_hash_counting_number(mhz: float, number: int) -> None:
    """ESP-Miner bm1366.c, one chip."""
    assert hash_counting_number(mhz) == number


def test_version_rolling() -> None:
    """ESP-Miner: masks 1fffe000 and 1fff0000; bits below 13 are lost in the chip, so they are refused."""
    assert version_rolling(0x1FFFE000) == 0x9000FFFF
    assert version_rolling(0x1FFF0000) == 0x9000FFF8
    assert version_mask_of(0x9000FFF8) == 0x1FFF0000
    assert version_mask_of(0x0000FFFF) == 0
    with pytest.raises(UsageError, match="1fffe000"):
        version_rolling(0x00FFFF00)


def test_baud() -> None:
    """Crystal of 25 MHz: 115,740.7 out of reset, 1,041,667 at work, 3,125,000 at most (ESP-Miner, bm13xx-rs)."""
    assert fast_uart(1_000_000) == 0x11300200
    assert round(baud_of_divider(26), 1) == 115_740.7
    assert round(baud_of_divider(2)) == 1_041_667
    assert (uart_divider(1_562_500), uart_divider(3_125_000), uart_divider(9600)) == (1, 0, 26)


def test_address_interval() -> None:
    assert [address_interval(n) for n in (1, 3, 63)] == [256, 85, 4]


ESP_MINER = [  # MHz, HEAD, v2.1.8, MHz that v2.1.8 really sets
    (50.0, 0x40A80265, 0x40A80265, 50.0),
    (62.5, 0x40960254, 0x40AF0264, 62.5),
    (100.0, 0x40900252, 0x40A80262, 100.0),
    (400.0, 0x40A00240, 0x50E00260, 400.0),
    (450.0, 0x40900230, 0x50D80250, 450.0),
    (485.0, 0x50C20240, 0x50E90250, 485.417),
    (500.0, 0x40A00230, 0x50C80240, 500.0),
    (550.0, 0x40B00230, 0x50DC0240, 550.0),
]


@pytest.mark.parametrize(("mhz", "head", "old", "old_mhz"), ESP_MINER)
def test_bm1366_pll(mhz: float, head: int, old: int, old_mhz: float) -> None:
    """ESP-Miner pll.c of today and bm1366.c of v2.1.8."""
    assert bm1366_register(solve_bm1366(mhz)) == head
    assert solve_bm1366(mhz).frequency_mhz == pytest.approx(mhz, abs=0.01)
    assert bm1366_register(solve_em218(mhz)) == old
    assert solve_em218(mhz).frequency_mhz == pytest.approx(old_mhz, abs=0.001)
    assert bm1366_pll(head) == solve_bm1366(mhz)


def test_pll_of_the_unit_test_of_esp_miner() -> None:
    """test_pll.c: 450 MHz with feedback 60..200."""
    assert solve_bm1366(450.0, BM1397_FEEDBACK) == Pll(72, 2, 2, 1)


@pytest.mark.parametrize(
    ("register", "hz"),
    [
        (0x00200241, 100_000_000), (0x00780241, 375_000_000), (0x00450221, 431_250_000), (0x00500221, 500_000_000),
        (0x00680221, 650_000_000), (0x00730221, 718_750_000), (0x005E0211, 1_175_000_000),
    ],
)  # fmt: skip
def test_bm1387_register(register: int, hz: int) -> None:
    """Datasheet rows in braiins bm1387.rs; a chip sets bit 31 on reading back."""
    assert bm1387_hz(bm1387_pll(register)) == hz
    assert bm1387_pll(register | 1 << 31) == bm1387_pll(register)
    assert bm1387_register(bm1387_pll(register)) == register


@pytest.mark.parametrize(
    ("mhz", "hz"), [(216, 216_071_428), (217.4, 217_307_692), (1081.25, 1_075_000_000), (1081.250001, 1_087_500_000)]
)
def test_bm1387_lookup(mhz: float, hz: int) -> None:
    """Unit tests of braiins bm1387.rs."""
    assert bm1387_hz(solve_bm1387(mhz)) == hz


@pytest.mark.parametrize(
    ("mhz", "register"),
    [(485, 0x610511), (500, 0x280211), (550, 0x2C0211), (600, 0x300211), (650, 0x340211), (1200, 0x300111)],
)
def test_bm1387_search(mhz: float, register: int) -> None:
    assert bm1387_register(solve_bm1387(mhz)) == register


def test_bm1387_table() -> None:
    """476 of the 1,101 bins are filled; 60 rows, all below 200 MHz, do not fit the register's reference field."""
    table, plls = bm1387_table()
    too_big = [hz for hz, pll in zip(table, plls, strict=True) if pll.reference > 15]
    assert (len(table), len(too_big)) == (476, 60)
    assert max(too_big) < 200_000_000
    with pytest.raises(UsageError, match="reference"):
        bm1387_register(next(pll for pll in plls if pll.reference > 15))
    assert all(pll.reference <= 15 for pll in bm1387_table(15)[1])


def test_ramp() -> None:
    """ESP-Miner frequency_transition: 50 to 485 MHz in 70 writes."""
    ramp = ramp_mhz(50.0, 485.0)
    assert (len(ramp), ramp[0], ramp[-2], ramp[-1]) == (70, 56.25, 481.25, 485.0)
    assert ramp_mhz(100.0, 80.0) == [93.75, 87.5, 81.25, 80.0]
    assert ramp_mhz(75.0, 75.0) == []


@given(st.floats(50, 800))
def test_bm1366_solvers_stay_close(mhz: float) -> None:
    assert solve_bm1366(mhz).frequency_mhz == pytest.approx(mhz, abs=10)
    assert bm1366_pll(bm1366_register(solve_em218(mhz))) == solve_em218(mhz)


@given(st.floats(200, 1200))
def test_bm1387_solver_fits_the_register(mhz: float) -> None:
    pll = solve_bm1387(mhz)
    assert bm1387_pll(bm1387_register(pll)) == pll
    assert pll.frequency_mhz == pytest.approx(mhz, rel=0.02)


@given(st.integers(-(2**33), 2**33))
def test_any_register_gives_dividers_or_a_typed_error(register: int) -> None:
    for decode in (bm1366_pll, bm1387_pll):
        with contextlib.suppress(DataError):
            assert decode(register).frequency_mhz > 0


@pytest.mark.parametrize("mhz", [0.0, 49.9, 1201.0, float("nan"), float("inf")])
def test_frequencies_out_of_range_are_refused(mhz: float) -> None:
    for solve in (solve_bm1366, solve_em218, solve_bm1387):
        with pytest.raises(UsageError, match="frequency_mhz"):
            solve(mhz)
