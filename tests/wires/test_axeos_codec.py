"""AxeOS of both generations: the sample of protocols.md 3.3, its keys, its settings, its log lines, and any bytes."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asic_reservoir.errors import DataError, UsageError
from firmware_bridge.axeos import Generation
from firmware_bridge.axeos.asic import (
    BM1366_OPTIONS,
    STATISTICS_LABELS,
    Statistics,
    encode_asic,
    encode_statistics,
    parse_asic,
    parse_statistics,
)
from firmware_bridge.axeos.info import SystemInfo, encode_info, format_difficulty, parse_difficulty, parse_info
from firmware_bridge.axeos.log import (
    DifficultyReported,
    JobReceived,
    LogLine,
    NonceReported,
    OtherText,
    StratumReceived,
    StratumSent,
    format_log_line,
    parse_log_line,
)
from firmware_bridge.axeos.settings import Pool, encode_patch, encode_pool, read_patch, read_pool

SAMPLE = (  # protocols.md 3.3, July 2024 generation
    '{"power":11.4,"voltage":5093.75,"current":2240.0,"temp":56,"vrTemp":0,"hashRate":433.1,"bestDiff":"2.41M",'
    '"bestSessionDiff":"88.0k","freeHeap":153216,"coreVoltage":1200,"coreVoltageActual":1187,"frequency":485,'
    '"ssid":"lab","hostname":"bitaxe","wifiStatus":"Connected!","sharesAccepted":812,"sharesRejected":3,'
    '"uptimeSeconds":20415,"asicCount":1,"smallCoreCount":894,"ASICModel":"BM1366","stratumURL":"192.168.1.50",'
    '"stratumPort":3333,"stratumUser":"lab.lv06","version":"v2.1.8","boardVersion":"0.11","runningPartition":"factory",'
    '"flipscreen":1,"invertscreen":0,"invertfanpolarity":1,"autofanspeed":1,"fanspeed":62,"fanrpm":4480}'
)


def test_the_sample_is_read() -> None:
    info = parse_info(SAMPLE)
    assert (info.core_voltage_mv, info.core_voltage_actual_mv, info.frequency_mhz) == (1200, 1187, 485)
    assert (info.best_difficulty, info.best_session_difficulty) == (2.41e6, 88e3)
    assert (info.uptime_s, info.asic_model, info.fan_rpm, info.auto_fan) == (20415, "BM1366", 4480, True)
    assert info.actual_frequency_mhz is None
    assert not info.overheated


def test_every_key_of_the_sample_is_written_again() -> None:
    assert json.loads(encode_info(parse_info(SAMPLE), Generation.LIVE)) == json.loads(SAMPLE) | {
        "bestDiff": 2410000,
        "bestSessionDiff": 88000,
    }


def test_the_generations_write_best_difficulty_and_fan_speed_differently() -> None:
    """protocols.md 3.3: text or number, fanSpeedRpm or fanrpm."""
    info = SystemInfo(best_difficulty=2.41e6, fan_rpm=4480)
    assert json.loads(encode_info(info, Generation.STOCK)) == {"bestDiff": "2.41M", "fanSpeedRpm": 4480}
    assert json.loads(encode_info(info, Generation.LIVE)) == {"bestDiff": 2410000, "fanrpm": 4480}


def test_the_overheat_fallback_is_recognised() -> None:
    """protocols.md 3.5: 50 MHz and 990 mV on stock firmware, a latch on the live one."""
    assert parse_info('{"coreVoltage":990,"frequency":50}').overheated
    assert parse_info('{"coreVoltage":1100,"frequency":385,"overheat_mode":1}').overheated
    assert not parse_info('{"coreVoltage":1100,"frequency":400,"overheat_mode":0}').overheated


@given(st.floats(100, 1e20))
def test_difficulty_text_keeps_three_digits(difficulty: float) -> None:
    assert parse_difficulty(format_difficulty(difficulty), "x") == pytest.approx(difficulty, rel=0.006)


def test_volts_is_no_key_of_any_firmware() -> None:
    """protocols.md 3.8 and pitfall 22: ignored by stock firmware, and therefore refused by us."""
    assert read_patch(b'{"frequency":500,"volts":0.9}', Generation.STOCK) == {"frequency": 500}
    for generation in Generation:
        with pytest.raises(UsageError, match="'volts': unknown"):
            encode_patch({"volts": 0.9}, generation)


def test_stock_firmware_validates_nothing() -> None:
    """protocols.md 3.2: a string for a number becomes 0."""
    assert read_patch(b'{"frequency":"500","coreVoltage":1200.7,"hostname":5}', Generation.STOCK) == {
        "frequency": 0,
        "coreVoltage": 1200,
    }


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b'{"frequency":500,"coreVoltage":"1200"}', "coreVoltage"),
        (b'{"temptarget":70}', "temptarget"),
        (b'{"overheat_mode":1}', "overheat_mode"),
        (b'{"frequency":true}', "frequency"),
        (b'{"hostname":"' + b"x" * 10_240 + b'"}', "10255 bytes"),
        (b"[]", "object"),
    ],
)
def test_live_firmware_refuses_all_of_a_wrong_patch(body: bytes, named: str) -> None:
    with pytest.raises(DataError, match=named):
        read_patch(body, Generation.LIVE)


def test_patches_and_pools_survive_the_wire() -> None:
    settings = {"frequency": 487.5, "coreVoltage": 1150, "autofanspeed": False, "manualFanSpeed": 80}
    assert read_patch(encode_patch(settings, Generation.LIVE), Generation.LIVE) == settings
    stock = {"frequency": 500, "coreVoltage": 1200, "stratumURL": "10.0.0.1", "stratumPort": 3333}
    assert read_patch(encode_patch(stock, Generation.STOCK), Generation.STOCK) == stock
    with pytest.raises(UsageError, match="an integer"):
        encode_patch({"frequency": 487.5}, Generation.STOCK)
    pool = Pool("10.0.0.1", 3333, "lab.lv06", "x")
    assert read_pool(encode_pool(pool)) == pool


def test_asic_and_statistics_survive_the_wire() -> None:
    assert parse_asic(encode_asic(BM1366_OPTIONS)) == BM1366_OPTIONS
    statistics = Statistics(9000, ("power", "asicTemp", "timestamp"), ((11.5, 55.0, 8000.0), (11.6, 55.1, 9000.0)))
    assert parse_statistics(encode_statistics(statistics)) == statistics
    assert len(STATISTICS_LABELS) == 18
    with pytest.raises(DataError, match="no column 'hashrate'"):
        statistics.column("hashrate")


def test_log_lines_of_both_generations() -> None:
    """protocols.md 3.7, with the colour codes that ESP-IDF adds."""
    live = parse_log_line(
        "\x1b[0;32mI (131148) asic_result: ID: 875b4b7, ASIC nr: 0, Core: 38/2, ver: 00B44000 Nonce 7552034C "
        "diff 29588.0 of 8192.\x1b[0m\n"
    )
    assert live == LogLine(
        131148, "I", "asic_result", NonceReported("875b4b7", 0, 38, 2, 0x00B44000, 0x7552034C, 29588.0, 8192.0)
    )
    stock = parse_log_line(b"I (131148) ASIC_result: Nonce difficulty 29588.00 of 8192.")
    assert stock.event == DifficultyReported(29588.0, 8192.0)
    assert parse_log_line("I (131147) bm1366Module: RX Job ID: 68").event == JobReceived(0x68)
    assert parse_log_line('I (5) stratum_api: tx: {"id":9}').event == StratumSent('{"id":9}')


EVENTS = st.one_of(
    st.builds(
        NonceReported,
        st.text("0123456789abcdef", min_size=1, max_size=8),
        st.integers(0, 255),
        st.integers(0, 127),
        st.integers(0, 15),
        st.integers(0, 2**32 - 1),
        st.integers(0, 2**32 - 1),
        st.integers(0, 10**12).map(lambda tenths: tenths / 10),
        st.integers(0, 10**9).map(float),
    ),
    st.builds(DifficultyReported, st.integers(0, 10**9).map(float), st.integers(0, 10**9).map(float)),
    st.builds(JobReceived, st.integers(0, 127)),
    st.builds(StratumSent, st.text('abc{}:",1 ')),
    st.builds(StratumReceived, st.text('abc{}:",1 ')),
    st.builds(OtherText, st.sampled_from(["Job rejected", "Restarting"])),
)


@given(st.builds(LogLine, st.integers(0, 10**12), st.sampled_from("EWIDV"), st.just("stratum_task"), EVENTS))
def test_every_event_survives_the_log(line: LogLine) -> None:
    assert parse_log_line(format_log_line(line)) == line


NEAR = st.sampled_from(
    [SAMPLE, "I (1) t: ID: a, ASIC nr: 0, Core: 3/2, ver: 00B44000 Nonce 7552034C diff 29588.0 of 8192."]
)


@given(
    st.binary(max_size=200)
    | st.builds(
        lambda text, i, c: (text[:i] + c + text[i + 1 :]).encode(),
        NEAR,
        st.integers(0, 800),
        st.text('0"{}[],:e-', max_size=3),
    )
)
def test_any_bytes_give_a_value_or_a_data_error(data: bytes) -> None:
    for read in (parse_info, parse_asic, parse_statistics, read_pool, parse_log_line):
        with contextlib.suppress(DataError):
            read(data)
    for generation in Generation:
        with contextlib.suppress(DataError):
            read_patch(data, generation)
    with contextlib.suppress(DataError):
        encode_info(parse_info(data), Generation.STOCK)
