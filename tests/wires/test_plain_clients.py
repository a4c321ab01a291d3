"""Programs that know nothing of us: ``nc`` asks the emulated miners, ``curl`` sees AxeOS in both generations."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time

import pytest

from drivers.lb_box.emulated import EmulatedLbBox
from drivers.lv06.emulated import EmulatedLv06
from drivers.s9.emulated import EmulatedS9
from firmware_bridge.axeos import Generation
from firmware_bridge.cgminer.messages import load_reply

pytestmark = pytest.mark.service


def program(name: str) -> str:
    """Where it is. Skips, or fails where everything must be there."""
    path = shutil.which(name)
    if path is None:
        reason = f"{name} is not installed"
        if os.environ.get("REQUIRE_SERVICES") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return path


def nc(port: int, request: str) -> bytes:
    """``echo REQUEST | nc 127.0.0.1 PORT``: ends when the miner closes the connection."""
    asked = subprocess.run(
        [program("nc"), "127.0.0.1", str(port)], input=request.encode(), capture_output=True, timeout=60, check=True
    )
    return asked.stdout


def test_nc_gets_the_answers_of_bmminer() -> None:
    with EmulatedS9(speed=10) as device:
        for request in ('{"command":"stats"}', '{"command":"stats"}\n', "stats\n", "stats|0"):
            answer = nc(device.api_port, request)
            assert answer.endswith(b"}\0")
            assert b"}{" in answer  # as bmminer writes it: no JSON until a comma is put there
            rows = load_reply(answer)["STATS"]
            assert isinstance(rows, list)
            assert [rows[1][f"chain_acn{board}"] for board in (6, 7, 8)] == [63, 63, 63]
        both = load_reply(nc(device.api_port, '{"command":"summary+pools"}'))
        assert set(both) == {"summary", "pools", "id"}
        codes = {"restart": 45, "nonsense": 14, '{"command":': 23, "": 23}
        for request, code in codes.items():
            assert f'"Code":{code}'.encode() in nc(device.api_port, request)


def test_nc_gets_the_answers_of_bosminer_and_of_an_lb_box() -> None:
    with EmulatedS9(firmware="braiins", speed=10) as miner:
        answer = nc(miner.api_port, '{"command":"devdetails"}').rstrip(b"\0")
        assert [row["Chips"] for row in json.loads(answer)["DEVDETAILS"]] == [63, 63, 63]
    with EmulatedLbBox(speed=10) as box:
        answer = nc(box.api_port, '{"command":"devs"}').rstrip(b"\0")
        assert json.loads(answer)["DEVS"][0]["clock"] == 725


def curl(*arguments: str) -> tuple[int, bytes]:
    """Status and body; status 0 where nobody answers."""
    asked = subprocess.run(
        [program("curl"), "--silent", "--max-time", "30", "--write-out", "\n%{http_code}", *arguments],
        capture_output=True,
        timeout=60,
        check=False,
    )
    body, _, status = asked.stdout.rpartition(b"\n")
    return int(status), body


@pytest.mark.parametrize("generation", list(Generation))
def test_curl_sees_axeos(generation: Generation) -> None:
    live = generation is Generation.LIVE
    with EmulatedLv06(generation=generation, speed=50) as device:
        base = f"http://127.0.0.1:{device.port}"
        status, page = curl(f"{base}/")
        assert status == 200
        assert (b"Lucky miner" in page) is not live
        status, body = curl(f"{base}/api/system/info")
        info = json.loads(body)
        assert (status, info["ASICModel"], info["frequency"], info["coreVoltage"]) == (200, "BM1366", 485, 1200)
        assert ("actualFrequency" in info) is live
        assert isinstance(info["bestDiff"], int | float if live else str)
        assert curl("-X", "PATCH", "-d", '{"frequency":500}', f"{base}/api/system") == (200, b"")
        assert json.loads(curl(f"{base}/api/system/info")[1])["frequency"] == 500
        refused = 400 if live else 200  # the stock generation swallows nonsense without a word
        assert curl("-X", "PATCH", "-d", '{"frequency":"fast"}', f"{base}/api/system")[0] == refused
        assert curl(f"{base}/api/system/asic")[0] == (200 if live else 404)
        assert curl("-X", "POST", f"{base}/api/system/restart")[0] == 200
        deadline = time.monotonic() + 30
        while device.restarts == 0 or curl(f"{base}/api/system/info")[0] != 200:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert device.restarts == 1
