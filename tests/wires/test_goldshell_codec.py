"""Goldshell boxes: login, settings object and power plans of protocols.md 7.2 and 7.3, reports, any bytes."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asic_reservoir.errors import DataError, UsageError
from firmware_bridge.goldshell.login import (
    decrypt_password,
    encode_token,
    encrypt_password,
    login_path,
    parse_token,
    read_login,
)
from firmware_bridge.goldshell.settings import (
    PoolEntry,
    PowerPlan,
    encode_delete_pool,
    encode_pools,
    encode_settings,
    parse_pool,
    parse_pools,
    parse_settings,
)
from firmware_bridge.goldshell.status import (
    BoxDevice,
    BoxStatus,
    ChipTally,
    device_row,
    encode_chips,
    encode_history,
    encode_minerinfo,
    encode_status,
    parse_chips,
    parse_device,
    parse_history,
    parse_minerinfo,
    parse_status,
)

SETTINGS = (  # protocols.md 7.3 (SC-BOX, firmware 2.2.5)
    '{"select":0,"tempcontrol":true,"ledcontrol":true,"manual":false,"manualPowerplan":"725 MHz 0.41 V 70 RPM 70 RPM",'
    '"name":"28E297000000","powerplans":[{"level":0,"info":"725 MHz 0.41 V 70 RPM 70 RPM"},'
    '{"level":3,"info":"0 MHz 0 V 70 RPM 70 RPM"}],"temp_targets":[65.0,75.0],"temp_target":65,"version":"v2.1"}'
)


def test_the_cipher_of_the_default_password() -> None:
    """protocols.md 7.2 (hard-coded in pyasic's web/goldshell.py)."""
    assert encrypt_password("123456789") == "bbad7537f4c8b6ea31eea0b3d760e257"
    for cipher in (True, False):
        path, _, query = login_path(cipher=cipher).partition("?")
        assert path == "/user/login"
        assert read_login(query) == ("admin", "123456789")
    assert parse_token(encode_token("eyJhbGciOi")) == "eyJhbGciOi"


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), min_size=1, max_size=40))
def test_every_password_survives_login(password: str) -> None:
    assert decrypt_password(encrypt_password(password)) == password
    for cipher in (True, False):
        assert read_login(login_path("admin", password, cipher=cipher).partition("?")[2]) == ("admin", password)


@pytest.mark.parametrize(
    ("text", "plan"),
    [
        ("725 MHz 0.41 V 70 RPM 70 RPM", PowerPlan(725, 0.41, (70, 70))),
        ("575 MHz 0.41 V 90 RPM 90 RPM", PowerPlan(575, 0.41, (90, 90))),
        ("0 MHz 0 V 70 RPM 70 RPM", PowerPlan(0, 0.0, (70, 70))),
        ("625 MHz 9100 V 40 RPM 40 RPM PV 9400", PowerPlan(625, 9100.0, (40, 40), 9400)),
    ],
)
def test_power_plans_of_every_dialect(text: str, plan: PowerPlan) -> None:
    assert PowerPlan.parse(text) == plan
    assert str(plan) == text


def test_a_change_of_clock_sends_the_whole_object_back() -> None:
    settings = parse_settings(SETTINGS)
    assert settings.active.frequency_mhz == 725
    changed = settings.with_frequency(575)
    assert json.loads(encode_settings(changed)) == json.loads(SETTINGS) | {
        "manual": True,
        "manualPowerplan": "575 MHz 0.41 V 70 RPM 70 RPM",
    }
    assert parse_settings(encode_settings(changed)) == changed
    assert changed.active.frequency_mhz == 575
    with pytest.raises(UsageError, match="frequency_mhz: 580, must be a multiple of 25"):
        settings.with_frequency(580)
    with pytest.raises(UsageError, match="temp_target: 80 degC, must be 65 to 75 degC"):
        settings.with_temp_target(80)
    assert settings.with_temp_target(70).keys["temp_target"] == 70


def test_reports_survive_the_wire() -> None:
    status = BoxStatus("MCB_V5_4", "Goldshell-LBBox", "2.2.5", "2.2.5")
    assert parse_status(encode_status(status)) == status
    device = BoxDevice(
        90, 175000.5, 174000.25, 4000, 3900, 7, 12, 725, 0.41, (2400, 2410), (66.5, 67.0), None, False, 1
    )
    row = device_row(device)
    assert row["tstemp-2"] == -150
    assert parse_device(json.loads(json.dumps(row))) == device
    chips = (ChipTally(0, 0, 100, 2), ChipTally(0, 1, 90, 0), ChipTally(1, 0, 80, 5))
    assert parse_chips(encode_chips(chips)) == chips
    assert parse_history(encode_history((1.5, 2.25))) == (1.5, 2.25)
    blocks = {"STATUS": {"Code": "9"}, "PGA0": {"clock": "725", "voltage": "0.41"}}
    assert parse_minerinfo(encode_minerinfo(blocks)) == blocks
    pools = (PoolEntry("stratum+tcp://10.0.0.1:3333", "lab", "x", 0, True), PoolEntry("stratum+tcp://b:1", "c", "d", 1))
    assert parse_pools(encode_pools(pools)) == pools
    assert parse_pool(encode_delete_pool(pools[1])) == pools[1]


@given(
    st.binary(max_size=150)
    | st.builds(
        lambda i, j: (SETTINGS[:i] + j + SETTINGS[i + 1 :]).encode(),
        st.integers(0, 400),
        st.text('0"{}[],- ', max_size=3),
    )
)
def test_any_bytes_give_a_value_or_a_data_error(data: bytes) -> None:
    for read in (parse_token, parse_pools, parse_pool, parse_status, parse_chips, parse_history):
        with contextlib.suppress(DataError):
            read(data)
    with contextlib.suppress(DataError):
        settings = parse_settings(data)
        assert parse_settings(encode_settings(settings)) == settings
    text = data.decode(errors="replace")
    for read_text in (read_login, decrypt_password, parse_minerinfo, PowerPlan.parse):
        with contextlib.suppress(DataError):
            read_text(text)
    with contextlib.suppress(DataError):
        parse_device({"tstemp-2": text, "clock": text, "Nonced": text})
