"""What tasks leave and users bring: models, claims, calibrations, recordings, series."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import re
import shutil
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from api.app import create_app
from api.settings import ServiceSettings
from api.shelf import put_on_shelf
from asic_reservoir.board import Detail, OperatingPoint, Step
from asic_reservoir.claims import CATALOGUE
from asic_reservoir.client import AsyncClient, Client, Result, TaskFailedError
from asic_reservoir.errors import BusyError, UsageError
from asic_reservoir.evaluation import Split, nrmse
from asic_reservoir.registry import open_board
from asic_reservoir.store.library import Library
from asic_reservoir.store.transfer import export_run
from asic_reservoir.tasks import open_task
from asic_reservoir.trained import load_readout

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
SMALL = {"seeds": 1, "steps": 400, "curve": False, "controls": False, "lags": 3, "step_seconds": 2.0}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, serve: Any) -> Iterator[tuple[str, Any]]:
    folder = tmp_path_factory.mktemp("kept")
    app = create_app(ServiceSettings(f"sqlite:///{folder}/facts.db", folder, upload_limit=40_000_000))
    put_on_shelf(app.state.service.writer, "bench", "twin://bm1366?seed=1")
    with serve(app) as url:
        yield url, app


@pytest.fixture
def client(service: tuple[str, Any]) -> Iterator[Client]:
    with Client(service[0]) as client:
        yield client


@pytest.fixture(scope="module")
def run_of_narma(service: tuple[str, Any]) -> Result:
    with Client(service[0]) as client:
        return client.wait(client.submit("experiment", "bench", task="narma10", **SMALL).id)


def test_a_run_leaves_a_model_that_numpy_alone_reads(client: Client, run_of_narma: Result, tmp_path: Path) -> None:
    (model,) = client.models("narma10-bench")
    assert (model.version, model.origin, model.task) == (1, "simulated", run_of_narma.task_id)
    about = client.model(model.id)
    assert about["settings"]["lags"] == 3
    assert about["settings"]["provenance"]["version"]
    width = about["n_states"]
    assert len(about["feature_names"]) == width
    path = client.download_model(model.id, tmp_path)
    assert path.name == "narma10-bench-1.npz"
    states = np.random.default_rng(0).uniform(0, 300, (20, width))
    with np.load(path, allow_pickle=False) as file:
        alone = states @ file["weights"] + file["intercept"]
    np.testing.assert_array_equal(load_readout(path).predict(states), alone)
    np.testing.assert_allclose(client.predict(model.id, states), alone, rtol=1e-12)
    as_json = load_readout(client.download_model(model.id, tmp_path, "json"))
    np.testing.assert_array_equal(as_json.predict(states), alone)
    with pytest.raises(UsageError, match=rf"states row 1: 2 values, must be {width}"):
        client.predict(model.id, [[1.0] * width, [1.0, 2.0]])
    answer = client._http.post(f"/api/v1/models/{model.id}/predict", json={"states": [[1.0] * width, [1.0]]})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/states/1")
    for body in ('{"states": [[NaN]]}', '{"states": [["1"]]}', '{"states": []}', '{"states": [[1e400]]}'):
        answer = client._http.post(
            f"/api/v1/models/{model.id}/predict", content=body, headers={"Content-Type": "application/json"}
        )
        assert answer.status_code == 422, body


def test_the_model_scores_on_the_board_what_the_report_says(client: Client, run_of_narma: Result) -> None:
    """The readout that was kept is the one that was judged: its own error on the test part, from a stream."""
    (model,) = client.models("narma10-bench")
    series = open_task("narma10").generate(0, 400)
    session = client.open_session("bench", 600)
    task = client.submit("stream", "bench", model=model.id)
    with client.stream(task.id) as stream:
        y = [output.y for output in stream.run(series.input.tolist())]
        stream.end()
    client.end_session(session["id"])
    rows = Split.of(400, 100).test_rows
    score = nrmse(np.array(y, np.float64)[rows], series.target[rows])
    # another draw of the counting noise on the same board
    assert score == pytest.approx(run_of_narma.summary["nrmse silicon"], abs=0.15)


def test_versions_of_a_name_are_counted(client: Client, run_of_narma: Result) -> None:
    for _ in range(2):
        client.wait(client.submit("experiment", "bench", task="narma10", model_name="mine", **SMALL).id)
    newest, first = client.models("mine-bench")
    assert (newest.version, first.version) == (2, 1)
    assert client._http.delete(f"/api/v1/models/{first.id}").status_code == 204
    assert client._http.delete(f"/api/v1/models/{first.id}").status_code == 404
    assert [model.id for model in client.models("mine-bench")] == [newest.id]


def test_claims_need_a_control(client: Client, run_of_narma: Result) -> None:
    claims = {claim["id"]: claim for claim in client.claims()}
    assert claims["reservoir"]["standing"] == "not tested"  # that run had no controls
    assert claims["vbm"]["test"] is None
    assert "needs a proxy" in claims["vbm"]["missing"]
    tried = client.wait(client.submit("heartbeat", "bench", seconds=30.0).id)
    heartbeat = client._http.get("/api/v1/claims/heartbeat").json()
    assert heartbeat["standing"] == tried.summary["verdict"]
    assert heartbeat["origin"] == "simulated"
    (result,) = heartbeat["results"]
    assert (result["board"], result["task"]) == ("bench", tried.task_id)
    assert result["measured"]["control"]["independent arrivals"]["passed"]
    assert result["measured"]["effect"]["low"] <= result["measured"]["effect"]["value"]
    checked = client.wait(client.submit("experiment", "bench", task="narma10", **(SMALL | {"controls": True})).id)
    reservoir = client._http.get("/api/v1/claims/reservoir").json()
    assert reservoir["standing"] == checked.summary["verdict"]
    assert set(reservoir["results"][0]["measured"]["control"]) >= {"decoupled", "shuffled", "host_lags_50"}
    assert client._http.get("/api/v1/claims/nothing").status_code == 404


def test_a_calibration_is_kept_and_shown_with_its_age(client: Client) -> None:
    assert client.boards()[0]["calibration_age_seconds"] is None
    result = client.wait(client.submit("calibrate", "bench", sections=["mask", "rate"]).id)
    assert result.data["rate"]["overall"] == pytest.approx(1.0, abs=0.2)
    assert "calibration.json" in [file["name"] for file in result.files]
    end = time.monotonic() + 120  # the shelf is read once for all who ask within a moment
    while (age := client.boards()[0]["calibration_age_seconds"]) is None:
        assert time.monotonic() < end
        time.sleep(0.05)
    assert 0 <= age < 600
    kept = client._http.get("/api/v1/boards/bench/calibration").json()
    assert kept["content"]["rate"] == result.data["rate"]
    assert kept["content"]["thermal"] is None


def exported(folder: Path, n_steps: int = 4) -> Path:
    """A recorded run of a twin, as one file."""
    with Library(folder / "store") as library:
        with library.record(open_board("twin://bm1366?seed=9")) as board:
            for _ in range(n_steps):
                board.step(Step(OperatingPoint(), 1_000_000_000, detail=Detail.COUNTS))
        (run,) = library.summaries()
        return export_run(run.folder, folder / "run.zip")


def test_a_recording_comes_is_played_and_goes(client: Client, tmp_path: Path) -> None:
    source = exported(tmp_path)
    made = client.upload_recording(source, board="recorded")
    assert (made["origin"], made["shelf"]) == ("simulated", "recorded")
    assert [one["id"] for one in client.recordings()] == [made["id"]]
    live = client.wait(client.submit("observe", "recorded", n_steps=4).id)
    with open_board("twin://bm1366?seed=9") as board:
        seen = [board.step(Step(OperatingPoint(), 1_000_000_000, detail=Detail.COUNTS)) for _ in range(4)]
    assert live.data["per_step"] == [int((o.counts.valid + o.counts.invalid).sum()) for o in seen]
    with pytest.raises(TaskFailedError, match="recorded"):
        client.wait(client.submit("observe", "recorded", n_steps=1, step_seconds=2.0).id)
    whole = client.wait(client.submit("inspect", "recorded").id)
    assert whole.data["shares"]["total"] == sum(int(o.counts.total.sum()) for o in seen)
    back = client.download_recording(made["id"], tmp_path)
    assert back.read_bytes() == source.read_bytes()
    with pytest.raises(BusyError, match="already"):
        client.upload_recording(source)
    with pytest.raises(BusyError, match="on the shelf already"):
        client.upload_recording(source, board="bench")


def hostile(source: Path, folder: Path) -> dict[str, bytes]:
    """What a stranger might send in place of a recording."""
    with zipfile.ZipFile(source) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}

    def packed(parts: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", method) as out:
            for name, content in parts.items():
                out.writestr(name, content)
        return buffer.getvalue()

    def renamed(run_id: str) -> bytes:
        document = json.loads(members["run.json"])
        document["run"]["run_id"] = run_id
        text = json.dumps(document["run"], sort_keys=True, allow_nan=False)
        document["sha256"] = hashlib.sha256(text.encode()).hexdigest()
        record = json.dumps(document, indent=1, sort_keys=True).encode() + b"\n"
        manifest = json.loads(members["manifest.json"])
        entry = next(e for e in manifest["files"] if e["name"] == "run.json")
        entry |= {"bytes": len(record), "sha256": hashlib.sha256(record).hexdigest()}
        return packed(members | {"run.json": record, "manifest.json": json.dumps(manifest).encode()})

    first = next(name for name in members if name.endswith(".parquet"))
    broken = bytearray(members[first])
    broken[len(broken) // 2] ^= 0xFF
    return {
        "empty archive": packed({}),
        "no archive": b"PK\x03\x04" + b"\0" * 100,
        "text": b"#!/bin/sh\ntouch /tmp/owned\n",
        "cut": source.read_bytes()[:-200],
        "member changed": packed(members | {first: bytes(broken)}),
        "member more": packed(members | {"../../evil.py": b"import os"}),
        "member missing": packed({name: c for name, c in members.items() if name != first}),
        "compressed": packed(members, zipfile.ZIP_DEFLATED),
        "manifest deep": packed(members | {"manifest.json": b"[" * 100_000}),
        "bomb": packed({"manifest.json": b" " * 90_000_000, "run.json": b"{}"}, zipfile.ZIP_DEFLATED),
        "outside": renamed("../../../outside"),
        "absolute": renamed(f"{folder}/absolute"),
        "not text": renamed(None),  # type: ignore[arg-type]
    }


def test_a_hostile_archive_is_refused_and_leaves_nothing(
    client: Client, service: tuple[str, Any], tmp_path: Path
) -> None:
    source = exported(tmp_path)
    root = service[1].state.service.settings.data

    def tree() -> set[str]:
        parts = (root / "recordings", root / "incoming", tmp_path)
        return {str(p) for part in parts for p in part.rglob("*") if "facts.db" not in p.name}

    before_runs, before = [one["id"] for one in client.recordings()], tree()
    for name, content in hostile(source, tmp_path).items():
        answer = client._http.post(
            "/api/v1/recordings",
            params={"name": name},
            content=content,
            headers={"Content-Type": "application/zip"},
            timeout=240.0,
        )
        assert (answer.status_code, answer.json()["type"]) == (422, "/problems/invalid"), (name, answer.text)
        assert str(root) not in answer.json()["detail"], name
    for path, kind, status in (
        ("/api/v1/recordings", "application/json", 415),
        ("/api/v1/series", "text/html", 415),
        ("/api/v1/recordings", "application/zip", 400),
    ):
        assert client._http.post(path, headers={"Content-Type": kind}).status_code == status
    large = client._http.post(
        "/api/v1/recordings",
        content=(bytes(1 << 20) for _ in range(41)),
        headers={"Content-Type": "application/zip"},
        timeout=240.0,
    )
    assert large.status_code == 413
    assert (tree() - before, [one["id"] for one in client.recordings()]) == (set(), before_runs)
    assert client._http.get("/livez").status_code == 200


def test_a_recording_that_was_damaged_on_disk_is_not_given_away(
    client: Client, service: tuple[str, Any], tmp_path: Path
) -> None:
    made = client.upload_recording(exported(tmp_path, 3))
    assert made["state"] == "imported"
    folder = service[1].state.service.settings.data / "recordings" / "runs" / made["id"]
    victim = next(folder.glob("*.parquet"))
    content = victim.read_bytes()
    victim.write_bytes(content[:4] + bytes(200) + content[204:])  # the first pages
    answer = client._http.get(f"/api/v1/recordings/{made['id']}/file")
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/invalid")
    shutil.rmtree(folder)
    assert client._http.get(f"/api/v1/recordings/{made['id']}/file").status_code == 409


def test_a_series_comes_in_every_form_and_is_run(client: Client, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    u = rng.uniform(0, 1, 400)
    table = {"input": u, "target": np.roll(u, 1)}
    np.save(tmp_path / "s.npy", np.stack([*table.values()], axis=1))
    pq.write_table(pa.table(table), tmp_path / "s.parquet")
    text = "input,target\n" + "".join(f"{float(a)!r},{float(b)!r}\n" for a, b in zip(*table.values(), strict=True))
    (tmp_path / "s.csv").write_text(text)
    made = [client.upload_series(tmp_path / f"s.{suffix}") for suffix in ("csv", "npy", "parquet")]
    assert {one["sha256"] for one in made} == {made[0]["sha256"]}
    settings = {"seeds": 1, "curve": False, "controls": False, "lags": 3, "step_seconds": 2.0}
    result = client.wait(client.submit("series", "bench", file=made[0]["id"], **settings).id)
    inline = client.submit(
        "series", "bench", input=table["input"].tolist(), target=table["target"].tolist(), **settings
    )
    assert client.wait(inline.id).summary == result.summary
    assert [model.name for model in client.models()][:2] == ["series-bench"] * 2
    for wrong in ({}, {"file": made[0]["id"], "input": u.tolist()}, {"input": u.tolist()}):
        with pytest.raises(UsageError, match=r"either 'file'|must have either"):
            client.submit("series", "bench", **wrong)
    for one in made:
        assert client._http.delete(f"/api/v1/series/{one['id']}").status_code == 204
    with pytest.raises(UsageError, match="no such series"):
        client.submit("series", "bench", file=made[0]["id"])


def npy(dtype: str, rows: int) -> bytes:
    """The header of an NPY file, and nothing behind it."""
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': ({rows}, 2), }}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header


@pytest.mark.parametrize(
    ("kind", "content", "words"),
    [
        ("text/csv", b"a,b\n1,2\n", "no column 'input'"),
        ("text/csv", b"input,target\n" + b"1,nan\n" * 300, "column 'target', row 1"),
        ("text/csv", b"input,target\n1,2\n", "1 rows|2 rows|must have at least"),
        ("text/csv", b"input,target\n" + b"1,2\n" * 200_001, "must be 200 to 200,000"),
        ("application/x-npy", npy("|O", 300), "NPY"),
        ("application/x-npy", npy("<f8", 9_999_999_999), "NPY"),
        ("application/vnd.apache.parquet", b"PAR1" + b"\0" * 50 + b"PAR1", "Parquet"),
    ],
)  # fmt: skip
def test_a_series_that_is_none_is_refused(client: Client, kind: str, content: bytes, words: str) -> None:
    answer = client._http.post(
        "/api/v1/series", params={"name": "mine"}, content=content, headers={"Content-Type": kind}, timeout=240.0
    )
    assert answer.status_code == 422, answer.text
    assert re.search(words, answer.json()["detail"]), answer.text
    assert "mine" in answer.json()["detail"]
    assert list(client._http.get("/api/v1/series").json()["items"]) == []


def test_the_same_with_an_event_loop(service: tuple[str, Any], run_of_narma: Result, tmp_path: Path) -> None:
    async def look() -> tuple[int, list[float], str]:
        async with AsyncClient(service[0]) as client:
            model = next(iter([model async for model in client.models("narma10-bench")]))
            width = (await client.model(model.id))["n_states"]
            outputs = await client.predict(model.id, np.zeros((1, width)))
            await client.download_model(model.id, tmp_path)
            made = await client.upload_recording(exported(tmp_path, 2))
            back = await client.download_recording(made["id"], tmp_path)
            assert back.read_bytes() == (tmp_path / "run.zip").read_bytes()
            return len(await client.claims()), outputs, made["state"]

    n_claims, outputs, state = asyncio.run(look())
    assert (n_claims, len(outputs), state) == (len(CATALOGUE), 1, "imported")
