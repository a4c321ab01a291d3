"""Facts that a task leaves, written with its result and read again, on SQLite and on PostgreSQL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from api.app import create_app
from api.queue import Draft, submit, work
from api.queue.leases import LeaseWatch, take
from api.queue.states import TaskState
from api.queue.work import FileContent, Finished
from api.settings import ServiceSettings
from asic_reservoir.board import Origin
from asic_reservoir.errors import DataError
from asic_reservoir.kept import KeptCalibration, KeptClaim, KeptModel
from asic_reservoir.store.facts import calibrations, claims, models, results
from asic_reservoir.trained import FORMAT, ReadoutSettings, TrainedReadout

REPORT = {"summary": {}, "data": {"ended": ""}}


def content() -> bytes:
    settings = ReadoutSettings(
        task="narma10", board="twin://bm1366?seed=1", family="bm1366", model="BM1366", n_counters=1,
        origin=Origin.SIMULATED, encoding="frequency", mode="monologue", lags=5, slots=2, step_seconds=1.0,
        observables=("counts",), mask_seed=7, input_low=0.0, input_high=0.5, washout=0, train=0, alpha=1.0,
        test_nrmse=1.0, provenance={},
    )  # fmt: skip
    two, none = np.ones(2), np.zeros(0)
    return TrainedReadout(settings, two, 0.5, two, two, ("a", "b"), none, none).to_npz()


def finish(bench: Any, facts: list[Any], files: dict[str, bytes]) -> str:
    """A task that ends well and leaves these facts; its identifier."""
    lease = bench.run(lambda c: take(c, bench.board, "w", "here", LeaseWatch(), holder_is_dead=True))
    task_id, _ = bench.run(lambda c: submit(c, Draft("experiment", {"params": {}}, bench.board)))
    claimed = bench.run(lambda c: work.claim(c, lease))
    kept = [FileContent(name, "application/octet-stream", "0" * 64, body) for name, body in files.items()]
    end = Finished(TaskState.SUCCEEDED, "", "simulated", REPORT, kept, facts=facts)
    assert bench.run(lambda c: work.finish(c, lease, claimed, end)) is TaskState.SUCCEEDED
    return str(task_id)


def test_facts_are_written_with_the_result_and_found_by_the_routes(bench: Any, tmp_path: Path) -> None:
    claim = KeptClaim(claim="reservoir", measured={"sentence": "Undecided."}, verdict="undecided")
    facts = [
        KeptModel(name="mine", file="model.npz", format=FORMAT),
        KeptCalibration(content={"rate": 1.0}),
        claim,
    ]
    first = finish(bench, facts, {"model.npz": content()})
    second = finish(bench, [*facts[:2], claim.model_copy(update={"verdict": "supported"})], {"model.npz": content()})
    app = create_app(ServiceSettings(bench.url, tmp_path, workers=False))
    with TestClient(app, base_url="http://127.0.0.1", client=("127.0.0.1", 50000)) as client:
        found = client.get("/api/v1/models").json()["items"]
        assert [(m["name"], m["version"], m["task"]) for m in found] == [
            ("mine-board-0", 2, second),
            ("mine-board-0", 1, first),
        ]
        page = client.get("/api/v1/models", params={"limit": 1}).json()
        assert client.get("/api/v1/models", params={"cursor": page["next"]}).json()["items"] == found[1:]
        predicted = client.post(f"/api/v1/models/{found[0]['id']}/predict", json={"states": [[1, 2]]}).json()
        assert predicted["outputs"] == [3.5]
        one = client.get("/api/v1/claims/reservoir").json()
        assert (one["standing"], one["origin"], len(one["results"])) == ("supported", "simulated", 1)
        kept = client.get("/api/v1/boards/board-0/calibration").json()
        assert kept["content"] == {"rate": 1.0}
        assert client.get("/api/v1/boards/board-0").json()["calibration_age_seconds"] >= 0
        for path in ("recordings", "series"):
            assert client.get(f"/api/v1/{path}").json() == {"items": [], "next": None}
        assert client.delete(f"/api/v1/models/{found[1]['id']}").status_code == 204
        assert len(client.get("/api/v1/models").json()["items"]) == 1
    with bench.engine.connect() as connection:
        # equal content is the same calibration
        assert connection.execute(sa.select(sa.func.count()).select_from(calibrations)).scalar_one() == 1


def test_of_a_fact_that_cannot_be_written_nothing_is_written(bench: Any) -> None:
    facts = [
        KeptClaim(claim="reservoir", measured={"sentence": ""}, verdict="undecided"),
        KeptModel(name="mine", file="model.npz", format=FORMAT),
    ]
    with pytest.raises(DataError, match="was not kept"):
        finish(bench, facts, {})
    with bench.engine.connect() as connection:
        for table in (results, claims, models):
            assert connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one() == 0


def test_a_claim_that_nobody_published_is_no_fact() -> None:
    with pytest.raises(ValueError, match="must be one of"):
        KeptClaim(claim="cold fusion", measured={}, verdict="supported")
