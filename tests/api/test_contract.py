"""The OpenAPI document against the service, by fuzzing: what is stated holds, for good and for wrong requests."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import CHECKS, load_all_checks

from api.app import create_app
from api.keys import create_key
from api.settings import ServiceSettings
from api.shelf import put_on_shelf
from asic_reservoir.board import Origin
from asic_reservoir.store.facts import models, new_id, now_ns
from asic_reservoir.trained import FORMAT, ReadoutSettings, TrainedReadout

EXAMPLES = int(os.environ.get("ASIC_RESERVOIR_FUZZ_EXAMPLES", "40"))
"""Requests of each operation and each of the two modes (right, wrong)."""
LEFT_OUT = {"ignored_auth"}
"""Rights have a matrix test of their own; here every request has a key with every scope."""


def put_model(app: Any, name: str) -> str:
    """A readout of four states."""
    settings = ReadoutSettings(
        task="narma10", board="twin://bm1366?seed=1", family="bm1366", model="BM1366", n_counters=1,
        origin=Origin.SIMULATED, encoding="frequency", mode="monologue", lags=5, slots=2, step_seconds=1.0,
        observables=("counts",), mask_seed=7, input_low=0.0, input_high=0.5, washout=0, train=0, alpha=1.0,
        test_nrmse=1.0, provenance={},
    )  # fmt: skip
    four, none = np.ones(4), np.zeros(0)
    content = TrainedReadout(settings, four, 0.5, four, four, tuple("abcd"), none, none).to_npz()
    row = {
        "id": new_id(), "name": name, "version": 1, "origin": "simulated", "format": FORMAT, "content": content,
        "sha256": hashlib.sha256(content).hexdigest(), "created_utc_ns": now_ns(),
    }  # fmt: skip
    app.state.service.writer.run(lambda c: c.execute(models.insert(), row))
    return str(row["id"])


REFUSES_MORE = {
    "POST /api/v1/tasks",
    "PATCH /api/v1/boards/{name}",
    "POST /api/v1/boards/{name}/stop",
    "POST /api/v1/boards/{name}/release",
    "POST /api/v1/models/{model_id}/predict",
    "POST /api/v1/recordings",
    "POST /api/v1/series",
}
READERS = {"POST /api/v1/recordings", "POST /api/v1/series"}
"""Each upload starts a process that reads it."""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_no_fault_no_surprise(tmp_path: Path, serve: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Every status is documented, every body fits its schema, wrong requests are refused, nothing is a 500."""
    import httpx2

    app = create_app(ServiceSettings(f"sqlite:///{tmp_path}/facts.db", tmp_path, workers=False))
    service = app.state.service
    put_on_shelf(service.writer, "s9", "twin://bm1366?seed=1")
    scopes = ("read", "run", "operate", "admin")
    limits = {"requests_per_minute": 10**9, "tasks_waiting": 10**9}
    _, secret = service.writer.run(lambda c: create_key(c, "fuzz", scopes, limits=limits))
    headers = {"Authorization": f"Bearer {secret}"}
    statuses: Counter[int] = Counter()
    own: dict[str, str] = {}
    load_all_checks()
    left_out = [check for check in CHECKS.get_all() if check.__name__ in LEFT_OUT]
    named = {check.__name__: check for check in CHECKS.get_all()}

    def softer(case: Any) -> list[Any]:
        """503 is what /readyz has to say here; what a schema cannot say (the ETag, the name again) is refused."""
        if case.path == "/readyz":
            return [named["not_a_server_error"]]
        if f"{case.method} {case.path}" in REFUSES_MORE:
            return [named["positive_data_acceptance"]]
        return []

    with serve(app) as url, httpx2.Client(base_url=url) as client:
        task = client.post("/api/v1/tasks", json={"kind": "observe", "board": "s9"}, headers=headers).json()["id"]
        client.post(f"/api/v1/tasks/{task}/cancel", headers=headers)
        rows = "input,target\n" + "1,2\n2,1\n" * 100
        kind = {"Content-Type": "text/csv"}
        series = client.post("/api/v1/series", content=rows, headers=headers | kind).json()["id"]
        model = put_model(app, "narma10-s9")
        schema = schemathesis.openapi.from_url(f"{url}/api/v1/openapi.json", headers=headers)
        for result in schema.get_all_operations():
            operation = result.ok()
            own.clear()
            own |= {"task_id": task, "model_id": model, "claim_id": "reservoir", "series_id": series}
            own |= {"name": "s9"} if "files" not in operation.path else {}
            for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE):
                if mode is schemathesis.GenerationMode.NEGATIVE and not _has_input(operation):
                    continue

                name = f"{operation.method.upper()} {operation.path}"
                examples = EXAMPLES if name not in READERS else max(5, EXAMPLES // 10)

                @settings(
                    max_examples=examples,
                    deadline=None,
                    database=None,
                    phases=[Phase.explicit, Phase.generate],
                    suppress_health_check=list(HealthCheck),
                )
                @_given(operation.as_strategy(generation_mode=mode))
                def fuzz(case: Any) -> None:
                    if statuses.total() % 2 and case.path_parameters:
                        # half of them to what exists; the rest to whatever was generated
                        known = {key: value for key, value in own.items() if key in case.path_parameters}  # noqa: B023
                        if case.meta is not None and case.meta.generation.mode.value == "positive":
                            case.path_parameters = {**case.path_parameters, **known}
                    if case.path.endswith("/events"):
                        case.path_parameters = {**case.path_parameters, "task_id": task}  # one that ends
                    response = case.call_and_validate(
                        headers=headers, timeout=120, excluded_checks=left_out + softer(case)
                    )
                    statuses[response.status_code] += 1

                fuzz()
    with capsys.disabled():
        print(f"\n{statuses.total()} requests: {dict(sorted(statuses.items()))}")
    assert statuses.total() > 20 * EXAMPLES
    assert not any(status >= 500 and status != 503 for status in statuses)


def _given(strategy: Any) -> Any:
    from hypothesis import given

    return given(case=strategy)


def _has_input(operation: Any) -> bool:
    return bool(operation.body or operation.query or operation.path_parameters or operation.headers)
