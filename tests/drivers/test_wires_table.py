"""`asic-reservoir wires`: every driver against its emulated device in a process of its own, one table."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from asic_reservoir.cli import main
from drivers.wires_devices import DEVICES, EmulatedProcess
from drivers.wires_row import Counted, Rate, WireRow, poisson_interval
from drivers.wires_table import COMFORTABLE, render

MAIN = "from asic_reservoir.cli import main; main()"
SHORT = ["--seeds", "1", "--steps", "200", "--step-seconds", "0.5", "--rate-nonces", "250"]
LAG = 0.3
"""Of a stretch of five seconds: what device and driver may be late by where many programs share two cores. A wrong
mask, unit or number of chips is a factor of two or more, however often it is looked at."""
LOOKS = 4
"""So often at most, and then alone: the emulated device of a machine that was late gave less than it would have."""


def run_code(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["wires", *arguments])
    return int(ended.value.code or 0)


def left_running(mark: str) -> list[str]:
    """Command lines of processes that carry the mark in their environment."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and mark.encode() in (folder / "environ").read_bytes():
                found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:  # ended meanwhile, or of somebody else
            continue
    return found


def wait_none_left(mark: str) -> list[str]:
    deadline = time.monotonic() + 60.0
    while (left := left_running(mark)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return left


def marked(mark: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", MAIN, "wires", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "WIRES_MARK": mark, "PYTHONUNBUFFERED": "1"},
    )


def as_expected(rate: dict[str, float]) -> bool:
    """Whether the rate seen is the law's."""
    statistical = 4.9 * (rate["nonces"] ** 0.5) / rate["seconds"]  # p < 1e-6
    return abs(rate["seen_hz"] - rate["expected_hz"]) < statistical + LAG * rate["expected_hz"]


def look_alone(name: str) -> dict[str, float]:
    """The rate of one device, with nothing beside it."""
    process = marked(uuid.uuid4().hex, *SHORT, "--only", name, "--jobs", "1", "--json", "-q")
    text, said = process.communicate(timeout=280)
    assert process.returncode == 0, said
    rate: dict[str, float] = json.loads(text)["rows"][0]["rate"]
    return rate


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_one_table_of_all_drivers(tmp_path: Path) -> None:
    """Every row is there; the rate seen is the law's; the words are right; a board that fails has its reason and gives
    the exit code, and the others went on; nothing is left running."""
    mark, out = uuid.uuid4().hex, tmp_path / "out"
    absent = "s9-chain:///dev/none?control=/dev/none"
    choice = ["--only", ",".join(DEVICES), "--board", absent, "--jobs", "3"]
    process = marked(mark, *SHORT, *choice, "--json", "-q", "--out", str(out))
    text, said = process.communicate(timeout=600)
    assert process.returncode == 3, said
    assert "1 of 7 boards failed (s9-chain-2)" in said
    rows = {row["name"]: row for row in json.loads(text)["rows"]}
    assert json.loads((out / "wires.json").read_text())["rows"] == list(rows.values())
    failed = rows.pop("s9-chain-2")
    assert (failed["board"], failed["rate"]) == (absent, None)
    assert "/dev/none" in failed["error"]
    assert list(rows) == list(DEVICES)
    assert wait_none_left(mark) == []
    stamps = {"bm1366": "host", "s9-chain": "host", "lv06": "device"}
    for name, row in rows.items():
        assert row["error"] == ""
        assert row["origin"] == "simulated"
        assert row["timestamps"] == stamps.get(name, "kernel")
        assert row["verdict"] == "undecided"  # without controls nothing is
        rates = [rate := row["rate"]]
        while not as_expected(rates[-1]) and len(rates) < LOOKS:
            rates.append(look_alone(name))
        assert as_expected(rates[-1]), (name, rates)
        assert rate["low_hz"] < rate["seen_hz"] < rate["high_hz"]
        assert row["counted"]["steps"] > 200
        assert row["counted"]["nonces"] > 20
        assert row["nrmse"][0] > 0
        assert row["host_nrmse"] == rows["bm1366"]["host_nrmse"]  # the same draws
        assert (out / name / "report.html").stat().st_size > 1000
    # by hand: MHz, hashes a clock, chips, mask
    assert rows["lv06"]["rate"]["expected_hz"] == pytest.approx(485e6 * 894 / (256 * 2**32))
    assert rows["s9"]["rate"]["expected_hz"] == pytest.approx(189 * 650e6 * 114 / (64 * 2**32))
    assert rows["lb-box"]["rate"]["expected_hz"] == pytest.approx(12 * 725e6 * 20 / (256 * 2**24))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_command_leaves_nothing_running(number: signal.Signals) -> None:
    """After Ctrl-C by itself; after kill -9 by the kernel and the guard of the board."""
    mark = uuid.uuid4().hex
    process = marked(mark, "--only", "bm1366", "--steps", "5000", "--seeds", "1")
    try:
        deadline = time.monotonic() + 150.0
        while not any("drivers.guard" in line for line in left_running(mark)) and time.monotonic() < deadline:
            time.sleep(0.1)
        time.sleep(1.0)  # in the middle of its stretch at the set point
        process.send_signal(number)
        process.communicate(timeout=120)
        assert process.returncode == (130 if number is signal.SIGINT else -signal.SIGKILL)
        assert wait_none_left(mark) == []
    finally:
        process.kill()
        process.communicate()


def test_wrong_words_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "something").touch()
    for arguments, message in (
        (("--only", "lv07"), "--only: 'lv07', must be of bm1366"),
        (("--steps", "3"), "--steps: 3, "),
        (("--encoding", "colour"), "--encoding: 'colour', "),
        (("--board", "nothing"), "board 'nothing': no scheme"),
        (("--out", str(tmp_path)), "must be a new or empty folder"),
    ):
        assert run_code(*arguments) == 2
        assert message in capsys.readouterr().err


@pytest.mark.slow
def test_a_device_that_does_not_come_up_says_why() -> None:
    from asic_reservoir.errors import ServerError

    with pytest.raises(ServerError, match=r"emulated lv06: ended, code 4: error: emulated lv06: "):
        EmulatedProcess(("lv06", "--host", "203.0.113.1"))


def test_the_exact_interval_covers() -> None:
    """Garwood's interval at the counts of his table: 0 and 10."""
    assert poisson_interval(0)[1] == pytest.approx(3.689, abs=1e-3)
    assert poisson_interval(10) == pytest.approx((4.795, 18.390), abs=1e-3)


def test_the_table_shows_what_is_there() -> None:
    from rich.console import Console

    rate = Rate(101.0, 99.5, 97.0, 102.0, 995, 10.0, 485.0, 1)
    rows = [
        WireRow("bm1366", "board", "UART", "simulated", "host", rate, (0.5, 0.4, 0.6), (0.45, 0.4, 0.5), "undecided",
                Counted(400, 4000, 1, 2, 3, 4)),
        WireRow("lv06", "lv06://10.0.0.1", error="nobody answers"),
    ]  # fmt: skip
    console = Console(width=COMFORTABLE, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    console.print(render(rows))
    console.file.close()
    text = console.export_text()
    for piece in ("simulated", "97 … 102", "0.500", "1 lost", "2 duplicate", "3 stale", "4 invalid", "nobody answers"):
        assert piece in text
