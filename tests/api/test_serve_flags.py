"""`asic-reservoir serve` as a process: what its flags do, and tasks that need no board that runs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from fault_rig import Program

import asic_reservoir
from asic_reservoir.client import Client

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
RECORDING = {"Content-Type": "text/csv"}
DATA_FOLDER = Path(asic_reservoir.__file__).parent / "data" / "s9_shares"


def asic(*words: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-c", "from asic_reservoir.cli import main; main()", *words]
    return subprocess.run(program, capture_output=True, text=True, timeout=240)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of an installation."""
    folder = tmp_path_factory.mktemp("flags")
    settings = folder / "mine.toml"
    settings.write_text(
        f'''
        data = "{folder}/data"
        [serve]
        board = ["s9=twin://bm1366?seed=1", "shares=replay://s9-shares", "paced=twin://bm1366?seed=2&pace=1"]
        body_mib = 2
        requests_per_minute = 1
        tasks_waiting = 1
        '''
    )
    return settings


@pytest.fixture(scope="module")
def server(settings: Path) -> Iterator[str]:
    program = Program(
        settings.with_name("log"),
        ("serve", "--port", "0", "--upload-mib", "1"),
        {"ASIC_RESERVOIR_SETTINGS": str(settings), "ASIC_RESERVOIR_REQUESTS_PER_MINUTE": "5"},
    )
    program.start()
    try:
        yield "http://{}:{}".format(*program.address())
    finally:
        program.end()


def test_an_upload_is_as_large_as_the_flag_says(server: str) -> None:
    for size, status in ((1 << 20, 422), ((1 << 20) + 1, 413)):  # a mebibyte of nonsense is read, and refused as such
        answer = httpx2.post(f"{server}/api/v1/recordings", content=b"x" * size, headers=RECORDING, timeout=120)
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/problem+json"


def test_another_body_is_as_large_as_the_file_says(server: str) -> None:
    for size, status in ((2 << 20, 422), ((2 << 20) + 1, 413)):
        body = json.dumps({"kind": "x" * (size - len(json.dumps({"kind": ""})))})
        answer = httpx2.post(
            f"{server}/api/v1/tasks", content=body, headers={"Content-Type": "application/json"}, timeout=120
        )
        assert answer.status_code == status, answer.text[:500]


def test_a_key_has_the_limits_of_variable_and_file(server: str, settings: Path) -> None:
    """Five requests at once, since the variable beats the file; one task that waits beside the one that runs."""
    made = [asic("keys", "create", name, "--settings", str(settings)).stdout.strip() for name in ("reader", "runner")]
    reader, runner = ({"Authorization": f"Bearer {secret}"} for secret in made)
    read = [httpx2.get(f"{server}/api/v1/boards", headers=reader, timeout=60).status_code for _ in range(20)]
    assert read[:5] == [200] * 5
    assert 429 in read
    body = {"kind": "observe", "board": "paced", "params": {"n_steps": 100_000}}
    sent = [httpx2.post(f"{server}/api/v1/tasks", json=body, headers=runner, timeout=60) for _ in range(4)]
    refused = [answer for answer in sent if answer.status_code != 202]
    assert 2 <= len(refused) <= 3, [answer.text for answer in sent]
    assert {answer.status_code for answer in refused} == {429}
    assert "1 tasks of this key wait already" in refused[0].text


@pytest.mark.parametrize("size", ["0", "-1", "1.5", "many", "1048577"])
def test_an_upload_limit_that_is_none_is_refused(size: str, tmp_path: Path) -> None:
    refused = asic("serve", "--port", "0", "--data", str(tmp_path / "data"), "--upload-mib", size)
    assert refused.returncode == 2
    assert "--upload-mib" in refused.stderr
    assert not (tmp_path / "data").exists()


def test_the_formulas_there_are_the_formulas_here(server: str) -> None:
    words = ("tpf", "energy", "--keep", "0.01", "--recall", "0.01", "-o", "json")
    there, here = asic(*words, "--server", server), asic(*words)
    assert (there.returncode, here.returncode) == (0, 0), there.stderr + here.stderr
    found, expected = json.loads(there.stdout), json.loads(here.stdout)
    assert found.pop("provenance")
    assert expected.pop("provenance")
    assert found == expected
    refused = asic("tpf", "energy", "--keep", "0.12345678901234567890", "--server", server)
    assert refused.returncode == 2
    assert "--keep: '0.12345678901234567890', must have at most 15 digits" in refused.stderr


def test_what_a_filter_cannot_be_is_refused_with_its_pointer(server: str) -> None:
    body = {"kind": "tpf-energy", "board": "s9", "params": {"keep": 1.5}}
    answer = httpx2.post(f"{server}/api/v1/tasks", json=body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/params/keep"


def test_a_recording_is_evaluated_where_a_board_plays_it(server: str) -> None:
    refused = asic("tpf", "evaluate", "shares", "--plant", "0.3", "--server", server)
    assert refused.returncode == 2
    assert "--plant" in refused.stderr
    with Client(server) as client:
        task = client.submit("tpf-recording", "s9")
        assert list(client.events(task.id))[-1].kind == "failed"
        assert "must play a recording of shares" in (client.task(task.id).error or "")
        task = client.submit("tpf-recording", "shares")
        for event in client.events(task.id):
            if event.kind == "progress":  # the first of its models is made
                client.cancel(task.id)
                break
        assert list(client.events(task.id))[-1].kind == "cancelled"


def test_a_board_that_is_away_keeps_no_other_from_its_work(tmp_path: Path) -> None:
    """It stands on the shelf already; one that nobody has seen yet is an error."""
    shares = tmp_path / "shares.csv"
    shares.write_bytes((DATA_FOLDER / "s9_shares.csv").read_bytes())
    words = ["serve", "--no-workers", "--port", "0", "--data", str(tmp_path / "data"),
             "--board", f"gone=replay://{shares}", "--board", "there=twin://bm1366?seed=1"]  # fmt: skip
    program = Program(tmp_path / "log", words)
    for away in (False, True):
        if away:
            shares.unlink()
        program.start()
        try:
            host, port = program.address()
            with Client(f"http://{host}:{port}") as client:
                assert [board["name"] for board in client.boards()] == ["gone", "there"]
        finally:
            program.end()
    assert '"board_away"' in (tmp_path / "log").read_text()
    done = asic(*words, "--board", "new=replay:///nowhere.csv")
    assert done.returncode == 3
    assert "nowhere.csv" in done.stderr
